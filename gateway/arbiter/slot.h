/*
 * The life of a process that the arbiter keeps: a worker in its slot, or the gateway. Sans I/O:
 * states, the one function that changes them, and when to start again. Times are milliseconds
 * of a monotonic clock.
 *
 *	empty ──► starting ──► ready ◄──► usable     retiring: gets nothing more, was told nothing
 *yet ▲  ▲       │           ├─ retiring ┤        draining: was asked to finish and exit │  │
 *└───────────┴──────┬────┤        dying: was signalled, SIGKILL follows │  │ ▼    ▼        backoff:
 *has exited, starts again later │  └─────────────────── draining ► dying └── backoff ◄─── any with
 *a process but retiring
 */
#ifndef PST_ARBITER_SLOT_H
#define PST_ARBITER_SLOT_H

#include <stdbool.h>
#include <stdint.h>

enum pst_slot_state {
	PST_SLOT_EMPTY,
	PST_SLOT_STARTING, /* has a process that did not say READY yet */
	PST_SLOT_READY, /* a worker that said READY; the gateway was told, or will be */
	PST_SLOT_USABLE, /* serves: the gateway said so of a worker, itself by READY */
	PST_SLOT_RETIRING, /* a worker: the gateway was told, and finishes its requests */
	PST_SLOT_DRAINING,
	PST_SLOT_DYING,
	PST_SLOT_BACKOFF,
	PST_SLOT_STATES
};

/* The first failure costs 100 ms, each further one twice the last, 30 s at most. */
#define PST_SLOT_BACKOFF_FIRST 100
#define PST_SLOT_BACKOFF_MOST  30000
/* A process that served so long before it failed has no history. */
#define PST_SLOT_STEADY 10000

struct pst_slot {
	enum pst_slot_state state;
	unsigned failures; /* in a row */
	int64_t started_at; /* of the present process, or the last one */
	int64_t usable_since; /* 0: never since started_at */
};

const char *pst_slot_state_name(enum pst_slot_state state);

/* Change the state. A change that the table does not have is our mistake and ends the process. */
void pst_slot_enter(struct pst_slot *slot, enum pst_slot_state state, int64_t now);

/* Has a process, in whatever state. */
bool pst_slot_has_process(const struct pst_slot *slot);

/* Has a process that was not told to end. */
bool pst_slot_is_wanted(const struct pst_slot *slot);

/*
 * The process of SLOT exited unasked: milliseconds until the next may start. Called once for each,
 * before the slot enters another state.
 */
unsigned pst_slot_fail(struct pst_slot *slot, int64_t now);

/* The wait after the Nth failure in a row; N is at least 1. */
unsigned pst_slot_backoff(unsigned failures);

#endif
