#include "adapters/python/response.h"

#include "adapters/python/errors.h"
#include "adapters/python/handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Keep what a negative RESULT of the host means for the rest. With the lock held. */
static int
keep_result(struct pst_call *call, int result)
{
	if (result == PST_RESULT_GONE)
		call->gone = true;
	else if (result < 0)
		call->failed = true;
	return result < 0 ? -1 : 0;
}

/*
 * Hand the head over if that was not done: 0 or -1. A head that the host refuses is not sent: the
 * host answers 500. With the lock held.
 */
static int
send_head(struct pst_call *call)
{
	const struct pst_head *head = &call->head;
	int result;

	if (call->stage == PST_CALL_SENT)
		return 0;
	result = call->host->respond(
	    call->request, head->status, head->reason, head->fields, head->count);
	if (result == PST_RESULT_REPLACED) {
		call->head.content_length = -1;
		result = PST_RESULT_OK;
	}
	if (result == PST_RESULT_OK)
		call->stage = PST_CALL_SENT;
	return keep_result(call, result);
}

/* Whether bytes of body may be sent now: 0 or -1, for raise(). With the lock held. */
static int
ready(struct pst_call *call)
{
	if (!pst_call_is_open(call) || call->stage == PST_CALL_NO_HEAD || call->gone ||
	    call->failed)
		return -1;
	return send_head(call);
}

/* How many of N bytes fit into Content-Length; the rest is counted as cut. With the lock held. */
static long long
allowed(struct pst_call *call, long long n)
{
	long long left = call->head.content_length - call->written;

	if (call->head.content_length < 0 || n <= left)
		return n;
	if (!call->cut && !call->bodyless)
		pst_call_log(call, PST_LOG_WARNING,
		    "the application sent more than its Content-Length said; the rest is cut off");
	call->cut = true;
	return left;
}

static bool
drops_body(const struct pst_call *call)
{
	return call->bodyless || pst_head_without_body(&call->head);
}

static void
raise_gone(void)
{
	PyObject *arguments = Py_BuildValue("(is)", EPIPE, "the client is gone");

	if (arguments != NULL)
		PyErr_SetObject(PyExc_BrokenPipeError, arguments);
	Py_XDECREF(arguments);
}

/* Unlock, and set the exception for a send that failed. */
static int
leave(struct pst_call *call, int rc)
{
	char reason[256];
	bool over = !pst_call_is_open(call);
	bool headless = call->stage == PST_CALL_NO_HEAD;
	bool gone = call->gone;

	if (rc < 0)
		snprintf(reason, sizeof reason, "%s",
		    over ? pst_call_closed_reason(call) : pst_call_reason(call));
	pst_call_unlock(call);
	if (rc >= 0)
		return 0;
	if (PyErr_Occurred())
		return -1;
	if (over)
		PyErr_Format(PyExc_ValueError, "write(): %s", reason);
	else if (headless)
		PyErr_SetString(PyExc_AssertionError,
		    "the application did not call start_response() before it gave a body or ended");
	else if (gone)
		raise_gone();
	else
		PyErr_Format(PyExc_OSError, "the response cannot be sent: %s", reason);
	return -1;
}

/* Wait until more can be written: 0, or -1 with an exception, after which nothing more is sent,
 * because nobody would know what is missing. With the lock held. */
static int
wait_for_room(struct pst_call *call)
{
	if (pst_call_wait(call) == 0)
		return 0;
	call->failed = true;
	return -1;
}

/* Hand bytes to a host that does not block, which takes them piece by piece. With the lock held. */
static int
write_pieces(struct pst_call *call, const char *bytes, size_t n)
{
	while (n > 0) {
		size_t piece = n < PST_WRITE_MAX ? n : PST_WRITE_MAX;
		int rc = call->host->write(call->request, bytes, piece);

		if (rc == PST_RESULT_AGAIN && wait_for_room(call) < 0)
			return PST_RESULT_ERROR;
		if (rc == PST_RESULT_AGAIN)
			continue;
		if (rc != PST_RESULT_OK)
			return rc;
		bytes += piece;
		n -= piece;
	}
	return PST_RESULT_OK;
}

/* Send what was written; an iterable that has given all that its Content-Length promised is most
 * likely at its end. With the lock held. */
static int
flush_written(struct pst_call *call, bool more)
{
	if (more && call->waiter == NULL && call->written == call->head.content_length)
		return call->host->complete(call->request);
	return call->host->flush(call->request);
}

/* Hand N bytes to the host, which may block: without the GIL. With the lock held. */
static int
write_blocking(struct pst_call *call, const char *bytes, size_t n, bool flush)
{
	PyThreadState *state = pst_call_go_away(call);
	int rc = PST_RESULT_OK;

	if (n > 0)
		rc = call->waiter != NULL ? write_pieces(call, bytes, n)
					  : call->host->write(call->request, bytes, n);
	if (rc == PST_RESULT_OK && flush)
		rc = flush_written(call, n > 0);
	pst_call_come_back(call, state);
	return rc;
}

/* Send N bytes at once, if the host can without waiting: true; with its result in *RC. */
static bool
write_at_once(struct pst_call *call, const char *bytes, size_t n, int *rc)
{
	if (call->waiter != NULL || n == 0)
		return false;
	*rc = call->host->post(call->request, bytes, n);
	if (*rc == PST_POST_REFUSED)
		return false;
	if (*rc == PST_POST_TAKEN)
		*rc = write_blocking(call, NULL, 0, true);
	else if (*rc == PST_POST_SENT)
		*rc = PST_RESULT_OK;
	return true;
}

static int
write_locked(struct pst_call *call, const char *bytes, size_t n, bool flush)
{
	size_t fits;
	int rc;

	if (ready(call) < 0)
		return -1;
	fits = (size_t)allowed(call, (long long)n);
	call->written += (long long)fits;
	if (drops_body(call))
		fits = 0;
	if (flush && write_at_once(call, bytes, fits, &rc))
		return keep_result(call, rc);
	if (!flush && call->waiter == NULL && call->host->gathers(call->request, fits))
		rc = fits > 0 ? call->host->write(call->request, bytes, fits) : PST_RESULT_OK;
	else
		rc = write_blocking(call, bytes, fits, flush);
	return keep_result(call, rc);
}

int
pst_response_write(struct pst_call *call, const char *bytes, size_t n, bool flush)
{
	int rc = 0;

	pst_call_lock(call);
	if (n > 0 || call->stage == PST_CALL_NO_HEAD)
		rc = write_locked(call, bytes, n, flush);
	return leave(call, rc);
}

int
pst_response_send_file(struct pst_call *call, int fd, off_t offset, long long length)
{
	PyThreadState *state;
	int rc = 0;

	pst_call_lock(call);
	if (ready(call) < 0)
		return leave(call, -1);
	length = allowed(call, length);
	call->written += length;
	if (drops_body(call) || length == 0)
		return leave(call, 0);
	do {
		state = pst_call_go_away(call);
		rc = call->host->send_file(call->request, fd, offset, (size_t)length);
		pst_call_come_back(call, state);
	} while (rc == PST_RESULT_AGAIN && wait_for_room(call) == 0);
	return leave(call, keep_result(call, rc));
}

void
pst_response_set_length(struct pst_call *call, long long length)
{
	pst_call_lock(call);
	/* Of a body that a HEAD request's answer left out nothing is known. */
	if (call->stage == PST_CALL_HEAD && call->head.content_length < 0 &&
	    !pst_head_without_body(&call->head) && (length > 0 || !call->bodyless))
		pst_head_add_length(&call->head, length);
	pst_call_unlock(call);
}

/* Whether the body is as long as its head said. With the lock held. */
static bool
is_whole(const struct pst_call *call)
{
	return call->head.content_length < 0 || call->written >= call->head.content_length ||
	       drops_body(call);
}

/* With the lock held. */
static const char *
failure(const struct pst_call *call)
{
	return pst_call_is_open(call) && call->host->begun(call->request)
		   ? "the response had begun and is broken off"
		   : "answered 500";
}

const char *
pst_response_failure(struct pst_call *call)
{
	const char *what;

	pst_call_lock(call);
	what = failure(call);
	pst_call_unlock(call);
	return what;
}

int
pst_response_end(struct pst_call *call)
{
	char message[200];
	int n;

	pst_call_lock(call);
	if (ready(call) < 0)
		return leave(call, -1);
	if (is_whole(call))
		return leave(call, 0);
	n = snprintf(message, sizeof message,
	    "the application sent %lld bytes of body, its Content-Length said %lld: %s\n",
	    call->written, call->head.content_length, failure(call));
	pst_call_unlock(call);
	pst_errors_flush(call);
	pst_errors_add(call, message, (size_t)n);
	return -1;
}

static struct pst_call *
call_of(PyObject *self)
{
	return ((struct pst_handle *)self)->call;
}

static PyObject *
response_write(PyObject *self, PyObject *bytes)
{
	if (!PyBytes_Check(bytes)) {
		PyErr_Format(
		    PyExc_TypeError, "write() takes bytes, not %.100s", Py_TYPE(bytes)->tp_name);
		return NULL;
	}
	if (pst_response_write(
		call_of(self), PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes), true) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyMethodDef write_method = {
    "write", response_write, METH_O, "write(bytes): send a piece of the response body (PEP 3333)"};

/* Raise what exc_info holds: always -1. */
static int
reraise(PyObject *exc_info)
{
	PyObject *type = PyTuple_GET_ITEM(exc_info, 0);
	PyObject *value = PyTuple_GET_ITEM(exc_info, 1);
	PyObject *traceback = PyTuple_GET_ITEM(exc_info, 2);

	if (!PyExceptionInstance_Check(value)) {
		PyErr_SetString(PyExc_AssertionError,
		    "start_response(): the response has begun, and exc_info holds no exception");
		return -1;
	}
	if (PyTraceBack_Check(traceback) && PyException_SetTraceback(value, traceback) < 0)
		return -1;
	PyErr_SetObject(PyExceptionClass_Check(type) ? type : (PyObject *)Py_TYPE(value), value);
	return -1;
}

/* The application has answered by its socket. What it returns then, for servers that expect
 * something, goes nowhere. */
static bool
is_by_socket(const struct pst_call *call)
{
	return call->taken && call->stage == PST_CALL_SENT;
}

/* Whether start_response() may set the head now: 0, or -1 with an exception. */
static int
check_order(struct pst_call *call, PyObject *exc_info)
{
	enum pst_call_stage stage;
	bool over, by_socket;

	pst_call_lock(call);
	stage = call->stage;
	by_socket = is_by_socket(call);
	over = call->request == NULL;
	pst_call_unlock(call);
	if (over) {
		PyErr_SetString(PyExc_ValueError, "start_response(): its request is over");
		return -1;
	}
	if (exc_info == Py_None) {
		if (stage == PST_CALL_NO_HEAD || by_socket)
			return 0;
		PyErr_SetString(PyExc_AssertionError,
		    "start_response() was called twice without exc_info (PEP 3333)");
		return -1;
	}
	if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) {
		PyErr_SetString(
		    PyExc_TypeError, "start_response(): exc_info is what sys.exc_info() returns");
		return -1;
	}
	return stage == PST_CALL_SENT ? reraise(exc_info) : 0;
}

/* Check and keep the head: 0, or -1 with an exception. */
static int
set_head(struct pst_call *call, PyObject *status, PyObject *headers)
{
	struct pst_head head;
	bool late, by_socket;

	/* Ours alone: what complains of the head runs Python code, which may come here again. */
	pst_call_lock(call);
	head = call->other;
	pst_head_init(&call->other);
	pst_call_unlock(call);
	if (!pst_head_is(&head, status, headers)) {
		pst_head_clear(&head);
		if (pst_head_set(&head, status, headers) < 0) {
			pst_head_free(&head);
			return -1;
		}
	}
	pst_call_lock(call);
	late = call->stage == PST_CALL_SENT;
	by_socket = is_by_socket(call);
	if (!late) {
		struct pst_head old = call->head;

		call->head = head;
		call->stage = PST_CALL_HEAD;
		head = old;
	}
	pst_call_unlock(call);
	pst_head_clear(&head);
	pst_call_lock(call);
	if (call->other.size == 0) {
		call->other = head;
		pst_head_init(&head);
	}
	pst_call_unlock(call);
	pst_head_free(&head);
	if (!late || by_socket)
		return 0;
	PyErr_SetString(PyExc_AssertionError, "start_response(): the response has begun");
	return -1;
}

/* The request's write callable: a new reference, or NULL with an exception. */
static PyObject *
write_of(PyObject *self)
{
	struct pst_call *call = call_of(self);
	PyObject *write;

	pst_call_lock(call);
	write = call->objects.write;
	Py_XINCREF(write);
	pst_call_unlock(call);
	/* The request may have ended meanwhile, in another thread. */
	return write != NULL ? write : pst_response_write_callable(self);
}

/* start_response(status, headers, exc_info=None), by position or by name. */
static PyObject *
response_start(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	static const char *const parameters[] = {"status", "headers", "exc_info"};
	PyObject *values[3] = {NULL, NULL, Py_None};
	Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;

	if (count + named > 3)
		goto wrong;
	for (Py_ssize_t i = 0; i < count; i++)
		values[i] = args[i];
	for (Py_ssize_t i = 0; i < named; i++) {
		PyObject *name = PyTuple_GET_ITEM(names, i);
		int which = 0;

		while (which < 3 && PyUnicode_CompareWithASCIIString(name, parameters[which]) != 0)
			which++;
		if (which == 3 || which < count)
			goto wrong;
		values[which] = args[count + i];
	}
	if (values[0] == NULL || values[1] == NULL)
		goto wrong;
	if (check_order(call_of(self), values[2]) < 0 ||
	    set_head(call_of(self), values[0], values[1]) < 0)
		return NULL;
	return write_of(self);
wrong:
	PyErr_SetString(
	    PyExc_TypeError, "start_response(status, headers, exc_info=None) is what PEP 3333 has");
	return NULL;
}

static PyMethodDef start_method = {"start_response", (PyCFunction)(void (*)(void))response_start,
    METH_FASTCALL | METH_KEYWORDS,
    "start_response(status, headers, exc_info=None): the head of the response (PEP 3333)"};

PyObject *
pst_response_start(PyObject *response)
{
	return PyCFunction_New(&start_method, response);
}

PyObject *
pst_response_write_callable(PyObject *response)
{
	return PyCFunction_New(&write_method, response);
}

static PyType_Slot response_slots[] = {
    {Py_tp_dealloc, pst_handle_dealloc},
    {Py_tp_doc, (void *)(uintptr_t) "The response to a request (PEP 3333)."},
    {0, NULL},
};

static PyType_Spec response_spec = {
    .name = "penstock.Response",
    .basicsize = sizeof(struct pst_handle),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = response_slots,
};

PyTypeObject *
pst_response_type(void)
{
	return pst_handle_type(&response_spec);
}
