/*
 * The head of a response: what an application gave is checked, and written the way CGI does
 * (RFC 3875, section 6.3): "Status: 200 OK", the fields, an empty line.
 */
#ifndef PST_ADAPTERS_HEAD_H
#define PST_ADAPTERS_HEAD_H

#include "protocol/buf.h"

#include <penstock/plugin.h>

#include <stddef.h>

/* A head larger than this is refused. */
#define PST_HEAD_MAX 65536

/* Of a head that is kept for the next: more fields, or bytes, are not. */
#define PST_HEAD_KEPT_FIELDS 16
#define PST_HEAD_KEPT_BYTES  1024

/* The last head that was checked: most applications answer with much the same again, and that need
 * not be checked anew. A struct of zero bytes is valid and empty. */
struct pst_head_kept {
	struct pst_buf bytes; /* as it was written; empty: none is kept */
	int status;
	size_t count; /* of its fields */
	unsigned short names[PST_HEAD_KEPT_FIELDS]; /* how long the name of each is */
};

/*
 * Append the head to OUT: PST_RESULT_OK; PST_RESULT_INVALID when something in it must not be
 * sent; PST_RESULT_ERROR when memory is short. In the latter two OUT is as it was, and WHY, of
 * WHY_SIZE bytes, says what is wrong. KEPT may be NULL.
 *
 * Checked: STATUS is 100 to 599 and not 101; the reason phrase is of HTAB, SP, VCHAR and obs-text
 * (RFC 9112, section 4; NULL: the usual phrase); names are tokens (RFC 9110, 5.1); values have no
 * control characters but HTAB (RFC 9110, 5.5); no field is hop-by-hop (RFC 9110, 7.6.1, and those
 * that PEP 3333 counts) or named Status; Content-Length is one number.
 */
int pst_head_append(struct pst_buf *out, struct pst_head_kept *kept, int status, const char *reason,
    const struct pst_field *fields, size_t count, char *why, size_t why_size);
void pst_head_kept_free(struct pst_head_kept *kept);

/* The same for the head that accepts an upgrade to WHAT, "messages" or a "stream"
 * (docs/architecture.md): status 101. */
int pst_head_append_upgrade(struct pst_buf *out, const char *what, const struct pst_field *fields,
    size_t count, char *why, size_t why_size);

/* Check fields that follow a body: PST_RESULT_OK, or PST_RESULT_INVALID and WHY. Those that a head
 * may not have are refused, and Content-Length is. */
int pst_head_check_trailers(
    const struct pst_field *fields, size_t count, char *why, size_t why_size);

/* The usual phrase for STATUS, "Unknown" when there is none. */
const char *pst_head_phrase(int status);

#endif
