#include "gateway/arbiter/pidfile.h"

#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long
read_pid(const char *path)
{
	FILE *file = fopen(path, "re");
	long pid = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%ld", &pid) != 1 || pid < 1 || pid > INT_MAX)
		pid = 0;
	fclose(file);
	return pid;
}

/* What the kernel calls process PID; "" when it will not say. */
static void
read_command(long pid, char command[32])
{
	char path[64];
	FILE *file;

	command[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(command, 32, file))
		command[0] = '\0';
	fclose(file);
}

/* Pids are used again: a live process that is no penstock does not count. */
static bool
is_penstock(long pid)
{
	char theirs[32], ours[32];

	if (pid == (long)getpid() || (kill((pid_t)pid, 0) < 0 && errno != EPERM))
		return false;
	read_command(pid, theirs);
	read_command((long)getpid(), ours);
	return !theirs[0] || strcmp(theirs, ours) == 0;
}

static int
write_pid(const char *path)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool written;

	if (fd < 0)
		return -1;
	written = fchmod(fd, 0644) == 0 && write(fd, text, (size_t)length) == length;
	return close(fd) == 0 && written ? 0 : -1;
}

int
pst_pidfile_write(const char *path)
{
	long pid = read_pid(path);
	char temporary[PATH_MAX];

	if (pid && is_penstock(pid)) {
		pst_log_critical(
		    "penstock is already running as pid %ld, says the pid file %s", pid, path);
		return -1;
	}
	if (snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid()) >=
	    (int)sizeof(temporary)) {
		pst_log_critical("the name of the pid file is too long");
		return -1;
	}
	unlink(temporary);
	if (write_pid(temporary) < 0 || rename(temporary, path) < 0) {
		pst_log_critical("cannot write the pid file %s: %s", path, strerror(errno));
		unlink(temporary);
		return -1;
	}
	return 0;
}

void
pst_pidfile_remove(const char *path)
{
	if (read_pid(path) == (long)getpid())
		unlink(path);
}
