#include "adapters/python/later.h"

#include "adapters/python/loop_class.h"
#include "adapters/python/soon.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS 1e9
/* What lies farther ahead than so many seconds is due then. */
#define FARTHEST 1e9
#define NEVER    UINT64_MAX
/* How many timers are called between two looks at the clock. */
#define FEW 4

/* What call_later() returns. Callback, arguments and context are let go of when it is over. */
struct timer {
	PyObject_HEAD
	uint64_t due; /* CLOCK_MONOTONIC, in nanoseconds */
	uint64_t number; /* of two that are due at once, the lower is first */
	size_t place; /* in the heap */
	bool set; /* it is there */
	atomic_bool cancelled;
	double when; /* as time() has it */
	PyObject *callback;
	PyObject *args; /* a tuple; NULL: none */
	PyObject *context; /* NULL: it needs none */
	PyObject *weakrefs;
};

/* Of the loop's thread; others see base and type, which do not change, and what keeps them out. */
static struct {
	PyObject *call_later, *call_at; /* of the loop's class */
	PyObject *wake_sleeper; /* what asyncio.sleep() has called with its future, and a result */
	PyObject *cancelled, *set_result; /* names of a future's methods */
	PyTypeObject *type;
	unsigned long thread;
	_Atomic(PyObject *) loop; /* borrowed: whose timers they are; NULL: nobody's */
	int fd;
	uint64_t set_to; /* when the descriptor becomes readable */
	bool running; /* it is set at the end */
	uint64_t number;
	struct timer **heap; /* a reference each; no child is due before its parent */
	size_t size, count;
} later = {.fd = -1, .set_to = NEVER};

static uint64_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool
on_thread(void)
{
	return later.thread == PyThread_get_thread_ident();
}

/* --- The heap -------------------------------------------------------------------------- */

static bool
is_before(const struct timer *a, const struct timer *b)
{
	return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void
put(size_t place, struct timer *timer)
{
	later.heap[place] = timer;
	timer->place = place;
}

/* TIMER goes to PLACE, or farther up. */
static void
put_up(size_t place, struct timer *timer)
{
	while (place > 0 && is_before(timer, later.heap[(place - 1) / 2])) {
		put(place, later.heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(place, timer);
}

/* TIMER goes to PLACE, or farther down. */
static void
put_down(size_t place, struct timer *timer)
{
	size_t child;

	while ((child = 2 * place + 1) < later.count) {
		if (child + 1 < later.count && is_before(later.heap[child + 1], later.heap[child]))
			child++;
		if (!is_before(later.heap[child], timer))
			break;
		put(place, later.heap[child]);
		place = child;
	}
	put(place, timer);
}

/* 0, or -1 with an exception. */
static int
add(struct timer *timer)
{
	if (later.count == later.size) {
		size_t size = later.size ? 2 * later.size : 64;
		struct timer **larger = PyMem_Realloc(later.heap, size * sizeof *larger);

		if (larger == NULL) {
			PyErr_NoMemory();
			return -1;
		}
		later.heap = larger;
		later.size = size;
	}
	timer->number = later.number++;
	timer->set = true;
	Py_INCREF(timer);
	put_up(later.count++, timer);
	return 0;
}

/* Take TIMER out; its reference is the caller's. */
static void
take(struct timer *timer)
{
	struct timer *last = later.heap[--later.count];
	size_t place = timer->place;

	timer->set = false;
	if (last == timer)
		return;
	if (place > 0 && is_before(last, later.heap[(place - 1) / 2]))
		put_up(place, last);
	else
		put_down(place, last);
}

/* --- The kernel's timer ---------------------------------------------------------------- */

static void
set_kernel(uint64_t due)
{
	struct itimerspec spec = {{0, 0}, {0, 0}};

	if (due != NEVER) {
		spec.it_value.tv_sec = (time_t)(due / 1000000000);
		spec.it_value.tv_nsec = (long)(due % 1000000000);
	}
	later.set_to = due;
	/* This also takes back that it is readable. */
	timerfd_settime(later.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void
pst_later_set(void)
{
	later.running = false;
	if (later.fd >= 0)
		set_kernel(later.count > 0 ? later.heap[0]->due : NEVER);
}

/* --- A timer --------------------------------------------------------------------------- */

static void
let_go(struct timer *timer)
{
	Py_CLEAR(timer->callback);
	Py_CLEAR(timer->args);
	Py_CLEAR(timer->context);
}

static void
timer_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	if (((struct timer *)self)->weakrefs != NULL)
		PyObject_ClearWeakRefs(self);
	let_go((struct timer *)self);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyObject *
timer_cancel(PyObject *self, PyObject *unused)
{
	struct timer *timer = (struct timer *)self;

	(void)unused;
	atomic_store_explicit(&timer->cancelled, true, memory_order_relaxed);
	if (on_thread() && timer->set) {
		take(timer);
		let_go(timer);
		Py_DECREF(timer);
	}
	Py_RETURN_NONE;
}

static PyObject *
timer_cancelled(PyObject *self, PyObject *unused)
{
	struct timer *timer = (struct timer *)self;

	(void)unused;
	return PyBool_FromLong(
	    atomic_load_explicit(&timer->cancelled, memory_order_relaxed) ? 1 : 0);
}

static PyObject *
timer_when(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyFloat_FromDouble(((struct timer *)self)->when);
}

static PyMethodDef timer_methods[] = {
    {"cancel", timer_cancel, METH_NOARGS, "cancel(): it is not called"},
    {"cancelled", timer_cancelled, METH_NOARGS, "cancelled(): whether it was"},
    {"when", timer_when, METH_NOARGS, "when(): at what time of the loop's it is called"},
    {NULL, NULL, 0, NULL},
};

/* Handles of other loops can be referred to weakly, too. */
static PyMemberDef timer_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct timer, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot timer_slots[] = {
    {Py_tp_dealloc, timer_dealloc},
    {Py_tp_methods, timer_methods},
    {Py_tp_members, timer_members},
    {0, NULL},
};

static PyType_Spec timer_spec = {
    .name = "penstock.TimerHandle",
    .basicsize = sizeof(struct timer),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = timer_slots,
};

/* --- What is due ----------------------------------------------------------------------- */

/* Tell the loop's exception handler of the exception that is set. One that is to end the loop
 * stays: -1. */
static int
report(struct timer *timer)
{
	PyObject *type, *value, *traceback, *context, *done = NULL;

	if (PyErr_ExceptionMatches(PyExc_SystemExit) ||
	    PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
		return -1;
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL)
		PyException_SetTraceback(value, traceback);
	context = Py_BuildValue("{sNsOsO}", "message",
	    PyUnicode_FromFormat("Exception in callback %R", timer->callback), "exception", value,
	    "handle", (PyObject *)timer);
	if (context != NULL)
		done = PyObject_CallMethod(later.loop, "call_exception_handler", "O", context);
	if (done == NULL)
		PyErr_WriteUnraisable((PyObject *)timer);
	Py_XDECREF(done);
	Py_XDECREF(context);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	return 0;
}

/* asyncio.sleep() is over; its task goes on within this. */
static PyObject *
wake_sleeper(PyObject *args)
{
	PyObject *future = PyTuple_GET_ITEM(args, 0);
	PyObject *cancelled = PyObject_CallMethodNoArgs(future, later.cancelled);
	PyObject *result;

	if (cancelled != Py_False)
		return cancelled;
	Py_DECREF(cancelled);
	pst_soon_catch(later.loop);
	result = PyObject_CallMethodOneArg(future, later.set_result, PyTuple_GET_ITEM(args, 1));
	pst_soon_catch(NULL);
	return result;
}

static PyObject *
call_in_context(struct timer *timer)
{
	PyObject *result = NULL;

	if (PyContext_Enter(timer->context) < 0)
		return NULL;
	result = timer->args != NULL ? PyObject_Call(timer->callback, timer->args, NULL)
				     : PyObject_CallNoArgs(timer->callback);
	if (PyContext_Exit(timer->context) < 0)
		Py_CLEAR(result);
	return result;
}

/* TIMER was taken out: 0, or -1 with an exception that is to end the loop. */
static int
call(struct timer *timer)
{
	PyObject *result;
	int rc = 0;

	if (atomic_load_explicit(&timer->cancelled, memory_order_relaxed))
		return 0;
	result = timer->context != NULL ? call_in_context(timer) : wake_sleeper(timer->args);
	if (result == NULL)
		rc = report(timer);
	Py_XDECREF(result);
	if (rc == 0 && timer->context == NULL && pst_soon_run() < 0)
		rc = -1;
	return rc;
}

enum pst_later
pst_later_run(uint64_t microseconds)
{
	uint64_t now = clock_now(), end = now + 1000 * microseconds;
	unsigned calls = 0;

	later.running = true;
	while (later.count > 0 && later.heap[0]->due <= now) {
		struct timer *timer = later.heap[0];
		int rc;

		if (++calls % FEW == 0 && clock_now() >= end)
			return PST_LATER_MORE;
		take(timer);
		rc = call(timer);
		let_go(timer);
		Py_DECREF(timer);
		if (rc < 0)
			return PST_LATER_FAILED;
	}
	return PST_LATER_DONE;
}

/* --- The class ------------------------------------------------------------------------- */

static PyObject *
loop_time(PyObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	return PyFloat_FromDouble((double)clock_now() / NANOSECONDS);
}

static uint64_t
to_due(double when)
{
	if (!(when > 0))
		return 1;
	return when < FARTHEST ? (uint64_t)ceil(when * NANOSECONDS)
			       : (uint64_t)(FARTHEST * NANOSECONDS);
}

/* Whether this is what asyncio.sleep() asks for: it needs no context of its own. */
static bool
is_sleeper(PyObject *callback, Py_ssize_t count, PyObject *context)
{
	return callback == later.wake_sleeper && count == 2 && context == NULL;
}

static PyObject *
pack(PyObject *const *args, Py_ssize_t count)
{
	PyObject *tuple = PyTuple_New(count);

	for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
		Py_INCREF(args[i]);
		PyTuple_SET_ITEM(tuple, i, args[i]);
	}
	return tuple;
}

/* A new timer, which is set. ARGS: the callback, and COUNT arguments for it; CONTEXT may be NULL
 * or None. */
static PyObject *
set_timer(double when, uint64_t due, PyObject *const *args, Py_ssize_t count, PyObject *context)
{
	struct timer *timer = PyObject_New(struct timer, later.type);

	if (timer == NULL)
		return NULL;
	memset((char *)timer + offsetof(struct timer, due), 0,
	    sizeof *timer - offsetof(struct timer, due));
	timer->when = when;
	timer->due = due;
	Py_INCREF(args[0]);
	timer->callback = args[0];
	if (context == Py_None)
		context = NULL;
	if (!is_sleeper(args[0], count, context)) {
		Py_XINCREF(context);
		timer->context = context != NULL ? context : PyContext_CopyCurrent();
	}
	if (count > 0)
		timer->args = pack(args + 1, count);
	if (PyErr_Occurred() || add(timer) < 0) {
		Py_DECREF(timer);
		return NULL;
	}
	if (due < later.set_to && !later.running)
		set_kernel(due);
	return (PyObject *)timer;
}

/* Whether the loop's own is to be asked: a call in other ways than usual, too, which it refuses. */
static bool
is_ours(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	if (self != atomic_load_explicit(&later.loop, memory_order_relaxed) || !on_thread() ||
	    count < 2)
		return false;
	return names == NULL ||
	       (PyTuple_GET_SIZE(names) == 1 &&
		   PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "context") == 0 &&
		   (args[count] == Py_None || PyContext_CheckExact(args[count])));
}

static PyObject *
loop_call_later(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	uint64_t now = clock_now();
	double delay;

	if (!is_ours(self, args, count, names))
		return pst_loop_class_pass_on(later.call_later, self, args, count, names);
	delay = PyFloat_AsDouble(args[0]);
	if (delay == -1 && PyErr_Occurred())
		return NULL;
	return set_timer((double)now / NANOSECONDS + delay, now + to_due(delay), args + 1,
	    count - 2, names != NULL ? args[count] : NULL);
}

static PyObject *
loop_call_at(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	double when;

	if (!is_ours(self, args, count, names))
		return pst_loop_class_pass_on(later.call_at, self, args, count, names);
	when = PyFloat_AsDouble(args[0]);
	if (when == -1 && PyErr_Occurred())
		return NULL;
	return set_timer(
	    when, to_due(when), args + 1, count - 2, names != NULL ? args[count] : NULL);
}

static PyMethodDef loop_methods[] = {
    {"time", loop_time, METH_NOARGS, "time(): seconds on the loop's clock"},
    {"call_later", (PyCFunction)(void (*)(void))loop_call_later, METH_FASTCALL | METH_KEYWORDS,
	"call_later(delay, callback, *args, context=None): call it in DELAY seconds"},
    {"call_at", (PyCFunction)(void (*)(void))loop_call_at, METH_FASTCALL | METH_KEYWORDS,
	"call_at(when, callback, *args, context=None): call it at time WHEN"},
    {NULL, NULL, 0, NULL},
};

/* What asyncio.sleep() has called: its own business, so it need not be there. */
static void
find_sleeper(void)
{
	PyObject *futures = PyImport_ImportModule("asyncio.futures");

	if (futures != NULL)
		later.wake_sleeper =
		    PyObject_GetAttrString(futures, "_set_result_unless_cancelled");
	Py_XDECREF(futures);
	PyErr_Clear();
}

int
pst_later_install(PyObject *derived, PyObject *base)
{
	later.thread = PyThread_get_thread_ident();
	Py_XSETREF(later.call_later, PyObject_GetAttrString(base, "call_later"));
	Py_XSETREF(later.call_at, PyObject_GetAttrString(base, "call_at"));
	Py_XSETREF(later.cancelled, PyUnicode_InternFromString("cancelled"));
	Py_XSETREF(later.set_result, PyUnicode_InternFromString("set_result"));
	if (later.type == NULL)
		later.type = (PyTypeObject *)(void *)PyType_FromSpec(&timer_spec);
	if (later.call_later == NULL || later.call_at == NULL || later.cancelled == NULL ||
	    later.set_result == NULL || later.type == NULL)
		return -1;
	later.type->tp_new = NULL;
	find_sleeper();
	return pst_loop_class_add(derived, loop_methods);
}

/* --- Life ------------------------------------------------------------------------------ */

int
pst_later_open(PyObject *loop)
{
	PyObject *debug = PyObject_CallMethod(loop, "get_debug", NULL);
	bool slow = debug == Py_True;

	Py_XDECREF(debug);
	if (debug == NULL)
		return -1;
	later.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (later.fd < 0) {
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	if (!slow)
		atomic_store_explicit(&later.loop, loop, memory_order_relaxed);
	return later.fd;
}

void
pst_later_close(void)
{
	atomic_store_explicit(&later.loop, NULL, memory_order_relaxed);
	while (later.count > 0) {
		struct timer *timer = later.heap[0];

		take(timer);
		let_go(timer);
		Py_DECREF(timer);
	}
	if (later.fd >= 0)
		close(later.fd);
	later.fd = -1;
	later.set_to = NEVER;
	PyMem_Free(later.heap);
	later.heap = NULL;
	later.size = 0;
	Py_CLEAR(later.wake_sleeper);
}
