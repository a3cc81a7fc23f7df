/*
 * What asyncio's loop is asked to call soon, and is called at once in its place.
 *
 * A task asks its loop's call_soon() for its first step, and again when what it waits for is there.
 * Where the host has just told of it, no other task runs, so there is nothing to wait for: what is
 * asked for meanwhile is caught, and called when the host's frame has ended. That spares a handle,
 * and a turn of the loop.
 *
 * All on the loop's thread; one loop for each process. What other threads ask a loop for is passed
 * on.
 */
#ifndef PST_PYTHON_SOON_H
#define PST_PYTHON_SOON_H

#include <Python.h>

/* Let call_soon() of DERIVED, a class derived from BASE, a loop's, be caught: 0, or -1 with an
 * exception. */
int pst_soon_install(PyObject *derived, PyObject *base);

/* Catch what LOOP is asked to call soon, from now on; NULL: no more. A loop of another class is not
 * caught. */
void pst_soon_catch(PyObject *loop);
/* Call what was caught, each in its context, until there is nothing: 1, or 0 if there was nothing;
 * -1 with an exception that is to end the loop. */
int pst_soon_run(void);
/* Forget what was caught. */
void pst_soon_forget(void);
/* Let go of everything; nothing is caught any more. */
void pst_soon_close(void);

#endif
