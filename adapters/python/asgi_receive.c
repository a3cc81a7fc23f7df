/* receive() of an HTTP request. */
#include "adapters/python/asgi_internal.h"

#include <string.h>

/* {"type": "http.disconnect"} */
static PySendResult
disconnect(const struct pst_asgi_cycle *cycle, PyObject **result)
{
	*result = PyDict_Copy(cycle->asgi->names.disconnect);
	return *result != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

static PySendResult
request_event(struct pst_asgi_cycle *cycle, const char *bytes, size_t n, PyObject **result)
{
	const struct pst_asgi_names *names = &cycle->asgi->names;
	PyObject *event = PyDict_New();
	PyObject *body = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)n);

	if (event == NULL || body == NULL ||
	    PyDict_SetItem(event, names->type, names->http_request) < 0 ||
	    PyDict_SetItem(event, names->body, body) < 0 ||
	    PyDict_SetItem(event, names->more_body, cycle->body_over ? Py_False : Py_True) < 0)
		Py_CLEAR(event);
	Py_XDECREF(body);
	*result = event;
	return event != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

/* Fill the buffer with what there is of the body: how much, or the host's result when it is
 * nothing and the body has not ended. */
static ssize_t
read_body(struct pst_asgi_cycle *cycle)
{
	struct pst_asgi *asgi = cycle->asgi;
	size_t n = 0;

	while (n < sizeof asgi->buffer) {
		ssize_t got =
		    asgi->host->read(cycle->request, asgi->buffer + n, sizeof asgi->buffer - n);

		if (got == 0) {
			cycle->body_over = true;
			break;
		}
		if (got < 0) {
			if (n == 0)
				return got;
			break;
		}
		n += (size_t)got;
		if (cycle->body_left >= 0) {
			cycle->body_left -= got;
			if (cycle->body_left <= 0) {
				cycle->body_over = true;
				break;
			}
		}
	}
	return (ssize_t)n;
}

PySendResult
pst_asgi_receive(struct pst_asgi_step *step, PyObject **result)
{
	struct pst_asgi_cycle *cycle = step->cycle;
	ssize_t n;

	if (cycle->gone || cycle->request == NULL || cycle->stage == PST_ASGI_OVER)
		return disconnect(cycle, result);
	if (cycle->body_over)
		return PYGEN_NEXT; /* until the client leaves, or the response is complete */
	n = read_body(cycle);
	if (n == PST_RESULT_AGAIN)
		return PYGEN_NEXT;
	if (n < 0) {
		cycle->gone = true;
		return disconnect(cycle, result);
	}
	return request_event(cycle, cycle->asgi->buffer, (size_t)n, result);
}
