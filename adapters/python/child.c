#include <Python.h>

#include "adapters/python/child.h"

#include <pthread.h>
#include <unistd.h>

static bool is_child;

static void
on_fork(void)
{
	is_child = true;
}

int
pst_child_watch(void)
{
	if (pthread_atfork(NULL, NULL, on_fork) == 0)
		return 0;
	PyErr_NoMemory();
	return -1;
}

bool
pst_child_is(void)
{
	return is_child;
}

/* The status that the SystemExit that is set asks for; -1: none, but what it says is to be told. */
static int
asked_status(void)
{
	PyObject *type, *value, *traceback, *code;
	int status = -1;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	code = PyObject_GetAttrString(value, "code");
	if (code == Py_None)
		status = 0;
	else if (code != NULL && PyLong_Check(code))
		status = (int)PyLong_AsLong(code) & 0xff;
	else if (code != NULL)
		PySys_FormatStderr("%S\n", code);
	PyErr_Clear();
	Py_XDECREF(code);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback); /* and with it the frames: files that they had open are flushed */
	return status;
}

static void
flush(const char *name)
{
	PyObject *stream = PySys_GetObject(name);

	if (stream != NULL && stream != Py_None)
		Py_XDECREF(PyObject_CallMethod(stream, "flush", NULL));
	PyErr_Clear();
}

/* As multiprocessing ends its processes: what the worker has to do at its end is not done twice. */
_Noreturn void
pst_child_end(void)
{
	int status = -1;

	if (PyErr_Occurred() == NULL)
		PySys_WriteStderr("a process that the application has forked came to the end of "
				  "the request: it ends here (os._exit() ends it in time)\n");
	else if (PyErr_ExceptionMatches(PyExc_SystemExit))
		status = asked_status();
	else
		PyErr_Print();
	flush("stdout");
	flush("stderr");
	_exit(status >= 0 ? status : 1);
}
