#include "gateway/front/runtime_dir.h"

#include "gateway/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Who tries this and fails has let go of it: the last one does not. */
void
pst_runtime_dir_remove(const char *path, int held)
{
	if (held == -1 || flock(held, LOCK_EX | LOCK_NB) == 0)
		remove_all(path);
	if (held != -1)
		close(held);
}
