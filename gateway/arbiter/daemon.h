/*
 * --daemon: penstock goes to the background when it serves. Until then it is at its terminal: who
 * started it sees what it logs, and gets the exit status of a start that fails.
 */
#ifndef PST_ARBITER_DAEMON_H
#define PST_ARBITER_DAEMON_H

/*
 * Go on as a daemon, in a session of its own and without a terminal to control it: a descriptor for
 * pst_daemon_tell(), or -1 with errno. The process that was started does not return from this: it
 * exits with what the daemon tells, and says on stderr where to look when that is not 0. LOG is the
 * file of the error log, or NULL. Before any thread is started.
 */
int pst_daemon_begin(const char *log);

/* How the start ended: the exit status of the process that was started. *FD is closed, and -1. */
void pst_daemon_tell(int *fd, int status);

#endif
