/*
 * wsgi.errors (PEP 3333, "Input and Error Streams"): write, writelines, flush. Text goes out line
 * by line, so that a print() of several pieces is one line of the log; what has no line end yet
 * goes out at flush() and at the end of the request. What comes after the request goes to the
 * worker's error log.
 */
#ifndef PST_PYTHON_ERRORS_H
#define PST_PYTHON_ERRORS_H

#include <Python.h>

#include "adapters/python/call.h"

/* The type, whose objects are handles; NULL with an exception. */
PyTypeObject *pst_errors_type(void);

/* Add text to the request's error stream, as the application would. */
void pst_errors_add(struct pst_call *call, const char *text, size_t n);

/* Send what has no line end yet. */
void pst_errors_flush(struct pst_call *call);

#endif
