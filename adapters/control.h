/*
 * The control channel to the arbiter: a thread of its own that never enters the application and
 * has all signals blocked, so that a busy worker still hears what it is told. Lines are those of
 * docs/architecture.md, "Control lines".
 */
#ifndef PST_ADAPTERS_CONTROL_H
#define PST_ADAPTERS_CONTROL_H

#include <stdbool.h>

/* Called on the control thread, once: the arbiter says DRAIN or, ORPHANED, is gone. */
typedef void pst_control_drain_fn(void *arg, bool orphaned);

/*
 * Serve FD, a socket, for the rest of the process's life. When it ends, nobody is left to kill a
 * worker that does not finish: GRACE seconds and a little later the process aborts, which says
 * what it was doing. 0, or -1 after the reason was logged. At most once in a process.
 */
int pst_control_begin(int fd, unsigned grace, pst_control_drain_fn *drain, void *arg);

/* Tell the arbiter that the application is loaded. Nothing happens without a channel. */
void pst_control_ready(void);

/* Tell it that the application wants an adapter of another MODEL, "async": 0, or -1 without a
 * channel. */
int pst_control_model(const char *model);

#endif
