#include "protocol/buf.h"

#include "protocol/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MIN 256

void
pst_buf_free(struct pst_buf *buf)
{
	free(buf->data);
	*buf = (struct pst_buf){0};
}

/* Bytes move only when at least as many were consumed: each byte moves once, amortized. */
static int
compact(struct pst_buf *buf, size_t n)
{
	size_t length = pst_buf_length(buf);

	if (buf->start < length || buf->size - length < n)
		return 0;
	memmove(buf->data, buf->data + buf->start, length);
	buf->start = 0;
	buf->end = length;
	return 1;
}

/* The smallest doubling that holds NEED bytes; 0 when there is none. */
static size_t
grown_size(size_t size, size_t need)
{
	if (size < BUF_MIN)
		size = BUF_MIN;
	while (size < need) {
		if (size > SIZE_MAX / 2)
			return 0;
		size *= 2;
	}
	return size;
}

/* A fresh block rather than realloc(): what was consumed is not copied. */
static int
grow(struct pst_buf *buf, size_t n)
{
	size_t length = pst_buf_length(buf);
	size_t size = n > SIZE_MAX - length ? 0 : grown_size(buf->size, length + n);
	unsigned char *data = size == 0 ? NULL : malloc(size);

	if (data == NULL)
		return PST_ERR_NOMEM;
	if (length > 0)
		memcpy(data, buf->data + buf->start, length);
	free(buf->data);
	*buf = (struct pst_buf){.data = data, .end = length, .size = size};
	return 0;
}

unsigned char *
pst_buf_make_room(struct pst_buf *buf, size_t n)
{
	if ((buf->data == NULL || !compact(buf, n)) && grow(buf, n) < 0)
		return NULL;
	return buf->data + buf->end;
}
