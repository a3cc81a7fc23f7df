#include "adapters/usage.h"

#include <time.h>

static uint64_t
microseconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void
pst_usage_begin(struct pst_usage *usage)
{
	usage->wall = microseconds(CLOCK_MONOTONIC);
	usage->cpu = microseconds(CLOCK_THREAD_CPUTIME_ID);
}

/* The clocks are read one after the other, so the CPU time can seem to be the longer one. */
struct pst_session_usage
pst_usage_end(struct pst_usage *usage)
{
	struct pst_usage began = *usage;
	uint64_t cpu, wall;

	usage->cpu = microseconds(CLOCK_THREAD_CPUTIME_ID);
	usage->wall = microseconds(CLOCK_MONOTONIC);
	cpu = usage->cpu - began.cpu;
	wall = usage->wall - began.wall;
	return (struct pst_session_usage){.cpu = cpu, .waited = wall > cpu ? wall - cpu : 0};
}
