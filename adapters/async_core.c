#include "adapters/async_core.h"

#include <time.h>

void
pst_async_core_defer(struct pst_async_core *core)
{
	if (core->deferred || !core->loop)
		return;
	core->deferred = true;
	core->loop->type->defer(core->loop);
}

uint64_t
pst_async_core_late(const struct pst_async_core *core)
{
	uint64_t now = core->timer_due ? pst_async_now() : 0;

	return now > core->timer_due ? now - core->timer_due : 0;
}

uint64_t
pst_async_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
