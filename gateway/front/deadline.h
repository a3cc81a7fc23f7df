/*
 * Deadlines of one kind: all of them pass the same time after they were armed, so a list in the
 * order of arming is in the order of expiry. Arming is O(1) and touches no timer: the list's one
 * timer fires for what was the first, finds what has been armed anew since, and waits on.
 */
#ifndef PST_FRONT_DEADLINE_H
#define PST_FRONT_DEADLINE_H

#include "gateway/front/loop.h"

struct pst_deadline_list;

/* Part of the object that it is about. A struct of zero bytes is a valid one that is not armed. */
struct pst_deadline {
	TAILQ_ENTRY(pst_deadline) link;
	struct pst_deadline_list *list; /* NULL: not armed */
	uint64_t at; /* pst_loop_now() */
};

/* DEADLINE has passed and is no longer armed. */
typedef void pst_deadline_fn(struct pst_deadline *deadline);

struct pst_deadline_list {
	TAILQ_HEAD(, pst_deadline) armed;
	uint64_t after; /* ms; 0: they never pass */
	pst_deadline_fn *passed;
	struct event *timer;
	bool timing; /* it is going to fire */
};

/* 0, or -1 when memory is short. AFTER is in milliseconds. */
int pst_deadline_list_init(
    struct pst_deadline_list *list, struct pst_loop *loop, uint64_t after, pst_deadline_fn *passed);
/* What is still armed is forgotten. A list of zero bytes is allowed. */
void pst_deadline_list_free(struct pst_deadline_list *list);

/* Start the time anew, whatever DEADLINE was armed for. */
void pst_deadline_arm(struct pst_deadline *deadline, struct pst_deadline_list *list);
/* Let it pass at AT (pst_loop_now()) instead, which is sooner than that of most: O(those before).
 */
void pst_deadline_arm_at(
    struct pst_deadline *deadline, struct pst_deadline_list *list, uint64_t at);
void pst_deadline_cancel(struct pst_deadline *deadline);

/* How long ago DEADLINE was armed, in milliseconds; 0 when it is not. */
uint64_t pst_deadline_elapsed(const struct pst_deadline *deadline);

static inline bool
pst_deadline_armed(const struct pst_deadline *deadline)
{
	return deadline->list != NULL;
}

#endif
