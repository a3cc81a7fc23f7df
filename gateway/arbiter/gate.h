/*
 * A gateway process, and what it and the arbiter tell each other. One serves, or as many as
 * --gateways says: those share the listeners, and each has its share of every crew. A reload may
 * start successors beside them, and then the old ones leave: they finish their requests.
 */
#ifndef PST_ARBITER_GATE_H
#define PST_ARBITER_GATE_H

#include "gateway/arbiter/child.h"
#include "gateway/arbiter/generation.h"
#include "gateway/arbiter/share.h"
#include "gateway/board.h"

#include <stdint.h>
#include <sys/queue.h>

struct pst_arbiter;
struct pst_crew;
struct pst_worker;

/*
 *	successor ──► serving ──► leaving ──► gone
 *	    └────── not wanted any more ──▲
 */
enum pst_gate_role {
	PST_GATE_SUCCESSOR, /* takes clients already; serves once it has workers */
	PST_GATE_SERVING, /* when it exits another is started */
	PST_GATE_LEAVING, /* finishes what it has and exits */
	PST_GATE_GONE, /* has no process, and is freed after the turn */
};

/* How many there may be at a time, and the set of some of them. */
#define PST_GATES_MOST PST_BOARD_PLACES
typedef uint64_t pst_gate_set;

struct pst_gate {
	TAILQ_ENTRY(pst_gate) link;
	struct pst_child child;
	struct pst_arbiter *arbiter;
	enum pst_gate_role role;
	struct pst_share share; /* which of those of its generation it is */
	struct pst_generation *generation; /* what it was told */
	pst_gate_set bit; /* itself, in the sets that workers have */
	bool was_usable; /* it came to serve, at least once */
	struct event *watch; /* until it is asked again whether it is there */
	unsigned unanswered; /* such questions, one after another */
	unsigned owed; /* ends of answers to STATUS that it has yet to send */
};

TAILQ_HEAD(pst_gate_list, pst_gate);

/*
 * The gateways that GENERATION wants, without processes, among the arbiter's: 0, or -1 when memory
 * is short or there would be more than PST_GATES_MOST. What was made by then stays.
 */
int pst_gates_new(
    struct pst_arbiter *arbiter, struct pst_generation *generation, enum pst_gate_role role);
void pst_gate_free(struct pst_gate *gate);
/* The next one of ROLE after GATE; after NULL the first. NULL when there is none. */
struct pst_gate *pst_gates_next(
    const struct pst_arbiter *arbiter, enum pst_gate_role role, const struct pst_gate *gate);
/* Each GATE of ROLE. It may change its role meanwhile. */
#define PST_GATES_FOREACH(gate, arbiter, role)                                                     \
	for ((gate) = pst_gates_next(arbiter, role, NULL); (gate);                                 \
	     (gate) = pst_gates_next(arbiter, role, gate))
/* The one place where the role changes. */
void pst_gate_set_role(struct pst_gate *gate, enum pst_gate_role role);
/* Its clients are to know that it is going to leave. */
void pst_gate_say_closing(struct pst_gate *gate);
/* Start a process, and tell it the settings, listeners and all workers that are ready. */
void pst_gate_start(struct pst_gate *gate);
/* It finishes what it has, and exits. */
void pst_gate_leave(struct pst_gate *gate);
/* Its process was reaped: no worker is known to it any more. */
void pst_gate_reaped(struct pst_gate *gate);

/* Its generation has the pool of CREW. */
bool pst_gate_has(const struct pst_gate *gate, const struct pst_crew *crew);
/* It has the pool of WORKER, whose slot is in its share. */
bool pst_gate_serves(const struct pst_gate *gate, const struct pst_worker *worker);

/* ---- to all gateways that WORKER is for ---- */

/* WORKER is ready. */
void pst_gates_announce(struct pst_worker *worker);
/* WORKER has exited. */
void pst_gates_withdraw(struct pst_worker *worker);
/* They are to give WORKER nothing more. -1: none of them has ever heard of it. */
int pst_gates_drain(struct pst_worker *worker);

/* ---- gate_lines.c: what it is told before START, and at its end ---- */

/* The settings of the top and of every pool, and the routes. */
void pst_gate_send_settings(struct pst_gate *gate);
void pst_gate_send_listeners(struct pst_gate *gate);
/* Where it shows the others that there are how many clients it has; nothing where it is alone. */
void pst_gate_send_board(struct pst_gate *gate);
/* It is gone, and shows nothing any more. */
void pst_gate_hide(const struct pst_gate *gate);
/* Others have taken over: it is to leave those of its listeners that NEXT has, too. */
void pst_gate_send_unlisten(struct pst_gate *gate, const struct pst_generation *next);

/* ---- gate_watch.c: is it there ---- */

/* It was just started: watch it until it exits. */
void pst_gate_watch(struct pst_gate *gate);
/* PONG came. */
void pst_gate_answered(struct pst_gate *gate);
/* The callback of gate->watch. */
void pst_gate_on_watch(evutil_socket_t fd, short what, void *arg);

#endif
