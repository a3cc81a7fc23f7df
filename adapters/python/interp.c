#include "adapters/python/interp.h"

#include "adapters/python/child.h"
#include "adapters/python/dump.h"
#include "adapters/python/executable.h"
#include "adapters/python/option.h"
#include "adapters/python/say.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Seconds that the application's threads have to end. */
#define STOP_SECONDS 10

/* --- Start ----------------------------------------------------------------------------- */

/*
 * Extension modules are linked without libpython and want its symbols from the process; the host
 * loaded us, and libpython with us, for ourselves only.
 */
static int
share_symbols(const struct pst_host *host)
{
	Dl_info info;
	void *library = NULL;

	if (dladdr((void *)(size_t)&Py_GetVersion, &info) != 0 && info.dli_fname != NULL)
		library = dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
	if (library != NULL)
		return 0;
	pst_say(host, PST_LOG_ERROR, "libpython's symbols cannot be made global: %s", dlerror());
	return -1;
}

static PyStatus
configure(PyConfig *config, const char *executable, const char *app)
{
	const char *const argv[] = {"penstock", app};
	PyStatus status;

	PyConfig_InitPythonConfig(config);
	config->parse_argv = 0;
	config->buffered_stdio = 0;
	config->install_signal_handlers = 0;
	status = PyConfig_SetBytesString(config, &config->program_name, executable);
	if (!PyStatus_Exception(status))
		status = PyConfig_SetBytesString(config, &config->executable, executable);
	if (!PyStatus_Exception(status))
		status = PyConfig_SetBytesArgv(config, 2, (char *const *)(size_t)argv);
	return status;
}

/* ITEM goes to the end of LIST, which takes it: 0, or -1 with an exception. */
static int
append(PyObject *list, PyObject *item)
{
	int rc = item != NULL ? PyList_Append(list, item) : -1;

	Py_XDECREF(item);
	return rc;
}

static PyObject *
absolute(const char *directory, const char *name, size_t n)
{
	char path[PATH_MAX];
	int length;

	if (n > 0 && name[0] == '/')
		length = snprintf(path, sizeof path, "%.*s", (int)n, name);
	else
		length = snprintf(path, sizeof path, "%s/%.*s", directory, (int)n, name);
	if (length < 0 || length >= (int)sizeof path) {
		PyErr_SetString(PyExc_OSError, "an entry of --pythonpath is too long");
		return NULL;
	}
	return PyUnicode_DecodeFSDefault(path);
}

/* The entries of one --pythonpath, separated by commas as gunicorn has it. */
static int
append_entries(PyObject *list, const char *directory, const char *entries)
{
	while (*entries != '\0') {
		size_t n = strcspn(entries, ",");

		if (n > 0 && append(list, absolute(directory, entries, n)) < 0)
			return -1;
		entries += n;
		entries += *entries == ',';
	}
	return 0;
}

PyObject *
pst_interp_search_path(const struct pst_app_config *config)
{
	char directory[PATH_MAX];
	PyObject *list = PyList_New(0);
	const char *entries;

	if (list == NULL)
		return NULL;
	if (getcwd(directory, sizeof directory) == NULL) {
		PyErr_SetFromErrnoWithFilename(PyExc_OSError, "the working directory");
		Py_CLEAR(list);
		return NULL;
	}
	if (append(list, PyUnicode_DecodeFSDefault(directory)) < 0)
		Py_CLEAR(list);
	for (unsigned i = 0; list != NULL && (entries = pst_option_value(config, "pythonpath", i));
	     i++)
		if (append_entries(list, directory, entries) < 0)
			Py_CLEAR(list);
	return list;
}

/* sys.path[:0] = ours: 0, or -1 with an exception. */
static int
extend_path(const struct pst_app_config *config)
{
	PyObject *ours = pst_interp_search_path(config);
	PyObject *path = PySys_GetObject("path");
	int rc = -1;

	if (ours != NULL && path != NULL && PyList_Check(path))
		rc = PyList_SetSlice(path, 0, 0, ours);
	Py_XDECREF(ours);
	return rc;
}

/* The standard library must be that of our libpython. */
static int
check_prefix(const struct pst_host *host, const char *executable)
{
	PyObject *prefix = PySys_GetObject("base_prefix");
	const char *found = prefix != NULL ? PyUnicode_AsUTF8(prefix) : NULL;
	char first[PATH_MAX], second[PATH_MAX];

	if (found != NULL && realpath(found, first) != NULL &&
	    realpath(PST_PYTHON_BASE_PREFIX, second) != NULL && strcmp(first, second) == 0)
		return 0;
	PyErr_Clear();
	pst_say(host, PST_LOG_ERROR,
	    "%s has its standard library in %s, but this plugin was built for Python %s in %s: "
	    "build "
	    "Penstock with ./configure --with-python=%s",
	    executable, found != NULL ? found : "?", PST_PYTHON_VERSION, PST_PYTHON_BASE_PREFIX,
	    executable);
	return -1;
}

static int
initialize(const struct pst_host *host, const char *executable, const char *app)
{
	PyConfig config;
	PyStatus status = configure(&config, executable, app);

	if (!PyStatus_Exception(status))
		status = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	if (!PyStatus_Exception(status))
		return 0;
	pst_say(host, PST_LOG_ERROR, "Python (%s) cannot be started: %s", executable,
	    status.err_msg != NULL ? status.err_msg : "it exited");
	return -1;
}

int
pst_interp_start(const struct pst_host *host, const struct pst_app_config *config)
{
	char executable[PATH_MAX];

	if (Py_IsInitialized()) {
		pst_say(host, PST_LOG_ERROR,
		    "%s: a Python interpreter runs in this process already", config->app);
		return -1;
	}
	if (pst_executable_choose(host, config, executable) < 0 || share_symbols(host) < 0 ||
	    initialize(host, executable, config->app) < 0)
		return -1;
	if (check_prefix(host, executable) < 0) {
		Py_FinalizeEx();
		return -1;
	}
	if (extend_path(config) == 0 && pst_dump_start() == 0 && pst_child_watch() == 0)
		return 0;
	PyErr_Print();
	Py_FinalizeEx();
	return -1;
}

/* --- Stop ------------------------------------------------------------------------------ */

/* A thread of its own, outside Python, that ends the process when finalizing takes too long. */
struct guard {
	const struct pst_host *host;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void *
watch(void *arg)
{
	struct guard *guard = arg;
	struct timespec deadline;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += STOP_SECONDS;
	pthread_mutex_lock(&guard->lock);
	while (!guard->done && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&guard->changed, &guard->lock, &deadline);
	if (!guard->done) {
		pst_say(guard->host, PST_LOG_WARNING,
		    "the application's threads or atexit functions have not ended %d seconds after "
		    "the "
		    "last request; exiting without them. Their stacks follow",
		    STOP_SECONDS);
		pst_dump(2);
		_exit(0);
	}
	pthread_mutex_unlock(&guard->lock);
	return NULL;
}

static int
start_guard(struct guard *guard)
{
	pthread_condattr_t attributes;
	sigset_t all, before;
	int rc;

	pthread_mutex_init(&guard->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&guard->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&guard->thread, NULL, watch, guard);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0 ? 0 : -1;
}

static void
stop_guard(struct guard *guard)
{
	pthread_mutex_lock(&guard->lock);
	guard->done = true;
	pthread_cond_signal(&guard->changed);
	pthread_mutex_unlock(&guard->lock);
	pthread_join(guard->thread, NULL);
}

void
pst_interp_stop(const struct pst_host *host)
{
	struct guard guard = {.host = host};
	bool guarded = start_guard(&guard) == 0;

	Py_FinalizeEx();
	pst_dump_stop();
	if (guarded)
		stop_guard(&guard);
	pthread_cond_destroy(&guard.changed);
	pthread_mutex_destroy(&guard.lock);
}
