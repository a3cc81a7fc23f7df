/* receive() and send() of a WebSocket: whole messages. */
#include "adapters/python/asgi_internal.h"

#include <string.h>

/* --- receive() ------------------------------------------------------------------------- */

static PySendResult
given(PyObject *event, PyObject **result)
{
	*result = event;
	return event != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

/* Why the connection is over: the code, and in *REASON a new reference, NULL with an exception. */
static unsigned
close_code(struct pst_asgi_cycle *cycle, PyObject **reason)
{
	const char *text = "";
	unsigned code = 1006;
	size_t n = 0;

	if (cycle->close_code != 0) { /* by the application itself */
		*reason = cycle->close_reason;
		Py_INCREF(*reason);
		return cycle->close_code;
	}
	if (cycle->request != NULL && cycle->stage == PST_ASGI_OPEN)
		code = cycle->asgi->host->close_code(cycle->request, &text, &n);
	*reason = PyUnicode_DecodeUTF8(n > 0 ? text : "", (Py_ssize_t)n, "replace");
	return code;
}

static PySendResult
disconnect(struct pst_asgi_cycle *cycle, PyObject **result)
{
	const struct pst_asgi_names *names = &cycle->asgi->names;
	PyObject *reason;
	unsigned code = close_code(cycle, &reason);

	return given(Py_BuildValue("{OOOION}", names->type, names->ws_disconnect, names->code, code,
			 names->reason, reason),
	    result);
}

/* A whole message of N bytes. */
static PySendResult
message(
    const struct pst_asgi_cycle *cycle, const char *bytes, size_t n, bool binary, PyObject **result)
{
	const struct pst_asgi_names *names = &cycle->asgi->names;
	PyObject *content = binary ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)n)
				   : PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)n, "replace");

	if (content == NULL)
		return PYGEN_ERROR;
	return given(binary ? Py_BuildValue("{OOONOO}", names->type, names->ws_receive,
				  names->bytes, content, names->text, Py_None)
			    : Py_BuildValue("{OOONOO}", names->type, names->ws_receive, names->text,
				  content, names->bytes, Py_None),
	    result);
}

/* Keep a piece of a message that has not ended: 0, or -1 with an exception. */
static int
keep(struct pst_asgi_cycle *cycle, const char *bytes, size_t n)
{
	Py_ssize_t held;

	if (cycle->message == NULL)
		cycle->message = PyByteArray_FromStringAndSize(NULL, 0);
	if (cycle->message == NULL)
		return -1;
	held = PyByteArray_GET_SIZE(cycle->message);
	if (PyByteArray_Resize(cycle->message, held + (Py_ssize_t)n) < 0)
		return -1;
	memcpy(PyByteArray_AS_STRING(cycle->message) + held, bytes, n);
	return 0;
}

static PySendResult
read_message(struct pst_asgi_cycle *cycle, PyObject **result)
{
	struct pst_asgi *asgi = cycle->asgi;
	PySendResult sent;

	for (;;) {
		unsigned flags = 0;
		ssize_t n = asgi->host->read_message(
		    cycle->request, asgi->buffer, sizeof asgi->buffer, &flags);

		if (n == PST_RESULT_AGAIN)
			return PYGEN_NEXT;
		if (n < 0 || (flags & PST_MESSAGE_CLOSED) != 0) {
			sent = disconnect(cycle, result);
			cycle->gone = true;
			return sent;
		}
		if ((flags & PST_MESSAGE_END) != 0 && cycle->message == NULL)
			return message(cycle, asgi->buffer, (size_t)n,
			    (flags & PST_MESSAGE_BINARY) != 0, result);
		if (keep(cycle, asgi->buffer, (size_t)n) < 0)
			return PYGEN_ERROR;
		if ((flags & PST_MESSAGE_END) == 0)
			continue;
		sent = message(cycle, PyByteArray_AS_STRING(cycle->message),
		    (size_t)PyByteArray_GET_SIZE(cycle->message), (flags & PST_MESSAGE_BINARY) != 0,
		    result);
		Py_CLEAR(cycle->message);
		return sent;
	}
}

PySendResult
pst_asgi_websocket_receive(struct pst_asgi_step *step, PyObject **result)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_asgi_names *names = &cycle->asgi->names;

	if (!cycle->connected) {
		cycle->connected = true;
		return given(Py_BuildValue("{OO}", names->type, names->ws_connect), result);
	}
	if (cycle->gone || cycle->request == NULL || cycle->stage == PST_ASGI_OVER)
		return disconnect(cycle, result);
	if (cycle->stage != PST_ASGI_OPEN)
		return PYGEN_NEXT; /* until it is accepted, denied, or the client leaves */
	return read_message(cycle, result);
}

/* --- send() ---------------------------------------------------------------------------- */

/* Accept with FIELDS and SUBPROTOCOL, which may be NULL. */
static PySendResult
accept_with(
    struct pst_asgi_cycle *cycle, const struct pst_asgi_fields *fields, PyObject *subprotocol)
{
	struct pst_field all[32];
	size_t count = fields->count;
	int rc;

	if (count >= sizeof all / sizeof *all) {
		PyErr_SetString(PyExc_ValueError, "websocket.accept takes at most 31 headers");
		return PYGEN_ERROR;
	}
	memcpy(all, fields->fields, count * sizeof *all);
	if (subprotocol != NULL && subprotocol != Py_None) {
		Py_ssize_t n;
		const char *text = PyUnicode_AsUTF8AndSize(subprotocol, &n);

		if (text == NULL)
			return PYGEN_ERROR;
		all[count++] = (struct pst_field){"Sec-WebSocket-Protocol", 22, text, (size_t)n};
	}
	rc = cycle->asgi->host->upgrade(cycle->request, all, count);
	if (rc < 0)
		return pst_asgi_failed(cycle, rc);
	cycle->stage = PST_ASGI_OPEN;
	pst_asgi_cycle_wake(cycle);
	return PYGEN_RETURN;
}

static PySendResult
accept_it(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_asgi_names *names = &cycle->asgi->names;
	struct pst_asgi_fields fields;
	PySendResult sent = PYGEN_ERROR;
	PyObject *subprotocol;

	if (pst_asgi_get(step->event, names->subprotocol, &subprotocol) < 0)
		return PYGEN_ERROR;
	if (pst_asgi_fields_get(&fields, step->event, names->headers) == 0) {
		sent = accept_with(cycle, &fields, subprotocol);
		pst_asgi_fields_free(&fields);
	}
	Py_XDECREF(subprotocol);
	return sent;
}

/* Closed before it was accepted: 403, as ASGI says. */
static PySendResult
deny(struct pst_asgi_cycle *cycle)
{
	static const struct pst_field length = {"Content-Length", 14, "0", 1};
	int rc = cycle->asgi->host->respond(cycle->request, 403, NULL, &length, 1);

	if (rc < 0)
		return pst_asgi_failed(cycle, rc);
	cycle->stage = PST_ASGI_OVER;
	pst_asgi_cycle_wake(cycle);
	return PYGEN_RETURN;
}

/* Close with CODE and REASON, which may be NULL. */
static PySendResult
close_with(struct pst_asgi_cycle *cycle, PyObject *code, PyObject *reason)
{
	const char *text = "";
	Py_ssize_t n = 0;
	PyObject *kept;
	long number = 1000;
	int rc;

	if (code != NULL && code != Py_None)
		number = PyLong_AsLong(code);
	if (number == -1 && PyErr_Occurred())
		return PYGEN_ERROR;
	if (reason != NULL && reason != Py_None)
		text = PyUnicode_AsUTF8AndSize(reason, &n);
	if (text == NULL)
		return PYGEN_ERROR;
	if (number < 0 || number > 4999 || n > 123) {
		PyErr_SetString(PyExc_ValueError,
		    "a close code is at most 4999, its reason at most 123 bytes of UTF-8");
		return PYGEN_ERROR;
	}
	kept = PyUnicode_FromStringAndSize(text, n);
	if (kept == NULL)
		return PYGEN_ERROR;
	rc = cycle->asgi->host->close(cycle->request, (unsigned)number, text, (size_t)n);
	if (rc < 0) {
		Py_DECREF(kept);
		return pst_asgi_failed(cycle, rc);
	}
	cycle->stage = PST_ASGI_OVER;
	cycle->close_code = (unsigned)number;
	cycle->close_reason = kept;
	pst_asgi_cycle_wake(cycle);
	return PYGEN_RETURN;
}

static PySendResult
close_it(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_asgi_names *names = &cycle->asgi->names;
	PyObject *code, *reason;
	PySendResult sent = PYGEN_ERROR;

	if (pst_asgi_get(step->event, names->code, &code) < 0)
		return PYGEN_ERROR;
	if (pst_asgi_get(step->event, names->reason, &reason) == 0) {
		sent = close_with(cycle, code, reason);
		Py_XDECREF(reason);
	}
	Py_XDECREF(code);
	return sent;
}

/* What a message of BYTES or TEXT sends: the other is NULL or None. */
static int
set_message(struct pst_asgi_step *step, PyObject *bytes, PyObject *text)
{
	Py_ssize_t n;

	bytes = bytes == Py_None ? NULL : bytes;
	text = text == Py_None ? NULL : text;
	if ((bytes == NULL) == (text == NULL)) {
		PyErr_SetString(
		    PyExc_ValueError, "websocket.send takes exactly one of bytes and text");
		return -1;
	}
	if (text != NULL) {
		if (!PyUnicode_Check(text)) {
			PyErr_Format(PyExc_TypeError, "text must be str, not %.100s",
			    Py_TYPE(text)->tp_name);
			return -1;
		}
		step->bytes = PyUnicode_AsUTF8AndSize(text, &n);
		if (step->bytes == NULL)
			return -1;
		step->is_text = true;
		step->size = (size_t)n;
		Py_INCREF(text);
		Py_SETREF(step->event, text);
		return 0;
	}
	if (PyObject_GetBuffer(bytes, &step->view, PyBUF_SIMPLE) < 0)
		return -1;
	step->bytes = step->view.buf;
	step->size = (size_t)step->view.len;
	return 0;
}

/* Exactly one of bytes and text. */
static int
parse_message(struct pst_asgi_step *step)
{
	const struct pst_asgi_names *names = &step->cycle->asgi->names;
	PyObject *bytes, *text;
	int rc = -1;

	if (pst_asgi_get(step->event, names->bytes, &bytes) < 0)
		return -1;
	if (pst_asgi_get(step->event, names->text, &text) == 0) {
		rc = set_message(step, bytes, text);
		Py_XDECREF(text);
	}
	Py_XDECREF(bytes);
	return rc;
}

static PySendResult
send_message(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;

	if (cycle->broken) {
		PyErr_SetString(PyExc_RuntimeError,
		    "a send() was cancelled in the middle of its message: all that can follow is "
		    "websocket.close");
		return PYGEN_ERROR;
	}
	if (!step->parsed && parse_message(step) < 0)
		return PYGEN_ERROR;
	step->parsed = true;
	do {
		size_t n = step->size - step->at;
		unsigned flags = step->is_text ? 0 : PST_MESSAGE_BINARY;
		int rc;

		if (n > PST_WRITE_MAX)
			n = PST_WRITE_MAX;
		if (step->at + n == step->size)
			flags |= PST_MESSAGE_END;
		rc = cycle->asgi->host->send_message(
		    cycle->request, flags, step->bytes + step->at, n);
		if (rc < 0)
			return pst_asgi_failed(cycle, rc);
		step->at += n;
	} while (step->at < step->size);
	return PYGEN_RETURN;
}

static PySendResult
dispatch(struct pst_asgi_step *step, PyObject *type)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_asgi_names *names = &cycle->asgi->names;

	switch (cycle->stage) {
	case PST_ASGI_START:
		if (pst_asgi_is(type, names->ws_accept))
			return accept_it(step);
		if (pst_asgi_is(type, names->ws_close))
			return deny(cycle);
		if (pst_asgi_is(type, names->ws_denial_start))
			return pst_asgi_send_start(step);
		break;
	case PST_ASGI_OPEN:
		if (pst_asgi_is(type, names->ws_send))
			return send_message(step);
		if (pst_asgi_is(type, names->ws_close))
			return close_it(step);
		break;
	case PST_ASGI_DENIED:
		if (pst_asgi_is(type, names->ws_denial_body))
			return pst_asgi_send_body(step);
		break;
	default: break;
	}
	PyErr_Format(PyExc_RuntimeError, "unexpected event %R: the WebSocket %s", type,
	    cycle->stage == PST_ASGI_START  ? "was not accepted"
	    : cycle->stage == PST_ASGI_OPEN ? "is open"
					    : "is closed, or was denied");
	return PYGEN_ERROR;
}

PySendResult
pst_asgi_websocket_send(struct pst_asgi_step *step, PyObject **result)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	PyObject *type;
	PySendResult sent;

	if (cycle->sender != NULL && cycle->sender != step)
		return PYGEN_NEXT;
	if (cycle->request == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "the connection is over");
		return PYGEN_ERROR;
	}
	if (cycle->gone)
		return pst_asgi_gone();
	if (step->parsed) {
		sent =
		    cycle->stage == PST_ASGI_OPEN ? send_message(step) : pst_asgi_send_body(step);
	} else {
		type = pst_asgi_type_of(step);
		if (type == NULL)
			return PYGEN_ERROR;
		sent = dispatch(step, type);
		Py_DECREF(type);
	}
	return pst_asgi_sent(step, sent, result);
}
