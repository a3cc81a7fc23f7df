/* "#" of PyArg_Parse means Py_ssize_t. */
#define PY_SSIZE_T_CLEAN
#include "adapters/python/stream.h"

#include "adapters/python/handle.h"

#include <errno.h>
#include <stdlib.h>

/* More fields than any handshake has. */
#define FIELDS_MAX 128

static struct pst_call *
call_of(PyObject *self)
{
	return ((struct pst_handle *)self)->call;
}

/* The call, if the host can be called for it; NULL with ValueError. */
static struct pst_call *
open_call(PyObject *self)
{
	struct pst_call *call = call_of(self);

	if (call->request != NULL)
		return call;
	PyErr_SetString(PyExc_ValueError, "the request is over");
	return NULL;
}

static PyObject *
raise_result(struct pst_call *call, int result)
{
	PyObject *arguments;

	if (PyErr_Occurred())
		return NULL;
	if (result == PST_RESULT_GONE)
		call->gone = true;
	arguments = Py_BuildValue(
	    "(is)", result == PST_RESULT_GONE ? EPIPE : EIO, call->host->reason(call->request));
	if (arguments != NULL)
		PyErr_SetObject(PyExc_OSError, arguments);
	Py_XDECREF(arguments);
	return NULL;
}

static PyObject *
stream_take(PyObject *self, PyObject *unused)
{
	struct pst_call *call = call_of(self);

	(void)unused;
	pst_call_lock(call);
	if (open_call(self) != NULL)
		call->taken = true;
	pst_call_unlock(call);
	if (PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

/* Fill FIELDS from a list of pairs of bytes: how many, or -1 with an exception. */
static Py_ssize_t
read_fields(PyObject *list, struct pst_field *fields)
{
	Py_ssize_t count = PyList_GET_SIZE(list);

	if (count > FIELDS_MAX) {
		PyErr_SetString(PyExc_ValueError, "the head has too many fields");
		return -1;
	}
	for (Py_ssize_t i = 0; i < count; i++) {
		char *name, *value;
		Py_ssize_t name_len, value_len;

		if (!PyArg_ParseTuple(
			PyList_GET_ITEM(list, i), "y#y#", &name, &name_len, &value, &value_len))
			return -1;
		fields[i] = (struct pst_field){name, (size_t)name_len, value, (size_t)value_len};
	}
	return count;
}

static PyObject *
stream_respond(PyObject *self, PyObject *args)
{
	struct pst_call *call = open_call(self);
	struct pst_field fields[FIELDS_MAX];
	const char *reason;
	PyObject *list;
	Py_ssize_t count;
	int status, result;

	if (call == NULL || !PyArg_ParseTuple(args, "isO!", &status, &reason, &PyList_Type, &list))
		return NULL;
	count = read_fields(list, fields);
	if (count < 0)
		return NULL;
	if (status == 101)
		result = call->host->upgrade_stream(call->request, fields, (size_t)count);
	else
		result = call->host->respond(call->request, status,
		    reason[0] != '\0' ? reason : NULL, fields, (size_t)count);
	if (result < 0)
		return raise_result(call, result);
	pst_call_lock(call);
	call->stage = PST_CALL_SENT;
	pst_call_unlock(call);
	Py_RETURN_NONE;
}

/* The host said AGAIN: 0 when it is worth while to try again, or -1 with an exception. */
static int
wait_for(struct pst_call *call)
{
	int rc;

	pst_call_lock(call);
	rc = pst_call_wait(call);
	pst_call_unlock(call);
	return rc;
}

static PyObject *
stream_read(PyObject *self, PyObject *size)
{
	struct pst_call *call = open_call(self);
	Py_ssize_t n = PyLong_AsSsize_t(size);
	PyObject *bytes;
	ssize_t got;

	if (call == NULL || (n == -1 && PyErr_Occurred()))
		return NULL;
	bytes = PyBytes_FromStringAndSize(NULL, n);
	while (bytes != NULL) {
		got = call->host->read(call->request, PyBytes_AS_STRING(bytes), (size_t)n);
		if (got != PST_RESULT_AGAIN)
			break;
		if (wait_for(call) < 0)
			Py_CLEAR(bytes);
	}
	if (bytes == NULL)
		return NULL;
	if (got >= 0) {
		_PyBytes_Resize(&bytes, (Py_ssize_t)got);
		return bytes;
	}
	Py_DECREF(bytes);
	return raise_result(call, (int)got);
}

static int
write_piece(struct pst_call *call, const char *bytes, size_t n)
{
	PyThreadState *state;
	int result;

	while (call->request != NULL) {
		state = pst_call_leave_python(call);
		result = call->host->write(call->request, bytes, n);
		pst_call_enter_python(state);
		if (result != PST_RESULT_AGAIN)
			return result;
		if (wait_for(call) < 0)
			break;
	}
	return PST_RESULT_ERROR;
}

static PyObject *
stream_write(PyObject *self, PyObject *data)
{
	struct pst_call *call = open_call(self);
	PyThreadState *state;
	int result = 0;
	char *bytes;
	Py_ssize_t n;

	if (call == NULL || PyBytes_AsStringAndSize(data, &bytes, &n) < 0)
		return NULL;
	while (n > 0 && result == 0) {
		Py_ssize_t piece = n < PST_WRITE_MAX ? n : PST_WRITE_MAX;

		result = write_piece(call, bytes, (size_t)piece);
		bytes += piece;
		n -= piece;
	}
	if (result == 0) {
		state = pst_call_leave_python(call);
		result = call->host->flush(call->request);
		pst_call_enter_python(state);
	}
	if (result < 0)
		return raise_result(call, result);
	Py_RETURN_NONE;
}

static PyObject *
stream_pump(PyObject *self, PyObject *number)
{
	struct pst_call *call = open_call(self);
	int fd = call != NULL ? PyObject_AsFileDescriptor(number) : -1;
	PyThreadState *state;
	int result;

	if (fd < 0)
		return NULL;
	state = pst_call_leave_python(call);
	result = call->host->pump(call->request, fd);
	pst_call_enter_python(state);
	if (result < 0)
		return raise_result(call, result);
	Py_RETURN_NONE;
}

static PyObject *
stream_pumps(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(call_of(self)->host->pump != NULL);
}

static PyGetSetDef stream_getset[] = {
    {"pumps", stream_pumps, NULL, "whether there is pump()", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef stream_methods[] = {
    {"take", stream_take, METH_NOARGS, "take(): the response comes by this stream"},
    {"respond", stream_respond, METH_VARARGS, "respond(status, reason, fields): the head"},
    {"read", stream_read, METH_O, "read(size): up to size bytes, none at the end"},
    {"write", stream_write, METH_O, "write(bytes): send them"},
    {"pump", stream_pump, METH_O, "pump(file): carry bytes both ways until it has ended"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_dealloc, pst_handle_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_getset, stream_getset},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "penstock.Stream",
    .basicsize = sizeof(struct pst_handle),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = stream_slots,
};

PyTypeObject *
pst_stream_type(void)
{
	return pst_handle_type(&stream_spec);
}
