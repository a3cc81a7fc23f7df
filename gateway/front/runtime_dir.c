#include "gateway/front/runtime_dir.h"

#include "gateway/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
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

void
pst_runtime_dir_remove(const char *path)
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
