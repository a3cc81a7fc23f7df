#include "adapters/python/poll.h"

#include <penstock/plugin.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

/* What one wait brings; the rest comes with the next. */
#define EVENTS 64

#define FOREVER (-1)

static struct {
	int fd; /* the selector's epoll */
	PyObject *loop; /* NULL: it is not open */
	PyObject *keys; /* of the selector, by descriptor */
	PyObject *ready; /* what the loop has to call */
	PyObject *scheduled, *stopping; /* names of the loop's attributes */
	const struct pst_poll_calls *calls;
	void *arg;
	unsigned char *watched; /* events, by descriptor */
	size_t size; /* of watched */
} poll;

/* --- Life ------------------------------------------------------------------------------ */

static int
attribute(PyObject *object, const char *name, PyObject **value)
{
	*value = PyObject_GetAttrString(object, name);
	return *value != NULL ? 0 : -1;
}

/* The parts of LOOP and SELECTOR that are their own business: 0, or -1 with an exception. */
static int
find_parts(PyObject *loop, PyObject *selector)
{
	PyObject *fd = PyObject_CallMethod(selector, "fileno", NULL);

	poll.fd = fd != NULL ? (int)PyLong_AsLong(fd) : -1;
	Py_XDECREF(fd);
	poll.scheduled = PyUnicode_InternFromString("_scheduled");
	poll.stopping = PyUnicode_InternFromString("_stopping");
	if (poll.fd < 0 || poll.scheduled == NULL || poll.stopping == NULL ||
	    attribute(selector, "_fd_to_key", &poll.keys) < 0 ||
	    attribute(loop, "_ready", &poll.ready) < 0)
		return -1;
	if (PyDict_Check(poll.keys) && PyObject_Size(poll.ready) >= 0 &&
	    PyObject_HasAttr(loop, poll.scheduled) && PyObject_HasAttr(loop, poll.stopping))
		return 0;
	PyErr_SetString(PyExc_TypeError, "the loop is of an unknown kind");
	return -1;
}

bool
pst_poll_open(PyObject *loop, PyObject *selector, const struct pst_poll_calls *calls, void *arg)
{
	if (find_parts(loop, selector) < 0) {
		PyErr_Clear();
		pst_poll_close();
		return false;
	}
	Py_INCREF(loop);
	poll.loop = loop;
	poll.calls = calls;
	poll.arg = arg;
	return true;
}

void
pst_poll_close(void)
{
	Py_CLEAR(poll.loop);
	Py_CLEAR(poll.keys);
	Py_CLEAR(poll.ready);
	Py_CLEAR(poll.scheduled);
	Py_CLEAR(poll.stopping);
	PyMem_Free(poll.watched);
	poll.watched = NULL;
	poll.size = 0;
}

bool
pst_poll_is_open(void)
{
	return poll.loop != NULL;
}

/* --- Descriptors ----------------------------------------------------------------------- */

static unsigned
watched(int fd)
{
	return fd >= 0 && (size_t)fd < poll.size ? poll.watched[fd] : 0;
}

/* Make room for FD. */
static int
reserve(int fd)
{
	size_t size = poll.size ? poll.size : 64;
	unsigned char *larger;

	while (size <= (size_t)fd)
		size *= 2;
	if (size == poll.size)
		return 0;
	larger = PyMem_Realloc(poll.watched, size);
	if (larger == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	memset(larger + poll.size, 0, size - poll.size);
	poll.watched = larger;
	poll.size = size;
	return 0;
}

int
pst_poll_watch(int fd, unsigned events)
{
	struct epoll_event event = {
	    .events = (events & PST_EVENT_READ ? EPOLLIN : 0u) |
		      (events & PST_EVENT_WRITE ? EPOLLOUT : 0u),
	    .data = {.fd = fd},
	};
	unsigned before = watched(fd);
	int op = !events ? EPOLL_CTL_DEL : before ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == before)
		return 0;
	if (fd < 0 || reserve(fd) < 0 || (epoll_ctl(poll.fd, op, fd, &event) < 0 && events)) {
		if (!PyErr_Occurred())
			PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	poll.watched[fd] = (unsigned char)events;
	return 0;
}

/* --- Waiting --------------------------------------------------------------------------- */

/* Whether the loop has nothing to do but to wait, for as long as nothing is ready. */
static bool
is_idle(void)
{
	PyObject *scheduled = PyObject_GetAttr(poll.loop, poll.scheduled);
	PyObject *stopping = PyObject_GetAttr(poll.loop, poll.stopping);
	bool idle = stopping == Py_False && scheduled != NULL && PyObject_Size(scheduled) == 0 &&
		    PyObject_Size(poll.ready) == 0;

	Py_XDECREF(scheduled);
	Py_XDECREF(stopping);
	PyErr_Clear();
	return idle;
}

/* TIMEOUT in milliseconds, or FOREVER; -2 with an exception. */
static int
milliseconds(PyObject *timeout)
{
	double seconds;

	if (timeout == Py_None)
		return FOREVER;
	seconds = PyFloat_AsDouble(timeout);
	if (seconds == -1 && PyErr_Occurred())
		return -2;
	if (!(seconds > 0))
		return 0;
	return seconds * 1000 < INT_MAX - 1 ? (int)(seconds * 1000 + 0.999) : INT_MAX;
}

/* How many EVENTS there are; a signal is none. -1 with an exception. */
static int
wait_for(struct epoll_event *events, int timeout)
{
	int n, error;

	Py_BEGIN_ALLOW_THREADS;
	n = epoll_wait(poll.fd, events, EVENTS, timeout);
	error = errno;
	Py_END_ALLOW_THREADS;
	if (n < 0 && error != EINTR) {
		errno = error;
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	return PyErr_CheckSignals() < 0 ? -1 : n < 0 ? 0 : n;
}

/* What EVENT is to one who waits for WANTED: trouble is for whoever waits. */
static unsigned
kinds_of(const struct epoll_event *event, unsigned wanted)
{
	return ((event->events & ~(uint32_t)EPOLLOUT ? PST_EVENT_READ : 0u) |
		   (event->events & ~(uint32_t)EPOLLIN ? PST_EVENT_WRITE : 0u)) &
	       wanted;
}

/* Add the key of EVENT, which is not ours, to FOUND: 0, or -1 with an exception. */
static int
add_key(PyObject *found, const struct epoll_event *event)
{
	PyObject *fd = PyLong_FromLong(event->data.fd);
	PyObject *key = fd != NULL ? PyDict_GetItemWithError(poll.keys, fd) : NULL;
	PyObject *wanted, *pair;
	int rc = -1;

	Py_XDECREF(fd);
	if (key == NULL) /* one that was let go of meanwhile */
		return PyErr_Occurred() ? -1 : 0;
	wanted = PySequence_GetItem(key, 2); /* fileobj, fd, events, data */
	if (wanted == NULL)
		return -1;
	pair = Py_BuildValue("OI", key, kinds_of(event, (unsigned)PyLong_AsUnsignedLong(wanted)));
	if (pair != NULL && !PyErr_Occurred())
		rc = PyList_Append(found, pair);
	Py_XDECREF(pair);
	Py_DECREF(wanted);
	return rc;
}

/* Add what is not ours of COUNT events to FOUND, and leave the others in EVENTS: how many there
 * are, or -1 with an exception. */
static int
take_keys(struct epoll_event *events, int count, PyObject *found)
{
	int ours = 0;

	for (int i = 0; i < count; i++)
		if (watched(events[i].data.fd))
			events[ours++] = events[i];
		else if (add_key(found, &events[i]) < 0)
			return -1;
	return ours;
}

/* Whether KEY is what waits for its descriptor; -1 with an exception. */
static int
is_present(PyObject *key)
{
	PyObject *fd = PySequence_GetItem(key, 1);
	PyObject *present = fd != NULL ? PyDict_GetItemWithError(poll.keys, fd) : NULL;

	Py_XDECREF(fd);
	return PyErr_Occurred() ? -1 : present == key;
}

/*
 * What is ours has run the application, which may have let go of what was FOUND before, or waits
 * there for something else now: the loop would remove that. What is left out is told of again, if
 * it is still so.
 */
static int
drop_stale(PyObject *found)
{
	for (Py_ssize_t i = PyList_GET_SIZE(found) - 1; i >= 0; i--) {
		int present = is_present(PyTuple_GET_ITEM(PyList_GET_ITEM(found, i), 0));

		if (present < 0 || (!present && PyList_SetSlice(found, i, i + 1, NULL) < 0))
			return -1;
	}
	return 0;
}

/* Serve what is ours of COUNT events, and add what is not to FOUND: 0, or -1 with an exception. */
static int
serve(struct epoll_event *events, int count, PyObject *found)
{
	int ours = take_keys(events, count, found);

	for (int i = 0; i < ours; i++) {
		unsigned wanted = watched(events[i].data.fd);

		if (wanted && poll.calls->ready(
				  poll.arg, events[i].data.fd, kinds_of(&events[i], wanted)) < 0)
			return -1;
	}
	return ours > 0 ? drop_stale(found) : ours;
}

PyObject *
pst_poll_select(PyObject *timeout)
{
	struct epoll_event events[EVENTS];
	PyObject *found = PyList_New(0);
	int given = milliseconds(timeout);
	int count;

	if (found == NULL || given < FOREVER) {
		Py_XDECREF(found);
		return NULL;
	}
	do {
		int did = poll.calls->before(poll.arg);
		bool busy = did > 1 || (did == 1 && !is_idle());

		count = wait_for(events, busy ? 0 : given);
		if (count < 0 || serve(events, count, found) < 0) {
			Py_DECREF(found);
			return NULL;
		}
	} while (count > 0 && given == FOREVER && PyList_GET_SIZE(found) == 0 && is_idle());
	return found;
}
