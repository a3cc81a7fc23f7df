/*
 * A growable byte queue: bytes are added at the end and consumed from the front.
 *
 *	data            start               end                 size
 *	 | consumed      | to be consumed    | free              |
 *
 * Invariant: 0 <= start <= end <= size; data is NULL exactly when size is 0. When all is
 * consumed, start and end return to 0. A struct of zero bytes is a valid empty buffer.
 */
#ifndef PST_PROTOCOL_BUF_H
#define PST_PROTOCOL_BUF_H

#include "protocol/error.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

struct pst_buf {
	unsigned char *data;
	size_t start;
	size_t end;
	size_t size;
};

/* Release the memory; the buffer is empty and usable again. */
void pst_buf_free(struct pst_buf *buf);

/* What pst_buf_reserve() does where there is not enough room already. */
unsigned char *pst_buf_make_room(struct pst_buf *buf, size_t n);

/*
 * Make room for N more bytes and return where they go; NULL when memory is short (the
 * contents stay as they were). The pointer is good until the next call that changes BUF.
 */
static inline unsigned char *
pst_buf_reserve(struct pst_buf *buf, size_t n)
{
	if (buf->data == NULL || buf->size - buf->end < n)
		return pst_buf_make_room(buf, n);
	return buf->data + buf->end;
}

/* The first N bytes of what pst_buf_reserve() returned have been filled in. */
static inline void
pst_buf_commit(struct pst_buf *buf, size_t n)
{
	assert(n <= buf->size - buf->end);
	buf->end += n;
}

/* Append N bytes: 0, or PST_ERR_NOMEM with the contents as they were. */
static inline int
pst_buf_append(struct pst_buf *buf, const void *bytes, size_t n)
{
	unsigned char *to;

	if (n == 0)
		return 0;
	to = pst_buf_reserve(buf, n);
	if (to == NULL)
		return PST_ERR_NOMEM;
	memcpy(to, bytes, n);
	pst_buf_commit(buf, n);
	return 0;
}

/* How many bytes are to be consumed. */
static inline size_t
pst_buf_length(const struct pst_buf *buf)
{
	return buf->end - buf->start;
}

/* Drop N bytes from the front; N is at most pst_buf_length(). */
static inline void
pst_buf_consume(struct pst_buf *buf, size_t n)
{
	assert(n <= pst_buf_length(buf));
	buf->start += n;
	if (buf->start == buf->end)
		buf->start = buf->end = 0;
}

/* The bytes to be consumed; valid until the next call that changes BUF. */
static inline unsigned char *
pst_buf_bytes(const struct pst_buf *buf)
{
	return buf->data + buf->start;
}

#endif
