/* The Python plugin: what it gives to its host. */
#include <Python.h>

#include <penstock/plugin.h>

#include "adapters/python/app.h"
#include "adapters/python/async.h"
#include "adapters/python/dump.h"
#include "adapters/python/environ.h"
#include "adapters/python/interp.h"
#include "adapters/python/loop.h"
#include "adapters/python/option.h"
#include "adapters/python/say.h"
#include "adapters/python/wsgi.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* A thread that handles requests. */
struct thread {
	PyThreadState *state; /* while it does not run Python */
	struct pst_environ *environ; /* models sync and threaded */
};

/* What open() returns. */
struct plugin {
	const struct pst_host *host;
	struct thread main;
	pthread_t main_thread;
	bool running; /* run() runs: its thread has the GIL throughout */
	struct pst_wsgi *wsgi; /* models sync and threaded */
	struct pst_async *async; /* model async */
};

/* The calling one, when the host said thread_start(); else it is the main thread. */
static _Thread_local struct thread *own;

/* Load the application for the async model, where its loop is there first: what open() returns. */
static int
load_async(struct plugin *plugin, const struct pst_app_config *config)
{
	PyObject *callable;
	int status;

	plugin->async = pst_async_new(plugin->host, config);
	if (plugin->async == NULL)
		return -1;
	status = pst_app_load(plugin->host, config, &callable);
	if (status == 0)
		status = pst_async_start(plugin->async, config, callable);
	Py_XDECREF(callable);
	if (status != 0)
		pst_async_close(plugin->async);
	return status;
}

/* Load the application into a running interpreter: what open() returns. */
static int
load(struct plugin *plugin, const struct pst_app_config *config)
{
	PyObject *callable;
	int status;

	if (config->model == PST_MODEL_ASYNC)
		return load_async(plugin, config);
	status = pst_app_load(plugin->host, config, &callable);
	if (status != 0)
		return status;
	plugin->wsgi = pst_wsgi_new(plugin->host, callable, config->model == PST_MODEL_THREADED,
	    pst_option_multiprocess(config));
	Py_DECREF(callable);
	if (plugin->wsgi != NULL)
		plugin->main.environ = pst_wsgi_environ(plugin->wsgi);
	if (plugin->main.environ != NULL)
		return 0;
	PyErr_Print();
	return -1;
}

static int
plugin_open(const struct pst_host *host, const struct pst_app_config *config, void **app)
{
	struct plugin *plugin = calloc(1, sizeof *plugin);
	int status;

	if (plugin == NULL || pst_interp_start(host, config) < 0) {
		free(plugin);
		return -1;
	}
	plugin->host = host;
	plugin->main_thread = pthread_self();
	status = load(plugin, config);
	if (status != 0) {
		pst_interp_stop(host);
		if (plugin->async != NULL)
			pst_async_free(plugin->async);
		free(plugin);
		return status;
	}
	plugin->main.state = PyEval_SaveThread();
	*app = plugin;
	return 0;
}

static void
plugin_close(void *app)
{
	struct plugin *plugin = app;

	PyEval_RestoreThread(plugin->main.state);
	if (plugin->main.environ != NULL)
		pst_environ_free(plugin->main.environ);
	if (plugin->wsgi != NULL)
		pst_wsgi_free(plugin->wsgi);
	if (plugin->async != NULL)
		pst_async_close(plugin->async);
	pst_interp_stop(plugin->host);
	if (plugin->async != NULL)
		pst_async_free(plugin->async);
	free(plugin);
}

static void
plugin_dump(void *app, int fd)
{
	(void)app;
	pst_dump(fd);
}

static const char *
plugin_kind(void *app)
{
	struct plugin *plugin = app;

	return plugin->async != NULL ? pst_async_kind(plugin->async) : NULL;
}

/* --- Models sync and threaded ---------------------------------------------------------- */

static int
plugin_thread_start(void *app)
{
	struct plugin *plugin = app;
	struct thread *thread;

	if (pthread_equal(pthread_self(), plugin->main_thread)) {
		own = &plugin->main;
		return 0;
	}
	thread = calloc(1, sizeof *thread);
	if (thread != NULL)
		thread->state = PyThreadState_New(PyInterpreterState_Main());
	if (thread == NULL || thread->state == NULL) {
		pst_say(plugin->host, PST_LOG_CRITICAL, "memory is short for a thread");
		free(thread);
		return -1;
	}
	own = thread;
	PyEval_RestoreThread(thread->state);
	thread->environ = pst_wsgi_environ(plugin->wsgi);
	if (thread->environ == NULL)
		PyErr_Print();
	thread->state = PyEval_SaveThread();
	return thread->environ != NULL ? 0 : -1;
}

/* What the application kept for the thread goes with it: that may run code of the application. */
static void
plugin_thread_stop(void *app)
{
	struct plugin *plugin = app;
	struct thread *thread = own;

	own = NULL;
	if (thread == &plugin->main)
		return;
	PyEval_RestoreThread(thread->state);
	pst_environ_free(thread->environ);
	PyThreadState_Clear(thread->state);
	PyThreadState_DeleteCurrent();
	free(thread);
}

static int
plugin_handle(void *app, struct pst_request *request)
{
	struct plugin *plugin = app;
	struct thread *thread = own != NULL ? own : &plugin->main;
	int rc;

	PyEval_RestoreThread(thread->state);
	rc = pst_wsgi_serve(plugin->wsgi, thread->environ, request, NULL);
	thread->state = PyEval_SaveThread();
	return rc;
}

/* --- Model async ----------------------------------------------------------------------- */

/* The host calls before run(), without the GIL, and from within it. */
static void
enter(struct plugin *plugin)
{
	if (!plugin->running)
		PyEval_RestoreThread(plugin->main.state);
}

static void
leave(struct plugin *plugin)
{
	if (!plugin->running)
		plugin->main.state = PyEval_SaveThread();
}

static void
plugin_on_request(void *app, struct pst_request *request)
{
	struct plugin *plugin = app;

	pst_async_on_request(plugin->async, request);
}

static void
plugin_on_ready(void *app, struct pst_request *request)
{
	struct plugin *plugin = app;

	pst_async_on_ready(plugin->async, request);
}

static void
plugin_on_abort(void *app, struct pst_request *request, enum pst_abort why)
{
	struct plugin *plugin = app;

	pst_async_on_abort(plugin->async, request, why);
}

static void
plugin_drain(void *app)
{
	struct plugin *plugin = app;

	if (plugin->async == NULL)
		return;
	enter(plugin);
	pst_async_drain(plugin->async);
	leave(plugin);
}

static int
plugin_run(void *app)
{
	struct plugin *plugin = app;
	int rc;

	PyEval_RestoreThread(plugin->main.state);
	plugin->running = true;
	rc = pst_async_run(plugin->async);
	plugin->running = false;
	plugin->main.state = PyEval_SaveThread();
	return rc;
}

static void
plugin_stop(void *app)
{
	struct plugin *plugin = app;

	enter(plugin);
	pst_loop_stop(pst_async_loop(plugin->async));
	leave(plugin);
}

static int
plugin_watch(void *app, int fd, unsigned events)
{
	struct plugin *plugin = app;
	int rc;

	enter(plugin);
	rc = pst_loop_watch(pst_async_loop(plugin->async), fd, events);
	leave(plugin);
	return rc;
}

static void
plugin_timer(void *app, uint64_t microseconds)
{
	struct plugin *plugin = app;

	enter(plugin);
	pst_loop_timer(pst_async_loop(plugin->async), microseconds);
	leave(plugin);
}

static void
plugin_defer(void *app)
{
	struct plugin *plugin = app;

	enter(plugin);
	pst_loop_defer(pst_async_loop(plugin->async));
	leave(plugin);
}

/* --- The tables ------------------------------------------------------------------------ */

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof lifecycle,
    .open = plugin_open,
    .close = plugin_close,
    .thread_start = plugin_thread_start,
    .thread_stop = plugin_thread_stop,
    .drain = plugin_drain,
    .dump = plugin_dump,
    .kind = plugin_kind,
};

static const struct pst_plugin_blocking blocking = {
    .size = sizeof blocking,
    .handle = plugin_handle,
#ifndef Py_GIL_DISABLED
    .serial = 1,
#endif
};

static const struct pst_plugin_async async = {
    .size = sizeof async,
    .on_request = plugin_on_request,
    .on_ready = plugin_on_ready,
    .on_abort = plugin_on_abort,
    .run = plugin_run,
    .stop = plugin_stop,
    .watch = plugin_watch,
    .timer = plugin_timer,
    .defer = plugin_defer,
};

static const struct pst_plugin description = {
    .magic = PST_PLUGIN_MAGIC,
    .major = PST_PLUGIN_MAJOR,
    .minor = PST_PLUGIN_MINOR,
    .size = sizeof description,
    .name = "python",
    .version = PST_PYTHON_VERSION " (" PST_PYTHON_BASE_PREFIX ")",
    .models = 1u << PST_MODEL_SYNC | 1u << PST_MODEL_THREADED | 1u << PST_MODEL_ASYNC,
    .lifecycle = &lifecycle,
    .blocking = &blocking,
    .async = &async,
};

const struct pst_plugin *
penstock_plugin(void)
{
	return &description;
}
