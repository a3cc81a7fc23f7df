/* What receive() and send() return. */
#include "adapters/python/asgi_internal.h"

#include "adapters/python/child.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define SPARES 64

bool
pst_asgi_on_loop(const struct pst_asgi *asgi)
{
	return asgi->thread == PyThread_get_thread_ident();
}

PyObject *
pst_asgi_step_new(struct pst_asgi_cycle *cycle, pst_asgi_step_fn *fn, PyObject *event)
{
	struct pst_asgi *asgi = cycle->asgi;
	struct pst_asgi_step *step = pst_asgi_on_loop(asgi) ? asgi->spare : NULL;

	if (step != NULL) {
		asgi->spare = step->next;
		asgi->spares--;
		PyObject_Init((PyObject *)step, asgi->step_type);
	} else {
		step = PyObject_New(struct pst_asgi_step, asgi->step_type);
		if (step == NULL)
			return NULL;
	}
	memset((char *)step + offsetof(struct pst_asgi_step, cycle), 0,
	    sizeof *step - offsetof(struct pst_asgi_step, cycle));
	Py_INCREF(cycle);
	step->cycle = cycle;
	step->fn = fn;
	Py_XINCREF(event);
	step->event = event;
	step->fd = -1;
	return (PyObject *)step;
}

void
pst_asgi_step_free_spares(struct pst_asgi *asgi)
{
	while (asgi->spare != NULL) {
		struct pst_asgi_step *step = asgi->spare;

		asgi->spare = step->next;
		PyObject_Free(step);
	}
	asgi->spares = 0;
}

void
pst_asgi_step_release(struct pst_asgi_step *step)
{
	if (step->view.obj != NULL)
		PyBuffer_Release(&step->view);
	step->view.obj = NULL;
	if (step->owns_fd)
		close(step->fd);
	step->fd = -1;
	step->owns_fd = false;
}

/* Take STEP out of the cycle's list. */
static void
unlist(struct pst_asgi_step *step)
{
	struct pst_asgi_step **at = &step->cycle->waiting;

	if (!step->listed)
		return;
	while (*at != step)
		at = &(*at)->next;
	*at = step->next;
	step->listed = false;
}

/* It is over: another send() may begin. */
static void
end(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	PyObject *type, *value, *traceback;

	unlist(step);
	Py_CLEAR(step->future);
	Py_CLEAR(step->iterator);
	step->fn = NULL;
	if (cycle->sender != step)
		return;
	cycle->sender = NULL;
	/* It was cancelled within a body or a message. Of a message that has not begun nothing is
	 * missing. */
	if (step->at < step->size && !cycle->gone &&
	    (step->at > 0 || cycle->stage != PST_ASGI_OPEN))
		cycle->broken = true;
	if (cycle->waiting == NULL)
		return;
	/* What it fails with is the caller's: Python code must not run with an exception set. */
	PyErr_Fetch(&type, &value, &traceback);
	pst_asgi_cycle_wake(cycle);
	PyErr_Restore(type, value, traceback);
}

/* STEP, which nobody refers to, and the references that it has. On the loop's thread. */
static void
destroy(struct pst_asgi_step *step)
{
	struct pst_asgi *asgi = step->cycle->asgi;
	PyTypeObject *type = Py_TYPE(step);

	if (step->fn != NULL)
		end(step);
	pst_asgi_step_release(step);
	Py_XDECREF(step->event);
	Py_DECREF(step->cycle);
	if (asgi->spares < SPARES && !asgi->closed) {
		step->next = asgi->spare;
		asgi->spare = step;
		asgi->spares++;
	} else {
		PyObject_Free(step);
	}
	Py_DECREF(type);
}

void
pst_asgi_step_reap(struct pst_asgi *asgi)
{
	struct pst_asgi_step *step = atomic_exchange(&asgi->orphans, NULL);

	while (step != NULL) {
		struct pst_asgi_step *next = step->orphan;

		destroy(step);
		step = next;
	}
}

/* What it may have to tell others of its request, and the host, is for the loop's thread. */
static void
step_dealloc(PyObject *self)
{
	struct pst_asgi_step *step = (struct pst_asgi_step *)self;
	struct pst_asgi *asgi = step->cycle->asgi;

	if (pst_asgi_on_loop(asgi)) {
		destroy(step);
		return;
	}
	step->orphan = atomic_load(&asgi->orphans);
	while (!atomic_compare_exchange_weak(&asgi->orphans, &step->orphan, step))
		;
}

/* Wait: the future's iterator gives what the task wants to have. */
static PySendResult
suspend(struct pst_asgi_step *step, PyObject **result)
{
	PyObject *future = PyObject_CallNoArgs(step->cycle->asgi->create_future);
	PyAsyncMethods *methods = future != NULL ? Py_TYPE(future)->tp_as_async : NULL;

	if (methods != NULL && methods->am_await != NULL)
		step->iterator = methods->am_await(future);
	else if (future != NULL)
		PyErr_SetString(PyExc_TypeError, "the loop's futures cannot be awaited");
	if (step->iterator == NULL) {
		Py_XDECREF(future);
		return PYGEN_ERROR;
	}
	step->future = future;
	step->next = step->cycle->waiting;
	step->cycle->waiting = step;
	step->listed = true;
	return PyIter_Send(step->iterator, Py_None, result);
}

static PySendResult
step_send(PyObject *self, PyObject *arg, PyObject **result)
{
	struct pst_asgi_step *step = (struct pst_asgi_step *)self;
	PySendResult sent;

	*result = NULL;
	if (!pst_asgi_on_loop(step->cycle->asgi)) {
		PyErr_SetString(PyExc_RuntimeError,
		    "receive() and send() are to be awaited on the event loop of their request, "
		    "which another thread runs: see asyncio.run_coroutine_threadsafe()");
		return PYGEN_ERROR;
	}
	if (pst_child_is()) {
		PyErr_SetString(
		    PyExc_RuntimeError, "the request belongs to the process that forked this one");
		return PYGEN_ERROR;
	}
	if (step->fn == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "this was awaited already");
		return PYGEN_ERROR;
	}
	if (step->iterator != NULL) {
		sent = PyIter_Send(step->iterator, arg, result);
		if (sent == PYGEN_NEXT)
			return sent;
		unlist(step);
		Py_CLEAR(step->iterator);
		Py_CLEAR(step->future);
		if (sent == PYGEN_ERROR) {
			end(step);
			return sent;
		}
		Py_CLEAR(*result);
	}
	*result = NULL;
	sent = step->fn(step, result);
	if (sent == PYGEN_NEXT)
		sent = suspend(step, result);
	if (sent != PYGEN_NEXT)
		end(step);
	return sent;
}

static PyObject *
step_self(PyObject *self)
{
	Py_INCREF(self);
	return self;
}

/* A result as an iterator returns it. */
static PyObject *
stop_iteration(PySendResult sent, PyObject *result)
{
	if (sent != PYGEN_RETURN)
		return result;
	PyErr_SetObject(PyExc_StopIteration, result); /* a dict or None: kept as it is */
	Py_DECREF(result);
	return NULL;
}

static PyObject *
step_next(PyObject *self)
{
	PyObject *result = NULL;
	PySendResult sent = step_send(self, Py_None, &result);

	return stop_iteration(sent, result);
}

static PyObject *
step_send_method(PyObject *self, PyObject *arg)
{
	PyObject *result = NULL;
	PySendResult sent = step_send(self, arg, &result);

	return stop_iteration(sent, result);
}

/* Raise what throw() was given: (exception), or (type, value, traceback). Always NULL. */
static PyObject *
raise_given(PyObject *const *args, Py_ssize_t count)
{
	PyObject *type = args[0];
	PyObject *value = count > 1 && args[1] != Py_None ? args[1] : NULL;

	if (PyExceptionInstance_Check(type)) {
		PyErr_SetObject((PyObject *)Py_TYPE(type), type);
	} else if (value != NULL && PyExceptionInstance_Check(value)) {
		PyErr_SetObject((PyObject *)Py_TYPE(value), value);
	} else if (PyExceptionClass_Check(type)) {
		PyErr_SetObject(type, value);
	} else {
		PyErr_SetString(PyExc_TypeError, "throw() takes an exception");
	}
	return NULL;
}

static PyObject *
step_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	struct pst_asgi_step *step = (struct pst_asgi_step *)self;

	if (count < 1 || count > 3) {
		PyErr_SetString(PyExc_TypeError, "throw() takes one to three arguments");
		return NULL;
	}
	if (step->fn != NULL && pst_asgi_on_loop(step->cycle->asgi))
		end(step);
	return raise_given(args, count);
}

static PyObject *
step_close(PyObject *self, PyObject *unused)
{
	struct pst_asgi_step *step = (struct pst_asgi_step *)self;

	(void)unused;
	if (step->fn != NULL && pst_asgi_on_loop(step->cycle->asgi))
		end(step);
	Py_RETURN_NONE;
}

static PyMethodDef step_methods[] = {
    {"send", step_send_method, METH_O, "send(None): go on"},
    {"throw", (PyCFunction)(void (*)(void))step_throw, METH_FASTCALL, "throw(exception): give up"},
    {"close", step_close, METH_NOARGS, "close(): give up"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot step_slots[] = {
    {Py_tp_dealloc, step_dealloc},
    {Py_tp_methods, step_methods},
    {Py_am_await, step_self},
    {Py_am_send, step_send},
    {Py_tp_iter, step_self},
    {Py_tp_iternext, step_next},
    {0, NULL},
};

static PyType_Spec step_spec = {
    .name = "penstock.Step",
    .basicsize = sizeof(struct pst_asgi_step),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = step_slots,
};

PyTypeObject *
pst_asgi_step_type(void)
{
	PyTypeObject *type = (PyTypeObject *)(void *)PyType_FromSpec(&step_spec);

	if (type != NULL)
		type->tp_new = NULL;
	return type;
}
