#include "adapters/python/traceback.h"

/* traceback.format_exception(), joined. */
static PyObject *
format(PyObject *type, PyObject *value, PyObject *traceback)
{
	PyObject *module = PyImport_ImportModule("traceback");
	PyObject *lines = NULL;
	PyObject *empty = PyUnicode_FromString("");
	PyObject *text = NULL;
	PyObject *bytes = NULL;

	if (module != NULL)
		lines = PyObject_CallMethod(module, "format_exception", "OOO", type, value, traceback);
	if (lines != NULL && empty != NULL)
		text = PyUnicode_Join(empty, lines);
	if (text != NULL)
		bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
	Py_XDECREF(text);
	Py_XDECREF(empty);
	Py_XDECREF(lines);
	Py_XDECREF(module);
	return bytes;
}

PyObject *
pst_traceback_take(void)
{
	PyObject *type, *value, *traceback;
	PyObject *bytes;

	PyErr_Fetch(&type, &value, &traceback);
	if (type == NULL)
		return NULL;
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL)
		PyException_SetTraceback(value, traceback);
	bytes = format(type, value, traceback != NULL ? traceback : Py_None);
	if (bytes == NULL) {
		PyErr_Clear();
		bytes = PyBytes_FromFormat("%s\n", PyExceptionClass_Check(type) ?
		    ((PyTypeObject *)(void *)type)->tp_name : "an exception");
	}
	PyErr_Clear();
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	return bytes;
}
