/*
 * One process that the arbiter keeps, the gateway or a worker: its slot, pid, control channel and
 * the one timer that its state needs. Who owns it decides; this file carries out.
 */
#ifndef PST_ARBITER_CHILD_H
#define PST_ARBITER_CHILD_H

#include "gateway/arbiter/channel.h"
#include "gateway/arbiter/slot.h"
#include "gateway/arbiter/spawn.h"

#include <event2/event.h>

/* Between SIGTERM and SIGKILL. */
#define PST_CHILD_GRACE 2000

struct pst_child_events {
	/* A control line came. */
	void (*line)(void *owner, const struct pst_control *line);
	/* It did not get ready in the time that pst_child_limit_start() gave it. */
	void (*late)(void *owner);
	/* The wait of PST_SLOT_BACKOFF is over. */
	void (*retry)(void *owner);
};

struct pst_child {
	struct pst_slot slot;
	char name[96]; /* "gateway", "worker 3.17": how log lines begin */
	pid_t pid;
	struct pst_channel *channel; /* NULL: a program that knows signals only */
	struct event *timer;
	unsigned wait_ms; /* what it was set to last */
	char suspicion[256]; /* why it will be ended unless it exits first; "" for no reason */
	bool told_unknown; /* an unknown line was logged */
	struct event_base *base;
	const struct pst_child_events *events;
	void *owner;
};

/* 0, or -1 without memory. The child starts empty. */
int pst_child_init(struct pst_child *child, struct event_base *base,
    const struct pst_child_events *events, void *owner);
void pst_child_close(struct pst_child *child);

/*
 * Start SPAWN, whose descriptor 3 is filled in here if it has one, as NAME. 0, or -1 after a line
 * was logged; the state is starting only after success.
 */
int pst_child_start(struct pst_child *child, struct pst_spawn *spawn, const char *name);

/*
 * Just started: unless its state has changed after MS milliseconds, late() is called. Once it has,
 * pst_child_ready() ends that.
 */
void pst_child_limit_start(struct pst_child *child, unsigned ms);

/* It said READY: enter STATE. */
void pst_child_ready(struct pst_child *child, enum pst_slot_state state);

/* Others see that it gets nothing more; unless it is drained before, it is killed after GRACE
 * milliseconds. */
void pst_child_retire(struct pst_child *child, unsigned grace);

/* Ask it to finish and exit, by DRAIN or else SIGTERM; after GRACE milliseconds it is killed. */
void pst_child_drain(struct pst_child *child, unsigned grace);

/* Send signal NUMBER now and SIGKILL after GRACE milliseconds. In state dying: only make it
 * quicker. */
void pst_child_end(struct pst_child *child, int number, unsigned grace);

/*
 * Something is wrong with it: unless it exits by itself in a moment, which would explain it
 * better, log WHY and end it.
 */
void pst_child_suspect(struct pst_child *child, const char *why);

/* It was reaped: release what belonged to the process. The state is the owner's to change next. */
void pst_child_reaped(struct pst_child *child);

/* Enter backoff; retry() comes after DELAY milliseconds. */
void pst_child_retry_later(struct pst_child *child, unsigned delay);

/* It is in backoff: milliseconds until retry(). */
unsigned pst_child_retry_in(const struct pst_child *child);

/* It is in backoff: do not try again, it is empty. */
void pst_child_give_up(struct pst_child *child);

/* Log a line that nobody knows, once for each process. */
void pst_child_unknown_line(struct pst_child *child, const struct pst_control *line);

/* What waitpid() said, in words: "exited with status 3", "was killed by signal 9 (Killed)". */
void pst_child_describe(int wait_status, char *words, size_t size);

#endif
