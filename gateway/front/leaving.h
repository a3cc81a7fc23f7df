/*
 * Who is to leave because a worker or the gateway does, and will connect again: over a few seconds,
 * a fiftieth every 100 ms, so that they do not come back at once.
 */
#ifndef PST_FRONT_LEAVING_H
#define PST_FRONT_LEAVING_H

#include "gateway/front/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

/* One of them, part of its owner. Zero: it stays. */
struct pst_leaver {
	TAILQ_ENTRY(pst_leaver) link;
	bool leaves;
};

TAILQ_HEAD(pst_leaver_list, pst_leaver);

struct pst_leaving {
	struct pst_leaver_list list;
	size_t count;
	unsigned ticks; /* in which all are to go */
	struct event *tick;
	void (*go)(struct pst_leaver *leaver);
};

/* GO is called for each, which is out of the list then. 0, or -1 when memory is short. */
int pst_leaving_init(
    struct pst_leaving *leaving, struct pst_loop *loop, void (*go)(struct pst_leaver *leaver));
void pst_leaving_free(struct pst_leaving *leaving);

/* LEAVER is to leave; once more does nothing. */
void pst_leaving_add(struct pst_leaving *leaving, struct pst_leaver *leaver);
/* It stays, or is gone already. */
void pst_leaving_remove(struct pst_leaving *leaving, struct pst_leaver *leaver);

#endif
