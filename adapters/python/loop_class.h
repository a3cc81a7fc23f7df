/*
 * The class of asyncio's loop, derived from its own (or uvloop's), with methods of ours in C: what
 * it is asked to call soon (soon.h), and later (later.h). They pass on what they do not want.
 */
#ifndef PST_PYTHON_LOOP_CLASS_H
#define PST_PYTHON_LOOP_CLASS_H

#include <Python.h>

/* A class like BASE, by whose name it goes; NULL with an exception. */
PyObject *pst_loop_class_new(PyObject *base);

/* Add METHODS, which live on: 0, or -1 with an exception. */
int pst_loop_class_add(PyObject *derived, PyMethodDef *methods);
/* Call METHOD of the class that SELF's is derived from, with what ours was called with. */
PyObject *pst_loop_class_pass_on(
    PyObject *method, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

#endif
