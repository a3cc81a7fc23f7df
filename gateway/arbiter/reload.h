/*
 * HUP: the configuration is read again, and every worker is replaced by one that loads its
 * application anew. Where the gateways would have to be told other things, others take over.
 *
 *	off ──► workers ──► gateway ──► off
 *	 ▲         │  └──────────┼───────▲     nothing changes for the gateway
 *	 └─────────┴─ failed ────┘
 */
#ifndef PST_ARBITER_RELOAD_H
#define PST_ARBITER_RELOAD_H

#include "gateway/arbiter/generation.h"

#include <stdbool.h>
#include <stdint.h>

struct pst_arbiter;
struct pst_crew;

enum pst_reload_step {
	PST_RELOAD_OFF,
	PST_RELOAD_WORKERS, /* workers are replaced, those of new pools load */
	PST_RELOAD_GATEWAY, /* the successors of the gateways connect to them */
};

struct pst_reload {
	enum pst_reload_step step;
	int64_t begun;
	unsigned replaced; /* workers, by it */
	struct pst_generation *next; /* NULL: off */
};

/*
 * Begin one, or begin again. A configuration that is wrong, and a listener that cannot be opened,
 * change nothing but for a line in the log.
 */
void pst_reload_begin(struct pst_arbiter *arbiter);
/* Something was done that it may have waited for. */
void pst_reload_go_on(struct pst_arbiter *arbiter);
/* How many workers CREW has to have before it is done: one for each gateway. */
unsigned pst_reload_least(const struct pst_crew *crew);
/* CREW is of a pool that there was not before. */
bool pst_reload_brings(const struct pst_crew *crew);
/* An heir became a holder. */
void pst_reload_count(struct pst_arbiter *arbiter);
/* A line said what went wrong, and WHY says it again: what is not replaced by now serves on. */
void pst_reload_fail(struct pst_arbiter *arbiter, const char *why);
/* All ends: so does this, with nothing said. */
void pst_reload_stop(struct pst_arbiter *arbiter);

#endif
