#include "adapters/python/lifespan.h"

#include "adapters/python/loop.h"
#include "adapters/python/option.h"
#include "adapters/python/say.h"

#include <stdlib.h>
#include <string.h>

struct pst_lifespan {
	const struct pst_host *host;
	PyObject *module;
	PyObject *glue;
	PyObject *lifespan;
	PyObject *state;
};

/* Say why the startup failed: the exception that is set, which is taken. */
static void
explain(const struct pst_host *host, const char *app, PyObject *module)
{
	PyObject *type, *value, *traceback, *failed;
	PyObject *text = NULL;
	const char *utf8;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	failed = PyObject_GetAttrString(module, "Failed");
	if (failed != NULL && PyErr_GivenExceptionMatches(type, failed))
		text = PyObject_Str(value);
	utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
	PyErr_Clear();
	if (utf8 != NULL)
		pst_say(host, PST_LOG_ERROR, "cannot start %s: its lifespan startup failed: %s",
		    app, utf8);
	else
		pst_say(host, PST_LOG_ERROR,
		    "cannot start %s: its lifespan failed; the traceback follows", app);
	Py_XDECREF(text);
	Py_XDECREF(failed);
	PyErr_Restore(type, value, traceback);
	if (utf8 == NULL)
		PyErr_Print();
	PyErr_Clear();
}

struct pst_lifespan *
pst_lifespan_start(const struct pst_host *host, const struct pst_app_config *config, PyObject *glue,
    PyObject *callable)
{
	const char *mode = pst_option_value(config, "lifespan", 0);
	struct pst_lifespan *lifespan = calloc(1, sizeof *lifespan);

	if (lifespan == NULL) {
		pst_say(host, PST_LOG_ERROR, "out of memory: %s cannot be started", config->app);
		return NULL;
	}
	lifespan->host = host;
	lifespan->module = pst_loop_import("lifespan");
	if (lifespan->module != NULL) {
		lifespan->lifespan = PyObject_CallMethod(
		    lifespan->module, "start", "OOs", glue, callable, mode != NULL ? mode : "auto");
		if (lifespan->lifespan != NULL)
			lifespan->state = PyObject_GetAttrString(lifespan->lifespan, "state");
		else
			explain(host, config->app, lifespan->module);
	}
	Py_INCREF(glue);
	lifespan->glue = glue;
	if (lifespan->state != NULL)
		return lifespan;
	if (PyErr_Occurred())
		PyErr_Print();
	pst_lifespan_free(lifespan);
	return NULL;
}

PyObject *
pst_lifespan_state(const struct pst_lifespan *lifespan)
{
	return lifespan->state;
}

void
pst_lifespan_stop(struct pst_lifespan *lifespan)
{
	PyObject *error =
	    PyObject_CallMethod(lifespan->module, "stop", "OO", lifespan->glue, lifespan->lifespan);

	if (error == NULL)
		PyErr_Print();
	else if (PyUnicode_Check(error) && PyUnicode_AsUTF8(error) != NULL)
		pst_say(lifespan->host, PST_LOG_ERROR,
		    "the application's lifespan shutdown failed: %s", PyUnicode_AsUTF8(error));
	PyErr_Clear();
	Py_XDECREF(error);
}

void
pst_lifespan_free(struct pst_lifespan *lifespan)
{
	Py_XDECREF(lifespan->state);
	Py_XDECREF(lifespan->lifespan);
	Py_XDECREF(lifespan->module);
	Py_XDECREF(lifespan->glue);
	free(lifespan);
}
