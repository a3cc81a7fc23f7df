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
	usage->since = 0;
}

/* CPU time since the request began that took WALL. */
static uint64_t
cpu_of(struct pst_usage *usage, uint64_t wall)
{
	uint64_t before = usage->cpu + usage->since;

	if (wall <= PST_USAGE_SHORT) {
		usage->since += wall;
		return wall;
	}
	usage->cpu = microseconds(CLOCK_THREAD_CPUTIME_ID);
	usage->since = 0;
	return usage->cpu > before ? usage->cpu - before : 0;
}

/* The clocks are read one after the other, so the CPU time can seem to be the longer one. */
struct pst_session_usage
pst_usage_end(struct pst_usage *usage)
{
	uint64_t now = microseconds(CLOCK_MONOTONIC);
	uint64_t wall = now - usage->wall;
	uint64_t cpu = cpu_of(usage, wall);

	usage->wall = now;
	return (struct pst_session_usage){.cpu = cpu, .waited = wall > cpu ? wall - cpu : 0};
}
