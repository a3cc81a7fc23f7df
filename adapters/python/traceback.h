/* The exception that is set, or where a coroutine waits, as text. */
#ifndef PST_PYTHON_TRACEBACK_H
#define PST_PYTHON_TRACEBACK_H

#include <Python.h>

/*
 * Take the exception that is set and return it as the interpreter would print it (UTF-8 in a bytes
 * object), or NULL when even that failed. *SUMMARY receives its type and message on one line, in
 * the same way. No exception is set afterwards. SystemExit is one like any other: nothing exits.
 */
PyObject *pst_traceback_take(PyObject **summary);

/*
 * Where COROUTINE is: its frame, and those of what it awaits, the outermost first, as the
 * interpreter prints a stack (UTF-8 in a bytes object); NULL, without an exception, when that
 * failed.
 */
PyObject *pst_traceback_of(PyObject *coroutine);

#endif
