/* One request: the coroutine of its task, and receive() and send(). */
#include "adapters/python/asgi_internal.h"

#include "adapters/python/child.h"
#include "adapters/python/soon.h"
#include "adapters/python/title.h"
#include "adapters/python/traceback.h"

#include <stddef.h>
#include <string.h>

struct pst_asgi_cycle *
pst_asgi_cycle_new(struct pst_asgi *asgi, struct pst_request *request)
{
	struct pst_asgi_cycle *cycle = PyObject_New(struct pst_asgi_cycle, asgi->cycle_type);

	if (cycle == NULL)
		return NULL;
	memset((char *)cycle + offsetof(struct pst_asgi_cycle, asgi), 0,
	    sizeof *cycle - offsetof(struct pst_asgi_cycle, asgi));
	cycle->asgi = asgi;
	cycle->request = request;
	cycle->body_left = -1;
	cycle->length = -1;
	cycle->websocket = asgi->host->upgradable != NULL &&
			   asgi->host->upgradable(request) == PST_UPGRADE_WEBSOCKET;
	return cycle;
}

/* --- The log --------------------------------------------------------------------------- */

/* TEXT goes to the request's error stream; but to the worker's log, with the request's name, when
 * the response is complete, because nobody may listen to that stream any more. */
static void
log_text(struct pst_asgi_cycle *cycle, enum pst_log_level level, const char *text, size_t n)
{
	const struct pst_host *host = cycle->asgi->host;
	const struct pst_field *params;
	PyObject *titled;
	char title[256];
	size_t count;

	if (cycle->request == NULL || cycle->asgi->closed) {
		if (!cycle->asgi->closed)
			host->log(level, text, n);
		return;
	}
	if (level >= PST_LOG_ERROR && cycle->stage != PST_ASGI_OVER && !cycle->gone &&
	    cycle->stage != PST_ASGI_OPEN) {
		host->error(cycle->request, text, n);
		return;
	}
	params = host->params(cycle->request, &count);
	titled = PyBytes_FromFormat("%s: %s", pst_title(params, count, title, sizeof title), text);
	if (titled != NULL)
		host->log(level, PyBytes_AS_STRING(titled), (size_t)PyBytes_GET_SIZE(titled));
	PyErr_Clear();
	Py_XDECREF(titled);
}

static void
log_line(struct pst_asgi_cycle *cycle, enum pst_log_level level, const char *line)
{
	log_text(cycle, level, line, strlen(line));
}

void
pst_asgi_report(struct pst_asgi_cycle *cycle, const char *effect)
{
	PyObject *summary;
	PyObject *traceback = pst_traceback_take(&summary);
	PyObject *text = PyBytes_FromFormat("the application raised %s: %s\n%s",
	    summary != NULL ? PyBytes_AS_STRING(summary) : "an exception", effect,
	    traceback != NULL ? PyBytes_AS_STRING(traceback) : "no memory for its traceback\n");

	PyErr_Clear();
	if (text != NULL)
		log_text(
		    cycle, PST_LOG_ERROR, PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text));
	Py_XDECREF(text);
	Py_XDECREF(summary);
	Py_XDECREF(traceback);
}

/* --- Waiting --------------------------------------------------------------------------- */

/* Set the result of FUTURE, unless it has one, or was cancelled. */
static void
resolve(const struct pst_asgi *asgi, PyObject *future)
{
	PyObject *done = PyObject_CallMethodNoArgs(future, asgi->names.done);
	PyObject *set = NULL;

	if (done == Py_False)
		set = PyObject_CallMethodOneArg(future, asgi->names.set_result, Py_None);
	Py_XDECREF(done);
	Py_XDECREF(set);
	if (PyErr_Occurred())
		PyErr_WriteUnraisable(future);
}

void
pst_asgi_cycle_wake(struct pst_asgi_cycle *cycle)
{
	struct pst_asgi_step *step;

	while ((step = cycle->waiting) != NULL) {
		PyObject *future = step->future;

		cycle->waiting = step->next;
		step->listed = false;
		Py_INCREF(future);
		resolve(cycle->asgi, future);
		Py_DECREF(future);
	}
}

/* --- The end --------------------------------------------------------------------------- */

/* The request is over; RESULT as handle() returns it. */
static void
finish(struct pst_asgi_cycle *cycle, int result)
{
	struct pst_request *request = cycle->request;
	struct pst_asgi *asgi = cycle->asgi;

	if (request == NULL)
		return;
	cycle->request = NULL;
	Py_CLEAR(cycle->task);
	if (!asgi->closed) {
		asgi->host->set_user(request, NULL);
		asgi->host->finish(request, result);
	}
	pst_asgi_cycle_wake(cycle);
	Py_DECREF(cycle); /* the request's */
}

/* Part of the response is on its way: it cannot become a 500 any more. */
static bool
has_begun(const struct pst_asgi_cycle *cycle)
{
	return !cycle->asgi->closed && cycle->asgi->host->begun(cycle->request);
}

/* What an exception does to the response. */
static const char *
effect(const struct pst_asgi_cycle *cycle)
{
	if (cycle->gone)
		return "its client had left";
	switch (cycle->stage) {
	case PST_ASGI_START:
		return cycle->websocket ? "the handshake is answered 500" : "answered 500";
	case PST_ASGI_OVER:
		return cycle->websocket ? "after the connection was closed"
					: "after a whole response";
	case PST_ASGI_OPEN: return "the connection is closed with 1011";
	default:
		return has_begun(cycle) ? "the response had begun and is broken off"
					: "answered 500";
	}
}

/* Whether EXCEPTION came about because the client left: our own BrokenPipeError, a framework's
 * ClientDisconnect, or what was raised because of one of them. */
static bool
is_leaving(PyObject *exception, unsigned depth)
{
	PyObject *next;
	bool is = PyErr_GivenExceptionMatches(exception, PyExc_BrokenPipeError) ||
		  strcmp(Py_TYPE(exception)->tp_name, "ClientDisconnect") == 0;

	if (is || depth == 0)
		return is;
	next = PyException_GetCause(exception);
	if (next == NULL)
		next = PyException_GetContext(exception);
	is = next != NULL && is_leaving(next, depth - 1);
	Py_XDECREF(next);
	next = PyObject_GetAttrString(exception, "exceptions"); /* of a group */
	PyErr_Clear();
	if (!is && next != NULL && PyTuple_Check(next) && PyTuple_GET_SIZE(next) > 0) {
		is = true;
		for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(next) && is; i++)
			is = is_leaving(PyTuple_GET_ITEM(next, i), depth - 1);
	}
	Py_XDECREF(next);
	return is;
}

/* Whether the exception that is set says only that the client has left. */
static bool
is_quiet(const struct pst_asgi_cycle *cycle)
{
	PyObject *type, *value, *traceback;
	bool quiet;

	if (!cycle->gone)
		return false;
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	quiet = is_leaving(value, 16);
	PyErr_Restore(type, value, traceback);
	return quiet;
}

/* The application has ended. A WebSocket is closed with CODE, unless its client closed it: then
 * nothing is owed to it any more. Whether it was told all that it should be. */
static bool
complete(struct pst_asgi_cycle *cycle, unsigned code)
{
	if (cycle->stage != PST_ASGI_OPEN)
		return cycle->stage == PST_ASGI_OVER && !cycle->broken;
	if (!cycle->gone && !cycle->asgi->closed)
		cycle->asgi->host->close(cycle->request, code, "", 0);
	return true;
}

/* The application raised the exception that is set, which is taken. */
static void
raised(struct pst_asgi_cycle *cycle)
{

	if (is_quiet(cycle)) {
		PyErr_Clear();
		log_line(cycle, PST_LOG_DEBUG, "the client left before the response was complete");
	} else {
		pst_asgi_report(cycle, effect(cycle));
	}
	finish(cycle, complete(cycle, 1011) ? 0 : -1);
}

/* The application returned. */
static void
returned(struct pst_asgi_cycle *cycle)
{
	/* A WebSocket left open: it has nothing more to say, unless it stopped within a message. */
	bool whole = complete(cycle, cycle->broken ? 1011 : 1000);

	if (!whole && !cycle->gone && !cycle->broken) {
		log_line(cycle, PST_LOG_ERROR,
		    cycle->stage == PST_ASGI_START
			? "the application returned without a response: answered 500"
		    : has_begun(cycle)
			? "the application returned before its response was complete: it is broken "
			  "off"
			: "the application returned before its response was complete: answered "
			  "500");
	}
	finish(cycle, whole ? 0 : -1);
}

/* --- The application ------------------------------------------------------------------- */

static PyObject *cycle_receive(PyObject *self, PyObject *unused);
static PyObject *cycle_send(PyObject *self, PyObject *event);

static PyMethodDef receive_method = {
    "receive", cycle_receive, METH_NOARGS, "receive(): await the next event of the request"};
static PyMethodDef send_method = {
    "send", cycle_send, METH_O, "send(event): await until it is on its way"};

/* What drives AWAITABLE, which is taken: itself if it is a coroutine. */
static PyObject *
driver_of(PyObject *awaitable)
{
	PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
	PyObject *iterator = NULL;

	if (PyCoro_CheckExact(awaitable))
		return awaitable;
	if (methods != NULL && methods->am_await != NULL)
		iterator = methods->am_await(awaitable);
	else
		PyErr_Format(PyExc_TypeError,
		    "the application returned %.100s, and an ASGI application returns an awaitable",
		    Py_TYPE(awaitable)->tp_name);
	Py_DECREF(awaitable);
	return iterator;
}

/* Call the application: 0, or -1 with an exception. */
static int
begin(struct pst_asgi_cycle *cycle)
{
	struct pst_asgi *asgi = cycle->asgi;
	struct pst_asgi_facts facts;
	PyObject *args[4] = {NULL};
	PyObject *awaitable = NULL;
	size_t count;
	const struct pst_field *params = asgi->host->params(cycle->request, &count);

	cycle->begun = true;
	args[1] = pst_asgi_scope_make(asgi->scope, params, count, cycle->websocket, &facts);
	args[2] = PyCFunction_New(&receive_method, (PyObject *)cycle);
	args[3] = PyCFunction_New(&send_method, (PyObject *)cycle);
	if (args[1] != NULL && args[2] != NULL && args[3] != NULL) {
		cycle->body_left = facts.content_length;
		cycle->bodyless = facts.head;
		awaitable = PyObject_Vectorcall(
		    asgi->callable, args + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
	}
	Py_XDECREF(args[1]);
	Py_XDECREF(args[2]);
	Py_XDECREF(args[3]);
	if (awaitable != NULL)
		cycle->coroutine = driver_of(awaitable);
	return cycle->coroutine != NULL ? 0 : -1;
}

/* The application ended: with an exception that is set, or not. 0, or -1 with an exception that is
 * the task's to know. */
static int
ended(struct pst_asgi_cycle *cycle)
{
	PyObject *type, *value, *traceback;

	if (pst_child_is())
		pst_child_end();
	Py_CLEAR(cycle->coroutine);
	if (!PyErr_Occurred()) {
		returned(cycle);
		return 0;
	}
	if (!cycle->late || PyErr_ExceptionMatches(PyExc_Exception)) {
		raised(cycle);
		return 0;
	}
	/* Cancelled by the deadline, of which the gateway has told. */
	PyErr_Fetch(&type, &value, &traceback);
	finish(cycle, -1);
	PyErr_Restore(type, value, traceback);
	return -1;
}

/* The task does what follows, on the loop's thread: 0, or -1 with an exception. */
static int
check_thread(const struct pst_asgi_cycle *cycle)
{
	if (pst_asgi_on_loop(cycle->asgi))
		return 0;
	PyErr_SetString(PyExc_RuntimeError, "the request runs on another thread");
	return -1;
}

static PySendResult
cycle_am_send(PyObject *self, PyObject *arg, PyObject **result)
{
	struct pst_asgi_cycle *cycle = (struct pst_asgi_cycle *)self;
	PySendResult sent = PYGEN_ERROR;

	*result = NULL;
	if (check_thread(cycle) < 0)
		return PYGEN_ERROR;
	if (cycle->request == NULL && cycle->coroutine == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "the request is over");
		return PYGEN_ERROR;
	}
	Py_INCREF(cycle);
	if (cycle->coroutine != NULL || (!cycle->begun && begin(cycle) == 0))
		sent = PyIter_Send(cycle->coroutine, arg, result);
	if (sent != PYGEN_NEXT) {
		Py_CLEAR(*result);
		sent = ended(cycle) == 0 ? PYGEN_RETURN : PYGEN_ERROR;
		if (sent == PYGEN_RETURN) {
			Py_INCREF(Py_None);
			*result = Py_None;
		}
	}
	Py_DECREF(cycle);
	return sent;
}

static PyObject *
cycle_self(PyObject *self)
{
	Py_INCREF(self);
	return self;
}

static PyObject *
as_iterator(PySendResult sent, PyObject *result)
{
	if (sent != PYGEN_RETURN)
		return result;
	Py_DECREF(result);
	PyErr_SetNone(PyExc_StopIteration);
	return NULL;
}

static PyObject *
cycle_next(PyObject *self)
{
	PyObject *result;
	PySendResult sent = cycle_am_send(self, Py_None, &result);

	return as_iterator(sent, result);
}

/* send() of the coroutine, which is not the application's send(). */
static PyObject *
cycle_send_value(PyObject *self, PyObject *arg)
{
	PyObject *result;
	PySendResult sent = cycle_am_send(self, arg, &result);

	return as_iterator(sent, result);
}

/* Throw into the application's coroutine, as the task does to cancel it. */
static PyObject *
cycle_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	struct pst_asgi_cycle *cycle = (struct pst_asgi_cycle *)self;
	PyObject *result = NULL;
	PyObject *method;
	int rc;

	if (count < 1 || count > 3) {
		PyErr_SetString(PyExc_TypeError, "throw() takes one to three arguments");
		return NULL;
	}
	if (check_thread(cycle) < 0)
		return NULL;
	Py_INCREF(cycle);
	cycle->begun = true;
	method = cycle->coroutine != NULL
		     ? PyObject_GetAttr(cycle->coroutine, cycle->asgi->names.throw_)
		     : NULL;
	if (method != NULL) {
		result = PyObject_Vectorcall(method, args, (size_t)count, NULL);
		Py_DECREF(method);
	} else {
		PyErr_Clear();
		PyErr_SetObject(
		    PyExceptionInstance_Check(args[0]) ? (PyObject *)Py_TYPE(args[0]) : args[0],
		    PyExceptionInstance_Check(args[0]) ? args[0] : NULL);
	}
	if (result == NULL) {
		if (PyErr_ExceptionMatches(PyExc_StopIteration))
			PyErr_Clear();
		rc = ended(cycle);
		if (rc == 0)
			PyErr_SetNone(PyExc_StopIteration);
	}
	Py_DECREF(cycle);
	return result;
}

static PyObject *
cycle_close(PyObject *self, PyObject *unused)
{
	struct pst_asgi_cycle *cycle = (struct pst_asgi_cycle *)self;
	PyObject *coroutine = cycle->coroutine;
	PyObject *closed = NULL;

	(void)unused;
	if (check_thread(cycle) < 0)
		return NULL;
	Py_INCREF(cycle);
	cycle->coroutine = NULL;
	if (coroutine != NULL) {
		closed = PyObject_CallMethod(coroutine, "close", NULL);
		Py_DECREF(coroutine);
	}
	if (PyErr_Occurred())
		raised(cycle);
	else
		finish(cycle, -1);
	Py_XDECREF(closed);
	Py_DECREF(cycle);
	Py_RETURN_NONE;
}

/* cr_frame, cr_await ...: whoever looks at the task's coroutine sees the application's. */
static PyObject *
cycle_getattro(PyObject *self, PyObject *name)
{
	struct pst_asgi_cycle *cycle = (struct pst_asgi_cycle *)self;
	PyObject *value = PyObject_GenericGetAttr(self, name);

	if (value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError))
		return value;
	if (cycle->coroutine == NULL) {
		if (!PyUnicode_Check(name) ||
		    PyUnicode_CompareWithASCIIString(name, "cr_running") != 0)
			return NULL;
		PyErr_Clear();
		return PyBool_FromLong(cycle->begun);
	}
	PyErr_Clear();
	return PyObject_GetAttr(cycle->coroutine, name);
}

static void
cycle_dealloc(PyObject *self)
{
	struct pst_asgi_cycle *cycle = (struct pst_asgi_cycle *)self;
	PyTypeObject *type = Py_TYPE(self);

	Py_XDECREF(cycle->task);
	Py_XDECREF(cycle->coroutine);
	Py_XDECREF(cycle->close_reason);
	Py_XDECREF(cycle->message);
	PyObject_Free(self);
	Py_DECREF(type);
}

/* --- receive() and send() -------------------------------------------------------------- */

static PyObject *
cycle_receive(PyObject *self, PyObject *unused)
{
	struct pst_asgi_cycle *cycle = (struct pst_asgi_cycle *)self;

	(void)unused;
	return pst_asgi_step_new(
	    cycle, cycle->websocket ? pst_asgi_websocket_receive : pst_asgi_receive, NULL);
}

static PyObject *
cycle_send(PyObject *self, PyObject *event)
{
	struct pst_asgi_cycle *cycle = (struct pst_asgi_cycle *)self;

	return pst_asgi_step_new(
	    cycle, cycle->websocket ? pst_asgi_websocket_send : pst_asgi_send, event);
}

/* --- The queue ------------------------------------------------------------------------- */

void
pst_asgi_cycle_enqueue(struct pst_asgi_cycle *cycle)
{
	struct pst_asgi *asgi = cycle->asgi;

	if (cycle->queued)
		return;
	Py_INCREF(cycle);
	cycle->queued = true;
	cycle->next = NULL;
	*asgi->queue_end = cycle;
	asgi->queue_end = &cycle->next;
}

/* "Request-7": what asyncio would make costs more. */
static PyObject *
make_name(unsigned long long number)
{
	static const char prefix[] = "Request-";
	char digits[24];
	size_t n = sizeof digits, length;
	PyObject *name;

	do
		digits[--n] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	length = sizeof digits - n;
	name = PyUnicode_New((Py_ssize_t)(sizeof prefix - 1 + length), 127);
	if (name == NULL)
		return NULL;
	memcpy(PyUnicode_1BYTE_DATA(name), prefix, sizeof prefix - 1);
	memcpy(PyUnicode_1BYTE_DATA(name) + sizeof prefix - 1, digits + n, length);
	return name;
}

/* A new task that runs CYCLE, or NULL with an exception. */
static PyObject *
make_task(struct pst_asgi *asgi, struct pst_asgi_cycle *cycle)
{
	PyObject *name = make_name(++asgi->started);
	PyObject *args = PyTuple_Pack(1, (PyObject *)cycle);
	PyObject *task = NULL;

	/* The same dict again: nothing keeps it. */
	if (name != NULL && args != NULL &&
	    PyDict_SetItem(asgi->task_options, asgi->names.name, name) == 0)
		task = PyObject_Call(asgi->create_task, args, asgi->task_options);
	Py_XDECREF(args);
	Py_XDECREF(name);
	return task;
}

/* A task takes its first step now: by itself where it can, else by what it asks the loop for. */
static void
start(struct pst_asgi_cycle *cycle)
{
	struct pst_asgi *asgi = cycle->asgi;

	pst_soon_catch(PST_ASGI_EAGER ? NULL : asgi->loop);
	cycle->task = make_task(asgi, cycle);
	pst_soon_catch(NULL);
	if (cycle->task != NULL && !PST_ASGI_EAGER && pst_soon_run() < 0)
		PyErr_WriteUnraisable(cycle->task);
	if (cycle->task == NULL && cycle->request != NULL) {
		pst_soon_forget();
		pst_asgi_report(cycle, "its task cannot be started, answered 500");
		finish(cycle, -1);
	} else if (cycle->request == NULL) {
		Py_CLEAR(cycle->task); /* eager, and complete already */
	}
}

/* The deadline has passed: what it waits for may be why. */
static void
tell_where(struct pst_asgi_cycle *cycle)
{
	PyObject *stack = cycle->coroutine != NULL ? pst_traceback_of(cycle->coroutine) : NULL;
	PyObject *text = NULL;

	if (stack != NULL && PyBytes_GET_SIZE(stack) > 0)
		text = PyBytes_FromFormat("it is over its deadline and is cancelled, here:\n%s",
		    PyBytes_AS_STRING(stack));
	if (text != NULL)
		log_text(cycle, PST_LOG_WARNING, PyBytes_AS_STRING(text),
		    (size_t)PyBytes_GET_SIZE(text));
	PyErr_Clear();
	Py_XDECREF(text);
	Py_XDECREF(stack);
}

void
pst_asgi_cycle_run(struct pst_asgi_cycle *cycle)
{
	PyObject *cancelled;

	if (cycle->request == NULL)
		return;
	if (cycle->task == NULL && cycle->gone)
		finish(cycle, -1);
	else if (cycle->task == NULL)
		start(cycle);
	if (cycle->task == NULL || !cycle->late)
		return;
	tell_where(cycle);
	cancelled = PyObject_CallMethodNoArgs(cycle->task, cycle->asgi->names.cancel);
	if (cancelled == NULL)
		PyErr_WriteUnraisable(cycle->task);
	Py_XDECREF(cancelled);
}

/* --- The type -------------------------------------------------------------------------- */

static PyMethodDef cycle_methods[] = {
    {"send", cycle_send_value, METH_O, "send(value): go on"},
    {"throw", (PyCFunction)(void (*)(void))cycle_throw, METH_FASTCALL,
	"throw(exception): raise it in the application"},
    {"close", cycle_close, METH_NOARGS, "close(): end the application"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot cycle_slots[] = {
    {Py_tp_dealloc, cycle_dealloc},
    {Py_tp_getattro, cycle_getattro},
    {Py_tp_methods, cycle_methods},
    {Py_am_await, cycle_self},
    {Py_am_send, cycle_am_send},
    {Py_tp_iter, cycle_self},
    {Py_tp_iternext, cycle_next},
    {0, NULL},
};

static PyType_Spec cycle_spec = {
    .name = "penstock.Request",
    .basicsize = sizeof(struct pst_asgi_cycle),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = cycle_slots,
};

PyTypeObject *
pst_asgi_cycle_type(void)
{
	PyTypeObject *type = (PyTypeObject *)(void *)PyType_FromSpec(&cycle_spec);

	if (type != NULL)
		type->tp_new = NULL;
	return type;
}
