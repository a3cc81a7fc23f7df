/*
 * The event loop of an async adapter, as its host sees it: a plugin's own (loop_plugin.h), or
 * libevent's (loop_event.h). All on one thread.
 *
 * The host asks for descriptors, one timer and the end of the turn; the loop calls back. A turn
 * is what one wakeup brings: fd_ready() and timer_due() any number of times, then turn() if
 * somebody has asked for it.
 */
#ifndef PST_ADAPTERS_LOOP_H
#define PST_ADAPTERS_LOOP_H

#include <stdint.h>

struct pst_loop;

/* No timer. */
#define PST_LOOP_NEVER UINT64_MAX

/* What a loop calls, on its thread, while it runs. */
struct pst_loop_host {
	/* FD is ready for EVENTS, bits of enum pst_event. */
	void (*fd_ready)(int fd, unsigned events);
	void (*timer_due)(void);
	/* The turn ends. */
	void (*turn)(void);
	/* All callbacks of one wakeup were made; before turn(). Not from a plugin's loop. */
	void (*woke)(void);
};

/* The functions of one kind of loop. */
struct pst_loop_type {
	/* Until stop(): 0, or -1 after the reason was logged. */
	int (*run)(struct pst_loop *loop);
	/* Within one of the callbacks. */
	void (*stop)(struct pst_loop *loop);
	/* Call fd_ready() while FD is ready for one of EVENTS; 0: no more. 0, or -1. */
	int (*watch)(struct pst_loop *loop, int fd, unsigned events);
	/* Call timer_due() once, in MICROSECONDS; replaces what was asked for before. */
	void (*timer)(struct pst_loop *loop, uint64_t microseconds);
	/* Call turn() once. */
	void (*defer)(struct pst_loop *loop);
	void (*free)(struct pst_loop *loop);
};

/* What every kind begins with. */
struct pst_loop {
	const struct pst_loop_type *type;
};

#endif
