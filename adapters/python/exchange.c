#define PY_SSIZE_T_CLEAN /* "s#" takes a Py_ssize_t */
#include "adapters/python/exchange.h"

#include "adapters/python/child.h"
#include "adapters/python/hop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef Py_GIL_DISABLED
static bool
is_elsewhere(const struct pst_exchange *exchange)
{
	return exchange->thread != PyThread_get_thread_ident();
}
#else
static bool
is_elsewhere(const struct pst_exchange *exchange)
{
	(void)exchange;
	return false;
}
#endif

/* The host cannot be called for it, here at least. */
static bool
is_over(const struct pst_exchange *exchange)
{
	return is_elsewhere(exchange) || exchange->request == NULL || *exchange->closed ||
	       pst_child_is();
}

/* --- Results --------------------------------------------------------------------------- */

static PyObject *
gone(const struct pst_exchange *exchange)
{
	PyObject *args;

	if (is_elsewhere(exchange)) {
		PyErr_SetString(PyExc_RuntimeError,
		    "this is not the event loop's thread: see IOLoop.add_callback()");
		return NULL;
	}
	args = Py_BuildValue("(is)", EPIPE, "the client has left");
	if (args != NULL)
		PyErr_SetObject(PyExc_BrokenPipeError, args);
	Py_XDECREF(args);
	return NULL;
}

/* The exception for RESULT of a host function, below 0 and not AGAIN. */
static PyObject *
failed(const struct pst_exchange *exchange, ssize_t result)
{
	const char *reason;

	if (result == PST_RESULT_GONE)
		return gone(exchange);
	reason = exchange->host->reason(exchange->request);
	PyErr_SetString(result == PST_RESULT_INVALID ? PyExc_ValueError
			: result == PST_RESULT_STATE ? PyExc_RuntimeError
						     : PyExc_OSError,
	    reason);
	return NULL;
}

/* True when RESULT is 0, False for AGAIN. */
static PyObject *
settled(const struct pst_exchange *exchange, int result)
{
	if (result < 0 && result != PST_RESULT_AGAIN)
		return failed(exchange, result);
	return PyBool_FromLong(result >= 0);
}

/* --- The request ----------------------------------------------------------------------- */

/* "Accept-Encoding" for "HTTP_ACCEPT_ENCODING", of which the first SKIP bytes are left out. */
static PyObject *
header_name(const struct pst_field *param, size_t skip)
{
	PyObject *name = PyUnicode_New((Py_ssize_t)(param->name_len - skip), 127);
	bool first = true;
	Py_UCS1 *to;

	if (name == NULL)
		return NULL;
	to = PyUnicode_1BYTE_DATA(name);
	for (size_t i = skip; i < param->name_len; i++) {
		char c = param->name[i];

		if (c == '_')
			c = '-';
		else if (!first && c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		else if (first && c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		*to++ = (Py_UCS1)((unsigned char)c & 0x7f);
		first = c == '-';
	}
	return name;
}

/* How many bytes of PARAM's name are no part of a header's; -1: it is none. */
static int
header_skip(const struct pst_field *param)
{
	if (strcmp(param->name, "CONTENT_LENGTH") == 0 || strcmp(param->name, "CONTENT_TYPE") == 0)
		return param->value_len > 0 ? 0 : -1;
	if (param->name_len <= 5 || memcmp(param->name, "HTTP_", 5) != 0 ||
	    strcmp(param->name, "HTTP_CONTENT_LENGTH") == 0 ||
	    strcmp(param->name, "HTTP_CONTENT_TYPE") == 0)
		return -1;
	return 5;
}

static PyObject *
latin1(const struct pst_field *param)
{
	return PyUnicode_DecodeLatin1(param->value, (Py_ssize_t)param->value_len, NULL);
}

static int
add_header(PyObject *headers, const struct pst_field *param, size_t skip)
{
	PyObject *name = header_name(param, skip);
	PyObject *value = latin1(param);
	PyObject *pair = name != NULL && value != NULL ? PyTuple_Pack(2, name, value) : NULL;
	int rc = pair != NULL ? PyList_Append(headers, pair) : -1;

	Py_XDECREF(pair);
	Py_XDECREF(value);
	Py_XDECREF(name);
	return rc;
}

static int
add_param(PyObject *params, const struct pst_field *param)
{
	PyObject *value = latin1(param);
	int rc = value != NULL ? PyDict_SetItemString(params, param->name, value) : -1;

	Py_XDECREF(value);
	return rc;
}

static PyObject *
exchange_head(PyObject *self, PyObject *unused)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	PyObject *params = PyDict_New();
	PyObject *headers = PyList_New(0);
	int rc = params != NULL && headers != NULL ? 0 : -1;
	const struct pst_field *fields;
	PyObject *head = NULL;
	size_t count = 0;

	(void)unused;
	fields = !is_over(exchange) ? exchange->host->params(exchange->request, &count) : NULL;
	for (size_t i = 0; i < count && rc == 0; i++) {
		int skip = header_skip(&fields[i]);

		rc = skip < 0 ? add_param(params, &fields[i])
			      : add_header(headers, &fields[i], (size_t)skip);
	}
	if (rc == 0)
		head = PyTuple_Pack(2, params, headers);
	Py_XDECREF(headers);
	Py_XDECREF(params);
	return head;
}

static PyObject *
exchange_upgradable(PyObject *self, PyObject *unused)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;

	(void)unused;
	return PyBool_FromLong(
	    !is_over(exchange) && exchange->host->upgradable != NULL &&
	    exchange->host->upgradable(exchange->request) == PST_UPGRADE_WEBSOCKET);
}

static PyObject *
exchange_read(PyObject *self, PyObject *unused)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	char bytes[PST_WRITE_MAX];
	ssize_t n;

	(void)unused;
	if (is_over(exchange))
		return gone(exchange);
	n = exchange->host->read(exchange->request, bytes, sizeof bytes);
	if (n == PST_RESULT_AGAIN)
		Py_RETURN_NONE;
	return n < 0 ? failed(exchange, n) : PyBytes_FromStringAndSize(bytes, n);
}

/* --- The head of the answer ------------------------------------------------------------ */

/* The bytes of STRING, which is str of Latin-1: 0, or -1 with an exception. */
static int
text_of(PyObject *string, const char **text, size_t *n)
{
	if (!PyUnicode_Check(string) || PyUnicode_READY(string) < 0) {
		PyErr_Format(PyExc_TypeError, "a header's name and value are str, not %.100s",
		    Py_TYPE(string)->tp_name);
		return -1;
	}
	if (PyUnicode_KIND(string) != PyUnicode_1BYTE_KIND) {
		PyErr_Format(PyExc_ValueError,
		    "header %R has characters that are not of ISO-8859-1", string);
		return -1;
	}
	*text = (const char *)PyUnicode_1BYTE_DATA(string);
	*n = (size_t)PyUnicode_GET_LENGTH(string);
	return 0;
}

/* The fields of ITEMS, a list of pairs, that are the application's to send, in FIELDS: how many, or
 * -1 with an exception. */
static Py_ssize_t
fields_of(PyObject *items, struct pst_field *fields)
{
	Py_ssize_t count = 0;

	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
		PyObject *pair = PyList_GET_ITEM(items, i);
		struct pst_field *field = &fields[count];

		if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
			PyErr_SetString(PyExc_TypeError, "headers are pairs");
			return -1;
		}
		if (text_of(PyTuple_GET_ITEM(pair, 0), &field->name, &field->name_len) < 0 ||
		    text_of(PyTuple_GET_ITEM(pair, 1), &field->value, &field->value_len) < 0)
			return -1;
		if (!pst_hop_is(field->name, field->name_len))
			count++;
	}
	return count;
}

/* STATUS 101 upgrades. */
static PyObject *
send_head(struct pst_exchange *exchange, int status, const char *reason, PyObject *items)
{
	struct pst_field few[32];
	struct pst_field *fields = few;
	Py_ssize_t count = PyList_GET_SIZE(items);
	int rc = 0;

	if (count > (Py_ssize_t)(sizeof few / sizeof *few))
		fields = calloc((size_t)count, sizeof *fields);
	if (fields == NULL)
		return PyErr_NoMemory();
	count = fields_of(items, fields);
	if (count >= 0 && status == 101)
		rc = exchange->host->upgrade(exchange->request, fields, (size_t)count);
	else if (count >= 0)
		rc = exchange->host->respond(
		    exchange->request, status, reason, fields, (size_t)count);
	if (fields != few)
		free(fields);
	return count < 0 ? NULL : settled(exchange, rc);
}

static PyObject *
exchange_respond(PyObject *self, PyObject *args)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	PyObject *items;
	const char *reason;
	int status;

	if (!PyArg_ParseTuple(args, "izO!:respond", &status, &reason, &PyList_Type, &items))
		return NULL;
	return !is_over(exchange) ? send_head(exchange, status, reason, items) : gone(exchange);
}

/* --- What is sent ---------------------------------------------------------------------- */

typedef int send_fn(struct pst_exchange *exchange, const char *bytes, size_t n, bool last);

/* Send what is left of VIEW in pieces: True, or False when the host takes no more of it now. */
static PyObject *
send_rest(struct pst_exchange *exchange, const Py_buffer *view, send_fn *send)
{
	size_t size = (size_t)view->len;

	do {
		size_t n = size - exchange->at;
		int rc;

		if (n > PST_WRITE_MAX)
			n = PST_WRITE_MAX;
		rc = send(
		    exchange, (const char *)view->buf + exchange->at, n, exchange->at + n == size);
		if (rc < 0)
			return settled(exchange, rc);
		exchange->at += n;
	} while (exchange->at < size);
	exchange->at = 0;
	Py_RETURN_TRUE;
}

static int
send_body(struct pst_exchange *exchange, const char *bytes, size_t n, bool last)
{
	(void)last;
	return exchange->host->write(exchange->request, bytes, n);
}

static int
send_text(struct pst_exchange *exchange, const char *bytes, size_t n, bool last)
{
	return exchange->host->send_message(
	    exchange->request, last ? PST_MESSAGE_END : 0, bytes, n);
}

static int
send_binary(struct pst_exchange *exchange, const char *bytes, size_t n, bool last)
{
	return exchange->host->send_message(exchange->request,
	    PST_MESSAGE_BINARY | (last ? (unsigned)PST_MESSAGE_END : 0), bytes, n);
}

static PyObject *
send_all(PyObject *self, PyObject *data, send_fn *send)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	PyObject *result;
	Py_buffer view;

	if (is_over(exchange))
		return gone(exchange);
	if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
		return NULL;
	result = send_rest(exchange, &view, send);
	PyBuffer_Release(&view);
	return result;
}

static PyObject *
exchange_write(PyObject *self, PyObject *data)
{
	return send_all(self, data, send_body);
}

static PyObject *
exchange_send_text(PyObject *self, PyObject *data)
{
	return send_all(self, data, send_text);
}

static PyObject *
exchange_send_binary(PyObject *self, PyObject *data)
{
	return send_all(self, data, send_binary);
}

static PyObject *
exchange_begun(PyObject *self, PyObject *unused)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;

	(void)unused;
	return PyBool_FromLong(!is_over(exchange) && exchange->host->begun(exchange->request));
}

static PyObject *
exchange_flush(PyObject *self, PyObject *unused)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;

	(void)unused;
	return !is_over(exchange) ? settled(exchange, exchange->host->flush(exchange->request))
				  : gone(exchange);
}

static PyObject *
exchange_complete(PyObject *self, PyObject *unused)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;

	(void)unused;
	return !is_over(exchange) ? settled(exchange, exchange->host->complete(exchange->request))
				  : gone(exchange);
}

/* --- Messages -------------------------------------------------------------------------- */

static PyObject *
closed_by_peer(const struct pst_exchange *exchange)
{
	const char *reason = NULL;
	size_t n = 0;
	unsigned code = exchange->host->close_code(exchange->request, &reason, &n);

	return Py_BuildValue("(IN)", code,
	    PyUnicode_DecodeUTF8(reason != NULL ? reason : "", (Py_ssize_t)n, "replace"));
}

static PyObject *
exchange_read_message(PyObject *self, PyObject *unused)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	char bytes[PST_WRITE_MAX];
	unsigned flags = 0;
	ssize_t n;

	(void)unused;
	if (is_over(exchange))
		return gone(exchange);
	n = exchange->host->read_message(exchange->request, bytes, sizeof bytes, &flags);
	if (n == PST_RESULT_AGAIN)
		Py_RETURN_NONE;
	if (n < 0)
		return failed(exchange, n);
	if ((flags & PST_MESSAGE_CLOSED) != 0)
		return closed_by_peer(exchange);
	return Py_BuildValue("(y#OO)", bytes, (Py_ssize_t)n,
	    (flags & PST_MESSAGE_BINARY) != 0 ? Py_True : Py_False,
	    (flags & PST_MESSAGE_END) != 0 ? Py_True : Py_False);
}

static PyObject *
exchange_close(PyObject *self, PyObject *args)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	const char *reason;
	Py_ssize_t n;
	unsigned code;

	if (!PyArg_ParseTuple(args, "Is#:close", &code, &reason, &n))
		return NULL;
	if (is_over(exchange))
		return gone(exchange);
	return settled(exchange, exchange->host->close(exchange->request, code, reason, (size_t)n));
}

/* --- The end --------------------------------------------------------------------------- */

static PyObject *
exchange_error(PyObject *self, PyObject *args)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	const char *text;
	Py_ssize_t n;

	if (!PyArg_ParseTuple(args, "s#:error", &text, &n))
		return NULL;
	if (!is_over(exchange))
		exchange->host->error(exchange->request, text, (size_t)n);
	Py_RETURN_NONE;
}

static PyObject *
exchange_finish(PyObject *self, PyObject *whole)
{
	struct pst_exchange *exchange = (struct pst_exchange *)self;
	struct pst_request *request = exchange->request;

	if (pst_child_is())
		pst_child_end();
	if (is_elsewhere(exchange))
		return gone(exchange);
	if (request == NULL)
		Py_RETURN_NONE;
	exchange->request = NULL;
	Py_CLEAR(exchange->handler);
	if (!*exchange->closed) {
		exchange->host->set_user(request, NULL);
		exchange->host->finish(request, whole == Py_True ? 0 : -1);
	}
	Py_DECREF(exchange); /* the request's */
	Py_RETURN_NONE;
}

/* --- The type -------------------------------------------------------------------------- */

static void
exchange_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	Py_XDECREF(((struct pst_exchange *)self)->handler);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"head", exchange_head, METH_NOARGS,
	"head(): the parameters, a dict, and the headers, a list of pairs"},
    {"upgradable", exchange_upgradable, METH_NOARGS, "upgradable(): it asks for a WebSocket"},
    {"read", exchange_read, METH_NOARGS,
	"read(): the next of the body; b'' at its end, None: nothing has come yet"},
    {"respond", exchange_respond, METH_VARARGS,
	"respond(status, reason, headers): the head; with 101 it becomes a WebSocket"},
    {"write", exchange_write, METH_O,
	"write(data): False: not all of it was taken, the same call is due when it is ready"},
    {"begun", exchange_begun, METH_NOARGS,
	"begun(): part of the answer is on its way: what fails now breaks it off"},
    {"flush", exchange_flush, METH_NOARGS, "flush(): send what was written"},
    {"complete", exchange_complete, METH_NOARGS, "complete(): the answer is whole"},
    {"read_message", exchange_read_message, METH_NOARGS,
	"read_message(): (bytes, is_binary, is_end), or (code, reason); None: not yet"},
    {"send_text", exchange_send_text, METH_O, "send_text(data): as write(), a message"},
    {"send_binary", exchange_send_binary, METH_O, "send_binary(data): as write(), a message"},
    {"close", exchange_close, METH_VARARGS, "close(code, reason): close the WebSocket"},
    {"error", exchange_error, METH_VARARGS, "error(text): log it with the request"},
    {"finish", exchange_finish, METH_O, "finish(whole): the request is over"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, exchange_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "penstock.Exchange",
    .basicsize = sizeof(struct pst_exchange),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

PyTypeObject *
pst_exchange_type(void)
{
	PyTypeObject *type = (PyTypeObject *)(void *)PyType_FromSpec(&spec);

	if (type != NULL)
		type->tp_new = NULL;
	return type;
}

struct pst_exchange *
pst_exchange_new(PyTypeObject *type, const struct pst_host *host, struct pst_request *request,
    const bool *closed)
{
	struct pst_exchange *exchange = PyObject_New(struct pst_exchange, type);

	if (exchange == NULL)
		return NULL;
	exchange->host = host;
	exchange->request = request;
	exchange->closed = closed;
#ifdef Py_GIL_DISABLED
	exchange->thread = PyThread_get_thread_ident();
#endif
	exchange->handler = NULL;
	exchange->next = NULL;
	exchange->queued = exchange->begun = exchange->ready = false;
	exchange->gone = exchange->late = false;
	exchange->at = 0;
	return exchange;
}
