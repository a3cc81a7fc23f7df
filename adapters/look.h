/*
 * While an application only writes, its connection is read, too, so that it hears of a client that
 * has left: not after each piece, which would be a system call in vain for each, but when the
 * kernel's clock has ticked (1 to 10 ms).
 */
#ifndef PST_ADAPTERS_LOOK_H
#define PST_ADAPTERS_LOOK_H

#include <stdbool.h>
#include <time.h>

/* True when time has passed since *LAST, which becomes now. */
static inline bool
pst_look_is_due(struct timespec *last)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == last->tv_sec && now.tv_nsec == last->tv_nsec)
		return false;
	*last = now;
	return true;
}

#endif
