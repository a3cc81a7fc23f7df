#include "gateway/arbiter/sources.h"

#include "gateway/hash.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
pst_sources_init(struct pst_sources *sources)
{
	memset(sources, 0, sizeof(*sources));
}

/* ---- one file ---- */

static bool
is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* The inode tells files of one name apart. */
static void
add(struct pst_sources *sources, const char *name, const struct stat *status)
{
	uint64_t hash = pst_hash(PST_HASH_BEGIN, name, strlen(name));

	hash = pst_hash(hash, &status->st_mtim, sizeof(status->st_mtim));
	hash = pst_hash(hash, &status->st_size, sizeof(status->st_size));
	hash = pst_hash(hash, &status->st_ino, sizeof(status->st_ino));
	sources->sum += hash;
	sources->files++;
	if (!is_later(&status->st_mtim, &sources->newest))
		return;
	sources->newest = status->st_mtim;
	snprintf(sources->name, sizeof(sources->name), "%s", name);
}

void
pst_sources_add_file(struct pst_sources *sources, int base, const char *file)
{
	const char *slash = strrchr(file, '/');
	struct stat status;

	if (fstatat(base, file, &status, 0) == 0)
		add(sources, slash ? slash + 1 : file, &status);
}

/* ---- directories ---- */

static bool
is_source(const char *name)
{
	size_t n = strlen(name);

	return n > 3 && strcmp(name + n - 3, ".py") == 0;
}

static bool
is_left_out(const char *name)
{
	static const char *const names[] = {
	    "__pycache__", "node_modules", "site-packages", "dist-packages"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return name[0] == '.';
}

static void walk(struct pst_sources *sources, int fd, dev_t device, unsigned depth);

/* ENTRY of DIRECTORY, which is on DEVICE. */
static void
look_at(struct pst_sources *sources, int directory, const struct dirent *entry, dev_t device,
    unsigned depth)
{
	struct stat status;

	if (is_source(entry->d_name)) {
		if (fstatat(directory, entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode))
			add(sources, entry->d_name, &status);
		return;
	}
	if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) ||
	    is_left_out(entry->d_name) ||
	    fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISDIR(status.st_mode) || status.st_dev != device)
		return;
	if (depth == PST_SOURCES_DEPTH)
		sources->is_cut = true;
	else
		walk(sources, openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		    device, depth + 1);
}

/* FD is closed; it may be -1. */
static void
walk(struct pst_sources *sources, int fd, dev_t device, unsigned depth)
{
	DIR *dir = fd >= 0 && faccessat(fd, "pyvenv.cfg", F_OK, 0) < 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (!sources->is_cut && (entry = readdir(dir))) {
		if (sources->entries++ == PST_SOURCES_ENTRIES)
			sources->is_cut = true;
		else
			look_at(sources, dirfd(dir), entry, device, depth);
	}
	closedir(dir);
}

/* False: it is there already, or there are too many. */
static bool
is_new_root(struct pst_sources *sources, const struct stat *status)
{
	for (unsigned i = 0; i < sources->root_count; i++)
		if (sources->roots[i].device == status->st_dev &&
		    sources->roots[i].inode == status->st_ino)
			return false;
	if (sources->root_count == PST_SOURCES_ROOTS) {
		sources->is_cut = true;
		return false;
	}
	sources->roots[sources->root_count].device = status->st_dev;
	sources->roots[sources->root_count++].inode = status->st_ino;
	return true;
}

void
pst_sources_add_directory(struct pst_sources *sources, int base, const char *directory)
{
	int fd = openat(base, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && is_new_root(sources, &status))
		walk(sources, fd, status.st_dev, 0);
	else
		close(fd);
}
