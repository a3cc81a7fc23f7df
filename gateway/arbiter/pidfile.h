/*
 * --pid FILE: written in one piece, refused while another penstock that it names is alive.
 */
#ifndef PST_ARBITER_PIDFILE_H
#define PST_ARBITER_PIDFILE_H

/* 0, or -1 after a line was logged. */
int pst_pidfile_write(const char *path);

/* Remove it, if it still names this process. */
void pst_pidfile_remove(const char *path);

#endif
