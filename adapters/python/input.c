#include "adapters/python/input.h"

#include "adapters/python/handle.h"

#include <limits.h>
#include <string.h>

/* What readline() and small reads fetch at a time. */
#define BLOCK ((size_t)16 * 1024)

/* The first size of what read() returns when nothing says how much there is. */
#define FIRST ((Py_ssize_t)64 * 1024)

static struct pst_call *
call_of(PyObject *self)
{
	return ((struct pst_handle *)self)->call;
}

/*
 * Read from the host, without the GIL if that blocks: a count, 0 at the end or when something is
 * wrong, which is kept in the call for leave(); or PST_RESULT_AGAIN. With the lock held.
 */
static ssize_t
try_fetch(struct pst_call *call, char *bytes, size_t n)
{
	PyThreadState *state;
	ssize_t got;

	if (call->input_ended || call->input_error < 0 || !pst_call_is_open(call) || n == 0)
		return 0;
	if (n > SSIZE_MAX)
		n = SSIZE_MAX;
	state = pst_call_go_away(call);
	got = call->host->read(call->request, bytes, n);
	pst_call_come_back(call, state);
	if (got == PST_RESULT_AGAIN)
		return got;
	if (got < 0) {
		call->input_error = (int)got;
		call->gone = got == PST_RESULT_GONE;
	} else if (got == 0) {
		call->input_ended = true;
	}
	return got > 0 ? got : 0;
}

/* Read from the host: a count, 0 at the end or with an exception. With the lock held. */
static size_t
fetch(struct pst_call *call, char *bytes, size_t n)
{
	ssize_t got;

	while ((got = try_fetch(call, bytes, n)) == PST_RESULT_AGAIN)
		if (pst_call_wait(call) < 0)
			return 0;
	return (size_t)got;
}

/* Fetch a block into the buffer, which others may have used while it was waited for: how many bytes
 * came. With the lock held. */
static size_t
fill(struct pst_call *call)
{
	ssize_t got;

	do {
		if (pst_call_buffer_reserve(&call->input, BLOCK) < 0) {
			call->input_error = PST_RESULT_ERROR;
			return 0;
		}
		got = try_fetch(call, call->input.bytes + call->input.end, BLOCK);
	} while (got == PST_RESULT_AGAIN && pst_call_wait(call) == 0);
	if (got <= 0)
		return 0;
	call->input.end += (size_t)got;
	return (size_t)got;
}

/* Take up to N bytes that are buffered. With the lock held. */
static size_t
take(struct pst_call *call, char *bytes, size_t n)
{
	size_t held = call->input.end - call->input.start;

	if (n > held)
		n = held;
	if (n > 0)
		memcpy(bytes, call->input.bytes + call->input.start, n);
	call->input.start += n;
	if (call->input.start == call->input.end)
		call->input.start = call->input.end = 0;
	return n;
}

/* Read until BYTES is full or the body ends: how many bytes. With the lock held. */
static size_t
read_into(struct pst_call *call, char *bytes, size_t n)
{
	size_t at = take(call, bytes, n);

	while (at < n) {
		size_t got;

		if (n - at < BLOCK) {
			if (fill(call) == 0)
				break;
			at += take(call, bytes + at, n - at);
			continue;
		}
		got = fetch(call, bytes + at, n - at);
		if (got == 0)
			break;
		at += got;
	}
	return at;
}

/* Lock the call of a request that runs: 0, or -1 with an exception and no lock. */
static int
enter(struct pst_call *call)
{
	const char *reason;

	pst_call_lock(call);
	if (pst_call_is_open(call))
		return 0;
	reason = pst_call_closed_reason(call);
	pst_call_unlock(call);
	PyErr_Format(PyExc_ValueError, "wsgi.input: %s", reason);
	return -1;
}

/*
 * Unlock. A body that broke off is an exception, whatever was read before: -1. The caller must
 * not take a part for the whole.
 */
static int
leave(struct pst_call *call)
{
	int error = call->input_error;

	pst_call_unlock(call);
	if (PyErr_Occurred())
		return -1;
	if (error == 0)
		return 0;
	if (error == PST_RESULT_GONE)
		PyErr_SetString(PyExc_ConnectionResetError,
		    "the client went away before it had sent the whole request body");
	else
		PyErr_SetString(PyExc_MemoryError, "memory is short for the request body");
	return -1;
}

/* RESULT, if the request's body is whole so far; *RESULT is dropped otherwise. */
static PyObject *
leave_with(struct pst_call *call, PyObject *result)
{
	if (leave(call) < 0) {
		Py_CLEAR(result);
	} else if (result == NULL && !PyErr_Occurred()) {
		PyErr_NoMemory();
	}
	return result;
}

/* The size that read() and its like were called with: -1 for all. -2 with an exception. */
static Py_ssize_t
size_argument(const char *name, PyObject *const *args, Py_ssize_t count)
{
	Py_ssize_t size;

	if (count > 1) {
		PyErr_Format(
		    PyExc_TypeError, "%s() takes one argument at most, %zd given", name, count);
		return -2;
	}
	if (count == 0 || args[0] == Py_None)
		return -1;
	size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
	if (size == -1 && PyErr_Occurred())
		return -2;
	return size < 0 ? -1 : size;
}

/* What a read of everything starts with: what Content-Length says, as far as it is believable. */
static Py_ssize_t
expected_size(const struct pst_call *call)
{
	const struct pst_field *length = pst_call_param(call, "CONTENT_LENGTH");
	Py_ssize_t size = 0;

	if (length == NULL || length->value_len == 0 || length->value_len > 9)
		return FIRST;
	for (size_t i = 0; i < length->value_len; i++) {
		if (length->value[i] < '0' || length->value[i] > '9')
			return FIRST;
		size = size * 10 + (length->value[i] - '0');
	}
	return size < 16 * FIRST ? size + 1 : 16 * FIRST;
}

/*
 * Read up to LIMIT bytes (-1: all) into a bytes object that grows as they come: a limit that the
 * body does not fill costs no memory. NULL when memory ran out. With the lock held.
 */
static PyObject *
read_bytes(struct pst_call *call, Py_ssize_t limit)
{
	Py_ssize_t size = expected_size(call);
	Py_ssize_t at = 0;
	PyObject *bytes;

	if (limit >= 0 && size > limit)
		size = limit;
	bytes = PyBytes_FromStringAndSize(NULL, size);
	while (bytes != NULL) {
		at +=
		    (Py_ssize_t)read_into(call, PyBytes_AS_STRING(bytes) + at, (size_t)(size - at));
		if (at < size || size == limit)
			break;
		if (size > PY_SSIZE_T_MAX / 2) {
			Py_CLEAR(bytes);
			break;
		}
		size = size < FIRST ? FIRST : size * 2;
		if (limit >= 0 && size > limit)
			size = limit;
		_PyBytes_Resize(&bytes, size);
	}
	if (bytes != NULL && at < size)
		_PyBytes_Resize(&bytes, at);
	return bytes;
}

static PyObject *
input_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	struct pst_call *call = call_of(self);
	Py_ssize_t limit = size_argument("read", args, count);

	if (limit == -2 || enter(call) < 0)
		return NULL;
	return leave_with(call, read_bytes(call, limit));
}

/* A line with its end, of at most LIMIT bytes (-1: any length). With the lock held. */
static PyObject *
read_line(struct pst_call *call, Py_ssize_t limit)
{
	struct pst_call_buffer *input = &call->input;
	size_t searched = 0;
	size_t length;
	PyObject *line;

	for (;;) {
		size_t held = input->end - input->start;
		const char *end;

		if (limit >= 0 && held > (size_t)limit)
			held = (size_t)limit;
		end = held > searched
			  ? memchr(input->bytes + input->start + searched, '\n', held - searched)
			  : NULL;
		length = end != NULL ? (size_t)(end - (input->bytes + input->start)) + 1 : held;
		if (end != NULL || (limit >= 0 && held == (size_t)limit) || fill(call) == 0)
			break;
		searched = held;
	}
	if (PyErr_Occurred())
		return NULL;
	if (length > input->end - input->start)
		length = input->end - input->start; /* others read, too */
	line = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
	if (line != NULL)
		take(call, PyBytes_AS_STRING(line), length);
	return line;
}

static PyObject *
next_line(struct pst_call *call, Py_ssize_t limit)
{
	if (enter(call) < 0)
		return NULL;
	return leave_with(call, read_line(call, limit));
}

static PyObject *
input_readline(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	Py_ssize_t limit = size_argument("readline", args, count);

	return limit == -2 ? NULL : next_line(call_of(self), limit);
}

static PyObject *
input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	Py_ssize_t hint = size_argument("readlines", args, count);
	Py_ssize_t total = 0;
	PyObject *lines = hint == -2 ? NULL : PyList_New(0);

	while (lines != NULL) {
		PyObject *line = next_line(call_of(self), -1);
		Py_ssize_t length = line != NULL ? PyBytes_GET_SIZE(line) : -1;

		if (length < 0 || (length > 0 && PyList_Append(lines, line) < 0))
			Py_CLEAR(lines);
		Py_XDECREF(line);
		total += length;
		if (length == 0 || (hint > 0 && total >= hint))
			break;
	}
	return lines;
}

static PyObject *
input_readinto(PyObject *self, PyObject *target)
{
	struct pst_call *call = call_of(self);
	Py_buffer view;
	size_t got;
	int rc;

	if (!PyArg_Parse(target, "w*:readinto", &view))
		return NULL;
	if (enter(call) < 0) {
		PyBuffer_Release(&view);
		return NULL;
	}
	got = read_into(call, view.buf, (size_t)view.len);
	rc = leave(call);
	PyBuffer_Release(&view);
	return rc < 0 ? NULL : PyLong_FromSize_t(got);
}

static PyObject *
input_iter(PyObject *self)
{
	Py_INCREF(self);
	return self;
}

static PyObject *
input_next(PyObject *self)
{
	PyObject *line = next_line(call_of(self), -1);

	if (line != NULL && PyBytes_GET_SIZE(line) == 0)
		Py_CLEAR(line);
	return line;
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
	"read(size=-1): up to size bytes of the request body; less only at its end"},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL,
	"readline(size=-1): a line with its end, or its first size bytes"},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL,
	"readlines(hint=-1): the lines that are left, or about hint bytes of them"},
    {"readinto", input_readinto, METH_O, "readinto(buffer): fill it, and say how far"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_dealloc, pst_handle_dealloc},
    {Py_tp_iter, input_iter},
    {Py_tp_iternext, input_next},
    {Py_tp_methods, input_methods},
    {Py_tp_doc, (void *)(uintptr_t) "The body of a request (PEP 3333)."},
    {0, NULL},
};

static PyType_Spec input_spec = {
    .name = "penstock.Input",
    .basicsize = sizeof(struct pst_handle),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = input_slots,
};

PyTypeObject *
pst_input_type(void)
{
	return pst_handle_type(&input_spec);
}
