/*
 * Start a program as a child process: fork, set up, exec. Between fork and exec only
 * async-signal-safe calls are made, and a failure there is reported back.
 */
#ifndef PST_ARBITER_SPAWN_H
#define PST_ARBITER_SPAWN_H

#include "gateway/arbiter/identity.h"

#include <stdbool.h>
#include <sys/types.h>

#define PST_SPAWN_FDS 5

struct pst_spawn {
	const char *file;
	char *const *argv;
	char *const *environment;
	int base; /* the directory where it runs; -1: where we do */
	const char *directory; /* or one below that, unless it is NULL */
	int fds[PST_SPAWN_FDS]; /* what becomes descriptor 0 to 4; -1: nothing does */
	const struct pst_identity *identity;
	bool has_control; /* descriptor 3 is a control channel, which pst_child_start() makes */
	bool raise_nofile; /* the soft limit of open files becomes the hard one */
};

/*
 * The pid once the program runs. Otherwise -1 with errno, and *STEP says what failed ("execute",
 * "change user"), a constant. The child gets default signal
 * dispositions, an empty mask, and a process group of its own: what a terminal sends goes to the
 * arbiter alone.
 */
pid_t pst_spawn(const struct pst_spawn *spawn, const char **step);

#endif
