/*
 * The control channel to the arbiter: a thread of its own that never enters the application and
 * has all signals blocked, so that a busy worker still hears what it is told. Lines are those of
 * docs/architecture.md, "Control lines".
 */
#ifndef PST_ADAPTERS_CONTROL_H
#define PST_ADAPTERS_CONTROL_H

enum pst_control_end {
	PST_CONTROL_CLOSING, /* the arbiter says that a DRAIN is to come */
	PST_CONTROL_DRAIN, /* it says DRAIN */
	PST_CONTROL_ORPHANED, /* it is gone */
};

/* Called on the control thread, once for the last two together; CLOSING only before those. */
typedef void pst_control_end_fn(void *arg, enum pst_control_end end);

/*
 * Serve FD, a socket, for the rest of the process's life. When it ends, nobody is left to kill a
 * worker that does not finish: GRACE seconds and a little later the process aborts, which says
 * what it was doing. 0, or -1 after the reason was logged. At most once in a process.
 */
int pst_control_begin(int fd, unsigned grace, pst_control_end_fn *end, void *arg);

/* Tell the arbiter that the application is loaded, and of which KIND it is, in words for the log
 * ("ASGI"; NULL: nothing). Nothing happens without a channel. */
void pst_control_ready(const char *kind);

/* Tell it that the application wants an adapter of another MODEL, "async": 0, or -1 without a
 * channel. */
int pst_control_model(const char *model);

#endif
