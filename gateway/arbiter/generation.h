/*
 * A generation: one configuration, and what follows from it before anything is started. A reload
 * makes another.
 */
#ifndef PST_ARBITER_GENERATION_H
#define PST_ARBITER_GENERATION_H

#include "gateway/arbiter/scope.h"
#include "gateway/conf.h"

#include <stddef.h>

struct pst_generation {
	struct pst_conf *conf; /* what stands at the top */
	struct pst_scope *top; /* what the gateway is started with */
	size_t count; /* of pools */
	struct pst_scope **pools; /* what the processes of each are started with */
};

/*
 * The generation of *CONF, which belongs to it when this succeeds and is set to NULL. NULL with a
 * whole sentence in WHY.
 */
struct pst_generation *pst_generation_new(struct pst_conf **conf, char why[PST_CONF_WHY]);
/* Free *GENERATION, which may be NULL, and set it to NULL. */
void pst_generation_free(struct pst_generation **generation);

#endif
