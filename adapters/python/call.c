#include "adapters/python/call.h"

#include "adapters/python/child.h"
#include "adapters/python/title.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls that are kept: more run at a time only in the async model and with many threads. */
#define POOL_SIZE 16

/* A larger buffer is not kept with its call. */
#define BUFFER_KEPT ((size_t)64 * 1024)

/* --- life ------------------------------------------------------------------------------ */

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
	pst_head_init(&call->other);
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
	pst_head_free(&call->other);
	free(call->input.bytes);
	free(call->errors.bytes);
	pthread_mutex_destroy(&call->lock);
	free(call);
}

static void
drop_objects(struct pst_call *call)
{
	struct pst_call_objects objects;

	pst_call_lock(call);
	objects = call->objects;
	memset(&call->objects, 0, sizeof call->objects);
	pst_call_unlock(call);
	Py_XDECREF(objects.write);
	Py_XDECREF(objects.start);
	Py_XDECREF(objects.response);
	Py_XDECREF(objects.errors);
	Py_XDECREF(objects.input);
}

#ifdef Py_GIL_DISABLED

struct pst_call *
pst_call_take(struct pst_call_pool *pool, struct pst_request *request, struct pst_waiter *waiter)
{
	(void)pool, (void)request, (void)waiter;
	return NULL;
}

void
pst_call_put(struct pst_call_pool *pool, struct pst_call *call)
{
	(void)pool;
	drop_objects(call);
	pst_call_unref(call);
}

#else

struct pst_call *
pst_call_take(struct pst_call_pool *pool, struct pst_request *request, struct pst_waiter *waiter)
{
	struct pst_call *call = pool->first;

	if (call == NULL)
		return NULL;
	pool->first = call->spare;
	pool->count--;
	call->spare = NULL;
	call->request = request;
	call->waiter = waiter;
	return call;
}

/* Nobody but the call itself has its objects, and nobody but they and the caller has it. */
static bool
is_ours(const struct pst_call *call)
{
	const struct pst_call_objects *objects = &call->objects;

	return objects->write != NULL && Py_REFCNT(objects->input) == 1 &&
	       Py_REFCNT(objects->errors) == 1 && Py_REFCNT(objects->start) == 1 &&
	       Py_REFCNT(objects->write) == 1 && Py_REFCNT(objects->response) == 3 &&
	       atomic_load_explicit(&call->references, memory_order_relaxed) == 4;
}

static void
reset_buffer(struct pst_call_buffer *buffer)
{
	if (buffer->capacity > BUFFER_KEPT) {
		free(buffer->bytes);
		*buffer = (struct pst_call_buffer){0};
	}
	buffer->start = buffer->end = 0;
}

static void
reset(struct pst_call *call)
{
	reset_buffer(&call->input);
	reset_buffer(&call->errors);
	call->input_ended = false;
	call->input_error = 0;
	call->stage = PST_CALL_NO_HEAD;
	call->bodyless = call->taken = call->gone = call->failed = call->cut = false;
	call->written = 0;
	call->waiter = NULL;
}

/* Applications answer much the same again: the next start_response() looks at it. */
static void
keep_head(struct pst_call *call)
{
	struct pst_head head = call->head;

	if (head.held == 0)
		return;
	pst_head_keep(&head);
	call->head = call->other;
	call->other = head;
}

void
pst_call_put(struct pst_call_pool *pool, struct pst_call *call)
{
	keep_head(call);
	if (pool->count == POOL_SIZE || !is_ours(call)) {
		drop_objects(call);
		pst_call_unref(call);
		return;
	}
	reset(call);
	call->spare = pool->first;
	pool->first = call;
	pool->count++;
}

#endif

void
pst_call_pool_clear(struct pst_call_pool *pool)
{
	struct pst_call *call;

	while ((call = pool->first) != NULL) {
		pool->first = call->spare;
		drop_objects(call);
		pst_call_unref(call);
	}
	pool->count = 0;
}

/* --- the lock -------------------------------------------------------------------------- */

#ifdef Py_GIL_DISABLED

/* Greenlets, too, have the mutex, as other threads do run beside them. */
void
pst_call_lock(struct pst_call *call)
{
	if (pthread_mutex_trylock(&call->lock) == 0)
		return;
	Py_BEGIN_ALLOW_THREADS
	pthread_mutex_lock(&call->lock);
	Py_END_ALLOW_THREADS
}

void
pst_call_unlock(struct pst_call *call)
{
	pthread_mutex_unlock(&call->lock);
}

PyThreadState *
pst_call_go_away(struct pst_call *call)
{
	return pst_call_leave_python(call);
}

void
pst_call_come_back(struct pst_call *call, PyThreadState *state)
{
	(void)call;
	pst_call_enter_python(state);
}

#else

/* With the GIL, which others need to hold the lock but when they are away. */
void
pst_call_lock(struct pst_call *call)
{
	while (call->away != NULL) {
		Py_BEGIN_ALLOW_THREADS
		pthread_mutex_lock(&call->lock);
		pthread_mutex_unlock(&call->lock);
		Py_END_ALLOW_THREADS
	}
}

void
pst_call_unlock(struct pst_call *call)
{
	(void)call;
}

/* Some who only log do not hold the lock: then another may be away already, and stays its holder.
 */
PyThreadState *
pst_call_go_away(struct pst_call *call)
{
	if (call->waiter != NULL)
		return NULL;
	if (call->away == NULL) {
		call->away = PyThreadState_Get();
		pthread_mutex_lock(&call->lock); /* at once: whoever waited has it for a moment */
	}
	return PyEval_SaveThread();
}

void
pst_call_come_back(struct pst_call *call, PyThreadState *state)
{
	if (state == NULL)
		return;
	PyEval_RestoreThread(state);
	if (call->away != state)
		return;
	call->away = NULL;
	pthread_mutex_unlock(&call->lock);
}

#endif

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

/* --- the host -------------------------------------------------------------------------- */

bool
pst_call_is_open(const struct pst_call *call)
{
	/* A host that blocks is called for what was taken by one thread, which is another. */
	return call->request != NULL && !(call->taken && call->waiter == NULL) && !pst_child_is() &&
	       (call->waiter == NULL || call->waiter->thread == PyThread_get_thread_ident());
}

const char *
pst_call_closed_reason(const struct pst_call *call)
{
	if (call->request != NULL && pst_child_is())
		return "its request belongs to the process that forked this one";
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
	state = pst_call_go_away(call);
	call->host->log(level, line, (size_t)length);
	pst_call_come_back(call, state);
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
