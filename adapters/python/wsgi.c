#include "adapters/python/wsgi.h"

#include "adapters/python/call.h"
#include "adapters/python/child.h"
#include "adapters/python/environ.h"
#include "adapters/python/errors.h"
#include "adapters/python/file_wrapper.h"
#include "adapters/python/handle.h"
#include "adapters/python/input.h"
#include "adapters/python/loop.h"
#include "adapters/python/response.h"
#include "adapters/python/stream.h"
#include "adapters/python/traceback.h"

#include <stdlib.h>
#include <string.h>

struct pst_wsgi {
	const struct pst_host *host;
	PyObject *callable;
	PyTypeObject *input_type;
	PyTypeObject *errors_type;
	PyTypeObject *response_type;
	PyTypeObject *file_wrapper_type;
	PyTypeObject *stream_type;
	PyObject *socket; /* takeover.Socket */
	bool multithread, multiprocess;
	PyObject *close; /* the name, interned */
	struct pst_call_pool calls;
};

/* penstock_loops.takeover.Socket, NULL with an exception. */
static PyObject *
import_socket(void)
{
	PyObject *module = pst_loop_import("takeover");
	PyObject *type = module != NULL ? PyObject_GetAttrString(module, "Socket") : NULL;

	Py_XDECREF(module);
	return type;
}

struct pst_wsgi *
pst_wsgi_new(const struct pst_host *host, PyObject *callable, bool multithread, bool multiprocess)
{
	struct pst_wsgi *wsgi = calloc(1, sizeof *wsgi);

	if (wsgi == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	wsgi->host = host;
	Py_INCREF(callable);
	wsgi->callable = callable;
	wsgi->input_type = pst_input_type();
	wsgi->errors_type = pst_errors_type();
	wsgi->response_type = pst_response_type();
	wsgi->file_wrapper_type = pst_file_wrapper_type();
	if (multithread)
		wsgi->socket = import_socket();
	wsgi->stream_type = pst_stream_type();
	wsgi->close = PyUnicode_InternFromString("close");
	wsgi->multithread = multithread;
	wsgi->multiprocess = multiprocess;
	if (PyErr_Occurred()) {
		pst_wsgi_free(wsgi);
		return NULL;
	}
	return wsgi;
}

void
pst_wsgi_free(struct pst_wsgi *wsgi)
{
	pst_call_pool_clear(&wsgi->calls);
	Py_XDECREF(wsgi->callable);
	Py_XDECREF(wsgi->input_type);
	Py_XDECREF(wsgi->errors_type);
	Py_XDECREF(wsgi->response_type);
	Py_XDECREF(wsgi->file_wrapper_type);
	Py_XDECREF(wsgi->stream_type);
	Py_XDECREF(wsgi->socket);
	Py_XDECREF(wsgi->close);
	free(wsgi);
}

struct pst_environ *
pst_wsgi_environ(const struct pst_wsgi *wsgi)
{
	return pst_environ_new(
	    wsgi->multithread, wsgi->multiprocess, (PyObject *)wsgi->file_wrapper_type);
}

/* --- What went wrong ------------------------------------------------------------------- */

/* Where the exception that is set came from and what it does to the response. */
static const char *
effect(struct pst_call *call, bool whole)
{
	if (whole)
		return "in close(), after a whole response";
	if (call->waiter != NULL && PyErr_ExceptionMatches(call->waiter->deadline))
		return "it was late, and was ended by that";
	return pst_response_failure(call);
}

/* The exception that is set, which is taken: a line that says it all, and its traceback. */
static PyObject *
describe(struct pst_call *call, bool whole)
{
	const char *what = effect(call, whole);
	PyObject *summary;
	PyObject *traceback = pst_traceback_take(&summary);
	PyObject *text = PyBytes_FromFormat("the application raised %s: %s\n%s",
	    summary != NULL ? PyBytes_AS_STRING(summary) : "an exception", what,
	    traceback != NULL ? PyBytes_AS_STRING(traceback) : "no memory for its traceback\n");

	Py_XDECREF(summary);
	Py_XDECREF(traceback);
	PyErr_Clear();
	return text;
}

/* Log TEXT in the worker's log, with the request's name on its first line. */
static void
log_titled(struct pst_call *call, PyObject *text)
{
	char title[256];
	PyObject *titled = PyBytes_FromFormat(
	    "%s: %s", pst_call_title(call, title, sizeof title), PyBytes_AS_STRING(text));
	PyThreadState *state;

	if (titled == NULL) {
		PyErr_Clear();
		return;
	}
	state = pst_call_leave_python(call);
	call->host->log(PST_LOG_ERROR, PyBytes_AS_STRING(titled), (size_t)PyBytes_GET_SIZE(titled));
	pst_call_enter_python(state);
	Py_DECREF(titled);
}

/*
 * Log the exception that is set, once: always -1. It goes to the request's error stream; but to
 * the worker's log when the response is WHOLE, because nobody may listen to that stream any more.
 * A client that went away is no error of the application, when it shows as the OSError that we
 * raised.
 */
static int
report(struct pst_call *call, bool whole)
{
	PyObject *text;

	if (call->gone && PyErr_ExceptionMatches(PyExc_OSError)) {
		PyErr_Clear();
		return -1;
	}
	text = describe(call, whole);
	pst_errors_flush(call);
	if (text != NULL && !whole)
		pst_errors_add(call, PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text));
	else if (text != NULL)
		log_titled(call, text);
	Py_XDECREF(text);
	return -1;
}

static int
type_error(PyObject *item)
{
	PyErr_Format(PyExc_TypeError,
	    "the response body must be an iterable of bytes, not of %.100s",
	    Py_TYPE(item)->tp_name);
	return -1;
}

/* --- The body -------------------------------------------------------------------------- */

/* Of a list or tuple: the length is known, and the pieces go out together. 0, or -1 with an
 * exception. */
static int
send_items(struct pst_call *call, PyObject *const *items, Py_ssize_t count)
{
	long long total = 0;

	for (Py_ssize_t i = 0; i < count; i++) {
		if (!PyBytes_Check(items[i]))
			return type_error(items[i]);
		total += PyBytes_GET_SIZE(items[i]);
	}
	pst_response_set_length(call, total);
	for (Py_ssize_t i = 0; i < count; i++)
		if (pst_response_write(call, PyBytes_AS_STRING(items[i]),
			(size_t)PyBytes_GET_SIZE(items[i]), false) < 0)
			return -1;
	return 0;
}

/* The only item of RESULT, a list or tuple, as a new reference; NULL: it has more, or none, or
 * others could change it meanwhile. */
static PyObject *
only_item(PyObject *result)
{
	PyObject *item = NULL;

	if (PyTuple_CheckExact(result) && PyTuple_GET_SIZE(result) == 1)
		item = PyTuple_GET_ITEM(result, 0);
#ifndef Py_GIL_DISABLED
	else if (PyList_CheckExact(result) && PyList_GET_SIZE(result) == 1)
		item = PyList_GET_ITEM(result, 0);
#endif
	Py_XINCREF(item);
	return item;
}

static int
send_list(struct pst_call *call, PyObject *result)
{
	PyObject *only = only_item(result);
	PyObject *items;
	int rc;

	if (only != NULL) {
		rc = send_items(call, &only, 1);
		Py_DECREF(only);
		return rc;
	}
	items = PySequence_Tuple(result);
	if (items == NULL)
		return -1;
	rc = send_items(call, ((PyTupleObject *)items)->ob_item, PyTuple_GET_SIZE(items));
	Py_DECREF(items);
	return rc;
}

/* Any iterable: each piece goes out before the next is asked for. 0, or -1 with an exception. */
static int
send_pieces(struct pst_call *call, PyObject *result)
{
	PyObject *iterator = PyObject_GetIter(result);
	PyObject *piece;
	int rc = 0;

	if (iterator == NULL)
		return -1;
	while (rc == 0 && (piece = PyIter_Next(iterator)) != NULL) {
		rc = PyBytes_Check(piece) ? pst_response_write(call, PyBytes_AS_STRING(piece),
						(size_t)PyBytes_GET_SIZE(piece), true)
					  : type_error(piece);
		Py_DECREF(piece);
	}
	Py_DECREF(iterator);
	return rc == 0 && PyErr_Occurred() ? -1 : rc;
}

static int
send_file(struct pst_call *call, PyObject *wrapper)
{
	struct pst_file file;

	if (!pst_file_wrapper_file(wrapper, &file))
		return send_pieces(call, wrapper);
	pst_response_set_length(call, file.length);
	return pst_response_send_file(call, file.fd, file.offset, file.length);
}

static int
send_body(const struct pst_wsgi *wsgi, struct pst_call *call, PyObject *result)
{
	if (Py_TYPE(result) == wsgi->file_wrapper_type)
		return send_file(call, result);
	if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
		return send_list(call, result);
	return send_pieces(call, result);
}

/* Call close() of what the application returned, if it has one: 0, or -1 with an exception. */
static int
close_result(const struct pst_wsgi *wsgi, PyObject *result)
{
	PyObject *close;
	PyObject *closed;

	if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
		return 0;
	close = PyObject_GetAttr(result, wsgi->close);
	if (close == NULL) {
		if (!PyErr_ExceptionMatches(PyExc_AttributeError))
			return -1;
		PyErr_Clear();
		return 0;
	}
	closed = PyObject_CallNoArgs(close);
	Py_DECREF(close);
	Py_XDECREF(closed);
	return closed != NULL ? 0 : -1;
}

/* --- A socket in place of a response ----------------------------------------------------- */

static bool
is_websocket(const struct pst_wsgi *wsgi, const struct pst_call *call)
{
	return wsgi->socket != NULL && call->host->upgrade_stream != NULL &&
	       call->host->upgradable(call->request) == PST_UPGRADE_WEBSOCKET;
}

/* Put the socket into DICT, an environ, and keep it in the call: 0, or -1 with an exception. */
static int
offer_socket(const struct pst_wsgi *wsgi, struct pst_call *call, PyObject *dict)
{
	static const char *const names[] = {"gunicorn.socket", "werkzeug.socket", "eventlet.input"};
	PyObject *stream = pst_handle_new(wsgi->stream_type, call);

	call->socket = stream != NULL ? PyObject_CallOneArg(wsgi->socket, stream) : NULL;
	Py_XDECREF(stream);
	if (call->socket == NULL)
		return -1;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (PyDict_SetItemString(dict, names[i], call->socket) < 0)
			return -1;
	return 0;
}

/* The application, which took the socket, has returned: whether it was answered by it. */
static bool
finish_socket(struct pst_call *call)
{
	PyObject *type, *value, *traceback;
	PyObject *answered;
	bool by_socket;

	PyErr_Fetch(&type, &value, &traceback);
	answered = PyObject_CallMethod(call->socket, "_finish", NULL);
	by_socket = answered == Py_True;
	Py_XDECREF(answered);
	call->taken = false;
	if (answered == NULL)
		report(call, false);
	PyErr_Restore(type, value, traceback);
	return by_socket;
}

/* How servers that hand out sockets are told that there is no other response. */
static bool
is_farewell(void)
{
	return PyErr_Occurred() && (PyErr_ExceptionMatches(PyExc_StopIteration) ||
				       PyErr_ExceptionMatches(PyExc_ConnectionError));
}

/* RESULT, or an exception, is what an application left behind that was answered by its socket. */
static int
finish_taken(const struct pst_wsgi *wsgi, struct pst_call *call, PyObject *result)
{
	if (is_farewell())
		PyErr_Clear();
	if (PyErr_Occurred() || (result != NULL && close_result(wsgi, result) < 0))
		report(call, true);
	return 0;
}

/* --- The call -------------------------------------------------------------------------- */

/* Make what the application is given of a new call: 0, or -1 with an exception. */
static int
make_objects(const struct pst_wsgi *wsgi, struct pst_call *call)
{
	struct pst_call_objects *objects = &call->objects;

	objects->input = pst_handle_new(wsgi->input_type, call);
	objects->errors = pst_handle_new(wsgi->errors_type, call);
	objects->response = pst_handle_new(wsgi->response_type, call);
	if (objects->response != NULL) {
		objects->start = pst_response_start(objects->response);
		objects->write = pst_response_write_callable(objects->response);
	}
	return PyErr_Occurred() == NULL ? 0 : -1;
}

/* A call with its objects, or NULL with an exception. */
static struct pst_call *
make_call(struct pst_wsgi *wsgi, struct pst_request *request, struct pst_waiter *waiter)
{
	struct pst_call *call = pst_call_take(&wsgi->calls, request, waiter);

	if (call != NULL)
		return call;
	call = pst_call_new(wsgi->host, request, waiter);
	if (call != NULL && make_objects(wsgi, call) < 0) {
		pst_call_end(call);
		pst_call_put(&wsgi->calls, call);
		return NULL;
	}
	return call;
}

/* What the application returns, or NULL with an exception. */
static PyObject *
call_application(const struct pst_wsgi *wsgi, struct pst_environ *environs, struct pst_call *call)
{
	PyObject *args[3] = {NULL, NULL, call->objects.start};
	PyObject *result = NULL;
	const struct pst_field *method;
	size_t count;
	const struct pst_field *params = call->host->params(call->request, &count);

	args[1] = pst_environ_make(
	    environs, params, count, call->objects.input, call->objects.errors, &method);
	call->bodyless = method != NULL && strcmp(method->value, "HEAD") == 0;
	if (args[1] != NULL && is_websocket(wsgi, call) && offer_socket(wsgi, call, args[1]) < 0)
		Py_CLEAR(args[1]);
	if (args[1] != NULL)
		result = PyObject_Vectorcall(
		    wsgi->callable, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
	Py_XDECREF(args[1]);
	return result;
}

/* Send what the application returned, and close it: 0 when the response is complete. */
static int
finish(const struct pst_wsgi *wsgi, struct pst_call *call, PyObject *result)
{
	int rc = send_body(wsgi, call, result);

	if (pst_child_is())
		pst_child_end();
	if (rc == 0)
		rc = pst_response_end(call);
	if (PyErr_Occurred())
		report(call, false);
	if (close_result(wsgi, result) < 0)
		report(call, rc == 0);
	return rc;
}

int
pst_wsgi_serve(struct pst_wsgi *wsgi, struct pst_environ *environs, struct pst_request *request,
    struct pst_waiter *waiter)
{
	struct pst_call *call = make_call(wsgi, request, waiter);
	PyObject *result;
	int rc;

	if (call == NULL) {
		static const char text[] = "out of memory: a request is refused";

		PyErr_Clear();
		wsgi->host->log(PST_LOG_ERROR, text, sizeof text - 1);
		return -1;
	}
	result = call_application(wsgi, environs, call);
	if (pst_child_is())
		pst_child_end();
	if (call->taken && finish_socket(call))
		rc = finish_taken(wsgi, call, result);
	else
		rc = result != NULL ? finish(wsgi, call, result) : report(call, false);
	Py_CLEAR(call->socket);
	Py_XDECREF(result);
	if (call->gone)
		pst_call_log(
		    call, PST_LOG_DEBUG, "the client went away before the response was complete");
	pst_errors_flush(call);
	pst_call_end(call);
	pst_call_put(&wsgi->calls, call);
	return rc;
}
