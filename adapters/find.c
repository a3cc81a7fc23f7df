#include "adapters/find.h"

#include "adapters/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* What an interpreter is asked, and the room for its answer: "3.11". */
#define VERSION_SCRIPT                                                                             \
	"import sys; print('%d.%d' % sys.version_info[:2] + ('t' if 't' in sys.abiflags else ''))"
#define VERSION_SIZE 16

static bool
ends_in(const char *text, const char *end)
{
	size_t n = strlen(text);
	size_t m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

bool
pst_find_is_plugin(const char *app)
{
	return strchr(app, '/') || ends_in(app, ".so");
}

/* "FIRST" SEPARATOR "SECOND" into PATH, or say that it does not fit. */
static int
make_path(char *path, size_t size, const char *first, const char *separator, const char *second)
{
	int n = snprintf(path, size, "%s%s%s", first, separator, second);

	if (n > 0 && (size_t)n < size)
		return 0;
	pst_log(PST_LOG_CRITICAL, "the path of the plugin is too long: %.80s...", path);
	return -1;
}

/* --- which Python --- */

/* Start PYTHON with its standard output going to OUT; its pid, or -1 with errno. */
static pid_t
start_python(const char *python, int out)
{
	const char *argv[] = {python, "-I", "-S", "-c", VERSION_SCRIPT, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	int err;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	/* exec() changes no argument; its type is older than const. */
	err = posix_spawnp(&pid, python, &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	errno = err;
	return err == 0 ? pid : -1;
}

static size_t
read_all(int fd, char *bytes, size_t size)
{
	size_t total = 0;

	while (total < size) {
		ssize_t n = read(fd, bytes + total, size - total);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		total += (size_t)n;
	}
	return total;
}

/* The answer is MAJOR.MINOR, with a "t" if that one has no GIL, and nothing else: it becomes part
 * of a path. */
static bool
is_version(const char *text)
{
	size_t major = strspn(text, "0123456789");
	size_t minor = text[major] == '.' ? strspn(text + major + 1, "0123456789") : 0;

	if (major == 0 || minor == 0)
		return false;
	text += major + 1 + minor;
	return strcmp(text, "") == 0 || strcmp(text, "t") == 0;
}

/* Ask PYTHON its version, e.g. "3.11": 0, or -1 after the reason was logged. */
static int
ask_version(const char *python, char version[VERSION_SIZE])
{
	int pipe_fds[2];
	int status = 0;
	size_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		pst_log(PST_LOG_CRITICAL, "%s cannot be asked its version: %s", python,
		    strerror(errno));
		return -1;
	}
	pid = start_python(python, pipe_fds[1]);
	if (pid < 0)
		pst_log(PST_LOG_CRITICAL, "the Python interpreter %s cannot be run: %s", python,
		    strerror(errno));
	close(pipe_fds[1]);
	n = pid < 0 ? 0 : read_all(pipe_fds[0], version, VERSION_SIZE - 1);
	close(pipe_fds[0]);
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	while (n > 0 && (version[n - 1] == '\n' || version[n - 1] == '\r'))
		n--;
	version[n] = '\0';
	if (status == 0 && is_version(version))
		return 0;
	pst_log(
	    PST_LOG_CRITICAL, "%s is no Python interpreter: it did not tell its version", python);
	return -1;
}

/* --- which plugin --- */

static int
find_by_version(const char *dir, const char *python, char *path, size_t size)
{
	char version[VERSION_SIZE];
	char name[VERSION_SIZE + 16];

	if (ask_version(python, version) < 0)
		return -1;
	snprintf(name, sizeof(name), "python%s.so", version);
	if (make_path(path, size, dir, "/", name) < 0)
		return -1;
	if (access(path, F_OK) == 0)
		return 0;
	pst_log(PST_LOG_CRITICAL,
	    "%s is Python %s, and there is no plugin for it (%s): build Penstock with "
	    "./configure --with-python=%s",
	    python, version, path, python);
	return -1;
}

static int
find_configured(const char *dir, char *path, size_t size)
{
#ifdef PST_PYTHON_PLUGIN
	if (make_path(path, size, dir, "/", PST_PYTHON_PLUGIN) < 0)
		return -1;
	if (access(path, F_OK) == 0)
		return 0;
#endif
	pst_log(PST_LOG_CRITICAL,
	    "several Python plugins are in %s, and none of them is the one that this program was "
	    "built with: choose one with --python",
	    dir);
	(void)path;
	(void)size;
	return -1;
}

static int
find_python(const char *app, const char *python, char *path, size_t size)
{
	const char *dir = getenv("PENSTOCK_PLUGIN_DIR");
	const char *venv = getenv("VIRTUAL_ENV");
	char pattern[4096];
	char venv_python[4096];
	glob_t found;
	int result = -1;

	if (!dir || !*dir)
		dir = PST_PLUGINDIR;
	if (make_path(pattern, sizeof(pattern), dir, "/", "python3.*.so") < 0)
		return -1;
	if (!python && venv && *venv) {
		if (make_path(venv_python, sizeof(venv_python), venv, "/", "bin/python") < 0)
			return -1;
		python = venv_python;
	}
	if (glob(pattern, 0, NULL, &found) != 0)
		found.gl_pathc = 0;
	if (found.gl_pathc == 0)
		pst_log(PST_LOG_CRITICAL,
		    "no Python plugin is in %s, which \"%s\" needs; a plugin of your own is named "
		    "by a path with a / in it or .so at its end",
		    dir, app);
	else if (found.gl_pathc == 1)
		result = make_path(path, size, found.gl_pathv[0], "", "");
	else if (python)
		result = find_by_version(dir, python, path, size);
	else
		result = find_configured(dir, path, size);
	if (found.gl_pathc > 0)
		globfree(&found);
	return result;
}

int
pst_find(const char *app, const char *python, char *path, size_t size)
{
	if (!pst_find_is_plugin(app))
		return find_python(app, python, path, size);
	/* dlopen() would look for a name without a '/' in the system's directories. */
	return make_path(path, size, strchr(app, '/') ? "" : ".", strchr(app, '/') ? "" : "/", app);
}
