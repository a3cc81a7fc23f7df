#include "gateway/front/runtime_dir.h"

#include "gateway/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* An arbiter that is killed lets go of its channels before the directory, or after: it is waited
 * for, so many times 10 ms. */
#define TRIES 50

/* Sockets, and the link to the control socket; nothing else is there. */
static void
remove_socket(int directory, const char *name)
{
	struct stat status;

	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (S_ISSOCK(status.st_mode) || S_ISLNK(status.st_mode)))
		unlinkat(directory, name, 0);
}

int
pst_runtime_dir_hold(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd != -1 && flock(fd, LOCK_SH | LOCK_NB) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void
remove_all(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		remove_socket(dirfd(directory), entry->d_name);
	closedir(directory);
	if (rmdir(path) == -1 && errno != ENOENT)
		pst_log_warning(
		    "the runtime directory %s cannot be removed: %s", path, strerror(errno));
}

/* Nobody else has it. Who tries this and fails has let go of it, so the last one does not. */
static bool
have_alone(int held)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	for (int i = 0; i < TRIES; i++) {
		if (flock(held, LOCK_EX | LOCK_NB) == 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

void
pst_runtime_dir_remove(const char *path, int held)
{
	if (held == -1 || have_alone(held))
		remove_all(path);
	if (held != -1)
		close(held);
}
