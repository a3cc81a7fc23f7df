/*
 * What a worker says about a request on STDERR, as lines of the error log that name both. Bounded:
 * a line is cut at PST_WORKER_LINE bytes, and after PST_WORKER_LINES lines the rest of the
 * request's is counted only. A struct of zero bytes is valid.
 *
 * "stderr: " tells them from what the gateway itself says of that worker and request.
 */
#ifndef PST_FRONT_WORKER_LINES_H
#define PST_FRONT_WORKER_LINES_H

#include "protocol/buf.h"

#include <stddef.h>
#include <stdint.h>

#define PST_WORKER_LINE  4096
#define PST_WORKER_LINES 1000

struct pst_worker_lines {
	struct pst_buf partial;
	unsigned logged;
	uint64_t dropped; /* bytes */
};

/* Take N bytes; lines that they complete are logged as "worker WORKER: stderr: REQUEST: line". */
void pst_worker_lines_take(struct pst_worker_lines *lines, const char *worker, const char *request,
    const void *bytes, size_t n);

/* Log what is left without a line end, and what was dropped; the memory is given back. */
void pst_worker_lines_end(struct pst_worker_lines *lines, const char *worker, const char *request);

#endif
