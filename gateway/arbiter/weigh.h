/*
 * --max-memory: workers that have grown beyond it are replaced.
 */
#ifndef PST_ARBITER_WEIGH_H
#define PST_ARBITER_WEIGH_H

#include <event2/event.h>
#include <stdbool.h>

struct pst_arbiter;
struct pst_worker;

struct pst_weigh {
	struct event *timer;
	bool told_rss; /* that PSS may not be read */
};

/* Weigh all every few seconds: 0, or -1 without memory. */
int pst_weigh_open(struct pst_arbiter *arbiter);
void pst_weigh_close(struct pst_arbiter *arbiter);

/*
 * WORKER has just become usable: is it too large before it has served anything? Then it, and those
 * like it, are not replaced for it, which would go on for ever.
 */
void pst_weigh_new(struct pst_worker *worker);

#endif
