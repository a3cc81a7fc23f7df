/*
 * The runtime directory, penstock-PID (or penstock-PID-RANDOM), and the workers' listening sockets
 * in it.
 * docs/architecture.md, "The runtime directory", says where it is and whose.
 *
 * The arbiter and its gateways hold a shared lock (flock) on the directory as long as they live: a
 * directory without one, whose pid is no process, is dead and is swept by whoever starts next.
 */
#ifndef PST_ARBITER_RUNDIR_H
#define PST_ARBITER_RUNDIR_H

#include "gateway/arbiter/identity.h"

#include <sys/un.h>

#define PST_RUNDIR_PATH sizeof(((struct sockaddr_un *)0)->sun_path)

struct pst_rundir {
	char path[PST_RUNDIR_PATH];
	int fd;
	const struct pst_identity *identity; /* whose it is */
};

/* Sweep what the dead left, then make ours. IDENTITY lives as long as RUNDIR. 0, or -1 after a line
 * was logged. */
int pst_rundir_make(struct pst_rundir *rundir, const struct pst_identity *identity);

/* Remove the directory and what is in it. */
void pst_rundir_remove(struct pst_rundir *rundir);

/*
 * Listen on a new socket for worker ID; its path, for the gateway, is written to PATH. The
 * descriptor is blocking and close-on-exec. -1 with errno. A directory that somebody has removed is
 * made again, which is logged.
 */
int pst_rundir_listen(struct pst_rundir *rundir, const char *id, char path[PST_RUNDIR_PATH]);

/* Remove the socket of worker ID. */
void pst_rundir_forget(const struct pst_rundir *rundir, const char *id);

#endif
