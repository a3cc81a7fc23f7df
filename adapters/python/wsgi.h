/* The WSGI call: one request through an application (PEP 3333). */
#ifndef PST_PYTHON_WSGI_H
#define PST_PYTHON_WSGI_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

struct pst_environ;
struct pst_waiter;
struct pst_wsgi;

/* What serves CALLABLE (a reference is taken); NULL with an exception. MULTITHREAD and MULTIPROCESS
 * are what the environ says. */
struct pst_wsgi *pst_wsgi_new(
    const struct pst_host *host, PyObject *callable, bool multithread, bool multiprocess);
void pst_wsgi_free(struct pst_wsgi *wsgi);

/* What a thread makes environs with (environ.h), its own; NULL with an exception. It must be freed
 * before WSGI is. */
struct pst_environ *pst_wsgi_environ(const struct pst_wsgi *wsgi);

/*
 * Serve one request with the calling thread's ENVIRON, with the GIL held: 0 when the response is
 * complete, -1 when it is not. What went wrong was logged, and no exception is set either way. Any
 * number of threads, or of greenlets of one with a WAITER (call.h), may do so at a time.
 */
int pst_wsgi_serve(struct pst_wsgi *wsgi, struct pst_environ *environ, struct pst_request *request,
    struct pst_waiter *waiter);

#endif
