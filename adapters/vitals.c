#include "adapters/vitals.h"

#include <time.h>

/* How often the CPU time is asked for, in microseconds. */
#define CPU_INTERVAL 1000000

static uint64_t
microseconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void
pst_vitals_tell(struct pst_vitals *vitals, struct pst_page *page)
{
	struct pst_page_vitals *last = &vitals->last;

	if (!page)
		return;
	last->turned = microseconds(CLOCK_MONOTONIC);
	if (last->started == 0)
		last->started = last->turned;
	if (last->turned - vitals->cpu_asked >= CPU_INTERVAL) {
		vitals->cpu_asked = last->turned;
		last->cpu = microseconds(CLOCK_PROCESS_CPUTIME_ID);
	}
	pst_page_write_vitals(page, last);
}
