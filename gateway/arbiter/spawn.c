#include "gateway/arbiter/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors are parked from here on while 0 to 4 are put in place. */
#define PARK 16

enum step { STEP_FDS, STEP_DIRECTORY, STEP_USER, STEP_EXEC };

static const char *const step_names[] = {
    [STEP_FDS] = "set up the descriptors of",
    [STEP_DIRECTORY] = "enter the directory (--chdir) for",
    [STEP_USER] = "change to the user and group for",
    [STEP_EXEC] = "execute",
};

/* What a child that cannot go on tells its parent. */
struct report {
	enum step step;
	int error;
};

/* ---- in the child: async-signal-safe calls only ---- */

static void
give_up(int fd, enum step step)
{
	struct report report = {.step = step, .error = errno};

	/* Below PIPE_BUF: written whole, or not at all when the parent is gone. */
	if (write(fd, &report, sizeof(report)) < 0)
		_exit(127);
	_exit(127);
}

static void
reset_signals(void)
{
	struct sigaction action;
	sigset_t none;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
place_fds(const int fds[PST_SPAWN_FDS])
{
	int parked[PST_SPAWN_FDS];

	for (int i = 0; i < PST_SPAWN_FDS; i++) {
		parked[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, PARK);
		if (fds[i] >= 0 && parked[i] < 0)
			return -1;
	}
	for (int i = 0; i < PST_SPAWN_FDS; i++)
		if (parked[i] >= 0 && dup2(parked[i], i) < 0)
			return -1;
	return 0;
}

static void
raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void
become(const struct pst_spawn *spawn, int report)
{
	setpgid(0, 0);
	if ((spawn->base >= 0 && fchdir(spawn->base) < 0) ||
	    (spawn->directory && chdir(spawn->directory) < 0))
		give_up(report, STEP_DIRECTORY);
	if (place_fds(spawn->fds) < 0)
		give_up(report, STEP_FDS);
	if (spawn->raise_nofile)
		raise_nofile();
	if (pst_identity_assume(spawn->identity) < 0)
		give_up(report, STEP_USER);
	reset_signals();
	execve(spawn->file, spawn->argv, spawn->environment);
	give_up(report, STEP_EXEC);
}

/* ---- in the parent ---- */

/* The pipe ends without a report when exec has closed it. */
static int
read_report(int fd, struct report *report)
{
	ssize_t n;

	do
		n = read(fd, report, sizeof(*report));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*report);
}

static pid_t
await_exec(pid_t pid, int fd, const char **step)
{
	struct report report;

	if (!read_report(fd, &report))
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*step = step_names[report.step];
	errno = report.error;
	return -1;
}

pid_t
pst_spawn(const struct pst_spawn *spawn, const char **step)
{
	int pipe_fds[2], error;
	pid_t pid;

	*step = "start";
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -1;
	/* The child puts 0 to 4 in place, so the report must not go there. */
	error = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, PARK);
	close(pipe_fds[1]);
	pipe_fds[1] = error;
	pid = pipe_fds[1] < 0 ? -1 : fork();
	if (pid == 0)
		become(spawn, pipe_fds[1]);
	error = errno;
	if (pipe_fds[1] >= 0)
		close(pipe_fds[1]);
	if (pid > 0) {
		pid = await_exec(pid, pipe_fds[0], step);
		error = errno;
	}
	close(pipe_fds[0]);
	errno = error;
	return pid;
}
