/*
 * The gateway process: what it was told, what it serves, and how it ends.
 *
 *	          START             DRAIN, or the arbiter is gone           nothing is in progress
 *	 SETTING ───────► SERVING ────────────────────────────────► DRAINING ───────────► OVER
 *	                     └───────────────► CLOSING ────────────────┘
 *	                          CLOSING
 *
 * A CLOSING one serves and accepts, but every answer is its connection's last.
 */
#ifndef PST_FRONT_FRONT_H
#define PST_FRONT_FRONT_H

/* Serve the arbiter at the other end of CONTROL_FD until it is over: the exit status. */
int pst_front_run(int control_fd);

#endif
