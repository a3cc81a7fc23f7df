/*
 * A crew: the workers of one pool, as the arbiter keeps them. What a pool is to requests is the
 * gateway's (gateway/front/pool.h).
 */
#ifndef PST_ARBITER_CREW_H
#define PST_ARBITER_CREW_H

#include "gateway/arbiter/scope.h"
#include "gateway/arbiter/worker.h"

/* A pool's name has 32 characters at most. */
#define PST_CREW_PREFIX 40

struct pst_crew {
	TAILQ_ENTRY(pst_crew) link;
	struct pst_arbiter *arbiter;
	const struct pst_scope *scope; /* what its workers are started with */
	char prefix[PST_CREW_PREFIX]; /* of its workers' ids: "web.", or "" without named pools */
	struct pst_worker_list workers;
	bool was_usable; /* one of its workers came to serve */
	bool told_heavy; /* that its workers are beyond --max-memory from the start */
};

TAILQ_HEAD(pst_crew_list, pst_crew);

/*
 * The crew of the pool whose scope is SCOPE, among the arbiter's. Its workers have no process yet.
 * NULL without memory.
 */
struct pst_crew *pst_crew_new(struct pst_arbiter *arbiter, const struct pst_scope *scope);
void pst_crew_free(struct pst_crew *crew);
/* Free its workers that are gone. */
void pst_crew_sweep(struct pst_crew *crew);
/* Start all of its workers that have no process, until one failure ends the arbiter. */
void pst_crew_start(struct pst_crew *crew);

/* The crew of the pool of that name, or NULL. */
struct pst_crew *pst_crew_find(const struct pst_arbiter *arbiter, const char *name);
/* The name of its pool. */
const char *pst_crew_name(const struct pst_crew *crew);

/* One worker more or less. */
void pst_crew_more(struct pst_crew *crew);
void pst_crew_less(struct pst_crew *crew);
/* WINCH: all leave, and nobody takes their places. */
void pst_crew_rest(struct pst_crew *crew);
/* It rests: start as many as the configuration says. */
void pst_crew_rouse(struct pst_crew *crew);
/* How many slots it has. */
unsigned pst_crew_size(const struct pst_crew *crew);

#endif
