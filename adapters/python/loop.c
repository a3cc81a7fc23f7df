#include "adapters/python/loop.h"

#include "adapters/python/child.h"
#include "adapters/python/later.h"
#include "adapters/python/loop_class.h"
#include "adapters/python/option.h"
#include "adapters/python/poll.h"
#include "adapters/python/say.h"
#include "adapters/python/soon.h"

#include <stdlib.h>
#include <string.h>

#define GLUE_PACKAGE "penstock_loops"
#define GLUE_PATH    PST_PKGDATADIR "/python"

/* After so many microseconds of timers what they brought leaves; after so many such parts the
 * loop's descriptors have their turn. */
#define TIMER_PART  200
#define TIMER_PARTS 4

struct pst_loop {
	const struct pst_host *host;
	enum pst_loop_after (*after)(void *arg);
	void *arg;
	int timers; /* the descriptor of the application's timers */
	bool inside; /* a callback of ours runs: what is deferred waits for its end */
	bool wanted; /* ... and something was */
	bool queued; /* turn() is among what the loop has to do */
	PyObject *module; /* _penstock */
	PyObject *glue;
	PyObject *watch, *timer, *defer; /* methods of the glue */
};

/* --- _penstock ------------------------------------------------------------------------- */

static struct pst_loop *
loop_of(PyObject *module)
{
	struct pst_loop **state = PyModule_GetState(module);

	return *state;
}

static void queue_turn(struct pst_loop *loop);

/*
 * A frame of the host's has ended. The turn comes behind what the application has to do now, so
 * that what it writes leaves with it, and the loop need not come round once more. Where that is
 * done already the turn is due at once.
 */
static enum pst_loop_after
end_part(struct pst_loop *loop, bool ran)
{
	enum pst_loop_after did = loop->after(loop->arg);

	if (!loop->wanted || (!ran && did != PST_LOOP_RAN))
		return did;
	loop->wanted = false;
	loop->host->turn();
	return loop->after(loop->arg);
}

static void
end_frame(struct pst_loop *loop, enum pst_loop_after did)
{
	loop->inside = false;
	if (did == PST_LOOP_QUEUED || loop->wanted)
		queue_turn(loop);
	loop->wanted = false;
}

static void
run_ready(struct pst_loop *loop, int fd, unsigned events)
{
	if (pst_child_is())
		pst_child_end();
	loop->inside = true;
	loop->host->fd_ready(fd, events);
	end_frame(loop, end_part(loop, false));
}

static PyObject *
module_fd_ready(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
	struct pst_loop *loop = loop_of(module);
	long fd, events;

	if (count != 2) {
		PyErr_SetString(PyExc_TypeError, "fd_ready() takes fd and events");
		return NULL;
	}
	fd = PyLong_AsLong(args[0]);
	events = PyLong_AsLong(args[1]);
	if (PyErr_Occurred())
		return NULL;
	if (loop != NULL)
		run_ready(loop, (int)fd, (unsigned)events);
	Py_RETURN_NONE;
}

static PyObject *
module_timer_due(PyObject *module, PyObject *unused)
{
	struct pst_loop *loop = loop_of(module);

	(void)unused;
	if (loop != NULL && loop->inside) {
		loop->host->timer_due(); /* among the application's */
	} else if (loop != NULL) {
		loop->inside = true;
		loop->host->timer_due();
		end_frame(loop, end_part(loop, false));
	}
	Py_RETURN_NONE;
}

/* What the application's timers bring leaves while others are still to be called: the first need
 * not wait for the last. */
static enum pst_later
run_timers(struct pst_loop *loop)
{
	enum pst_loop_after did = PST_LOOP_NOTHING;
	PyObject *type, *value, *traceback;
	enum pst_later later;
	unsigned parts = TIMER_PARTS;

	loop->inside = true;
	do {
		later = pst_later_run(TIMER_PART);
		if (later != PST_LATER_FAILED)
			did = end_part(loop, true);
	} while (later == PST_LATER_MORE && --parts > 0);
	/* What is to end the loop is not for the glue, which this may call. */
	PyErr_Fetch(&type, &value, &traceback);
	end_frame(loop, did);
	PyErr_Restore(type, value, traceback);
	return later;
}

/* LOOP is NULL when the host has gone: 0, or -1 with an exception that is to end the loop. */
static int
run_due(struct pst_loop *loop)
{
	enum pst_later later =
	    loop != NULL ? run_timers(loop) : pst_later_run(TIMER_PARTS * TIMER_PART);

	pst_later_set();
	return later == PST_LATER_FAILED ? -1 : 0;
}

static PyObject *
module_timers_due(PyObject *module, PyObject *unused)
{
	(void)unused;
	if (run_due(loop_of(module)) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *
module_timers(PyObject *module, PyObject *loop)
{
	int fd = pst_later_open(loop);

	if (loop_of(module) != NULL)
		loop_of(module)->timers = fd;
	return fd >= 0 ? PyLong_FromLong(fd) : NULL;
}

static void
run_turn(struct pst_loop *loop)
{
	if (pst_child_is())
		pst_child_end();
	loop->queued = false;
	loop->inside = true;
	loop->host->turn();
	end_frame(loop, end_part(loop, false));
}

static PyObject *
module_turn(PyObject *module, PyObject *unused)
{
	struct pst_loop *loop = loop_of(module);

	(void)unused;
	if (loop != NULL)
		run_turn(loop);
	Py_RETURN_NONE;
}

/* --- ... as a loop of asyncio's that waits in C ----------------------------------------- */

static int
poll_ready(void *arg, int fd, unsigned events)
{
	struct pst_loop *loop = loop_of(arg);

	if (loop == NULL || fd == loop->timers)
		return run_due(loop);
	run_ready(loop, fd, events);
	return 0;
}

static int
poll_before(void *arg)
{
	struct pst_loop *loop = loop_of(arg);

	if (pst_child_is())
		pst_child_end();
	if (loop == NULL || !loop->queued)
		return 0;
	run_turn(loop);
	return loop->queued ? 2 : 1;
}

static const struct pst_poll_calls poll_calls = {.ready = poll_ready, .before = poll_before};

static PyObject *
module_poll(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
	PyObject *select;
	int rc;

	if (count != 2) {
		PyErr_SetString(PyExc_TypeError, "poll() takes loop and selector");
		return NULL;
	}
	if (!pst_poll_open(args[0], args[1], &poll_calls, module))
		Py_RETURN_FALSE;
	select = PyObject_GetAttrString(module, "select");
	rc = select != NULL ? PyObject_SetAttrString(args[1], "select", select) : -1;
	Py_XDECREF(select);
	if (rc < 0)
		return NULL;
	Py_RETURN_TRUE;
}

static PyObject *
module_watch(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
	int fd = count == 2 ? (int)PyLong_AsLong(args[0]) : -1;
	unsigned events = count == 2 ? (unsigned)PyLong_AsUnsignedLong(args[1]) : 0;

	(void)module;
	if (count != 2)
		PyErr_SetString(PyExc_TypeError, "watch() takes fd and events");
	if (PyErr_Occurred() || pst_poll_watch(fd, events) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *
module_select(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
	(void)module;
	return pst_poll_select(count > 0 ? args[0] : Py_None);
}

static PyObject *
module_loop_class(PyObject *module, PyObject *base)
{
	(void)module;
	return pst_loop_class_new(base);
}

static PyMethodDef module_methods[] = {
    {"fd_ready", (PyCFunction)(void (*)(void))module_fd_ready, METH_FASTCALL,
	"fd_ready(fd, events): FD, which watch() named, is ready for EVENTS (1: read, 2: write)"},
    {"timer_due", module_timer_due, METH_NOARGS, "timer_due(): what timer() asked for"},
    {"turn", module_turn, METH_NOARGS, "turn(): what defer() asked for"},
    {"loop_class", module_loop_class, METH_O,
	"loop_class(base): a class like BASE, whose call_soon(), call_later() and call_at() the "
	"host can "
	"shorten"},
    {"timers", module_timers, METH_O,
	"timers(loop): a descriptor that is ready to be read when timers_due() is to be called"},
    {"timers_due", module_timers_due, METH_NOARGS, "timers_due(): what timers() tells"},
    {"poll", (PyCFunction)(void (*)(void))module_poll, METH_FASTCALL,
	"poll(loop, selector): whether LOOP, asyncio's, waits in select() from now on"},
    {"watch", (PyCFunction)(void (*)(void))module_watch, METH_FASTCALL,
	"watch(fd, events): where it does, serve FD there when it is ready for EVENTS; 0: no more"},
    {"select", (PyCFunction)(void (*)(void))module_select, METH_FASTCALL,
	"select(timeout): as of a selector"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_penstock",
    .m_doc = "The host, as the glue of an event loop sees it.",
    .m_size = sizeof(struct pst_loop *),
    .m_methods = module_methods,
};

/* --- The glue -------------------------------------------------------------------------- */

/* The package is not to be found on sys.path for the application: it is imported with a path that
 * is taken back. */
static PyObject *
import_package(void)
{
	PyObject *sys = PyImport_ImportModule("sys");
	PyObject *path = sys != NULL ? PyObject_GetAttrString(sys, "path") : NULL;
	PyObject *ours = PyUnicode_DecodeFSDefault(GLUE_PATH);
	PyObject *package = NULL;

	if (path != NULL && ours != NULL && PyList_Check(path) &&
	    PyList_Insert(path, 0, ours) == 0) {
		PyObject *type, *value, *traceback;

		package = PyImport_ImportModule(GLUE_PACKAGE);
		PyErr_Fetch(&type, &value, &traceback);
		Py_XDECREF(PyObject_CallMethod(path, "remove", "O", ours));
		PyErr_Restore(type, value, traceback);
	}
	Py_XDECREF(ours);
	Py_XDECREF(path);
	Py_XDECREF(sys);
	return package;
}

PyObject *
pst_loop_import(const char *module)
{
	PyObject *package = import_package();
	PyObject *name =
	    package != NULL ? PyUnicode_FromFormat("%s.%s", GLUE_PACKAGE, module) : NULL;
	PyObject *imported = name != NULL ? PyImport_Import(name) : NULL;

	Py_XDECREF(name);
	Py_XDECREF(package);
	return imported;
}

/* Why the loop cannot be had: the glue's own words when it has some. */
static void
explain(const struct pst_host *host, PyObject *package)
{
	PyObject *type, *value, *traceback;
	PyObject *unusable = NULL;
	PyObject *text = NULL;
	const char *utf8;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (package != NULL)
		unusable = PyObject_GetAttrString(package, "Unusable");
	if (unusable != NULL && PyErr_GivenExceptionMatches(type, unusable))
		text = PyObject_Str(value);
	utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
	PyErr_Clear();
	if (utf8 != NULL)
		pst_say(host, PST_LOG_ERROR, "%s", utf8);
	else
		pst_say(host, PST_LOG_ERROR,
		    "the event loop cannot be made: its glue (%s/%s) failed; the traceback follows",
		    GLUE_PATH, GLUE_PACKAGE);
	Py_XDECREF(text);
	Py_XDECREF(unusable);
	PyErr_Restore(type, value, traceback);
	if (utf8 == NULL)
		PyErr_Print();
	PyErr_Clear();
}

static int
make_glue(struct pst_loop *loop, PyObject *package, const char *name)
{
	struct pst_loop **state;

	loop->module = PyModule_Create(&module_def);
	if (loop->module == NULL)
		return -1;
	state = PyModule_GetState(loop->module);
	*state = loop;
	loop->glue = PyObject_CallMethod(package, "make", "sO", name, loop->module);
	if (loop->glue == NULL)
		return -1;
	loop->watch = PyObject_GetAttrString(loop->glue, "watch");
	loop->timer = PyObject_GetAttrString(loop->glue, "timer");
	loop->defer = PyObject_GetAttrString(loop->glue, "defer");
	return loop->watch != NULL && loop->timer != NULL && loop->defer != NULL ? 0 : -1;
}

static void
release(struct pst_loop *loop)
{
	if (loop->module != NULL)
		*(struct pst_loop **)PyModule_GetState(loop->module) = NULL;
	Py_XDECREF(loop->watch);
	Py_XDECREF(loop->timer);
	Py_XDECREF(loop->defer);
	Py_XDECREF(loop->glue);
	Py_XDECREF(loop->module);
	pst_soon_close();
	pst_later_close();
	pst_poll_close();
	free(loop);
}

struct pst_loop *
pst_loop_new(const struct pst_host *host, const struct pst_app_config *config,
    enum pst_loop_after (*after)(void *arg), void *arg)
{
	const char *name = pst_option_value(config, "loop", 0);
	struct pst_loop *loop = calloc(1, sizeof *loop);
	PyObject *package;

	if (loop == NULL) {
		pst_say(host, PST_LOG_ERROR, "out of memory: no event loop can be made");
		return NULL;
	}
	loop->host = host;
	loop->after = after;
	loop->arg = arg;
	package = import_package();
	if (package == NULL || make_glue(loop, package, name != NULL ? name : "auto") < 0) {
		explain(host, package);
		release(loop);
		loop = NULL;
	}
	Py_XDECREF(package);
	return loop;
}

void
pst_loop_free(struct pst_loop *loop)
{
	PyObject *closed;

	*(struct pst_loop **)PyModule_GetState(loop->module) = NULL;
	closed = PyObject_CallMethod(loop->glue, "close", NULL);
	if (closed == NULL)
		PyErr_Print();
	Py_XDECREF(closed);
	release(loop);
}

PyObject *
pst_loop_glue(const struct pst_loop *loop)
{
	return loop->glue;
}

/* --- The loop -------------------------------------------------------------------------- */

int
pst_loop_run(struct pst_loop *loop)
{
	PyObject *result = PyObject_CallMethod(loop->glue, "run", NULL);

	if (pst_child_is())
		pst_child_end();
	if (result == NULL) {
		pst_say(loop->host, PST_LOG_ERROR, "the event loop failed; its traceback follows");
		PyErr_Print();
		return -1;
	}
	Py_DECREF(result);
	return 0;
}

/* The result of a method of the glue that returns nothing: 0, or -1 after a traceback. */
static int
check(PyObject *result)
{
	if (result == NULL) {
		PyErr_Print();
		return -1;
	}
	Py_DECREF(result);
	return 0;
}

void
pst_loop_stop(struct pst_loop *loop)
{
	check(PyObject_CallMethod(loop->glue, "stop", NULL));
}

int
pst_loop_watch(struct pst_loop *loop, int fd, unsigned events)
{
	return check(PyObject_CallFunction(loop->watch, "iI", fd, events));
}

void
pst_loop_timer(struct pst_loop *loop, uint64_t microseconds)
{
	if (microseconds == UINT64_MAX)
		check(PyObject_CallFunction(loop->timer, "O", Py_None));
	else
		check(PyObject_CallFunction(loop->timer, "d", (double)microseconds / 1e6));
}

static void
queue_turn(struct pst_loop *loop)
{
	if (pst_poll_is_open())
		loop->queued = true; /* before the loop waits again */
	else if (!loop->queued)
		loop->queued = check(PyObject_CallNoArgs(loop->defer)) == 0;
}

void
pst_loop_defer(struct pst_loop *loop)
{
	if (loop->inside)
		loop->wanted = true;
	else
		queue_turn(loop);
}
