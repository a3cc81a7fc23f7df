/*
 * What became of the requests of a pool since this gateway was started.
 */
#ifndef PST_FRONT_FIGURES_H
#define PST_FRONT_FIGURES_H

#include "gateway/status_line.h"

#include <stdint.h>

/* What a request failed by, as its client saw it. */
enum pst_failure {
	PST_FAILURE_502, /* the worker died, failed, or sent no valid response */
	PST_FAILURE_503, /* no room in the queue or in memory, or too long in the queue */
	PST_FAILURE_504, /* it passed its deadline */
	PST_FAILURE_OTHER, /* another answer of our own, as 413 or 507 */
	PST_FAILURE_BROKEN, /* in the middle of the answer */
	PST_FAILURE_LEFT, /* the client left, or was too slow */
	PST_FAILURES
};

struct pst_figures {
	uint64_t requests; /* that are over */
	uint64_t waits; /* of requests that a worker was found for */
	uint64_t wait_us; /* all of them together */
	uint64_t wait_us_most;
	uint64_t usages; /* of requests whose worker told what they cost, in microseconds: */
	uint64_t cpu_us;
	uint64_t waited_us;
	uint64_t lag_us_most;
	uint64_t run_again; /* after their worker was lost: --retry */
	uint64_t sent_ahead; /* to a worker that was busy yet */
	uint64_t called_back; /* of them, before it had come to them */
	uint64_t failed[PST_FAILURES];
	uint64_t open; /* connections that were upgraded, now */
};

/* A request waited US microseconds in the queue until a worker got it. */
void pst_figures_wait(struct pst_figures *figures, uint64_t us);
/* A request cost its worker so much: microseconds, which are input. */
void pst_figures_usage(struct pst_figures *figures, uint64_t cpu, uint64_t waited, uint64_t lag);
/* The failure that our own answer of STATUS is. */
enum pst_failure pst_failure_of(unsigned status);
/* Add the facts to LINE. */
void pst_figures_put(const struct pst_figures *figures, struct pst_status_line *line);

#endif
