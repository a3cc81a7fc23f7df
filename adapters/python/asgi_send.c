/* send() of an HTTP request, and what is sent of the denial of a WebSocket. */
#include "adapters/python/asgi_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

PySendResult
pst_asgi_gone(void)
{
	PyObject *args = Py_BuildValue("(is)", EPIPE, "the client has left");

	if (args != NULL)
		PyErr_SetObject(PyExc_BrokenPipeError, args);
	Py_XDECREF(args);
	return PYGEN_ERROR;
}

PySendResult
pst_asgi_failed(struct pst_asgi_cycle *cycle, int result)
{
	const char *reason;

	if (result == PST_RESULT_AGAIN)
		return PYGEN_NEXT;
	if (result == PST_RESULT_GONE) {
		cycle->gone = true;
		return pst_asgi_gone();
	}
	reason = cycle->asgi->host->reason(cycle->request);
	if (result == PST_RESULT_INVALID)
		PyErr_SetString(PyExc_ValueError, reason);
	else if (result == PST_RESULT_STATE)
		PyErr_SetString(PyExc_RuntimeError, reason);
	else
		PyErr_SetString(PyExc_OSError, reason);
	return PYGEN_ERROR;
}

static PySendResult
out_of_order(const struct pst_asgi_cycle *cycle, PyObject *type)
{
	static const char *const wanted[] = {
	    [PST_ASGI_START] = "http.response.start has to come first",
	    [PST_ASGI_BODY] = "http.response.body has to follow",
	    [PST_ASGI_TRAILERS] = "http.response.trailers has to follow",
	    [PST_ASGI_OVER] = "the response is complete"};

	PyErr_Format(PyExc_RuntimeError, "unexpected event %R: %s", type, wanted[cycle->stage]);
	return PYGEN_ERROR;
}

/* --- The head -------------------------------------------------------------------------- */

static int
get_status(struct pst_asgi_step *step, long *status)
{
	PyObject *value;

	if (pst_asgi_get(step->event, step->cycle->asgi->names.status, &value) < 0)
		return -1;
	if (value == NULL || !PyLong_Check(value)) {
		PyErr_Format(PyExc_TypeError, "status must be an int, not %.100s",
		    value != NULL ? Py_TYPE(value)->tp_name : "left out");
		Py_XDECREF(value);
		return -1;
	}
	*status = PyLong_AsLong(value);
	if (*status < 200 || *status > 599) {
		PyErr_Clear();
		PyErr_Format(PyExc_ValueError, "status %S is not from 200 to 599", value);
	}
	Py_DECREF(value);
	return PyErr_Occurred() ? -1 : 0;
}

PySendResult
pst_asgi_send_start(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_asgi_names *names = &cycle->asgi->names;
	struct pst_asgi_fields fields;
	bool trailers;
	long status;
	int rc;

	if (get_status(step, &status) < 0 ||
	    pst_asgi_get_bool(step->event, names->trailers, &trailers) < 0 ||
	    pst_asgi_fields_get(&fields, step->event, names->headers) < 0)
		return PYGEN_ERROR;
	rc = cycle->asgi->host->respond(
	    cycle->request, (int)status, NULL, fields.fields, fields.count);
	cycle->length = rc == PST_RESULT_REPLACED ? -1 : fields.content_length;
	pst_asgi_fields_free(&fields);
	if (rc < 0)
		return pst_asgi_failed(cycle, rc);
	cycle->trailers = trailers;
	if (status == 204 || status == 304)
		cycle->bodyless = true;
	cycle->stage = cycle->websocket ? PST_ASGI_DENIED : PST_ASGI_BODY;
	return PYGEN_RETURN;
}

/* --- The body -------------------------------------------------------------------------- */

/* The response has all that it will have. */
static PySendResult
complete(struct pst_asgi_cycle *cycle)
{
	const struct pst_host *host = cycle->asgi->host;

	cycle->stage = PST_ASGI_OVER;
	host->complete(cycle->request);
	pst_asgi_cycle_wake(cycle); /* receive() says http.disconnect now */
	return PYGEN_RETURN;
}

/* The last of the body was sent. */
static PySendResult
body_ended(struct pst_asgi_cycle *cycle)
{
	if (cycle->length >= 0 && cycle->sent < cycle->length && !cycle->bodyless) {
		cycle->broken = true;
		PyErr_Format(PyExc_RuntimeError,
		    "the body has %lld bytes, and Content-Length said %lld", cycle->sent,
		    cycle->length);
		return PYGEN_ERROR;
	}
	if (cycle->trailers && !cycle->websocket) {
		cycle->stage = PST_ASGI_TRAILERS;
		return PYGEN_RETURN;
	}
	return complete(cycle);
}

/* SIZE more bytes are about to be sent: 0, or -1 with an exception. */
static int
check_length(struct pst_asgi_cycle *cycle, size_t size)
{
	if (cycle->broken) {
		PyErr_SetString(
		    PyExc_RuntimeError, "the response is broken: part of its body was not sent");
		return -1;
	}
	if (cycle->length < 0 || cycle->bodyless ||
	    (unsigned long long)cycle->sent + size <= (unsigned long long)cycle->length)
		return 0;
	cycle->broken = true;
	PyErr_Format(PyExc_RuntimeError,
	    "the body has %lld bytes or more, and Content-Length said %lld",
	    cycle->sent + (long long)size, cycle->length);
	return -1;
}

static int
parse_body(struct pst_asgi_step *step)
{
	const struct pst_asgi_names *names = &step->cycle->asgi->names;
	PyObject *body;

	if (pst_asgi_get_bool(step->event, names->more_body, &step->more) < 0 ||
	    pst_asgi_get(step->event, names->body, &body) < 0)
		return -1;
	if (body != NULL && PyBytes_CheckExact(body)) {
		step->bytes = PyBytes_AS_STRING(body);
		step->size = (size_t)PyBytes_GET_SIZE(body);
		Py_SETREF(step->event, body); /* which keeps it */
	} else if (body != NULL) {
		int rc = -1;

		if (!PyObject_CheckBuffer(body))
			PyErr_Format(PyExc_TypeError, "body must be bytes, not %.100s",
			    Py_TYPE(body)->tp_name);
		else
			rc = PyObject_GetBuffer(body, &step->view, PyBUF_SIMPLE);
		Py_DECREF(body);
		if (rc < 0)
			return -1;
		step->bytes = step->view.buf;
		step->size = (size_t)step->view.len;
	}
	return check_length(step->cycle, step->size);
}

/* Write what is left of the event: PYGEN_RETURN when it is all written. */
static PySendResult
write_body(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_host *host = cycle->asgi->host;

	while (step->at < step->size) {
		size_t n = step->size - step->at;
		int rc;

		if (n > PST_WRITE_MAX)
			n = PST_WRITE_MAX;
		rc = host->write(cycle->request, step->bytes + step->at, n);
		if (rc < 0)
			return pst_asgi_failed(cycle, rc);
		step->at += n;
		cycle->sent += (long long)n;
	}
	return PYGEN_RETURN;
}

PySendResult
pst_asgi_send_body(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	PySendResult sent;
	int rc;

	if (!step->parsed && parse_body(step) < 0)
		return PYGEN_ERROR;
	step->parsed = true;
	if (cycle->bodyless)
		step->at = step->size;
	sent = write_body(step);
	if (sent != PYGEN_RETURN)
		return sent;
	if (!step->more)
		return body_ended(cycle);
	rc = step->size == 0 ? cycle->asgi->host->flush(cycle->request) : 0;
	return rc < 0 ? pst_asgi_failed(cycle, rc) : PYGEN_RETURN;
}

/* --- Files ----------------------------------------------------------------------------- */

/* SIZE bytes of the file at FD from OFFSET are what the event sends. */
static int
set_file(struct pst_asgi_step *step, int fd, off_t offset, off_t size)
{
	step->fd = fd;
	step->offset = offset;
	step->size = size > 0 ? (size_t)size : 0;
	return check_length(step->cycle, step->size);
}

/* The regular file at PATH, and its STATUS; -1 with an exception. */
static int
open_path(PyObject *path, struct stat *status)
{
	PyObject *encoded;
	int fd;

	if (!PyUnicode_FSConverter(path, &encoded))
		return -1;
	fd = open(PyBytes_AS_STRING(encoded), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	Py_DECREF(encoded);
	if (fd < 0) {
		PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
		return -1;
	}
	if (fstat(fd, status) == 0 && S_ISREG(status->st_mode))
		return fd;
	PyErr_Format(PyExc_ValueError, "%R is no regular file", path);
	close(fd);
	return -1;
}

static int
parse_pathsend(struct pst_asgi_step *step)
{
	struct stat status;
	PyObject *path;
	int fd;

	if (pst_asgi_get(step->event, step->cycle->asgi->names.path, &path) < 0)
		return -1;
	if (path == NULL) {
		PyErr_SetString(PyExc_TypeError, "http.response.pathsend needs a path");
		return -1;
	}
	fd = open_path(path, &status);
	Py_DECREF(path);
	if (fd < 0)
		return -1;
	step->owns_fd = true;
	return set_file(step, fd, 0, status.st_size);
}

/* The number of KEY in EVENT, not below 0; DEFAULT_VALUE when there is none. */
static int
get_number(PyObject *event, PyObject *key, long long default_value, long long *number)
{
	PyObject *value;

	*number = default_value;
	if (pst_asgi_get(event, key, &value) < 0)
		return -1;
	if (value != NULL && value != Py_None) {
		*number = PyLong_AsLongLong(value);
		if (*number < 0 && !PyErr_Occurred())
			PyErr_Format(PyExc_ValueError, "%U must not be below 0", key);
	}
	Py_XDECREF(value);
	return PyErr_Occurred() ? -1 : 0;
}

/* Another descriptor of FILE, which may be NULL: the application may close its own while it is
 * being sent. -1 with an exception. */
static int
own_descriptor(PyObject *file)
{
	int fd = file != NULL ? PyObject_AsFileDescriptor(file) : -1;

	if (fd < 0) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "http.response.zerocopysend needs a file");
		return -1;
	}
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		PyErr_SetFromErrno(PyExc_OSError);
	return fd;
}

static int
parse_zerocopysend(struct pst_asgi_step *step)
{
	const struct pst_asgi_names *names = &step->cycle->asgi->names;
	long long offset, count;
	struct stat status;
	PyObject *file;
	int fd;

	if (pst_asgi_get_bool(step->event, names->more_body, &step->more) < 0 ||
	    pst_asgi_get(step->event, names->file, &file) < 0)
		return -1;
	fd = own_descriptor(file);
	Py_XDECREF(file);
	if (fd < 0)
		return -1;
	step->fd = fd;
	step->owns_fd = true;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		PyErr_SetString(PyExc_ValueError, "http.response.zerocopysend takes regular files");
		return -1;
	}
	if (get_number(step->event, names->offset, -1, &offset) < 0 ||
	    get_number(step->event, names->count, -1, &count) < 0)
		return -1;
	if (offset < 0) {
		/* From where the file stands, and it moves on, as with os.sendfile(). */
		offset = lseek(fd, 0, SEEK_CUR);
		if (count < 0 || count > status.st_size - offset)
			count = status.st_size - offset;
		lseek(fd, count > 0 ? count : 0, SEEK_CUR);
	} else if (count < 0 || count > status.st_size - offset) {
		count = status.st_size - offset;
	}
	return set_file(step, fd, offset, count);
}

static PySendResult
send_file(struct pst_asgi_step *step, int (*parse)(struct pst_asgi_step *step))
{
	struct pst_asgi_cycle *cycle = step->cycle;

	if (!step->parsed && parse(step) < 0)
		return PYGEN_ERROR;
	step->parsed = true;
	if (cycle->bodyless)
		step->at = step->size;
	if (step->at < step->size) {
		int rc = cycle->asgi->host->send_file(
		    cycle->request, step->fd, step->offset, step->size);

		if (rc < 0)
			return pst_asgi_failed(cycle, rc);
		step->at = step->size;
		cycle->sent += (long long)step->size;
	}
	return step->more ? PYGEN_RETURN : body_ended(cycle);
}

/* --- Other events ---------------------------------------------------------------------- */

/* Add HEADERS, which may be NULL, to the trailers that came in earlier events. */
static int
keep_trailers(struct pst_asgi_cycle *cycle, PyObject *headers)
{
	PyObject *extended;

	if (cycle->message == NULL)
		cycle->message = PyList_New(0);
	if (cycle->message == NULL || headers == NULL)
		return cycle->message != NULL ? 0 : -1;
	extended = PySequence_InPlaceConcat(cycle->message, headers);
	Py_XDECREF(extended);
	return extended != NULL ? 0 : -1;
}

static PySendResult
send_trailers(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_asgi_names *names = &cycle->asgi->names;
	struct pst_asgi_fields fields;
	PyObject *headers, *all;
	bool more;
	int rc;

	if (pst_asgi_get_bool(step->event, names->more_trailers, &more) < 0 ||
	    pst_asgi_get(step->event, names->headers, &headers) < 0)
		return PYGEN_ERROR;
	rc = keep_trailers(cycle, headers);
	Py_XDECREF(headers);
	if (rc < 0)
		return PYGEN_ERROR;
	if (more)
		return PYGEN_RETURN;
	all = Py_BuildValue("{OO}", names->headers, cycle->message);
	rc = all != NULL ? pst_asgi_fields_get(&fields, all, names->headers) : -1;
	Py_XDECREF(all);
	if (rc < 0)
		return PYGEN_ERROR;
	if (fields.count > 0)
		rc = cycle->asgi->host->trailers(cycle->request, fields.fields, fields.count);
	pst_asgi_fields_free(&fields);
	Py_CLEAR(cycle->message);
	return rc < 0 ? pst_asgi_failed(cycle, rc) : complete(cycle);
}

/* "Link" fields of a 103. */
static PySendResult
send_early_hint(struct pst_asgi_step *step)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	struct pst_field fields[32];
	PyObject *links, *items;
	size_t count = 0;
	int rc;

	if (pst_asgi_get(step->event, cycle->asgi->names.links, &links) < 0)
		return PYGEN_ERROR;
	items = links != NULL ? PySequence_Tuple(links) : PyTuple_New(0);
	Py_XDECREF(links);
	if (items == NULL)
		return PYGEN_ERROR;
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
		PyObject *link = PyTuple_GET_ITEM(items, i);

		if (!PyBytes_Check(link) || count == sizeof fields / sizeof *fields) {
			PyErr_Format(PyExc_TypeError, "links must be at most %zu bytes objects",
			    sizeof fields / sizeof *fields);
			Py_DECREF(items);
			return PYGEN_ERROR;
		}
		fields[count++] = (struct pst_field){
		    "Link", 4, PyBytes_AS_STRING(link), (size_t)PyBytes_GET_SIZE(link)};
	}
	rc = cycle->asgi->host->respond(cycle->request, 103, NULL, fields, count);
	if (rc == 0)
		rc = cycle->asgi->host->flush(cycle->request);
	Py_DECREF(items);
	return rc < 0 ? pst_asgi_failed(cycle, rc) : PYGEN_RETURN;
}

/* --- send() ---------------------------------------------------------------------------- */

static PySendResult
dispatch(struct pst_asgi_step *step, PyObject *type)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	const struct pst_asgi_names *names = &cycle->asgi->names;

	switch (cycle->stage) {
	case PST_ASGI_START:
		if (pst_asgi_is(type, names->http_start))
			return pst_asgi_send_start(step);
		if (pst_asgi_is(type, names->http_early_hint))
			return send_early_hint(step);
		break;
	case PST_ASGI_BODY:
		if (pst_asgi_is(type, names->http_body))
			return pst_asgi_send_body(step);
		if (pst_asgi_is(type, names->http_pathsend))
			return send_file(step, parse_pathsend);
		if (pst_asgi_is(type, names->http_zerocopysend))
			return send_file(step, parse_zerocopysend);
		break;
	case PST_ASGI_TRAILERS:
		if (pst_asgi_is(type, names->http_trailers))
			return send_trailers(step);
		break;
	default: break;
	}
	return out_of_order(cycle, type);
}

PyObject *
pst_asgi_type_of(struct pst_asgi_step *step)
{
	PyObject *type;

	if (!PyDict_Check(step->event)) {
		PyErr_Format(PyExc_TypeError, "an event must be a dict, not %.100s",
		    Py_TYPE(step->event)->tp_name);
		return NULL;
	}
	if (pst_asgi_get(step->event, step->cycle->asgi->names.type, &type) == 0 && type == NULL)
		PyErr_SetString(PyExc_TypeError, "the event has no type");
	return type;
}

/* Go on with an event that had to wait. */
static PySendResult
resume(struct pst_asgi_step *step)
{
	return step->fd >= 0 ? send_file(step, parse_pathsend) : pst_asgi_send_body(step);
}

PySendResult
pst_asgi_sent(struct pst_asgi_step *step, PySendResult sent, PyObject **result)
{
	if (sent == PYGEN_NEXT) {
		step->cycle->sender = step;
		return sent;
	}
	pst_asgi_step_release(step);
	if (sent == PYGEN_RETURN) {
		Py_INCREF(Py_None);
		*result = Py_None;
	}
	return sent;
}

PySendResult
pst_asgi_send(struct pst_asgi_step *step, PyObject **result)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	PySendResult sent;
	PyObject *type;

	if (cycle->sender != NULL && cycle->sender != step)
		return PYGEN_NEXT; /* until that one is through */
	if (cycle->request == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "the request is over");
		return PYGEN_ERROR;
	}
	if (cycle->gone)
		return pst_asgi_gone();
	if (step->parsed) {
		sent = resume(step);
	} else {
		type = pst_asgi_type_of(step);
		if (type == NULL)
			return PYGEN_ERROR;
		sent = dispatch(step, type);
		Py_DECREF(type);
	}
	return pst_asgi_sent(step, sent, result);
}
