/*
 * A request and its answer as glue in Python has them: the host's functions for one request, as an
 * object. What the host says AGAIN to is None, or False.
 *
 * All on the loop's thread. Where there is a GIL, which keeps them apart, methods may be called on
 * others; where there is none that is a RuntimeError.
 */
#ifndef PST_PYTHON_EXCHANGE_H
#define PST_PYTHON_EXCHANGE_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

struct pst_exchange {
	PyObject_HEAD
	const struct pst_host *host;
	struct pst_request *request; /* NULL once it is over */
	const bool *closed; /* the host is not called any more */
#ifdef Py_GIL_DISABLED
	unsigned long thread; /* the loop's */
#endif
	PyObject *handler; /* what serves it, whoever made the exchange keeps it here */
	struct pst_exchange *next; /* in a queue of his */
	bool queued, begun, ready, gone, late; /* his */
	size_t at; /* bytes that were taken of what is being sent */
};

/* A new reference, or NULL with an exception. */
PyTypeObject *pst_exchange_type(void);

/* One with one reference, or NULL with an exception. *CLOSED must outlive it. */
struct pst_exchange *pst_exchange_new(PyTypeObject *type, const struct pst_host *host,
    struct pst_request *request, const bool *closed);

#endif
