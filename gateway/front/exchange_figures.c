#include "gateway/front/exchange_internal.h"

void
pst_exchange_count_wait(struct pst_exchange *x)
{
	if (!x->waited)
		pst_figures_wait(pst_pool_figures(x->pool), x->given_us - x->queued_us);
	x->waited = true;
}

void
pst_exchange_count_end(struct pst_exchange *x)
{
	struct pst_figures *figures;

	x->context->requests++;
	if (x->pool == NULL)
		return;
	figures = pst_pool_figures(x->pool);
	figures->requests++;
	if (x->refused != 0)
		figures->failed[pst_failure_of(x->refused)]++;
	else if (x->broken)
		figures->failed[PST_FAILURE_BROKEN]++;
	else if (x->state != PST_EXCHANGE_FLUSHING)
		figures->failed[PST_FAILURE_LEFT]++;
}
