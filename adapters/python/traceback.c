#include "adapters/python/traceback.h"

#include <string.h>

/* LINES, a list of str, as one bytes object; NULL with an exception. LINES is released. */
static PyObject *
join(PyObject *lines)
{
	PyObject *empty = PyUnicode_FromString("");
	PyObject *text = NULL;
	PyObject *bytes = NULL;

	if (lines != NULL && empty != NULL)
		text = PyUnicode_Join(empty, lines);
	if (text != NULL)
		bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
	Py_XDECREF(text);
	Py_XDECREF(empty);
	Py_XDECREF(lines);
	return bytes;
}

/* traceback.format_exception(), joined. */
static PyObject *
format(PyObject *type, PyObject *value, PyObject *traceback)
{
	PyObject *module = PyImport_ImportModule("traceback");
	PyObject *lines = NULL;

	if (module != NULL)
		lines =
		    PyObject_CallMethod(module, "format_exception", "OOO", type, value, traceback);
	Py_XDECREF(module);
	return join(lines);
}

static PyObject *
type_name(PyObject *type)
{
	return PyBytes_FromString(PyExceptionClass_Check(type)
				      ? ((PyTypeObject *)(void *)type)->tp_name
				      : "an exception");
}

/*
 * The line of traceback.format_exception_only() that has type and message: what comes before it
 * (the place of a syntax error) is indented, what comes after it are notes.
 */
static PyObject *
summarize(PyObject *type, PyObject *value)
{
	PyObject *module = PyImport_ImportModule("traceback");
	PyObject *lines = NULL;
	PyObject *bytes;
	const char *line;

	if (module != NULL)
		lines = PyObject_CallMethod(module, "format_exception_only", "OO", type, value);
	Py_XDECREF(module);
	bytes = join(lines);
	if (bytes == NULL) {
		PyErr_Clear();
		return type_name(type);
	}
	line = PyBytes_AS_STRING(bytes);
	while (*line == ' ' && strchr(line, '\n') != NULL)
		line = strchr(line, '\n') + 1;
	lines = PyBytes_FromStringAndSize(line, (Py_ssize_t)strcspn(line, "\n"));
	Py_DECREF(bytes);
	return lines;
}

PyObject *
pst_traceback_take(PyObject **summary)
{
	PyObject *type, *value, *traceback;
	PyObject *bytes;

	*summary = NULL;

	PyErr_Fetch(&type, &value, &traceback);
	if (type == NULL)
		return NULL;
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL)
		PyException_SetTraceback(value, traceback);
	bytes = format(type, value, traceback != NULL ? traceback : Py_None);
	PyErr_Clear();
	*summary = summarize(type, value);
	PyErr_Clear();
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	return bytes;
}
