#include "gateway/conf_internal.h"
#include "gateway/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory in which we were started: names are relative to it even after --chdir. */
static char start[PATH_MAX];

/* As the shell calls it, so that a link which is moved to a new release is followed. */
static void
find_start(void)
{
	const char *pwd = getenv("PWD");
	struct stat here, there;

	if (*start)
		return;
	if (pwd && *pwd == '/' && strlen(pwd) < sizeof(start) && stat(".", &here) == 0 &&
	    stat(pwd, &there) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino)
		strcpy(start, pwd);
	else if (!getcwd(start, sizeof(start)))
		strcpy(start, ".");
}

static int
open_file(const char *name)
{
	char path[2 * PATH_MAX];

	snprintf(
	    path, sizeof(path), "%s%s%s", *name == '/' ? "" : start, *name == '/' ? "" : "/", name);
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

/* Up to SIZE bytes, as many as there are; -1 with errno. */
static ssize_t
read_all(int fd, unsigned char *bytes, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, bytes + length, size - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

/* gunicorn's ways to say a Python file. */
static bool
is_python(const char *name)
{
	size_t n = strlen(name);

	return strncmp(name, "python:", 7) == 0 || (n > 3 && strcmp(name + n - 3, ".py") == 0);
}

void
pst_conf_read_file(struct pst_conf *conf, const char *name)
{
	unsigned char *bytes;
	ssize_t length;
	int fd;

	find_start();
	if (is_python(name)) {
		pst_conf_mistake(conf,
		    "--config wants a YAML file, and %.200s is Python: 'penstock import-gunicorn "
		    "%.200s -o penstock.yaml' makes one of it",
		    name, name);
		return;
	}
	fd = open_file(name);
	if (fd < 0) {
		pst_conf_mistake(conf, "--config: cannot open %.200s: %s", name, strerror(errno));
		return;
	}
	bytes = malloc(PST_YAML_SIZE + 1);
	length = bytes ? read_all(fd, bytes, PST_YAML_SIZE + 1) : -1;
	if (length < 0)
		pst_conf_mistake(conf, "--config: cannot read %.200s: %s", name, strerror(errno));
	else
		pst_conf_read_text(conf, name, bytes, (size_t)length);
	free(bytes);
	close(fd);
}
