#include "gateway/import_gunicorn.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_NOT_RUN 1

#ifdef PST_PYTHON_EXECUTABLE
static const char configured[] = PST_PYTHON_EXECUTABLE;
#else
static const char configured[] = "python3";
#endif

/* The file may import what only the virtual environment has. */
static const char *
interpreter(char path[PATH_MAX])
{
	const char *environment = getenv("VIRTUAL_ENV");

	if (!environment || !*environment)
		return configured;
	snprintf(path, PATH_MAX, "%s/bin/python", environment);
	return access(path, X_OK) == 0 ? path : configured;
}

int
pst_import_gunicorn(int argc, char **argv)
{
	static char program[] = PST_PKGDATADIR "/import_gunicorn.py";
	char path[PATH_MAX], **words = calloc((size_t)argc + 2, sizeof(*words));
	const char *python = interpreter(path);

	if (!words) {
		fputs("penstock: out of memory\n", stderr);
		return EXIT_NOT_RUN;
	}
	words[0] = (char *)(uintptr_t)python;
	words[1] = program;
	memcpy(words + 2, argv + 1, (size_t)(argc - 1) * sizeof(*words));
	execvp(python, words);
	fprintf(stderr, "penstock: import-gunicorn: cannot run %s: %s\n", python, strerror(errno));
	free(words);
	return EXIT_NOT_RUN;
}
