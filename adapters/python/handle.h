/*
 * The objects that the application gets for a request (wsgi.input, wsgi.errors, and what
 * start_response and write are bound to) are handles on its call, and nothing else.
 */
#ifndef PST_PYTHON_HANDLE_H
#define PST_PYTHON_HANDLE_H

#include <Python.h>

#include "adapters/python/call.h"

struct pst_handle {
	PyObject_HEAD
	struct pst_call *call; /* a reference; never NULL */
};

/*
 * Make the type of SPEC, whose objects are handles: only pst_handle_new() makes them, Python code
 * cannot. NULL with an exception.
 */
PyTypeObject *pst_handle_type(PyType_Spec *spec);

/* A new handle of TYPE with a reference to CALL, or NULL with an exception. */
PyObject *pst_handle_new(PyTypeObject *type, struct pst_call *call);

/* For Py_tp_dealloc. */
void pst_handle_dealloc(PyObject *self);

#endif
