/*
 * How asyncio's own loop waits: a select() in C in the place of its selector's.
 *
 * Descriptors of ours are in the selector's epoll, too, but are no keys of its: what is ready of
 * them is served within select(), without a handle and a context, and waiting goes on there for as
 * long as the loop has nothing else to do. All others are returned, as ever.
 *
 * All on the loop's thread; one loop for each process.
 */
#ifndef PST_PYTHON_POLL_H
#define PST_PYTHON_POLL_H

#include <Python.h>

#include <stdbool.h>

struct pst_poll_calls {
	/* FD is ready for EVENTS (enum pst_event): 0, or -1 with an exception that ends the loop.
	 */
	int (*ready)(void *arg, int fd, unsigned events);
	/* Before each wait: 0 if there was nothing to do, 1 if it was done, 2 if there is more,
	 * which must not wait. */
	int (*before)(void *arg);
};

/* Wait in the place of select() of SELECTOR, LOOP's, from which pst_poll_select() is to be called:
 * false where they are not as they are known; then nothing has changed. */
bool pst_poll_open(
    PyObject *loop, PyObject *selector, const struct pst_poll_calls *calls, void *arg);
void pst_poll_close(void);
bool pst_poll_is_open(void);

/* Wait until FD is ready for EVENTS, from now on; 0: no more. 0, or -1 with an exception. */
int pst_poll_watch(int fd, unsigned events);

/* select(TIMEOUT) of the selector: a list of pairs (key, events), or NULL with an exception. */
PyObject *pst_poll_select(PyObject *timeout);

#endif
