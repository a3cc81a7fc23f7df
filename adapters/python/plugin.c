/* The Python plugin: what it gives to its host. */
#include <Python.h>

#include <penstock/plugin.h>

#include "adapters/python/app.h"
#include "adapters/python/dump.h"
#include "adapters/python/interp.h"
#include "adapters/python/option.h"
#include "adapters/python/wsgi.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What open() returns. */
struct plugin {
	const struct pst_host *host;
	PyThreadState *thread; /* the main thread's, while it does not run Python */
	struct pst_wsgi *wsgi;
};

/*
 * Whether other processes may run the application at the same time: whoever starts the workers says
 * how many there are; nobody does to one that was started by hand, which may have siblings.
 */
static bool
is_multiprocess(const struct pst_app_config *config)
{
	const char *workers = pst_option_value(config, "workers", 0);

	return workers == NULL || strcmp(workers, "1") != 0;
}

/* Load the application into a running interpreter: 0 or -1. */
static int
load(struct plugin *plugin, const struct pst_app_config *config)
{
	PyObject *callable = pst_app_load(plugin->host, config);

	if (callable == NULL)
		return -1;
	plugin->wsgi = pst_wsgi_new(
	    plugin->host, callable, config->model == PST_MODEL_THREADED, is_multiprocess(config));
	Py_DECREF(callable);
	if (plugin->wsgi != NULL)
		return 0;
	PyErr_Print();
	return -1;
}

static int
plugin_open(const struct pst_host *host, const struct pst_app_config *config, void **app)
{
	struct plugin *plugin = calloc(1, sizeof *plugin);

	if (plugin == NULL || pst_interp_start(host, config) < 0) {
		free(plugin);
		return -1;
	}
	plugin->host = host;
	if (load(plugin, config) < 0) {
		pst_interp_stop(host);
		free(plugin);
		return -1;
	}
	plugin->thread = PyEval_SaveThread();
	*app = plugin;
	return 0;
}

static void
plugin_close(void *app)
{
	struct plugin *plugin = app;

	PyEval_RestoreThread(plugin->thread);
	pst_wsgi_free(plugin->wsgi);
	pst_interp_stop(plugin->host);
	free(plugin);
}

static void
plugin_dump(void *app, int fd)
{
	(void)app;
	pst_dump(fd);
}

static int
plugin_handle(void *app, struct pst_request *request)
{
	struct plugin *plugin = app;
	int rc;

	PyEval_RestoreThread(plugin->thread);
	rc = pst_wsgi_serve(plugin->wsgi, request);
	plugin->thread = PyEval_SaveThread();
	return rc;
}

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof lifecycle,
    .open = plugin_open,
    .close = plugin_close,
    .dump = plugin_dump,
};

static const struct pst_plugin_blocking blocking = {
    .size = sizeof blocking,
    .handle = plugin_handle,
};

static const struct pst_plugin description = {
    .magic = PST_PLUGIN_MAGIC,
    .major = PST_PLUGIN_MAJOR,
    .minor = PST_PLUGIN_MINOR,
    .size = sizeof description,
    .name = "python",
    .version = PST_PYTHON_VERSION " (" PST_PYTHON_BASE_PREFIX ")",
    .models = 1u << PST_MODEL_SYNC,
    .lifecycle = &lifecycle,
    .blocking = &blocking,
};

const struct pst_plugin *
penstock_plugin(void)
{
	return &description;
}
