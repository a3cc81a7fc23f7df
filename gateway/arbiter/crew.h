/*
 * A crew: the workers of one pool, as the arbiter keeps them. What a pool is to requests is the
 * gateway's (gateway/front/pool.h).
 */
#ifndef PST_ARBITER_CREW_H
#define PST_ARBITER_CREW_H

#include "gateway/arbiter/generation.h"
#include "gateway/arbiter/scope.h"
#include "gateway/arbiter/worker.h"

#include <limits.h>

/* A pool's name has 32 characters at most. */
#define PST_CREW_PREFIX 40

struct pst_crew {
	TAILQ_ENTRY(pst_crew) link;
	struct pst_arbiter *arbiter;
	struct pst_generation *generation; /* which SCOPE is of */
	const struct pst_scope *scope; /* what its workers are started with */
	const struct pst_scope *next; /* what heirs are, during a reload; NULL without one */
	unsigned since, until; /* the generations that have its pool: UNTIL is the first without */
	char prefix[PST_CREW_PREFIX]; /* of its workers' ids: "web.", or "" without named pools */
	struct pst_worker_list workers;
	bool has_found; /* where nobody says -k: the application was found to want FOUND */
	enum pst_model found;
	int told_model; /* which the log was told that its workers are; -1: none */
	bool was_usable; /* one of its workers came to serve */
	bool told_heavy; /* that its workers are beyond --max-memory from the start */
};

TAILQ_HEAD(pst_crew_list, pst_crew);

/* UNTIL of a crew that is to stay. */
#define PST_CREW_STAYS UINT_MAX

/*
 * The crew of the pool of GENERATION whose scope is SCOPE, among the arbiter's. Its workers have no
 * process yet. NULL without memory.
 */
struct pst_crew *pst_crew_new(
    struct pst_arbiter *arbiter, struct pst_generation *generation, const struct pst_scope *scope);
void pst_crew_free(struct pst_crew *crew);
/* Its settings are SCOPE's, of GENERATION, from now on. */
void pst_crew_adopt(
    struct pst_crew *crew, struct pst_generation *generation, const struct pst_scope *scope);
/* No generation that serves has its pool any more: it goes once no gateway has it. */
void pst_crews_release(struct pst_arbiter *arbiter);
/* Free what is gone. */
void pst_crews_sweep(struct pst_arbiter *arbiter);
/* Start all of its workers that have no process, until one failure ends the arbiter, or the reload
 * that brings them. */
void pst_crew_start(struct pst_crew *crew);

/* What a worker of CREW is started as that has SCOPE, which is an application's. */
enum pst_model pst_crew_model(const struct pst_crew *crew, const struct pst_scope *scope);
/* A worker that TRIED was found to want MODEL, where CLASS leaves that to it: whoever is started
 * from now on is of a kind that suits. */
void pst_crew_found(struct pst_crew *crew, const struct pst_worker_class *class,
    enum pst_model tried, enum pst_model model);
/* Its workers are of MODEL, for applications of KIND (in words, "ASGI"; NULL: not known): log it
 * unless the log was told already. */
void pst_crew_tell_model(struct pst_crew *crew, enum pst_model model, const char *kind);

/* The crew of that name that is to stay, or NULL. */
struct pst_crew *pst_crew_find(const struct pst_arbiter *arbiter, const char *name);
/* The name of its pool. */
const char *pst_crew_name(const struct pst_crew *crew);

/* That of the first pool which has one; NULL where all pools are remote. */
struct pst_crew *pst_crew_first(const struct pst_arbiter *arbiter);

/* The slot that comes after all that it has. */
unsigned pst_crew_next_number(const struct pst_crew *crew);

/* One worker more or less: never fewer than there are gateways. */
void pst_crew_more(struct pst_crew *crew);
void pst_crew_less(struct pst_crew *crew);
/* WINCH: all leave, and nobody takes their places. */
void pst_crew_rest(struct pst_crew *crew);
/* It rests: start as many as the configuration says. */
void pst_crew_rouse(struct pst_crew *crew);
/* How many slots it has. */
unsigned pst_crew_size(const struct pst_crew *crew);

#endif
