/*
 * X-Sendfile: an application names the file that is the body of its response in this field, which
 * never reaches a client. Only below the directories that were allowed, to which the process looks
 * with its own rights; without any the field is a field like others.
 */
#ifndef PST_ADAPTERS_SENDFILE_H
#define PST_ADAPTERS_SENDFILE_H

#include <penstock/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Allow DIRECTORY. 0, or -1 after the reason was logged. Before requests are served. */
int pst_sendfile_allow(const char *directory);

/* The X-Sendfile among COUNT FIELDS, if any directory was allowed; or NULL. */
const struct pst_field *pst_sendfile_find(const struct pst_field *fields, size_t count);

/* A part of a file. */
struct pst_sendfile {
	int fd;
	off_t offset;
	size_t length;
};

/*
 * Open the file that FIELD of a response with STATUS names, of which a Content-Range among COUNT
 * FIELDS may want a part. 0, or the status to be answered (404, 500) and WHY.
 */
int pst_sendfile_open(struct pst_sendfile *file, const struct pst_field *field, int status,
    const struct pst_field *fields, size_t count, char *why, size_t why_size);

#endif
