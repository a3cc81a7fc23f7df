/*
 * What serves an application of Tornado on asyncio's loop: the queue between the host's callbacks
 * and the glue in Python (penstock_loops/tornado.py), which is an HTTP server to Tornado.
 *
 * All with the GIL held, on the loop's thread.
 */
#ifndef PST_PYTHON_TORNADO_H
#define PST_PYTHON_TORNADO_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

struct pst_tornado;

/* What serves APP on the loop of GLUE. NULL with an exception. */
struct pst_tornado *pst_tornado_new(const struct pst_host *host, PyObject *app, PyObject *glue);

/* Let go of all Python objects, while the interpreter still runs: the host is not called any more.
 */
void pst_tornado_close(struct pst_tornado *tornado);
/* After the interpreter ended. */
void pst_tornado_free(struct pst_tornado *tornado);

/* The host's callbacks: they only enqueue. */
void pst_tornado_on_request(struct pst_tornado *tornado, struct pst_request *request);
void pst_tornado_on_ready(struct pst_tornado *tornado, struct pst_request *request);
void pst_tornado_on_abort(
    struct pst_tornado *tornado, struct pst_request *request, enum pst_abort why);
/* No further request will come: WebSockets are closed, within the loop. */
void pst_tornado_drain(struct pst_tornado *tornado);

/* Tell the glue what was enqueued: after each frame of the host. True: there was something. */
bool pst_tornado_after(struct pst_tornado *tornado);

#endif
