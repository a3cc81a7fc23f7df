/* The exception that is set, as text. */
#ifndef PST_PYTHON_TRACEBACK_H
#define PST_PYTHON_TRACEBACK_H

#include <Python.h>

/*
 * Take the exception that is set and return it as the interpreter would print it (UTF-8 in a bytes
 * object), or NULL when even that failed. *SUMMARY receives its type and message on one line, in
 * the same way. No exception is set afterwards. SystemExit is one like any other: nothing exits.
 */
PyObject *pst_traceback_take(PyObject **summary);

#endif
