/*
 * One request, as the Python objects made for it see it: wsgi.input, wsgi.errors,
 * start_response and write. The objects may outlive the request (an application can keep its
 * environ), and threads of the application may use them, so that what they share is here, under
 * a lock, and counted.
 *
 * The lock comes before the GIL: nobody waits for the lock with the GIL held, and no Python code
 * runs under the lock. Whoever holds it may let go of the GIL and take it again. So where there is
 * a GIL, others can meet a lock that is held only while its holder is without the GIL, around a
 * call of the host that blocks; only then is the mutex taken.
 *
 * A call and its objects are made anew only when the application has kept one of those that the
 * last request had.
 *
 * Where the host does not block (the async model), the application runs on greenlets of one thread,
 * and a mutex that one of them holds while another runs would stop all of them. There the GIL,
 * which is held throughout, is the lock: what other threads do reaches no host, and whoever waits
 * (pst_call_wait()) takes it that everything may have changed meanwhile. A Python without a GIL has
 * the mutex there, too; it is let go of while a greenlet waits.
 */
#ifndef PST_PYTHON_CALL_H
#define PST_PYTHON_CALL_H

#include <Python.h>

#include <penstock/plugin.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "adapters/python/head.h"

/* How far the response has come. */
enum pst_call_stage {
	PST_CALL_NO_HEAD = 0, /* start_response() was not called */
	PST_CALL_HEAD, /* it was; nothing was handed to the host, it may be replaced */
	PST_CALL_SENT, /* the host has the head */
};

/* Bytes between start and end are still to be taken. */
struct pst_call_buffer {
	char *bytes;
	size_t capacity;
	size_t start;
	size_t end;
};

/* How the application waits where the host says PST_RESULT_AGAIN. */
struct pst_waiter {
	/* Let others run until it is worth while to try again for REQUEST, or it is over: 0, or -1
	 * with an exception that was raised in the meantime. */
	int (*wait)(struct pst_waiter *waiter, struct pst_request *request);
	unsigned long thread; /* the one that may call the host */
	PyObject *deadline; /* raised in the application when that of its request is over */
};

/* What the application is given of a call; each object has a reference to it. */
struct pst_call_objects {
	PyObject *input;
	PyObject *errors;
	PyObject *response;
	PyObject *start; /* start_response, bound to response */
	PyObject *write; /* as start is */
};

struct pst_call {
	atomic_uint references;
	pthread_mutex_t lock;
	PyThreadState *away; /* the holder, while it is without the GIL, which guards this */
	const struct pst_host *host;
	struct pst_call_objects objects; /* NULL once the request is over */
	struct pst_call *spare; /* the next that is kept */
	struct pst_waiter *waiter; /* NULL: the host blocks */
	struct pst_request *request; /* NULL once the request is over */

	struct pst_call_buffer input; /* read from the host, not yet by the application */
	bool input_ended;
	int input_error; /* why no more comes: the host's PST_RESULT_..., below 0 */
	struct pst_call_buffer errors; /* a line of wsgi.errors that has no end yet */

	enum pst_call_stage stage;
	struct pst_head head;
	struct pst_head other; /* of the last response, or empty: memory for another head */
	bool bodyless; /* HEAD: the body is dropped */
	PyObject *socket; /* of a WebSocket, while the application runs; NULL: there is none */
	bool taken; /* the application took its socket: it is not answered in another way */
	bool gone; /* the client does not want the rest */
	bool failed; /* the host refused or failed: nothing more is sent */
	bool cut; /* more came than Content-Length said */
	long long written; /* bytes of body that the application gave */
};

/* A new call with one reference, or NULL with MemoryError set. WAITER must outlive it. */
struct pst_call *pst_call_new(
    const struct pst_host *host, struct pst_request *request, struct pst_waiter *waiter);
struct pst_call *pst_call_ref(struct pst_call *call);
void pst_call_unref(struct pst_call *call);

/* Take the lock, letting go of the GIL while it has to be waited for. */
void pst_call_lock(struct pst_call *call);
void pst_call_unlock(struct pst_call *call);

/* Around calls of the host that may block, with the lock held: let go of the GIL, unless that is
 * the lock. */
PyThreadState *pst_call_go_away(struct pst_call *call);
void pst_call_come_back(struct pst_call *call, PyThreadState *state);
/* The same without the lock: others can take it meanwhile. */
PyThreadState *pst_call_leave_python(const struct pst_call *call);
void pst_call_enter_python(PyThreadState *state);

/* Whether the host can be called for the request, from the calling thread. With the lock held. */
bool pst_call_is_open(const struct pst_call *call);
/* Why it cannot: the end of a sentence. */
const char *pst_call_closed_reason(const struct pst_call *call);
/*
 * With the lock held. The host said AGAIN: wait until it is worth while to try again. 0, or -1 with
 * an exception, which is a ValueError when the request is over.
 */
int pst_call_wait(struct pst_call *call);

/* The request is over: what the application still does with its objects reaches no host. */
void pst_call_end(struct pst_call *call);

/*
 * Calls that are kept, with their objects, for requests to come. The GIL guards it; where there is
 * none, nothing is kept.
 */
struct pst_call_pool {
	struct pst_call *first;
	unsigned count;
};

/* A call that is kept for this request, or NULL. */
struct pst_call *pst_call_take(
    struct pst_call_pool *pool, struct pst_request *request, struct pst_waiter *waiter);
/* Drop the caller's reference to a call that has ended, and its objects: kept, if the application
 * has not kept one of them. */
void pst_call_put(struct pst_call_pool *pool, struct pst_call *call);
void pst_call_pool_clear(struct pst_call_pool *pool);

/* The value of the request's parameter NAME, or NULL. With the lock held, or before the
 * application runs. */
const struct pst_field *pst_call_param(const struct pst_call *call, const char *name);

/*
 * Write "GET /path" to TEXT, N bytes at most with the NUL: fit for a log line, whatever the client
 * sent, and without the query, which may hold secrets. Returns TEXT.
 */
const char *pst_call_title(const struct pst_call *call, char *text, size_t n);

/* A line to the error log, "GET /path: " and MESSAGE. */
void pst_call_log(struct pst_call *call, enum pst_log_level level, const char *message);

/* What the host says about the last result that was negative. With the lock held. */
const char *pst_call_reason(const struct pst_call *call);

/* Make room for N bytes after end: 0, or -1 without memory (no exception is set). */
int pst_call_buffer_reserve(struct pst_call_buffer *buffer, size_t n);

#endif
