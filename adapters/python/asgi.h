/*
 * What serves an ASGI 3 application on an event loop with asyncio's interface: a task for each
 * request, whose scope, receive() and send() are made here.
 *
 * All with the GIL held, on the loop's thread.
 */
#ifndef PST_PYTHON_ASGI_H
#define PST_PYTHON_ASGI_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

struct pst_asgi;

/* What serves CALLABLE on LOOP, an asyncio loop; references are taken. STATE: see
 * pst_asgi_scope_new(). NULL with an exception. */
struct pst_asgi *pst_asgi_new(
    const struct pst_host *host, PyObject *callable, PyObject *loop, PyObject *state);

/* Let go of all Python objects, while the interpreter still runs: the host is not called any more.
 */
void pst_asgi_close(struct pst_asgi *asgi);
/* After the interpreter ended: objects that the application kept refer to it until then. */
void pst_asgi_free(struct pst_asgi *asgi);

/* The host's callbacks: they only enqueue. */
void pst_asgi_on_request(struct pst_asgi *asgi, struct pst_request *request);
void pst_asgi_on_ready(struct pst_asgi *asgi, struct pst_request *request);
void pst_asgi_on_abort(struct pst_asgi *asgi, struct pst_request *request, enum pst_abort why);

/* Start, or cancel, what was enqueued: after each frame of the host. True: there was something. */
bool pst_asgi_after(struct pst_asgi *asgi);

#endif
