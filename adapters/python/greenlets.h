/*
 * What serves a WSGI application on the hub of gevent or eventlet: a greenlet for each request,
 * which switches to the hub where a thread would block.
 *
 * All with the GIL held, on the hub's thread.
 */
#ifndef PST_PYTHON_GREENLETS_H
#define PST_PYTHON_GREENLETS_H

#include <Python.h>

#include <penstock/plugin.h>

struct pst_greenlets;
struct pst_wsgi;

/* What runs WSGI, which is its own from now on, on the hub of GLUE (penstock_loops/gevent.py). NULL
 * with an exception. */
struct pst_greenlets *pst_greenlets_new(
    const struct pst_host *host, struct pst_wsgi *wsgi, PyObject *glue);

/* Let go of all Python objects, while the interpreter still runs: the host is not called any more.
 */
void pst_greenlets_close(struct pst_greenlets *greenlets);
/* After the interpreter ended: objects that the application kept refer to it until then. */
void pst_greenlets_free(struct pst_greenlets *greenlets);

/* The host's callbacks: they only enqueue. */
void pst_greenlets_on_request(struct pst_greenlets *greenlets, struct pst_request *request);
void pst_greenlets_on_ready(struct pst_greenlets *greenlets, struct pst_request *request);
void pst_greenlets_on_abort(
    struct pst_greenlets *greenlets, struct pst_request *request, enum pst_abort why);

/* In the hub, after a frame of the host: run what was enqueued, until each of it waits. */
void pst_greenlets_after(struct pst_greenlets *greenlets);

#endif
