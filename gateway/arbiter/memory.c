#include "gateway/arbiter/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Read the small file NAME of process PID into TEXT: 0, or -1 with errno. */
static int
read_file(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd, error;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	error = errno;
	close(fd);
	errno = error;
	if (n < 0)
		return -1;
	text[n] = '\0';
	return 0;
}

uint64_t
pst_memory_rss(pid_t pid)
{
	unsigned long long size, resident;
	char text[256];

	if (read_file(pid, "statm", text, sizeof(text)) < 0 ||
	    sscanf(text, "%llu %llu", &size, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
pst_memory_pss(pid_t pid)
{
	char text[2048];
	const char *line;

	if (read_file(pid, "smaps_rollup", text, sizeof(text)) < 0)
		return 0;
	line = strstr(text, "\nPss:");
	return line ? strtoull(line + 5, NULL, 10) * 1024 : 0;
}
