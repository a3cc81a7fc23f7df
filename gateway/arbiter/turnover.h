/*
 * Workers are replaced without a request being lost: the heir of a slot is started, and only when
 * it is usable its holder leaves. One mechanism serves reloads and worn workers, and has one heir
 * at a time in a crew: what an application costs to load is paid for one worker more, and a new
 * version that does not load is found out about while all holders still serve. Crews do not wait
 * for each other.
 */
#ifndef PST_ARBITER_TURNOVER_H
#define PST_ARBITER_TURNOVER_H

#include <stdbool.h>

struct pst_crew;
struct pst_worker;

/* A worker of CREW has left, or something else has changed: see whether another is due. */
void pst_turnover_next(struct pst_crew *crew);

/* Every worker of CREW that was started before now is to be replaced. */
void pst_turnover_reload(struct pst_crew *crew);
/* That ends before it is done: how many workers were still to be replaced. */
unsigned pst_turnover_stop(struct pst_crew *crew);
bool pst_turnover_is_done(const struct pst_crew *crew);

/* WORKER became usable: --max-lifetime runs. */
void pst_turnover_age(struct pst_worker *worker);
/* WORKER, for the reason WHY ("has served 1000 requests"), is to be replaced. */
void pst_turnover_worn(struct pst_worker *worker, const char *why);
/* HEIR is usable: it holds the slot, and who held it leaves. */
void pst_turnover_usable(struct pst_worker *heir);
/* HEIR's process, which was PID (0: there was none), ended as WAIT_STATUS says. */
void pst_turnover_failed(struct pst_worker *heir, long pid, int wait_status);

#endif
