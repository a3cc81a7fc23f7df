#include "gateway/arbiter/generation.h"

#include <stdio.h>
#include <stdlib.h>

static int
make_scopes(struct pst_generation *generation, char *why)
{
	size_t count = pst_conf_pool_count(generation->conf);

	generation->top = pst_scope_new_top(generation->conf, why);
	if (!generation->top)
		return -1;
	generation->pools = calloc(count, sizeof(struct pst_scope *));
	if (!generation->pools) {
		snprintf(why, PST_CONF_WHY, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		generation->pools[i] = pst_scope_new(pst_conf_pool(generation->conf, i), why);
		if (!generation->pools[i])
			return -1;
		generation->count++;
	}
	return 0;
}

struct pst_generation *
pst_generation_new(struct pst_conf **conf, char why[PST_CONF_WHY])
{
	struct pst_generation *generation = calloc(1, sizeof(*generation));

	if (!generation) {
		snprintf(why, PST_CONF_WHY, "out of memory");
		return NULL;
	}
	generation->conf = *conf;
	if (make_scopes(generation, why) < 0) {
		generation->conf = NULL; /* it stays the caller's */
		pst_generation_free(&generation);
		return NULL;
	}
	*conf = NULL;
	return generation;
}

void
pst_generation_free(struct pst_generation **generation)
{
	struct pst_generation *old = *generation;

	if (!old)
		return;
	for (size_t i = 0; i < old->count; i++)
		pst_scope_free(&old->pools[i]);
	free(old->pools);
	pst_scope_free(&old->top);
	pst_conf_free(old->conf);
	free(old);
	*generation = NULL;
}
