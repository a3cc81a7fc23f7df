#include "gateway/arbiter/rundir.h"

#include "gateway/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "penstock-"
/* What mkdtemp() writes over. */
#define RANDOM "-XXXXXX"
/* What comes after the parent: /penstock-PID-RANDOM/SLOT.SERIAL.sock. */
#define ROOM_BELOW 48
/* The gateway's connection, and whoever is curious. */
#define WORKER_BACKLOG 16

/* ---- removing ---- */

static void
remove_entries(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!directory) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(fd, entry->d_name, 0);
	closedir(directory);
}

/* "" or "-" and what mkdtemp() chose. */
static bool
is_suffix(const char *text)
{
	return *text == '\0' || (*text == '-' && strlen(text) == strlen(RANDOM));
}

/* The pid in a directory's name; 0 for other names. */
static pid_t
pid_of_name(const char *name)
{
	char *end;
	long pid;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	name += strlen(PREFIX);
	if (*name < '1' || *name > '9')
		return 0;
	errno = 0;
	pid = strtol(name, &end, 10);
	return !is_suffix(end) || errno || pid != (pid_t)pid ? 0 : (pid_t)pid;
}

static bool
is_alive(pid_t pid)
{
	return pid != getpid() && (kill(pid, 0) == 0 || errno == EPERM);
}

/* A directory that an arbiter of ours made, and that no arbiter holds. */
static bool
is_abandoned(int fd, const struct pst_identity *identity)
{
	struct stat status;

	if (fstat(fd, &status) < 0 || (status.st_mode & 07777) != 0700)
		return false;
	if (status.st_uid != geteuid() && status.st_uid != identity->uid)
		return false;
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void
sweep_one(
    int parent, const char *parent_path, const char *name, const struct pst_identity *identity)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (is_abandoned(fd, identity)) {
		remove_entries(fd);
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
			pst_log_info("removed %s/%s, which an arbiter that is gone left behind",
			    parent_path, name);
	}
	close(fd);
}

static void
sweep(const char *parent_path, const struct pst_identity *identity)
{
	DIR *directory = opendir(parent_path);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		pid_t pid = pid_of_name(entry->d_name);

		if (pid && !is_alive(pid))
			sweep_one(dirfd(directory), parent_path, entry->d_name, identity);
	}
	closedir(directory);
}

/* ---- making ---- */

static bool
fits(const char *parent)
{
	return parent && parent[0] == '/' && strlen(parent) + ROOM_BELOW <= PST_RUNDIR_PATH &&
	       access(parent, W_OK | X_OK) == 0;
}

static const char *
find_parent(void)
{
	const char *candidates[] = {
	    geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR"),
	    getenv("TMPDIR"),
	    "/tmp",
	};

	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
		if (fits(candidates[i]))
			return candidates[i];
	return NULL;
}

/*
 * penstock-PID is a name that anybody can take first where anybody may write, in /tmp: then it is
 * one that nobody can know before.
 */
static int
make(struct pst_rundir *rundir, const char *parent)
{
	size_t size = sizeof(rundir->path);
	int length = snprintf(rundir->path, size, "%s/" PREFIX "%ld", parent, (long)getpid());

	if (mkdir(rundir->path, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	snprintf(rundir->path + length, size - (size_t)length, RANDOM);
	return mkdtemp(rundir->path) ? 0 : -1;
}

/* Open, lock and hand over the directory that was just made. */
static int
take(struct pst_rundir *rundir, const struct pst_identity *identity)
{
	rundir->fd = open(rundir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Shared with gateways: whoever sweeps tries to have it alone. */
	if (rundir->fd < 0 || flock(rundir->fd, LOCK_SH | LOCK_NB) < 0 ||
	    fchmod(rundir->fd, 0700) < 0)
		return -1;
	if (identity->change && fchown(rundir->fd, identity->uid, identity->gid) < 0)
		return -1;
	return 0;
}

int
pst_rundir_make(struct pst_rundir *rundir, const struct pst_identity *identity)
{
	const char *parent = find_parent();

	rundir->fd = -1;
	rundir->identity = identity;
	if (!parent) {
		pst_log_critical("no place for the workers' sockets: none of %s, $TMPDIR and /tmp "
				 "can be written (paths over %d bytes are too long)",
		    geteuid() == 0 ? "/run" : "$XDG_RUNTIME_DIR",
		    (int)PST_RUNDIR_PATH - ROOM_BELOW);
		return -1;
	}
	sweep(parent, identity);
	if (make(rundir, parent) < 0) {
		pst_log_critical("cannot make the directory for the workers' sockets, %s: %s",
		    rundir->path, strerror(errno));
		rundir->path[0] = '\0';
		return -1;
	}
	if (take(rundir, identity) < 0) {
		pst_log_critical("cannot use the directory for the workers' sockets, %s: %s",
		    rundir->path, strerror(errno));
		pst_rundir_remove(rundir);
		return -1;
	}
	return 0;
}

void
pst_rundir_remove(struct pst_rundir *rundir)
{
	if (rundir->fd >= 0) {
		remove_entries(rundir->fd);
		close(rundir->fd);
		rundir->fd = -1;
	}
	if (rundir->path[0])
		rmdir(rundir->path);
	rundir->path[0] = '\0';
}

/* ---- sockets ---- */

/* A descriptor, or -1 with errno. */
static int
bind_and_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t before;
	int fd, bound, error;

	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* Only the gateway's user can enter the directory; the socket itself need not be changed.
	 */
	before = umask(0);
	bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (bound == 0 && listen(fd, WORKER_BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Somebody has removed it, while workers serve on: 0, or -1 with errno. */
static int
restore(struct pst_rundir *rundir)
{
	int old = rundir->fd;

	if (mkdir(rundir->path, 0700) < 0)
		return -1;
	if (take(rundir, rundir->identity) < 0) {
		int error = errno;

		if (rundir->fd >= 0)
			close(rundir->fd);
		rundir->fd = old;
		rmdir(rundir->path);
		errno = error;
		return -1;
	}
	close(old);
	pst_log_warning("the directory of the workers' sockets, %s, was removed by somebody else: "
			"it is made again; the control socket, if it was there, comes back when "
			"penstock is started again",
	    rundir->path);
	return 0;
}

int
pst_rundir_listen(struct pst_rundir *rundir, const char *id, char path[PST_RUNDIR_PATH])
{
	int fd;

	if (snprintf(path, PST_RUNDIR_PATH, "%s/%s.sock", rundir->path, id) >=
	    (int)PST_RUNDIR_PATH) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = bind_and_listen(path);
	if (fd < 0 && errno == ENOENT && restore(rundir) == 0)
		fd = bind_and_listen(path);
	return fd;
}

void
pst_rundir_forget(const struct pst_rundir *rundir, const char *id)
{
	char name[PST_RUNDIR_PATH];

	snprintf(name, sizeof(name), "%s.sock", id);
	unlinkat(rundir->fd, name, 0);
}
