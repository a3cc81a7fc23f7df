/*
 * The records that a session has queued. Content for the same type and request as the record at
 * the end goes on in that record, so that many small pieces travel in few records:
 *
 *	buf:  record record ... | header | content so far |
 *	                        ^ the open record          ^ end
 *
 * The open record's header holds nothing until pst_outbox_close(), which pads the record to
 * eight bytes. No record's content exceeds PST_OUTBOX_CONTENT (65,528), so that content and
 * padding do not either: php-fpm takes no more. What is sent is always closed, so that
 * what the caller was shown does not change.
 *
 * The content of one record may be external: whoever writes to the peer has it, and it is no part
 * of buf. What stands before it is shown first, what follows it once it is written:
 *
 *	buf:  record ... header | padding | record ...
 *	      <---- before ---->^ `external` bytes go here
 *
 * A record may carry a descriptor, which must leave no later than its first byte, and one at a
 *time. So it leaves with whatever is shown first, and what is shown never goes on into a second
 *such record; pst_outbox_fd() gives the descriptor.
 *
 * Room is reserved first, and what adds bytes cannot fail: a call is queued whole or not at all.
 */
#ifndef PST_PROTOCOL_OUTBOX_H
#define PST_PROTOCOL_OUTBOX_H

#include "protocol/buf.h"
#include "protocol/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PST_OUTBOX_CONTENT 65528

struct pst_outbox_file {
	uint64_t at; /* where its record begins: bytes of buf that were ever in front of it */
	int fd;
};

struct pst_outbox {
	struct pst_buf buf;
	size_t content; /* of the open record */
	size_t shown; /* bytes at the front that pst_outbox_show() gave out */
	size_t external; /* external content that is not written yet; 0: there is no such record */
	size_t before; /* bytes of buf in front of it */
	struct pst_buf files; /* struct pst_outbox_file, in the order of their records */
	uint64_t dropped; /* bytes of buf, ever */
	bool file_shown; /* the first of files leaves with what was shown */
	uint16_t id; /* of the open record, as is type */
	uint8_t type;
	bool is_open;
};

/* Drop everything, close the descriptors and release the memory. */
void pst_outbox_free(struct pst_outbox *outbox);

/* A header and the most padding that we write. */
#define PST_OUTBOX_OVERHEAD (PST_RECORD_HEADER_LEN + 8)

/*
 * Make room for RECORDS records beside those that N bytes of content need: 0 or PST_ERR_NOMEM.
 * Good for the calls that follow, until what was reserved is used.
 */
static inline int
pst_outbox_reserve(struct pst_outbox *outbox, size_t records, size_t n)
{
	/* The open record may take padding yet, and the first byte may need a record of its own. */
	size_t overhead = (records + n / PST_OUTBOX_CONTENT + 2) * PST_OUTBOX_OVERHEAD;

	if (n > SIZE_MAX - overhead || pst_buf_reserve(&outbox->buf, n + overhead) == NULL)
		return PST_ERR_NOMEM;
	return 0;
}

/* True when N bytes more would go into the open record, which has this type and id. */
static inline bool
pst_outbox_continues(const struct pst_outbox *outbox, uint8_t type, uint16_t id, size_t n)
{
	return outbox->is_open && outbox->type == type && outbox->id == id &&
	       n <= PST_OUTBOX_CONTENT - outbox->content;
}

/* Pad the open record and write its header; nothing when there is none. */
void pst_outbox_close(struct pst_outbox *outbox);

/* Add N bytes to the stream of this type and id: in the open record, then in further ones. */
void pst_outbox_add(
    struct pst_outbox *outbox, uint8_t type, uint16_t id, const void *bytes, size_t n);

/* Add one whole record of N bytes, at most PST_OUTBOX_CONTENT. */
void pst_outbox_record(
    struct pst_outbox *outbox, uint8_t type, uint16_t id, const void *bytes, size_t n);

/* Add one record without content, such as the end of a stream. */
void pst_outbox_empty(struct pst_outbox *outbox, uint8_t type, uint16_t id);

/* Add one record whose N bytes of content, 1 to PST_OUTBOX_CONTENT, are external. There must be no
 * other such record. */
void pst_outbox_external(struct pst_outbox *outbox, uint8_t type, uint16_t id, size_t n);

/* Make room for one descriptor: 0 or PST_ERR_NOMEM. */
int pst_outbox_reserve_file(struct pst_outbox *outbox);

/* Like pst_outbox_record(), with a descriptor, which belongs to the outbox from now on. */
void pst_outbox_file(
    struct pst_outbox *outbox, uint8_t type, uint16_t id, const void *bytes, size_t n, int fd);

/* The descriptor that leaves with the first byte that is shown; -1: none. */
int pst_outbox_fd(const struct pst_outbox *outbox);

/* Close and show all that is queued, or all that stands before external content or the second
 * descriptor's record; *BYTES is valid until the next call that adds or drops. */
size_t pst_outbox_show(struct pst_outbox *outbox, const void **bytes);

/* Drop N bytes that were shown, and the descriptor that left with the first. A large buffer that is
 * empty now is released. */
void pst_outbox_drop(struct pst_outbox *outbox, size_t n);

/* N bytes of the external content were written; nothing stands before it any more. */
void pst_outbox_external_written(struct pst_outbox *outbox, size_t n);

/* Release the memory if nothing is queued. */
void pst_outbox_trim(struct pst_outbox *outbox);

#endif
