#include "adapters/adapter.h"

#include "adapters/control.h"
#include "adapters/crash.h"
#include "adapters/find.h"
#include "adapters/host.h"
#include "adapters/load.h"
#include "adapters/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The one of this process, for the signal handlers and the control thread: what they use is left
 * to the process's end. */
static struct {
	const struct pst_adapter_model *model;
	struct pst_adapter adapter;
	atomic_bool serving; /* the application is loaded */
	atomic_bool forked; /* it is none: the application has forked it */
} process;

/* --- the end --- */

/* On the control thread. While the application loads there is nothing to finish. */
static void
on_control_end(void *arg, enum pst_control_end end)
{
	(void)arg;
	if (!atomic_load(&process.serving))
		_exit(PST_ADAPTER_DRAINED);
	switch (end) {
	case PST_CONTROL_CLOSING:
		if (process.model->closing)
			process.model->closing();
		break;
	case PST_CONTROL_DRAIN: process.model->drain(); break;
	case PST_CONTROL_ORPHANED:
		pst_inherit_mute();
		process.model->outlive();
		break;
	}
}

/* The first SIGTERM or SIGINT drains; a second one ends the process at once (SA_RESETHAND). By
 * hand, SIGINT does so at once when a request is running. What the application has forked has no
 * more to finish than any process. */
static void
on_signal(int signo)
{
	if (atomic_load(&process.forked)) {
		raise(signo);
		return;
	}
	if (signo == SIGINT && process.adapter.inherited.control < 0 && process.model->busy())
		raise(signo);
	process.model->drain();
}

/* Of a thread that forks. */
static _Thread_local sigset_t before_fork;

/* Signals wait until both processes know which one they are. */
static void
before(void)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ours, &before_fork);
}

static void
after_in_parent(void)
{
	pthread_sigmask(SIG_SETMASK, &before_fork, NULL);
}

static void
after_in_child(void)
{
	atomic_store(&process.forked, true);
	pthread_sigmask(SIG_SETMASK, &before_fork, NULL);
}

static int
take_signals(void)
{
	struct sigaction action = {
	    .sa_handler = on_signal,
	    .sa_flags = SA_RESETHAND | SA_NODEFER | SA_RESTART,
	};

	sigemptyset(&action.sa_mask);
	errno = pthread_atfork(before, after_in_parent, after_in_child);
	if (errno == 0 && sigaction(SIGTERM, &action, NULL) == 0 &&
	    sigaction(SIGINT, &action, NULL) == 0)
		return 0;
	pst_log(PST_LOG_CRITICAL, "signals cannot be handled: %s", strerror(errno));
	return -1;
}

/* --- the application --- */

static unsigned
concurrency(void)
{
	const struct pst_options *options = &process.adapter.options;

	switch (process.model->model) {
	case PST_MODEL_THREADED: return options->threads;
	case PST_MODEL_ASYNC: return options->capacity;
	default: return 1;
	}
}

/* Nobody said -k: an application, or a plugin, may want another model. */
static bool
may_change_model(const struct pst_adapter *adapter)
{
	const struct pst_options *options = &adapter->options;

	for (size_t i = 0; i < options->plugin_count; i++)
		if (strcmp(options->plugin[i].name, "model") == 0)
			return strcmp(options->plugin[i].value, "auto") == 0;
	return false;
}

/* The application is for MODEL, and nobody has chosen this one: whoever started us starts that. */
static int
give_way(const struct pst_adapter *adapter, int model)
{
	const char *name = "?";

	if (model <= PST_MODEL_ASYNC && model != (int)process.model->model)
		name = pst_load_model_name((enum pst_model)model);
	if (*name != '?' && pst_control_model(name) == 0)
		return PST_ADAPTER_DRAINED;
	pst_log(PST_LOG_CRITICAL,
	    "the application \"%s\" is for the adapter %s, and this is %s: start that one",
	    adapter->options.app, name, pst_load_model_name(process.model->model));
	return PST_ADAPTER_APP;
}

/* 0, or the exit status in *STATUS and -1. */
static int
open_app(struct pst_adapter *adapter, int *status)
{
	struct pst_loaded *loaded = &adapter->app.loaded;
	const struct pst_app_config config = {
	    .size = sizeof(config),
	    .app = adapter->options.app,
	    .model = process.model->model,
	    .concurrency = concurrency(),
	    .options = adapter->options.plugin,
	    .option_count = adapter->options.plugin_count,
	};
	char path[4096];
	int result;

	*status = PST_ADAPTER_RUNTIME;
	if (pst_find(adapter->options.app, adapter->options.python, path, sizeof(path)) < 0)
		return -1;
	result = pst_load(path, process.model->model, may_change_model(adapter), loaded);
	if (result < 0)
		return -1;
	if (result == 0) {
		pst_crash_plugin(&loaded->lifecycle);
		result = loaded->lifecycle.open(process.model->host, &config, &adapter->app.app);
	}
	if (result >= PST_OPEN_OTHER_MODEL) {
		*status = give_way(adapter, result - PST_OPEN_OTHER_MODEL);
		return -1;
	}
	if (result != 0) {
		*status = PST_ADAPTER_APP;
		pst_log(PST_LOG_CRITICAL,
		    "the application \"%s\" was not loaded: this worker "
		    "ends with status %d",
		    adapter->options.app, PST_ADAPTER_APP);
		return -1;
	}
	pst_crash_app(adapter->app.app);
	return 0;
}

static const char *
kind_of_app(const struct pst_adapter *adapter)
{
	const struct pst_plugin_lifecycle *lifecycle = &adapter->app.loaded.lifecycle;

	return lifecycle->kind ? lifecycle->kind(adapter->app.app) : NULL;
}

void
pst_adapter_tell_drain(struct pst_adapter *adapter)
{
	const struct pst_plugin_lifecycle *lifecycle = &adapter->app.loaded.lifecycle;

	if (adapter->told_drain)
		return;
	adapter->told_drain = true;
	if (lifecycle->drain)
		lifecycle->drain(adapter->app.app);
}

static void
close_app(struct pst_adapter *adapter)
{
	const struct pst_plugin_lifecycle *lifecycle = &adapter->app.loaded.lifecycle;

	pst_adapter_tell_drain(adapter);
	pst_crash_plugin(NULL);
	if (lifecycle->close)
		lifecycle->close(adapter->app.app);
}

/* --- set-up --- */

static int
prepare(struct pst_adapter *adapter)
{
	int status;

	if (pst_inherit(&adapter->inherited) < 0)
		return PST_ADAPTER_USAGE;
	signal(SIGPIPE, SIG_IGN);
	if (pst_crash_begin() < 0) {
		pst_log(PST_LOG_CRITICAL, "signals cannot be handled: %s", strerror(errno));
		return PST_ADAPTER_RUNTIME;
	}
	status = process.model->prepare(adapter);
	if (status != 0)
		return status;
	if (adapter->inherited.control >= 0 &&
	    pst_control_begin(adapter->inherited.control, adapter->options.graceful_timeout,
		on_control_end, NULL) < 0)
		return PST_ADAPTER_RUNTIME;
	return 0;
}

static int
serve(struct pst_adapter *adapter)
{
	int status = prepare(adapter);

	if (status != 0 || open_app(adapter, &status) < 0)
		return status;
	if (take_signals() < 0)
		return PST_ADAPTER_RUNTIME;
	atomic_store(&process.serving, true);
	pst_control_ready(kind_of_app(adapter));
	status = process.model->run(adapter) < 0 ? PST_ADAPTER_RUNTIME : PST_ADAPTER_DRAINED;
	close_app(adapter);
	return status;
}

int
pst_adapter_main(const struct pst_adapter_model *model, int argc, char **argv)
{
	struct pst_options *options = &process.adapter.options;
	static char name[32];

	snprintf(name, sizeof(name), "%s: ", pst_load_model_name(model->model));
	process.model = model;
	pst_log_begin(name);
	switch (pst_options_parse(options, model->model, argc, argv)) {
	case PST_OPTIONS_DONE: return PST_ADAPTER_DRAINED;
	case PST_OPTIONS_USAGE: return PST_ADAPTER_USAGE;
	case PST_OPTIONS_SERVE: break;
	}
	if (options->worker_id)
		pst_log_begin(NULL);
	return serve(&process.adapter);
}
