/*
 * The timers of asyncio's loop: what call_later() and call_at() ask for, to the microsecond.
 *
 * Loops count in milliseconds: what was asked for at different times is due at once then, and all
 * of it waits for the last. Here the timers are a heap, and the kernel's (timerfd) is set to the
 * first; the loop watches its descriptor. asyncio.sleep() is known by what it asks for: its future
 * is set without a Python frame, and its task goes on at once (soon.h).
 *
 * All on the loop's thread; one loop for each process. What other threads ask a loop for is passed
 * on to its own timers, as is everything in debug mode.
 */
#ifndef PST_PYTHON_LATER_H
#define PST_PYTHON_LATER_H

#include <Python.h>

#include <stdint.h>

/* Give DERIVED, a class derived from BASE, a loop's, time(), call_later() and call_at(): 0, or -1
 * with an exception. */
int pst_later_install(PyObject *derived, PyObject *base);

/* From now on the timers are LOOP's, which is of that class. A descriptor that is readable when
 * pst_later_run() is due; -1 with an exception. */
int pst_later_open(PyObject *loop);

enum pst_later {
	PST_LATER_DONE, /* no other timer is due */
	PST_LATER_MORE,
	PST_LATER_FAILED, /* with an exception that is to end the loop */
};

/* Call what is due, for MICROSECONDS at most. */
enum pst_later pst_later_run(uint64_t microseconds);
/* After the last pst_later_run(): make the descriptor readable when the next one is due. */
void pst_later_set(void);

/* Let go of everything; the loop's own timers serve from now on. */
void pst_later_close(void);

#endif
