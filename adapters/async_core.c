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
pst_async_core_lag(const struct pst_async_core *core)
{
	uint64_t now = core->lag.due ? pst_async_now() : 0;

	/* The timer that is due by now has still to be called. */
	return core->lag.total + (now > core->lag.due ? now - core->lag.due : 0);
}

uint64_t
pst_async_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
