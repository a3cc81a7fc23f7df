/* What a request costs the thread that handles it, for a gateway of ours that is told. */
#ifndef PST_ADAPTERS_USAGE_H
#define PST_ADAPTERS_USAGE_H

#include "protocol/session.h"

#include <stdint.h>

/* A request that took no longer, in microseconds, is taken to have waited for nothing: the CPU
 * clock is a system call. */
#define PST_USAGE_SHORT 50

/* When the application got the request, in microseconds. */
struct pst_usage {
	uint64_t wall;
	uint64_t cpu; /* of the thread, which had used */
	uint64_t since; /* and so much more, by what such requests were told to cost */
};

/* The calling thread begins with a request. */
void pst_usage_begin(struct pst_usage *usage);

/* The same thread has done with it: what it cost. USAGE begins again, for a request that follows
 * at once. */
struct pst_session_usage pst_usage_end(struct pst_usage *usage);

#endif
