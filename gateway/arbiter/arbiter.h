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

/*
 * Serve *GENERATION, which is freed and set to NULL, until a signal or a failure ends it: the exit
 * status. The log is open and signals are blocked. ACCESS_LOG is a descriptor, or -1 for none; it
 * stays the caller's. *DAEMON is of pst_daemon_begin(), or -1: told and set to -1 when it serves.
 */
enum pst_exit pst_arbiter_run(struct pst_generation **generation, int access_log, int *daemon);

#endif
