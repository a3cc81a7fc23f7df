/*
 * Events of one kind that may come in floods, for the log: the first is told of at once, those of
 * each following second together, until a second has none.
 */
#ifndef PST_FRONT_TALLY_H
#define PST_FRONT_TALLY_H

#include "gateway/front/deadline.h"

/* MORE events in the second that has passed. */
typedef void pst_tally_fn(void *arg, uint64_t more);

struct pst_tally {
	struct pst_deadline_list seconds;
	struct pst_deadline second; /* armed since an event was told of */
	uint64_t more;
	pst_tally_fn *tell;
	void *arg;
};

/* 0, or -1 when memory is short. */
int pst_tally_init(struct pst_tally *tally, struct pst_loop *loop, pst_tally_fn *tell, void *arg);
/* What was counted is told. A tally of zero bytes is allowed. */
void pst_tally_free(struct pst_tally *tally);

/* One more: true when the caller is to tell of it. */
bool pst_tally_one(struct pst_tally *tally);

#endif
