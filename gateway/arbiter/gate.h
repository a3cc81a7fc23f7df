/*
 * A gateway process, and what it and the arbiter tell each other. One serves. A reload may start a
 * successor beside it, and then the old one leaves: it finishes its requests.
 */
#ifndef PST_ARBITER_GATE_H
#define PST_ARBITER_GATE_H

#include "gateway/arbiter/child.h"
#include "gateway/arbiter/generation.h"

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
#define PST_GATES_MOST 16
typedef unsigned pst_gate_set;

struct pst_gate {
	TAILQ_ENTRY(pst_gate) link;
	struct pst_child child;
	struct pst_arbiter *arbiter;
	enum pst_gate_role role;
	struct pst_generation *generation; /* what it was told */
	pst_gate_set bit; /* itself, in the sets that workers have */
	bool was_usable; /* it came to serve, at least once */
	struct event *watch; /* until it is asked again whether it is there */
	unsigned unanswered; /* such questions, one after another */
};

TAILQ_HEAD(pst_gate_list, pst_gate);

/*
 * One more gateway for GENERATION, without a process, among the arbiter's. NULL when memory is
 * short or there are PST_GATES_MOST.
 */
struct pst_gate *pst_gate_new(
    struct pst_arbiter *arbiter, struct pst_generation *generation, enum pst_gate_role role);
void pst_gate_free(struct pst_gate *gate);
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

/* ---- to all gateways whose pools WORKER is in ---- */

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
/* Another gateway has taken over: it is to leave those of its listeners that SUCCESSOR has, too. */
void pst_gate_send_unlisten(struct pst_gate *gate, const struct pst_gate *successor);

/* ---- gate_watch.c: is it there ---- */

/* It was just started: watch it until it exits. */
void pst_gate_watch(struct pst_gate *gate);
/* PONG came. */
void pst_gate_answered(struct pst_gate *gate);
/* The callback of gate->watch. */
void pst_gate_on_watch(evutil_socket_t fd, short what, void *arg);

#endif
