#include "gateway/arbiter/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a daemon's files get, as gunicorn's do. */
#define UMASK 022

/* Exit with the status that comes over FD. The daemon ended without a word: 1. */
static void __attribute__((noreturn)) exit_as_told(int fd, const char *log)
{
	unsigned char status = EXIT_FAILURE;
	ssize_t n;

	do
		n = read(fd, &status, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		status = EXIT_FAILURE;
	if (status != 0)
		fprintf(stderr, "penstock: the daemon did not start (exit status %d): %s%s\n",
		    status, log ? "the log says why: " : "what is said above is why",
		    log ? log : "");
	_exit(status);
}

/* In the child: the daemon is its child, which leads no session and so never gets a terminal. */
static int
leave(const int ends[2])
{
	pid_t pid;

	close(ends[0]);
	if (setsid() < 0)
		_exit(EXIT_FAILURE);
	pid = fork();
	if (pid != 0)
		_exit(pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
	umask(UMASK);
	return ends[1];
}

int
pst_daemon_begin(const char *log)
{
	int ends[2];
	pid_t pid;

	fflush(NULL);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0)
		return leave(ends);
	close(ends[1]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	exit_as_told(ends[0], log);
}

void
pst_daemon_tell(int *fd, int status)
{
	unsigned char byte = (unsigned char)status;

	if (*fd < 0)
		return;
	/* Who started us may be gone. */
	if (write(*fd, &byte, 1) < 0)
		errno = 0;
	close(*fd);
	*fd = -1;
}
