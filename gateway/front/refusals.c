#include "gateway/front/refusals.h"

#include "gateway/log.h"

#include <inttypes.h>

static void
tell(void *arg, uint64_t more)
{
	const struct pst_refusals_kind *kind = arg;

	pst_log_error(
	    "pool %s: %" PRIu64 " more requests within a second: %s", kind->pool, more, kind->what);
}

int
pst_refusals_init(struct pst_refusals *refusals, struct pst_loop *loop, const char *pool)
{
	static const char *const what[PST_REFUSALS] = {
	    [PST_REFUSAL_BODY] = "their bodies cannot be stored",
	    [PST_REFUSAL_ANSWER] = "their answers cannot be stored",
	    [PST_REFUSAL_MEMORY] = "they could not be given to a worker",
	};

	for (unsigned i = 0; i < PST_REFUSALS; i++) {
		struct pst_refusals_kind *kind = &refusals->kinds[i];

		kind->pool = pool;
		kind->what = what[i];
		if (pst_tally_init(&kind->tally, loop, tell, kind) == -1)
			return -1;
	}
	return 0;
}

void
pst_refusals_free(struct pst_refusals *refusals)
{
	for (unsigned i = 0; i < PST_REFUSALS; i++)
		pst_tally_free(&refusals->kinds[i].tally);
}

bool
pst_refusals_one(struct pst_refusals *refusals, enum pst_refusal kind)
{
	return pst_tally_one(&refusals->kinds[kind].tally);
}
