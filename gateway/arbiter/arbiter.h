/*
 * The arbiter: keeps one gateway and the workers running, and ends them.
 */
#ifndef PST_ARBITER_ARBITER_H
#define PST_ARBITER_ARBITER_H

#include "gateway/arbiter/generation.h"

/* penstock's exit status. */
enum pst_exit {
	PST_EXIT_OK = 0,
	PST_EXIT_FAILED = 1, /* listener, plugin, runtime */
	PST_EXIT_USAGE = 2,
	PST_EXIT_APP = 3, /* the application did not load */
};

/* Block the signals that the arbiter handles. Before any thread is started. */
void pst_arbiter_block_signals(void);

/* How penstock was started: a reload reads that again. */
struct pst_start {
	int argc;
	char *const *argv;
	int directory; /* where */
};

/*
 * Serve *GENERATION, of which a hold is taken over and which is set to NULL, until a signal or a
 * failure ends it: the exit status. The log is open and signals are blocked. *DAEMON is of
 * pst_daemon_begin(), or -1: told and set to -1 when it serves.
 */
enum pst_exit pst_arbiter_run(
    struct pst_generation **generation, const struct pst_start *start, int *daemon);

#endif
