/*
 * A gateway process, and what it and the arbiter tell each other.
 */
#ifndef PST_ARBITER_GATE_H
#define PST_ARBITER_GATE_H

#include "gateway/arbiter/child.h"

struct pst_arbiter;
struct pst_worker;

struct pst_gate {
	struct pst_child child;
	struct pst_arbiter *arbiter;
	bool was_usable; /* one gateway of this arbiter came to serve */
	struct event *watch; /* until it is asked again whether it is there */
	unsigned unanswered; /* such questions, one after another */
};

int pst_gate_init(struct pst_gate *gate, struct pst_arbiter *arbiter);
void pst_gate_close(struct pst_gate *gate);
/* Start a gateway, with settings, listeners and all workers that are ready. */
void pst_gate_start(struct pst_gate *gate);
/* Tell the gateway, if there is one, that WORKER is ready or has exited. */
void pst_gate_announce(struct pst_gate *gate, struct pst_worker *worker);
void pst_gate_withdraw(struct pst_gate *gate, struct pst_worker *worker);
/* Ask it to give WORKER nothing more. -1: no gateway has ever heard of it. */
int pst_gate_drain(struct pst_gate *gate, struct pst_worker *worker);

/* ---- gate_lines.c: what it is told before START ---- */

/* The settings of the top and of every pool, and the routes. */
void pst_gate_send_settings(struct pst_gate *gate);
void pst_gate_send_listeners(struct pst_gate *gate);

/* ---- gate_watch.c: is it there ---- */

/* It was just started: watch it until it exits. */
void pst_gate_watch(struct pst_gate *gate);
/* PONG came. */
void pst_gate_answered(struct pst_gate *gate);
/* The callback of gate->watch. */
void pst_gate_on_watch(evutil_socket_t fd, short what, void *arg);

#endif
