#include "adapters/python/tornado.h"

#include "adapters/python/exchange.h"
#include "adapters/python/loop.h"

#include <stdlib.h>

struct pst_tornado {
	const struct pst_host *host;
	PyObject *server; /* of the glue */
	PyObject *begin; /* its method */
	PyObject *on_ready, *on_abort; /* names of a connection's methods */
	PyTypeObject *type;
	struct pst_exchange *queue, **queue_end; /* with a reference each */
	bool closed;
};

/* --- The queue ------------------------------------------------------------------------- */

static void
enqueue(struct pst_tornado *tornado, struct pst_exchange *exchange)
{
	if (exchange->queued)
		return;
	Py_INCREF(exchange);
	exchange->queued = true;
	exchange->next = NULL;
	*tornado->queue_end = exchange;
	tornado->queue_end = &exchange->next;
}

/* With a reference. */
static struct pst_exchange *
dequeue(struct pst_tornado *tornado)
{
	struct pst_exchange *exchange = tornado->queue;

	if (exchange == NULL)
		return NULL;
	tornado->queue = exchange->next;
	if (tornado->queue == NULL)
		tornado->queue_end = &tornado->queue;
	exchange->queued = false;
	return exchange;
}

/* The glue handles what applications raise: this is its own mistake. */
static void
check(PyObject *result, PyObject *where)
{
	if (result == NULL)
		PyErr_WriteUnraisable(where);
	Py_XDECREF(result);
}

static void
end(struct pst_exchange *exchange)
{
	check(PyObject_CallMethod((PyObject *)exchange, "finish", "O", Py_False),
	    (PyObject *)exchange);
}

static void
begin(struct pst_tornado *tornado, struct pst_exchange *exchange)
{
	PyObject *handler;

	exchange->begun = true;
	handler = PyObject_CallOneArg(tornado->begin, (PyObject *)exchange);
	if (handler == NULL) {
		PyErr_WriteUnraisable(tornado->begin);
		end(exchange);
	} else if (exchange->request != NULL) {
		exchange->handler = handler;
	} else {
		Py_DECREF(handler); /* it is over already */
	}
}

static void
tell(struct pst_tornado *tornado, struct pst_exchange *exchange)
{
	PyObject *handler;

	if (!exchange->begun && exchange->gone)
		end(exchange);
	else if (!exchange->begun)
		begin(tornado, exchange);
	handler = exchange->handler;
	if (handler == NULL)
		return;
	Py_INCREF(handler);
	if (exchange->gone)
		check(PyObject_CallMethodOneArg(
			  handler, tornado->on_abort, exchange->late ? Py_True : Py_False),
		    handler);
	else if (exchange->ready)
		check(PyObject_CallMethodNoArgs(handler, tornado->on_ready), handler);
	exchange->ready = false;
	Py_DECREF(handler);
}

bool
pst_tornado_after(struct pst_tornado *tornado)
{
	struct pst_exchange *exchange;
	bool any = false;

	while ((exchange = dequeue(tornado)) != NULL) {
		tell(tornado, exchange);
		Py_DECREF(exchange);
		any = true;
	}
	return any;
}

/* --- The host's callbacks -------------------------------------------------------------- */

void
pst_tornado_on_request(struct pst_tornado *tornado, struct pst_request *request)
{
	struct pst_exchange *exchange =
	    pst_exchange_new(tornado->type, tornado->host, request, &tornado->closed);

	if (exchange == NULL) {
		static const char text[] = "out of memory: a request is refused";

		PyErr_Clear();
		tornado->host->log(PST_LOG_ERROR, text, sizeof text - 1);
		tornado->host->finish(request, -1);
		return;
	}
	tornado->host->set_user(request, exchange); /* it has the reference */
	enqueue(tornado, exchange);
}

void
pst_tornado_on_ready(struct pst_tornado *tornado, struct pst_request *request)
{
	struct pst_exchange *exchange = tornado->host->user(request);

	if (exchange == NULL)
		return;
	exchange->ready = true;
	enqueue(tornado, exchange);
}

void
pst_tornado_on_abort(struct pst_tornado *tornado, struct pst_request *request, enum pst_abort why)
{
	struct pst_exchange *exchange = tornado->host->user(request);

	if (exchange == NULL)
		return;
	exchange->gone = true;
	exchange->late = why == PST_ABORT_DEADLINE;
	enqueue(tornado, exchange);
}

void
pst_tornado_drain(struct pst_tornado *tornado)
{
	check(PyObject_CallMethod(tornado->server, "drain", NULL), tornado->server);
}

/* --- Life ------------------------------------------------------------------------------ */

struct pst_tornado *
pst_tornado_new(const struct pst_host *host, PyObject *app, PyObject *glue)
{
	struct pst_tornado *tornado = calloc(1, sizeof *tornado);
	PyObject *module;

	if (tornado == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	tornado->host = host;
	tornado->queue_end = &tornado->queue;
	module = pst_loop_import("tornado");
	if (module != NULL)
		tornado->server = PyObject_CallMethod(module, "Server", "OO", app, glue);
	Py_XDECREF(module);
	if (tornado->server != NULL)
		tornado->begin = PyObject_GetAttrString(tornado->server, "begin");
	tornado->on_ready = PyUnicode_InternFromString("on_ready");
	tornado->on_abort = PyUnicode_InternFromString("on_abort");
	tornado->type = pst_exchange_type();
	if (tornado->begin != NULL && tornado->on_ready != NULL && tornado->on_abort != NULL &&
	    tornado->type != NULL)
		return tornado;
	pst_tornado_close(tornado);
	free(tornado);
	return NULL;
}

void
pst_tornado_close(struct pst_tornado *tornado)
{
	struct pst_exchange *exchange;

	tornado->closed = true;
	while ((exchange = dequeue(tornado)) != NULL)
		Py_DECREF(exchange);
	Py_CLEAR(tornado->server);
	Py_CLEAR(tornado->begin);
	Py_CLEAR(tornado->on_ready);
	Py_CLEAR(tornado->on_abort);
	Py_CLEAR(tornado->type);
}

void
pst_tornado_free(struct pst_tornado *tornado)
{
	free(tornado);
}
