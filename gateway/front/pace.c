#include "gateway/front/pace.h"

bool
pst_pace_wait(struct pst_pace *pace, uint64_t ms, uint64_t window, uint64_t rate)
{
	uint64_t bytes = pace->bytes, waited = pace->waited + ms;

	pace->waited = waited;
	if (waited < window)
		return true;
	*pace = (struct pst_pace){0};
	/* Both factors come from settings and clocks: the division keeps them from overflowing. */
	return rate == 0 || bytes / rate >= waited / 1000;
}
