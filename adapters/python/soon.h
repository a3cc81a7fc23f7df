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

#include <stdbool.h>

/* A class like BASE, a loop's, whose call_soon() can be caught; NULL with an exception. */
PyObject *pst_soon_class(PyObject *base);

/* Catch what LOOP is asked to call soon, from now on; NULL: no more. A loop of another class is not
 * caught. */
void pst_soon_catch(PyObject *loop);
/* Call what was caught, each in its context, until there is nothing. True: there was something. */
bool pst_soon_run(void);
/* Forget what was caught. */
void pst_soon_forget(void);
/* Let go of everything; nothing is caught any more. */
void pst_soon_close(void);

#endif
