/* What the files of the ASGI server share: a request (cycle) and what is awaited for it (step). */
#ifndef PST_PYTHON_ASGI_INTERNAL_H
#define PST_PYTHON_ASGI_INTERNAL_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdatomic.h>
#include <stdbool.h>

#include "adapters/python/asgi_names.h"
#include "adapters/python/asgi_scope.h"

/* asyncio.Task can take its first step when it is made. */
#define PST_ASGI_EAGER (PY_VERSION_HEX >= 0x030c0000)

struct pst_asgi_cycle;
struct pst_asgi_step;

struct pst_asgi {
	const struct pst_host *host;
	PyObject *callable;
	PyObject *loop;
	PyObject *create_future; /* of the loop */
	PyObject *create_task; /* asyncio.Task, or what the loop has for it */
	PyObject *task_options; /* its keywords: loop, eager_start, and name */
	unsigned long long started; /* requests: the next one's number is in its task's name */
	PyTypeObject *cycle_type, *step_type;
	struct pst_asgi_names names;
	struct pst_asgi_scope *scope;
	struct pst_asgi_cycle *queue, **queue_end; /* with a reference each: to be started, or
						      cancelled */
	unsigned long thread; /* the loop's: the only one that calls the host */
	struct pst_asgi_step *spare; /* steps that are used again */
	unsigned spares;
	struct pst_asgi_step *_Atomic orphans; /* steps that ended on other threads */
	bool closed; /* the host is not called any more */
	char buffer[PST_WRITE_MAX]; /* for a piece of a body */
};

/* --- a request ------------------------------------------------------------------------ */

/* How far the response has come. */
enum pst_asgi_stage {
	PST_ASGI_START, /* nothing has been sent; of a WebSocket: it was not accepted */
	PST_ASGI_BODY, /* the head was */
	PST_ASGI_TRAILERS, /* the body was, trailers are to come */
	PST_ASGI_OVER, /* it is complete */
	PST_ASGI_OPEN, /* a WebSocket that was accepted */
	PST_ASGI_DENIED, /* a WebSocket whose denial is being sent */
};

/*
 * One request. It is the coroutine that the task runs: it calls the application and drives the
 * application's coroutine, and ends the request when that returns. receive() and send() are its
 * methods, so that it may outlive the request.
 */
struct pst_asgi_cycle {
	PyObject_HEAD
	struct pst_asgi *asgi;
	struct pst_request *request; /* NULL once the request is over */
	PyObject *task; /* NULL before it is started and after its end */
	PyObject *coroutine; /* the application's, while it runs */
	struct pst_asgi_cycle *next; /* in the queue */
	bool queued;
	bool begun; /* the application was called */
	bool late; /* the deadline has passed: the task is cancelled */
	bool gone; /* the client has left */
	bool websocket;
	bool bodyless; /* no byte of a body is sent */
	bool trailers; /* the application announced trailers */
	bool broken; /* the response, or a message, cannot become whole any more */
	bool body_over; /* receive() has given the last of the body */
	bool connected; /* websocket.connect was received */
	enum pst_asgi_stage stage;
	unsigned close_code; /* with which the application has closed; 0: it has not */
	PyObject *close_reason; /* str; NULL before */
	long long body_left; /* of the request's body; -1: not known */
	long long length; /* Content-Length of the response, or -1 */
	long long sent;
	struct pst_asgi_step *waiting; /* steps that wait, in no order */
	struct pst_asgi_step *sender; /* the send() that is in the middle of an event */
	PyObject *message; /* what has not come whole: of a WebSocket a message, a bytearray;
			      trailers, a list */
};

PyTypeObject *pst_asgi_cycle_type(void);

/* A new one with one reference, or NULL with an exception. */
struct pst_asgi_cycle *pst_asgi_cycle_new(struct pst_asgi *asgi, struct pst_request *request);

/* Put it into the queue, if it is not there. */
void pst_asgi_cycle_enqueue(struct pst_asgi_cycle *cycle);
/* Start its task, or cancel it. */
void pst_asgi_cycle_run(struct pst_asgi_cycle *cycle);
/* Whatever waits for it may try again. */
void pst_asgi_cycle_wake(struct pst_asgi_cycle *cycle);

/* Log the exception that is set, which is taken, with the request; EFFECT is what follows. */
void pst_asgi_report(struct pst_asgi_cycle *cycle, const char *effect);

/* --- what is awaited ------------------------------------------------------------------- */

/*
 * Try to do what is awaited: PYGEN_RETURN with *RESULT, PYGEN_ERROR with an exception, or
 * PYGEN_NEXT when it has to wait for pst_asgi_cycle_wake() and is to be tried again then.
 */
typedef PySendResult pst_asgi_step_fn(struct pst_asgi_step *step, PyObject **result);

/* What receive() or send() returns: a coroutine, which returns at once when it can. */
struct pst_asgi_step {
	PyObject_HEAD
	struct pst_asgi_cycle *cycle; /* a reference */
	pst_asgi_step_fn *fn; /* NULL: it is over */
	PyObject *event; /* what is sent; NULL: receive() */
	PyObject *future; /* while it waits */
	PyObject *iterator; /* of the future */
	struct pst_asgi_step *next; /* in the cycle's list, or among the spares */
	struct pst_asgi_step *orphan; /* the next of the orphans */
	bool listed; /* there */
	bool parsed; /* the event was checked, what follows is what it holds */
	bool more; /* not the last of the body */
	bool is_text; /* of a WebSocket message */
	Py_buffer view; /* what is sent; obj NULL: nothing is held */
	const char *bytes;
	size_t size;
	size_t at; /* what has been sent of it */
	int fd; /* of a file that is sent, or -1 */
	bool owns_fd;
	off_t offset;
};

PyTypeObject *pst_asgi_step_type(void);

/* A new step, for EVENT if it sends; NULL with an exception. */
PyObject *pst_asgi_step_new(struct pst_asgi_cycle *cycle, pst_asgi_step_fn *fn, PyObject *event);
void pst_asgi_step_free_spares(struct pst_asgi *asgi);
/* Whether the calling thread is the loop's. Others may make steps and let go of them (an exception
 * or the garbage collector does that anywhere), and do nothing else with them. */
bool pst_asgi_on_loop(const struct pst_asgi *asgi);
/* On the loop's thread: end the steps that were let go of on others. */
void pst_asgi_step_reap(struct pst_asgi *asgi);
/* Let go of what it holds to send. */
void pst_asgi_step_release(struct pst_asgi_step *step);

pst_asgi_step_fn pst_asgi_receive, pst_asgi_send;
pst_asgi_step_fn pst_asgi_websocket_receive, pst_asgi_websocket_send;

/* Which kind of event STEP sends: a new reference, or NULL with an exception. */
PyObject *pst_asgi_type_of(struct pst_asgi_step *step);
/* Settle what became of the event of a send(): SENT, and None in *RESULT when it is through. */
PySendResult pst_asgi_sent(struct pst_asgi_step *step, PySendResult sent, PyObject **result);
/* What a send() that must fail raises when the client has left: always PYGEN_ERROR. */
PySendResult pst_asgi_gone(void);
/* Map RESULT of a host function, below 0, to PYGEN_NEXT or an exception. */
PySendResult pst_asgi_failed(struct pst_asgi_cycle *cycle, int result);

/* --- events ---------------------------------------------------------------------------- */

/* Whether STRING (borrowed) is NAME, an interned string. */
bool pst_asgi_is(PyObject *string, PyObject *name);

/* The value of KEY in EVENT, a new reference because the event is the application's to change, or
 * NULL; -1 with an exception. */
int pst_asgi_get(PyObject *event, PyObject *key, PyObject **value);
/* The truth of KEY's value; absent: false. */
int pst_asgi_get_bool(PyObject *event, PyObject *key, bool *value);

/* The fields of a head, as the host takes them. */
struct pst_asgi_fields {
	struct pst_field *fields;
	size_t count;
	PyObject *items; /* keeps the bytes alive */
	long long content_length; /* -1: none */
	struct pst_field few[24];
};

/*
 * The headers of EVENT under KEY (absent: none): pairs of bytes. Fields that are the server's
 * (Transfer-Encoding, Connection ...) are left out. 0, or -1 with an exception; free it after 0.
 */
int pst_asgi_fields_get(struct pst_asgi_fields *fields, PyObject *event, PyObject *key);
void pst_asgi_fields_free(struct pst_asgi_fields *fields);

/* Send the head of a response in EVENT (http.response.start, websocket.http.response.start). */
PySendResult pst_asgi_send_start(struct pst_asgi_step *step);
/* The next of the body in EVENT. */
PySendResult pst_asgi_send_body(struct pst_asgi_step *step);

#endif
