#include "adapters/sendfile.h"

#include "adapters/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Set before requests are served, and kept as long as the process lives. */
struct directory {
	struct directory *next;
	int fd;
	char *names[2]; /* as it was given, and without links; with a / at the end */
};

static struct directory *directories;

/* --- what is allowed --- */

/* NAME, which is freed, with a / at its end. */
static char *
with_slash(char *name)
{
	size_t n = name ? strlen(name) : 0;
	char *longer = n > 0 ? realloc(name, n + 2) : NULL;

	if (!longer) {
		free(name);
		return NULL;
	}
	if (longer[n - 1] != '/')
		memcpy(longer + n, "/", 2);
	return longer;
}

static int
refuse(const char *name, const char *why)
{
	pst_log(PST_LOG_CRITICAL, "--x-sendfile %s: %s", name, why);
	return -1;
}

int
pst_sendfile_allow(const char *name)
{
	struct directory *directory = calloc(1, sizeof(*directory));
	int fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !directory) {
		free(directory);
		return refuse(name, strerror(errno));
	}
	directory->fd = fd;
	directory->names[0] = with_slash(strdup(name));
	directory->names[1] = with_slash(realpath(name, NULL));
	directory->next = directories;
	directories = directory;
	if (!directory->names[0] || !directory->names[1])
		return refuse(name, strerror(errno));
	return 0;
}

static bool
is_named(const struct pst_field *field, const char *name)
{
	return field->name_len == strlen(name) &&
	       strncasecmp(field->name, name, field->name_len) == 0;
}

static const struct pst_field *
find(const struct pst_field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (is_named(&fields[i], name))
			return &fields[i];
	return NULL;
}

const struct pst_field *
pst_sendfile_find(const struct pst_field *fields, size_t count)
{
	return directories ? find(fields, count, "X-Sendfile") : NULL;
}

/* --- the file --- */

/* PATH as seen from DIRECTORY; NULL: it is not below it. */
static const char *
below(const struct directory *directory, const char *path)
{
	if (path[0] != '/')
		return path;
	for (int i = 0; i < 2; i++) {
		size_t n = strlen(directory->names[i]);
		if (strncmp(path, directory->names[i], n) == 0) {
			path += n;
			return path + strspn(path, "/");
		}
	}
	return NULL;
}

/* No part of PATH, links included, leads out of the directory: EXDEV. A FIFO does not block. */
static int
open_below(const struct directory *directory, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	long fd;

	do
		fd = syscall(SYS_openat2, directory->fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}

/* The first directory that has it. */
static int
open_allowed(const char *path)
{
	int err = EXDEV;

	for (const struct directory *at = directories; at; at = at->next) {
		const char *rest = below(at, path);
		int fd = rest && *rest ? open_below(at, rest) : -1;

		if (fd >= 0)
			return fd;
		if (rest && *rest)
			err = errno;
	}
	errno = err;
	return -1;
}

static const char *
reason(int err)
{
	switch (err) {
	case EXDEV: return "it is not below a directory of --x-sendfile";
	case ENOSYS: return "this system has no openat2(2), which it takes";
	default: return strerror(err);
	}
}

/* --- which part of it --- */

/* The digits at *TEXT, behind which END stands: a number, or -1. */
static long long
number(const char **text, char end)
{
	char *behind;
	long long value;

	if (**text < '0' || **text > '9')
		return -1;
	errno = 0;
	value = strtoll(*text, &behind, 10);
	if (errno != 0 || *behind != end)
		return -1;
	*text = behind + 1;
	return value;
}

/* RFC 9110, 14.4: "bytes FIRST-LAST/SIZE", of a file of just that size. */
static int
take_range(struct pst_sendfile *file, const struct pst_field *range, long long size)
{
	char value[80];
	const char *at = value;
	long long first, last;

	if (range->value_len >= sizeof(value))
		return -1;
	memcpy(value, range->value, range->value_len);
	value[range->value_len] = '\0';
	if (strncasecmp(at, "bytes ", 6) != 0)
		return -1;
	at += 6;
	first = number(&at, '-');
	last = number(&at, '/');
	if (first < 0 || last < first || last >= size || number(&at, '\0') != size)
		return -1;
	file->offset = (off_t)first;
	file->length = (size_t)(last - first + 1);
	return 0;
}

static int
take_part(struct pst_sendfile *file, int status, const struct pst_field *range, long long size)
{
	file->offset = 0;
	file->length = (size_t)size;
	if (status != 206)
		return 0;
	return range ? take_range(file, range, size) : -1;
}

int
pst_sendfile_open(struct pst_sendfile *file, const struct pst_field *field, int status,
    const struct pst_field *fields, size_t count, char *why, size_t why_size)
{
	char path[PATH_MAX];
	const char *wrong = NULL;
	struct stat st;
	int err = ENAMETOOLONG;

	file->fd = -1;
	if (field->value_len < sizeof(path)) {
		memcpy(path, field->value, field->value_len);
		path[field->value_len] = '\0';
		file->fd = open_allowed(path);
		err = errno;
	}
	if (file->fd < 0)
		wrong = reason(err);
	else if (fstat(file->fd, &st) < 0 || !S_ISREG(st.st_mode))
		wrong = "it is no regular file";
	else if (take_part(file, status, find(fields, count, "Content-Range"), st.st_size) < 0)
		wrong = "its status is 206, and no Content-Range says which part of it";
	if (!wrong)
		return 0;
	snprintf(why, why_size, "X-Sendfile: %.*s: %s",
	    (int)(field->value_len < 200 ? field->value_len : 200), field->value, wrong);
	if (file->fd >= 0)
		close(file->fd);
	return file->fd < 0 && (err == ENOENT || err == ENOTDIR) ? 404 : 500;
}
