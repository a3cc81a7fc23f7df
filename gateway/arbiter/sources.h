/*
 * The files that applications are made of, looked at as a whole: Python sources below directories,
 * and single files. Nothing is opened but directories.
 */
#ifndef PST_ARBITER_SOURCES_H
#define PST_ARBITER_SOURCES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* Bounds of one look. What is beyond them is not seen. */
#define PST_SOURCES_ENTRIES 50000
#define PST_SOURCES_DEPTH   16
#define PST_SOURCES_ROOTS   64

struct pst_sources {
	uint64_t
	    sum; /* of all files with their times and sizes, in whatever order they were seen */
	unsigned files;
	unsigned entries; /* of directories */
	bool is_cut; /* a bound was met */
	struct timespec newest; /* when the last one was changed */
	char name[NAME_MAX + 1]; /* which that is, without its directory */
	struct {
		dev_t device;
		ino_t inode;
	} roots[PST_SOURCES_ROOTS]; /* directories that were added */
	unsigned root_count;
};

/* An empty look. */
void pst_sources_init(struct pst_sources *sources);

/*
 * Add the .py files below DIRECTORY, which is relative to descriptor BASE, unless it was added
 * already. Directories are left out whose name begins with a dot, in which packages are installed
 * or virtual environments are made, and those of other file systems; links to directories, too.
 * What cannot be read, or is not there, is as if it were empty.
 */
void pst_sources_add_directory(struct pst_sources *sources, int base, const char *directory);

/* Add one file, which may be missing. */
void pst_sources_add_file(struct pst_sources *sources, int base, const char *file);

#endif
