#include "adapters/python/call.h"

#include "adapters/python/title.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pst_call *
pst_call_new(const struct pst_host *host, struct pst_request *request, struct pst_waiter *waiter)
{
	struct pst_call *call = calloc(1, sizeof *call);

	if (call == NULL || pthread_mutex_init(&call->lock, NULL) != 0) {
		free(call);
		PyErr_NoMemory();
		return NULL;
	}
	atomic_init(&call->references, 1);
	call->host = host;
	call->waiter = waiter;
	call->request = request;
	pst_head_init(&call->head);
	return call;
}

struct pst_call *
pst_call_ref(struct pst_call *call)
{
	atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
	return call;
}

void
pst_call_unref(struct pst_call *call)
{
	if (atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) != 1)
		return;
	pst_head_free(&call->head);
	free(call->input.bytes);
	free(call->errors.bytes);
	pthread_mutex_destroy(&call->lock);
	free(call);
}

#ifdef Py_GIL_DISABLED
/* Greenlets, too, have the mutex, as other threads do run beside them. */
static bool
has_mutex(const struct pst_call *call)
{
	(void)call;
	return true;
}
#else
static bool
has_mutex(const struct pst_call *call)
{
	return call->waiter == NULL;
}
#endif

void
pst_call_lock(struct pst_call *call)
{
	if (!has_mutex(call) || pthread_mutex_trylock(&call->lock) == 0)
		return;
	Py_BEGIN_ALLOW_THREADS
	pthread_mutex_lock(&call->lock);
	Py_END_ALLOW_THREADS
}

void
pst_call_unlock(struct pst_call *call)
{
	if (has_mutex(call))
		pthread_mutex_unlock(&call->lock);
}

PyThreadState *
pst_call_leave_python(const struct pst_call *call)
{
	return call->waiter == NULL ? PyEval_SaveThread() : NULL;
}

void
pst_call_enter_python(PyThreadState *state)
{
	if (state != NULL)
		PyEval_RestoreThread(state);
}

bool
pst_call_is_open(const struct pst_call *call)
{
	/* A host that blocks is called for what was taken by one thread, which is another. */
	return call->request != NULL && !(call->taken && call->waiter == NULL) &&
	       (call->waiter == NULL || call->waiter->thread == PyThread_get_thread_ident());
}

const char *
pst_call_closed_reason(const struct pst_call *call)
{
	if (call->request != NULL && call->taken)
		return "its socket was taken";
	return call->request == NULL ? "its request is over"
				     : "its request belongs to another thread, that of the hub";
}

int
pst_call_wait(struct pst_call *call)
{
	int rc;

	pst_call_unlock(call);
	rc = call->waiter->wait(call->waiter, call->request);
	pst_call_lock(call);
	if (rc < 0)
		return -1;
	if (call->request != NULL)
		return 0;
	PyErr_SetString(PyExc_ValueError, "the request was over while something was waited for");
	return -1;
}

void
pst_call_end(struct pst_call *call)
{
	pst_call_lock(call);
	call->request = NULL;
	pst_call_unlock(call);
}

const struct pst_field *
pst_call_param(const struct pst_call *call, const char *name)
{
	size_t count = 0;
	const struct pst_field *params =
	    call->request != NULL ? call->host->params(call->request, &count) : NULL;

	return pst_title_param(params, count, name);
}

const char *
pst_call_title(const struct pst_call *call, char *text, size_t n)
{
	size_t count = 0;
	const struct pst_field *params =
	    call->request != NULL ? call->host->params(call->request, &count) : NULL;

	return pst_title(params, count, text, n);
}

void
pst_call_log(struct pst_call *call, enum pst_log_level level, const char *message)
{
	char title[256];
	char line[1024];
	PyThreadState *state;
	int length;

	length = snprintf(
	    line, sizeof line, "%s: %s", pst_call_title(call, title, sizeof title), message);
	if (length >= (int)sizeof line)
		length = sizeof line - 1;
	state = pst_call_leave_python(call);
	call->host->log(level, line, (size_t)length);
	pst_call_enter_python(state);
}

const char *
pst_call_reason(const struct pst_call *call)
{
	return call->request != NULL ? call->host->reason(call->request) : "the request is over";
}

int
pst_call_buffer_reserve(struct pst_call_buffer *buffer, size_t n)
{
	size_t held = buffer->end - buffer->start;
	size_t capacity = buffer->capacity < 4096 ? 4096 : buffer->capacity;
	char *bytes;

	if (buffer->start > 0 && buffer->capacity - held >= n) {
		memmove(buffer->bytes, buffer->bytes + buffer->start, held);
		buffer->start = 0;
		buffer->end = held;
	}
	if (buffer->capacity - buffer->end >= n)
		return 0;
	while (capacity - buffer->end < n) {
		if (capacity > (size_t)PY_SSIZE_T_MAX / 2)
			return -1;
		capacity *= 2;
	}
	bytes = realloc(buffer->bytes, capacity);
	if (bytes == NULL)
		return -1;
	buffer->bytes = bytes;
	buffer->capacity = capacity;
	return 0;
}
