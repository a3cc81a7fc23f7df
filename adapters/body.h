/*
 * A request's body as it waits to be read: bytes, and parts of files that stand among them.
 *
 *	bytes:  [ before file 0 ][ before file 1 ] ... [ behind the last file ]
 *	stream:   ...  file 0      ...  file 1                ...
 *
 * Files are read with pread(2), never mapped: one that becomes shorter is an error, not a signal.
 */
#ifndef PST_ADAPTERS_BODY_H
#define PST_ADAPTERS_BODY_H

#include "protocol/buf.h"
#include "protocol/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What the first credit lets a client have waiting. */
#define PST_BODY_FILES (PST_SESSION_CREDIT / PST_SESSION_FILE_COST)

struct pst_body_file;

/* Zeroed it is empty. */
struct pst_body {
	struct pst_buf bytes;
	struct pst_body_file *files; /* NULL until one came; then room for PST_BODY_FILES */
	size_t file_count;
};

/* It is empty, and holds no memory. */
void pst_body_free(struct pst_body *body);
/* It is empty, and keeps its memory if that is KEEP bytes at most. */
void pst_body_clear(struct pst_body *body, size_t keep);

/* Append N bytes: 0, or PST_ERR_NOMEM. */
int pst_body_add(struct pst_body *body, const void *bytes, size_t n);
/*
 * Append a part of a file, whose descriptor is taken over whatever is returned: 0, PST_ERR_NOMEM,
 * PST_ERR_LIMIT when too many wait, or PST_ERR_PROTOCOL: it is no regular file, or too short.
 */
int pst_body_add_file(struct pst_body *body, const struct pst_session_file *file);
/* Append all that FROM holds, which is empty then: 0, or an error as above. */
int pst_body_move(struct pst_body *body, struct pst_body *from);

static inline bool
pst_body_is_empty(const struct pst_body *body)
{
	return pst_buf_length(&body->bytes) == 0 && body->file_count == 0;
}

/*
 * Take up to N (> 0) bytes from the front: a count, 0 when it is empty, or -1 with errno when a
 * file cannot be read; ENODATA: it has become shorter. *CREDIT receives what the client is to be
 * granted for that.
 */
ssize_t pst_body_read(struct pst_body *body, void *bytes, size_t n, size_t *credit);

#endif
