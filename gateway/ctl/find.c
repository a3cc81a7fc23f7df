#include "gateway/ctl/find.h"

#include "gateway/arbiter/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PREFIX "penstock-"

static int say(char *why, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
say(char *why, size_t size, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(why, size, format, list);
	va_end(list);
	return -1;
}

/* A socket, or -1 with errno. */
static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int
find_path(const char *path, char *why, size_t size)
{
	int fd = connect_to(path);

	if (fd >= 0)
		return fd;
	if (errno == ECONNREFUSED || errno == ENOENT)
		return say(why, size, "no penstock listens at %s: %s", path, strerror(errno));
	return say(why, size, "cannot connect to %s: %s", path, strerror(errno));
}

/* ---- runtime directories ---- */

/* What was found below the directories where penstock has its own. */
struct search {
	pid_t pid; /* that is wanted; 0: any of this user */
	int fd; /* of the last one that answered */
	unsigned count;
	pid_t pids[16];
	int error; /* of one that did not answer, and not because it is dead */
};

static pid_t
pid_of(const char *name)
{
	long pid;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	pid = strtol(name + strlen(PREFIX), NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/*
 * It is what its directory's name says, and when nobody said which, this user's, who can be root
 * for all: others can make directories in /tmp, too.
 */
static bool
is_genuine(int fd, const struct search *search, pid_t pid)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == pid &&
	       (search->pid != 0 || peer.uid == geteuid() || geteuid() == 0);
}

static bool
is_known(const struct search *search, pid_t pid)
{
	for (unsigned i = 0; i < search->count && i < sizeof(search->pids) / sizeof(pid_t); i++)
		if (search->pids[i] == pid)
			return true;
	return false;
}

/* Ask at the LENGTH bytes of DIRECTORY, whose last part is at NAME. */
static void
try_directory(struct search *search, const char *directory, size_t length, const char *name)
{
	pid_t pid = pid_of(name);
	char path[PATH_MAX];
	int fd;

	if (!pid || (search->pid && pid != search->pid) || is_known(search, pid))
		return;
	snprintf(path, sizeof(path), "%.*s/" PST_CTL_FILE, (int)length, directory);
	fd = connect_to(path);
	if (fd < 0) {
		if (search->pid)
			search->error = errno;
		return;
	}
	if (!is_genuine(fd, search, pid)) {
		close(fd);
		return;
	}
	if (search->fd >= 0)
		close(search->fd);
	search->fd = fd;
	if (search->count < sizeof(search->pids) / sizeof(pid_t))
		search->pids[search->count] = pid;
	search->count++;
}

static void
search_in(struct search *search, const char *parent)
{
	DIR *directory = parent && parent[0] == '/' ? opendir(parent) : NULL;
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		char path[PATH_MAX];
		int length = snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);

		if (length < (int)sizeof(path))
			try_directory(search, path, (size_t)length, entry->d_name);
	}
	closedir(directory);
}

/* Whoever set XDG_RUNTIME_DIR for a service has the directory elsewhere: the kernel knows all unix
 * sockets, also those in it. */
static void
search_kernel(struct search *search)
{
	FILE *file = fopen("/proc/net/unix", "re");
	char line[PATH_MAX + 256], *path, *name, *end;

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		path = strchr(line, '/');
		name = path ? strstr(path, "/" PREFIX) : NULL;
		end = name ? strchr(name + 1, '/') : NULL;
		if (end)
			try_directory(search, path, (size_t)(end - path), name + 1);
	}
	fclose(file);
}

static void
search_everywhere(struct search *search)
{
	search_in(search, "/run");
	search_in(search, getenv("XDG_RUNTIME_DIR"));
	search_in(search, getenv("TMPDIR"));
	search_in(search, "/tmp");
	search_kernel(search);
}

/* WHOSE says in words where PID came from. */
static int
find_pid(pid_t pid, const char *whose, char *why, size_t size)
{
	struct search search = {.pid = pid, .fd = -1};

	search_everywhere(&search);
	if (search.fd >= 0)
		return search.fd;
	if (search.error && search.error != ECONNREFUSED && search.error != ENOENT)
		return say(why, size, "cannot connect to the penstock with pid %ld%s: %s",
		    (long)pid, whose, strerror(search.error));
	return say(why, size,
	    "no penstock with pid %ld%s has a control socket where this user can find it; "
	    "--socket says where it is",
	    (long)pid, whose);
}

static int
find_pidfile(const char *pidfile, char *why, size_t size)
{
	FILE *file = fopen(pidfile, "re");
	char whose[PATH_MAX];
	long pid = 0;

	if (!file)
		return say(why, size, "cannot read the pid file %s: %s", pidfile, strerror(errno));
	if (fscanf(file, "%ld", &pid) != 1 || pid < 1 || pid > INT_MAX)
		pid = 0;
	fclose(file);
	if (!pid)
		return say(why, size, "there is no process id in the pid file %s", pidfile);
	snprintf(whose, sizeof(whose), " (%s)", pidfile);
	return find_pid((pid_t)pid, whose, why, size);
}

/* TEXT is a process id, or the file of one. */
static int
find_process(const char *text, char *why, size_t size)
{
	size_t length = strlen(text);
	long pid = strtol(text, NULL, 10);

	if (length == 0 || length > 10 || strspn(text, "0123456789") != length || pid < 1 ||
	    pid > INT_MAX)
		return find_pidfile(text, why, size);
	return find_pid((pid_t)pid, "", why, size);
}

/* What process PID calls itself, "" when that is not known. */
static void
read_title(pid_t pid, char *title, size_t size)
{
	char path[64];
	FILE *file;
	size_t n;

	title[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
	file = fopen(path, "re");
	if (!file)
		return;
	n = fread(title, 1, size - 1, file);
	fclose(file);
	while (n > 0 && title[n - 1] == '\0')
		n--;
	title[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)title[i] < 0x20 || title[i] == 0x7f)
			title[i] = ' ';
}

static int
say_several(const struct search *search, char *why, size_t size)
{
	size_t used;

	say(why, size, "%u penstocks of this user are running; say which by -p PID or --socket:",
	    search->count);
	for (unsigned i = 0; i < search->count && i < sizeof(search->pids) / sizeof(pid_t); i++) {
		char title[160];

		read_title(search->pids[i], title, sizeof(title));
		used = strlen(why);
		say(why + used, size - used, "\n  pid %ld: %s", (long)search->pids[i], title);
	}
	return -1;
}

static int
find_only(char *why, size_t size)
{
	struct search search = {.fd = -1};

	search_everywhere(&search);
	if (search.count == 1)
		return search.fd;
	if (search.count == 0)
		return say(why, size,
		    "no penstock of this user is running, or none with a control socket; "
		    "--socket or -p says where another one is");
	close(search.fd);
	return say_several(&search, why, size);
}

int
pst_ctl_find(const char *path, const char *process, char *why, size_t size)
{
	if (path)
		return find_path(path, why, size);
	if (process)
		return find_process(process, why, size);
	return find_only(why, size);
}
