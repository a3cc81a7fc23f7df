#include "adapters/python/greenlets.h"

#include "adapters/python/call.h"
#include "adapters/python/environ.h"
#include "adapters/python/wsgi.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

TAILQ_HEAD(tasks, task);
TAILQ_HEAD(waits, wait);

/* A greenlet that waits. It is not on that greenlet's stack, which is elsewhere meanwhile. */
struct wait {
	TAILQ_ENTRY(wait) list;
	struct waits *in; /* the task's, or what is to be woken; NULL: it is awake */
	PyObject *greenlet;
};

/* One request: what its greenlet calls. */
struct task {
	PyObject_HEAD
	struct pst_greenlets *greenlets;
	struct pst_request *request; /* NULL: it is over */
	PyObject *greenlet; /* NULL: it has not begun */
	struct waits waits; /* its greenlet, and others that the application has started for it */
	TAILQ_ENTRY(task) list;
	bool listed; /* it is to be started, or stopped */
	bool gone; /* nobody wants the answer */
	bool late; /* ... because of the deadline */
};

struct pst_greenlets {
	struct pst_waiter waiter; /* first */
	const struct pst_host *host;
	struct pst_wsgi *wsgi;
	struct pst_environ *environ;
	PyTypeObject *type; /* of tasks */
	PyObject *make, *current, *hub; /* greenlet.greenlet, greenlet.getcurrent; a greenlet */
	PyObject *pause; /* switch to the hub */
	PyObject *switch_, *throw_; /* names */
	struct tasks tasks; /* listed */
	struct waits woken;
	bool closed;
};

/* --- Waiting --------------------------------------------------------------------------- */

static void
move_wait(struct wait *wait, struct waits *to)
{
	if (wait->in != NULL)
		TAILQ_REMOVE(wait->in, wait, list);
	wait->in = to;
	if (to != NULL)
		TAILQ_INSERT_TAIL(to, wait, list);
}

static void
wake(struct task *task)
{
	struct wait *wait;

	while ((wait = TAILQ_FIRST(&task->waits)) != NULL)
		move_wait(wait, &task->greenlets->woken);
}

static int
waiter_wait(struct pst_waiter *waiter, struct pst_request *request)
{
	struct pst_greenlets *greenlets = (struct pst_greenlets *)waiter;
	struct task *task = greenlets->host->user(request);
	struct wait *wait = task != NULL ? calloc(1, sizeof *wait) : NULL;
	PyObject *result = NULL;

	if (wait == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	wait->greenlet = PyObject_CallNoArgs(greenlets->current);
	if (wait->greenlet != NULL) {
		move_wait(wait, &task->waits);
		result = PyObject_CallNoArgs(greenlets->pause);
		move_wait(wait, NULL);
	}
	Py_XDECREF(wait->greenlet);
	free(wait);
	Py_XDECREF(result);
	return result != NULL ? 0 : -1;
}

/* Switch to GREENLET, from the hub: until it waits, or ends. */
static void
resume(struct pst_greenlets *greenlets, PyObject *greenlet)
{
	PyObject *result = PyObject_CallMethodNoArgs(greenlet, greenlets->switch_);

	if (result == NULL)
		PyErr_WriteUnraisable(greenlet);
	Py_XDECREF(result);
}

/* --- A request ------------------------------------------------------------------------- */

static void
finish(struct task *task, int result)
{
	struct pst_greenlets *greenlets = task->greenlets;
	struct pst_request *request = task->request;

	task->request = NULL;
	Py_CLEAR(task->greenlet);
	wake(task);
	if (!greenlets->closed) {
		greenlets->host->set_user(request, NULL);
		greenlets->host->finish(request, result);
	}
	Py_DECREF(task); /* the request's */
}

/* The task is called: its greenlet begins. */
static PyObject *
task_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
	struct task *task = (struct task *)self;
	struct pst_greenlets *greenlets = task->greenlets;

	(void)args;
	(void)kwargs;
	if (task->request != NULL && !greenlets->closed) {
		int result = pst_wsgi_serve(
		    greenlets->wsgi, greenlets->environ, task->request, &greenlets->waiter);

		finish(task, result);
	}
	Py_RETURN_NONE;
}

static void
task_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	Py_XDECREF(((struct task *)self)->greenlet);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyType_Slot task_slots[] = {
    {Py_tp_dealloc, task_dealloc},
    {Py_tp_call, task_call},
    {0, NULL},
};

static PyType_Spec task_spec = {
    .name = "penstock.Request",
    .basicsize = sizeof(struct task),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = task_slots,
};

static void
start(struct task *task)
{
	struct pst_greenlets *greenlets = task->greenlets;
	PyObject *args[3] = {NULL, (PyObject *)task, greenlets->hub};
	PyObject *greenlet;

	task->greenlet = PyObject_Vectorcall(
	    greenlets->make, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
	if (task->greenlet == NULL) {
		PyErr_WriteUnraisable(greenlets->make);
		finish(task, -1);
		return;
	}
	greenlet = task->greenlet;
	Py_INCREF(greenlet);
	resume(greenlets, greenlet);
	Py_DECREF(greenlet);
}

/* Its deadline is over: the application has no other way to learn of it. */
static void
stop(struct task *task)
{
	PyObject *greenlet = task->greenlet;
	PyObject *result;

	Py_INCREF(greenlet);
	result = PyObject_CallMethodOneArg(
	    greenlet, task->greenlets->throw_, task->greenlets->waiter.deadline);
	if (result == NULL)
		PyErr_WriteUnraisable(greenlet);
	Py_XDECREF(result);
	Py_DECREF(greenlet);
}

static void
run(struct task *task)
{
	if (task->request == NULL)
		return;
	if (task->greenlet != NULL && task->late)
		stop(task);
	else if (task->greenlet == NULL && task->gone)
		finish(task, -1);
	else if (task->greenlet == NULL)
		start(task);
}

static struct task *
task_new(struct pst_greenlets *greenlets, struct pst_request *request)
{
	struct task *task = PyObject_New(struct task, greenlets->type);

	if (task == NULL)
		return NULL;
	task->greenlets = greenlets;
	task->request = request;
	task->greenlet = NULL;
	TAILQ_INIT(&task->waits);
	task->listed = task->gone = task->late = false;
	return task;
}

/* --- The queue ------------------------------------------------------------------------- */

static void
enqueue(struct task *task)
{
	if (task->listed)
		return;
	Py_INCREF(task);
	task->listed = true;
	TAILQ_INSERT_TAIL(&task->greenlets->tasks, task, list);
}

/* With a reference. */
static struct task *
dequeue(struct pst_greenlets *greenlets)
{
	struct task *task = TAILQ_FIRST(&greenlets->tasks);

	if (task == NULL)
		return NULL;
	TAILQ_REMOVE(&greenlets->tasks, task, list);
	task->listed = false;
	return task;
}

void
pst_greenlets_after(struct pst_greenlets *greenlets)
{
	struct task *task;
	struct wait *wait;

	while ((task = dequeue(greenlets)) != NULL) {
		run(task);
		Py_DECREF(task);
	}
	while ((wait = TAILQ_FIRST(&greenlets->woken)) != NULL) {
		PyObject *greenlet = wait->greenlet;

		move_wait(wait, NULL);
		Py_INCREF(greenlet);
		resume(greenlets, greenlet);
		Py_DECREF(greenlet);
	}
}

/* --- The host's callbacks -------------------------------------------------------------- */

void
pst_greenlets_on_request(struct pst_greenlets *greenlets, struct pst_request *request)
{
	struct task *task = task_new(greenlets, request);

	if (task == NULL) {
		static const char text[] = "out of memory: a request is refused";

		PyErr_Clear();
		greenlets->host->log(PST_LOG_ERROR, text, sizeof text - 1);
		greenlets->host->finish(request, -1);
		return;
	}
	greenlets->host->set_user(request, task); /* it has the reference */
	enqueue(task);
}

void
pst_greenlets_on_ready(struct pst_greenlets *greenlets, struct pst_request *request)
{
	struct task *task = greenlets->host->user(request);

	if (task != NULL)
		wake(task);
}

void
pst_greenlets_on_abort(
    struct pst_greenlets *greenlets, struct pst_request *request, enum pst_abort why)
{
	struct task *task = greenlets->host->user(request);

	if (task == NULL)
		return;
	task->gone = true;
	task->late = why == PST_ABORT_DEADLINE;
	wake(task);
	enqueue(task);
}

/* --- Life ------------------------------------------------------------------------------ */

static int
fill(struct pst_greenlets *greenlets, PyObject *glue)
{
	greenlets->type = (PyTypeObject *)(void *)PyType_FromSpec(&task_spec);
	greenlets->make = PyObject_GetAttrString(glue, "greenlet");
	greenlets->current = PyObject_GetAttrString(glue, "getcurrent");
	greenlets->hub = PyObject_GetAttrString(glue, "parent");
	greenlets->pause = PyObject_GetAttrString(glue, "pause");
	greenlets->waiter.deadline = PyErr_NewExceptionWithDoc("penstock.Deadline",
	    "The request took longer than --timeout allows.", PyExc_BaseException, NULL);
	greenlets->switch_ = PyUnicode_InternFromString("switch");
	greenlets->throw_ = PyUnicode_InternFromString("throw");
	greenlets->environ = pst_wsgi_environ(greenlets->wsgi);
	if (PyErr_Occurred())
		return -1;
	greenlets->type->tp_new = NULL;
	return 0;
}

struct pst_greenlets *
pst_greenlets_new(const struct pst_host *host, struct pst_wsgi *wsgi, PyObject *glue)
{
	struct pst_greenlets *greenlets = calloc(1, sizeof *greenlets);

	if (greenlets == NULL) {
		pst_wsgi_free(wsgi);
		PyErr_NoMemory();
		return NULL;
	}
	greenlets->waiter.wait = waiter_wait;
	greenlets->waiter.thread = PyThread_get_thread_ident();
	greenlets->host = host;
	greenlets->wsgi = wsgi;
	TAILQ_INIT(&greenlets->tasks);
	TAILQ_INIT(&greenlets->woken);
	if (fill(greenlets, glue) == 0)
		return greenlets;
	pst_greenlets_close(greenlets);
	free(greenlets);
	return NULL;
}

void
pst_greenlets_close(struct pst_greenlets *greenlets)
{
	struct task *task;

	greenlets->closed = true;
	while ((task = dequeue(greenlets)) != NULL)
		Py_DECREF(task);
	if (greenlets->environ != NULL)
		pst_environ_free(greenlets->environ);
	greenlets->environ = NULL;
	pst_wsgi_free(greenlets->wsgi);
	greenlets->wsgi = NULL;
	Py_CLEAR(greenlets->type);
	Py_CLEAR(greenlets->make);
	Py_CLEAR(greenlets->current);
	Py_CLEAR(greenlets->hub);
	Py_CLEAR(greenlets->pause);
	Py_CLEAR(greenlets->waiter.deadline);
	Py_CLEAR(greenlets->switch_);
	Py_CLEAR(greenlets->throw_);
}

void
pst_greenlets_free(struct pst_greenlets *greenlets)
{
	free(greenlets);
}
