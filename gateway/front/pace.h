/*
 * How fast a client sends or takes bytes while it is waited for: judged once for each window of
 * such waiting, so that neither a pause nor a slow start is held against it. Time that was spent
 * waiting for somebody else is not counted. Sans I/O; a struct of zero bytes begins.
 */
#ifndef PST_FRONT_PACE_H
#define PST_FRONT_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pst_pace {
	uint64_t bytes; /* of this window */
	uint64_t waited; /* ms */
};

static inline void
pst_pace_count(struct pst_pace *pace, uint64_t bytes)
{
	pace->bytes += bytes;
}

/*
 * The client let us wait for MS more. False: that completes a window of WINDOW ms, in which it was
 * slower than RATE bytes per second. Otherwise a complete window is forgotten for the next one.
 */
bool pst_pace_wait(struct pst_pace *pace, uint64_t ms, uint64_t window, uint64_t rate);

#endif
