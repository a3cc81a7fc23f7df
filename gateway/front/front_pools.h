/* The pools of the gateway, by their names, each with its settings. */
#ifndef PST_FRONT_FRONT_POOLS_H
#define PST_FRONT_FRONT_POOLS_H

#include "gateway/front/pool.h"
#include "gateway/front/settings.h"

#include <sys/queue.h>

/* With the NUL. */
#define PST_POOL_NAME 33

struct pst_front_pool {
	TAILQ_ENTRY(pst_front_pool) link;
	char name[PST_POOL_NAME];
	enum pst_pool_kind kind;
	struct pst_pool_settings settings;
	struct pst_remote remote; /* of a remote pool */
	struct pst_pool *pool; /* NULL before pst_front_pools_start() */
};

TAILQ_HEAD(pst_front_pools, pst_front_pool);

/* Declare a pool: NULL, or a phrase that says why not. KIND is app, program or remote. */
const char *pst_front_pools_add(struct pst_front_pools *pools, const char *name, const char *kind);

/* NULL: there is none of that name. */
struct pst_front_pool *pst_front_pools_find(const struct pst_front_pools *pools, const char *name);

/*
 * All settings are known: NULL, or a phrase that says why not, and *WRONG is the pool for which it
 * does. Servers of remote pools are looked up. EVENTS must outlive the pools.
 */
const char *pst_front_pools_start(struct pst_front_pools *pools, struct pst_loop *loop,
    const struct pst_pool_events *events, void *arg, const struct pst_front_pool **wrong);

/* No job is left in any. */
void pst_front_pools_free(struct pst_front_pools *pools);

/* The first that has no worker which takes requests, or NULL. Servers elsewhere are not looked at.
 */
const struct pst_front_pool *pst_front_pools_without_worker(const struct pst_front_pools *pools);

/* The same for whichever pool has WORKER; see pool.h. */
void pst_front_pools_slot_page(struct pst_front_pools *pools, const char *worker, int page);
void pst_front_pools_slot_down(struct pst_front_pools *pools, const char *worker);
void pst_front_pools_slot_drain(struct pst_front_pools *pools, const char *worker);
/* As pst_pool_let_go(). */
void pst_front_pools_let_go(struct pst_front_pools *pools);

/* Append the STATUS lines of all to OUT: 0, or -1 when memory is short. */
int pst_front_pools_status(const struct pst_front_pools *pools, struct pst_buf *out);

#endif
