#include <Python.h>

#include "adapters/python/executable.h"

#include "adapters/python/option.h"
#include "adapters/python/say.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A choice, and who made it, for messages. */
struct choice {
	const char *source;
	char path[PATH_MAX];
};

/* Complete a virtualenv's directory to its interpreter: 0, or -1 when there is none. */
static int
complete(char path[PATH_MAX])
{
	static const char *const names[] = {"bin/python3", "bin/python"};
	char directory[PATH_MAX];
	struct stat status;

	if (stat(path, &status) != 0)
		return -1;
	if (!S_ISDIR(status.st_mode))
		return access(path, X_OK);
	snprintf(directory, sizeof directory, "%s", path);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (snprintf(path, PATH_MAX, "%s/%s", directory, names[i]) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return 0;
	snprintf(path, PATH_MAX, "%s", directory);
	return -1;
}

/* sys.executable is absolute; links stay as they are, because a virtualenv is found by them. */
static int
set_path(char path[PATH_MAX], const char *value)
{
	char directory[PATH_MAX];
	int length;

	if (value[0] == '/')
		length = snprintf(path, PATH_MAX, "%s", value);
	else if (getcwd(directory, sizeof directory) != NULL)
		length = snprintf(path, PATH_MAX, "%s/%s", directory, value);
	else
		return -1;
	return length < PATH_MAX ? 0 : -1;
}

static int
choose(const struct pst_host *host, const struct pst_app_config *config, struct choice *choice)
{
	const char *value = pst_option_value(config, "python", 0);

	choice->source = "--python";
	if (value == NULL) {
		choice->source = "VIRTUAL_ENV";
		value = getenv("VIRTUAL_ENV");
	}
	if (value == NULL || value[0] == '\0') {
		choice->source = "the Python that the plugin was built with";
		value = PST_PYTHON_EXECUTABLE;
	}
	if (set_path(choice->path, value) == 0 && complete(choice->path) == 0)
		return 0;
	pst_say(host, PST_LOG_ERROR,
	    "%s: %s (%s) is neither a Python interpreter nor a virtualenv: %s", config->app, value,
	    choice->source, strerror(errno != 0 ? errno : ENOENT));
	return -1;
}

static bool
same_file(const char *one, const char *other)
{
	char first[PATH_MAX], second[PATH_MAX];

	return realpath(one, first) != NULL && realpath(other, second) != NULL &&
	       strcmp(first, second) == 0;
}

/* Start PATH, with its output to FD and nothing of ours that could disturb it: its pid or -1. */
static pid_t
spawn(const char *path, int fd)
{
	static const char script[] =
	    "import sys; print('%d.%d.%d' % sys.version_info[:3] + ('t' if 't' in sys.abiflags "
	    "else ''), sys.base_prefix, sep='\\n')";
	const char *const argv[] = {path, "-I", "-S", "-c", script, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	pid_t pid = -1;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (posix_spawn(
		&pid, path, &actions, &attributes, (char *const *)(uintptr_t)argv, environ) != 0)
		pid = -1;
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* Read what FD has until its end into TEXT, as a string. */
static void
read_all(int fd, char *text, size_t size)
{
	size_t at = 0;
	ssize_t got;

	while (at + 1 < size) {
		got = read(fd, text + at, size - 1 - at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		at += (size_t)got;
	}
	text[at] = '\0';
}

/*
 * Ask the interpreter PATH: 0, its VERSION and its base PREFIX (in TEXT), or -1.
 */
static int
ask(const char *path, char *text, size_t size, const char **version, const char **prefix)
{
	int pipes[2];
	int status = -1;
	pid_t pid;
	char *end;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -1;
	pid = spawn(path, pipes[1]);
	close(pipes[1]);
	if (pid > 0) {
		read_all(pipes[0], text, size);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(pipes[0]);
	end = pid > 0 && status == 0 ? strchr(text, '\n') : NULL;
	if (end == NULL)
		return -1;
	*end = '\0';
	*version = text;
	*prefix = end + 1;
	end[1 + strcspn(end + 1, "\n")] = '\0';
	return 0;
}

/* The version of the libpython that is loaded, "3.11.2"; "3.13.5t" is one without a GIL, with other
 * extension modules. */
static const char *
loaded_version(char text[32])
{
#ifdef Py_GIL_DISABLED
	const char *suffix = "t";
#else
	const char *suffix = "";
#endif

	snprintf(text, 32, "%.*s%s", (int)strcspn(Py_GetVersion(), " +"), Py_GetVersion(), suffix);
	return text;
}

int
pst_executable_choose(
    const struct pst_host *host, const struct pst_app_config *config, char path[PATH_MAX])
{
	struct choice choice;
	char text[PATH_MAX + 64], ours[32];
	const char *version, *prefix;

	errno = 0;
	if (choose(host, config, &choice) < 0)
		return -1;
	memcpy(path, choice.path, PATH_MAX);
	if (same_file(path, PST_PYTHON_EXECUTABLE))
		return 0;
	if (ask(path, text, sizeof text, &version, &prefix) < 0) {
		pst_say(host, PST_LOG_ERROR, "%s: %s (%s) does not run as a Python 3", config->app,
		    path, choice.source);
		return -1;
	}
	if (strcmp(version, loaded_version(ours)) == 0 &&
	    (strcmp(prefix, PST_PYTHON_BASE_PREFIX) == 0 ||
		same_file(prefix, PST_PYTHON_BASE_PREFIX)))
		return 0;
	pst_say(host, PST_LOG_ERROR,
	    "%s: %s (%s) is Python %s in %s, but this plugin was built for Python %s in %s: make "
	    "the "
	    "virtualenv with %s, or build Penstock with ./configure --with-python=%s",
	    config->app, path, choice.source, version, prefix, ours, PST_PYTHON_BASE_PREFIX,
	    PST_PYTHON_EXECUTABLE, path);
	return -1;
}
