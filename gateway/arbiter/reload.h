/*
 * HUP: every worker is replaced by one that loads its application anew.
 */
#ifndef PST_ARBITER_RELOAD_H
#define PST_ARBITER_RELOAD_H

#include <stdint.h>

struct pst_arbiter;

struct pst_reload {
	int64_t begun; /* 0: none is under way */
	unsigned replaced; /* workers, by it */
};

/* Begin one, or begin again. */
void pst_reload_begin(struct pst_arbiter *arbiter);
/* An heir became a holder. */
void pst_reload_count(struct pst_arbiter *arbiter);
/* Something was done that it may have waited for. */
void pst_reload_go_on(struct pst_arbiter *arbiter);
/* A line said what went wrong, and WHY says it again: what is not replaced by now serves on. */
void pst_reload_fail(struct pst_arbiter *arbiter, const char *why);

#endif
