/*
 * Requests of a pool that are refused, or broken off, because room or memory is short. That comes
 * in floods: of each kind the first is for its caller to log, and of those that follow the log is
 * told once a second how many they were.
 */
#ifndef PST_FRONT_REFUSALS_H
#define PST_FRONT_REFUSALS_H

#include "gateway/front/tally.h"

enum pst_refusal {
	PST_REFUSAL_BODY, /* its body cannot be stored */
	PST_REFUSAL_ANSWER, /* its answer cannot */
	PST_REFUSAL_MEMORY, /* no worker was given it for want of memory */
};
#define PST_REFUSALS (PST_REFUSAL_MEMORY + 1)

struct pst_refusals {
	struct pst_refusals_kind {
		struct pst_tally tally;
		const char *pool;
		const char *what; /* the plural is meant */
	} kinds[PST_REFUSALS];
};

/* 0, or -1 when memory is short. POOL, its name for the log, must outlive it. */
int pst_refusals_init(struct pst_refusals *refusals, struct pst_loop *loop, const char *pool);
/* What was counted is told. One of zero bytes is allowed. */
void pst_refusals_free(struct pst_refusals *refusals);

/* One more: true when the caller is to log it. */
bool pst_refusals_one(struct pst_refusals *refusals, enum pst_refusal kind);

#endif
