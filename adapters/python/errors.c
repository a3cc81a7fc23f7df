#include "adapters/python/errors.h"

#include "adapters/python/handle.h"

#include <string.h>

/* A line longer than this is sent in parts. */
#define LINE_LIMIT ((size_t)8 * 1024)

/* With the lock held. */
static void
send(struct pst_call *call, const char *text, size_t n)
{
	PyThreadState *state;

	if (n == 0)
		return;
	state = pst_call_go_away(call);
	if (pst_call_is_open(call))
		call->host->error(call->request, text, n);
	else
		call->host->log(PST_LOG_INFO, text, n);
	pst_call_come_back(call, state);
}

/* With the lock held. */
static void
send_held(struct pst_call *call)
{
	struct pst_call_buffer *held = &call->errors;

	if (held->end == held->start)
		return; /* bytes may be NULL */
	send(call, held->bytes + held->start, held->end - held->start);
	held->start = held->end = 0;
}

/* Keep what has no line end, or send it when it cannot be kept. With the lock held. */
static void
hold(struct pst_call *call, const char *text, size_t n)
{
	struct pst_call_buffer *held = &call->errors;

	if (n == 0)
		return;
	if (held->end + n > LINE_LIMIT || pst_call_buffer_reserve(held, n) < 0) {
		send_held(call);
		send(call, text, n);
		return;
	}
	memcpy(held->bytes + held->end, text, n);
	held->end += n;
}

void
pst_errors_add(struct pst_call *call, const char *text, size_t n)
{
	const char *end;
	size_t whole;

	pst_call_lock(call);
	end = memrchr(text, '\n', n);
	whole = end != NULL ? (size_t)(end - text) + 1 : 0;
	if (whole > 0 && call->errors.end > 0) {
		/* The held beginning and its end must go out as one. */
		size_t first = (size_t)((const char *)memchr(text, '\n', n) - text) + 1;

		hold(call, text, first);
		send_held(call);
		send(call, text + first, whole - first);
	} else {
		send(call, text, whole);
	}
	hold(call, text + whole, n - whole);
	pst_call_unlock(call);
}

void
pst_errors_flush(struct pst_call *call)
{
	pst_call_lock(call);
	send_held(call);
	pst_call_unlock(call);
}

static struct pst_call *
call_of(PyObject *self)
{
	return ((struct pst_handle *)self)->call;
}

static PyObject *
errors_write(PyObject *self, PyObject *text)
{
	PyObject *bytes;

	if (!PyUnicode_Check(text)) {
		PyErr_Format(
		    PyExc_TypeError, "wsgi.errors takes str, not %.100s", Py_TYPE(text)->tp_name);
		return NULL;
	}
	bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
	if (bytes == NULL)
		return NULL;
	pst_errors_add(call_of(self), PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
	Py_DECREF(bytes);
	return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

static PyObject *
errors_writelines(PyObject *self, PyObject *lines)
{
	PyObject *iterator = PyObject_GetIter(lines);
	PyObject *line;

	if (iterator == NULL)
		return NULL;
	while ((line = PyIter_Next(iterator)) != NULL) {
		PyObject *written = errors_write(self, line);

		Py_DECREF(line);
		if (written == NULL)
			break;
		Py_DECREF(written);
	}
	Py_DECREF(iterator);
	if (PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *
errors_flush(PyObject *self, PyObject *unused)
{
	(void)unused;
	pst_errors_flush(call_of(self));
	Py_RETURN_NONE;
}

static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O, "write(text): add text to the request's error stream"},
    {"writelines", errors_writelines, METH_O, "writelines(lines): write() each of them"},
    {"flush", errors_flush, METH_NOARGS, "flush(): send a line that has no end yet"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot errors_slots[] = {
    {Py_tp_dealloc, pst_handle_dealloc},
    {Py_tp_methods, errors_methods},
    {Py_tp_doc, (void *)(uintptr_t) "The error stream of a request (PEP 3333)."},
    {0, NULL},
};

static PyType_Spec errors_spec = {
    .name = "penstock.Errors",
    .basicsize = sizeof(struct pst_handle),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = errors_slots,
};

PyTypeObject *
pst_errors_type(void)
{
	return pst_handle_type(&errors_spec);
}
