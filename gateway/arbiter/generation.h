/*
 * A generation: one configuration, and what follows from it. The arbiter has one that serves; a
 * reload makes the next, and a gateway that finishes its requests keeps its own.
 */
#ifndef PST_ARBITER_GENERATION_H
#define PST_ARBITER_GENERATION_H

#include "gateway/arbiter/listener.h"
#include "gateway/arbiter/scope.h"
#include "gateway/conf.h"

#include <stddef.h>

struct pst_generation {
	unsigned number; /* from 1, in the order in which they were read */
	unsigned holders;
	struct pst_conf *conf; /* what stands at the top */
	struct pst_scope *top; /* what the gateway is started with */
	size_t count; /* of pools */
	struct pst_scope **pools; /* what the processes of each are started with */
	int directory; /* --chdir, or where penstock was started */
	int access_log; /* -1: there is none */
	struct pst_listeners listeners; /* empty until they are opened */
};

/*
 * The generation of *CONF, with one holder. *CONF belongs to it when this succeeds and is set to
 * NULL. The process enters its directory in any case that gets so far. NULL with a whole sentence
 * in WHY.
 */
struct pst_generation *pst_generation_new(struct pst_conf **conf, char why[PST_CONF_WHY]);

struct pst_generation *pst_generation_hold(struct pst_generation *generation);
/* *GENERATION, which may be NULL, becomes NULL. The last holder frees it. */
void pst_generation_release(struct pst_generation **generation);

/* --gateways: how many share its listeners. */
unsigned pst_generation_gateways(const struct pst_generation *generation);

/* A gateway that was told of A has to be told other things for B, whose listeners are open. */
bool pst_generation_differs(const struct pst_generation *a, const struct pst_generation *b);

#endif
