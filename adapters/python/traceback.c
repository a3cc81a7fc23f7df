#include "adapters/python/traceback.h"

#include <string.h>

/* A stack has so many frames at most. */
#define DEEPEST 100

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

/* The attribute of OBJECT that is one of NAMES, and not None: a new reference, or NULL. */
static PyObject *
attribute(PyObject *object, const char *const names[3])
{
	PyObject *value = NULL;

	for (int i = 0; i < 3 && value == NULL; i++) {
		value = PyObject_GetAttrString(object, names[i]);
		PyErr_Clear();
	}
	if (value == Py_None)
		Py_CLEAR(value);
	return value;
}

/* Add FRAME, which is taken, and its line to FRAMES: 0, or -1 with an exception. */
static int
add_frame(PyObject *frames, PyObject *frame)
{
	PyObject *line = PyObject_GetAttrString(frame, "f_lineno");
	PyObject *pair = line != NULL ? PyTuple_Pack(2, frame, line) : NULL;
	int rc = pair != NULL ? PyList_Append(frames, pair) : -1;

	Py_XDECREF(pair);
	Py_XDECREF(line);
	Py_DECREF(frame);
	return rc;
}

/* The frames of COROUTINE and of what it awaits: a list, or NULL with an exception. */
static PyObject *
frames_of(PyObject *coroutine)
{
	static const char *const frame_names[] = {"cr_frame", "gi_frame", "ag_frame"};
	static const char *const next_names[] = {"cr_await", "gi_yieldfrom", "ag_await"};
	PyObject *frames = PyList_New(0);
	PyObject *at = coroutine, *frame, *next;
	int rc = 0;

	Py_INCREF(at);
	while (frames != NULL && rc == 0 && (frame = attribute(at, frame_names)) != NULL) {
		rc = add_frame(frames, frame);
		next = attribute(at, next_names);
		if (next == NULL || PyList_GET_SIZE(frames) == DEEPEST)
			next = Py_NewRef(Py_None);
		Py_SETREF(at, next);
	}
	Py_DECREF(at);
	if (rc < 0)
		Py_CLEAR(frames);
	return frames;
}

PyObject *
pst_traceback_of(PyObject *coroutine)
{
	PyObject *frames = frames_of(coroutine);
	PyObject *module = frames != NULL ? PyImport_ImportModule("traceback") : NULL;
	PyObject *type = module != NULL ? PyObject_GetAttrString(module, "StackSummary") : NULL;
	PyObject *summary = type != NULL ? PyObject_CallMethod(type, "extract", "O", frames) : NULL;
	PyObject *text =
	    join(summary != NULL ? PyObject_CallMethod(summary, "format", NULL) : NULL);

	Py_XDECREF(summary);
	Py_XDECREF(type);
	Py_XDECREF(module);
	Py_XDECREF(frames);
	PyErr_Clear();
	return text;
}
