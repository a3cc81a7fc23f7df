/*
 * The clock that lives and deadlines are measured by.
 */
#ifndef PST_ARBITER_CLOCK_H
#define PST_ARBITER_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of a monotonic clock. */
static inline int64_t
pst_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
