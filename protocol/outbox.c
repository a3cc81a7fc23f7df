#include "protocol/outbox.h"

#include "protocol/error.h"
#include "protocol/record.h"

#include <assert.h>
#include <fastcgi.h>
#include <string.h>
#include <unistd.h>

/* An empty buffer of more than this is given back at once, a smaller one serves again. */
#define OUTBOX_KEEP 16384

/* libfcgi 2.4 answers a GET_VALUES record without padding only when further bytes come. */
static uint8_t
padding_for(uint8_t type, size_t content)
{
	size_t padding = -content & 7;

	return (uint8_t)(padding == 0 && type == FCGI_GET_VALUES ? 8 : padding);
}

/* The file with this index; false: there is none. */
static bool
file_at(const struct pst_outbox *outbox, size_t index, struct pst_outbox_file *file)
{
	if (index >= pst_buf_length(&outbox->files) / sizeof *file)
		return false;
	memcpy(file, pst_buf_bytes(&outbox->files) + index * sizeof *file, sizeof *file);
	return true;
}

static void
drop_file(struct pst_outbox *outbox)
{
	struct pst_outbox_file file;

	if (file_at(outbox, 0, &file)) {
		close(file.fd);
		pst_buf_consume(&outbox->files, sizeof file);
	}
}

void
pst_outbox_free(struct pst_outbox *outbox)
{
	while (pst_buf_length(&outbox->files) > 0)
		drop_file(outbox);
	pst_buf_free(&outbox->files);
	pst_buf_free(&outbox->buf);
	*outbox = (struct pst_outbox){0};
}

static void
open_record(struct pst_outbox *outbox, uint8_t type, uint16_t id)
{
	pst_outbox_close(outbox);
	pst_buf_commit(&outbox->buf, PST_RECORD_HEADER_LEN);
	outbox->is_open = true;
	outbox->type = type;
	outbox->id = id;
	outbox->content = 0;
}

/* Write a header to AT, the first byte of a record. */
static inline void
write_header(unsigned char *at, uint8_t type, uint16_t id, size_t content, size_t padding)
{
	struct pst_record record = {
	    .version = FCGI_VERSION_1,
	    .type = type,
	    .id = id,
	    .content = (uint16_t)content,
	    .padding = (uint8_t)padding,
	};

	pst_record_encode(&record, at);
}

/* Write N bytes of padding to AT, which has room for 8. */
static inline void
pad(struct pst_outbox *outbox, unsigned char *at, size_t n)
{
	memset(at, 0, 8);
	pst_buf_commit(&outbox->buf, n);
}

void
pst_outbox_close(struct pst_outbox *outbox)
{
	size_t content = outbox->content, padding;
	unsigned char *end;

	if (!outbox->is_open)
		return;
	outbox->is_open = false;
	end = outbox->buf.data + outbox->buf.end;
	padding = padding_for(outbox->type, content);
	write_header(
	    end - content - PST_RECORD_HEADER_LEN, outbox->type, outbox->id, content, padding);
	if (padding > 0)
		pad(outbox, end, padding);
}

static void
add_piece(struct pst_outbox *outbox, const void *bytes, size_t n)
{
	memcpy(outbox->buf.data + outbox->buf.end, bytes, n);
	pst_buf_commit(&outbox->buf, n);
	outbox->content += n;
}

void
pst_outbox_add(struct pst_outbox *outbox, uint8_t type, uint16_t id, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	size_t room;

	while (n > 0) {
		if (!pst_outbox_continues(outbox, type, id, 1))
			open_record(outbox, type, id);
		room = PST_OUTBOX_CONTENT - outbox->content;
		if (room > n)
			room = n;
		add_piece(outbox, p, room);
		p += room;
		n -= room;
	}
}

void
pst_outbox_record(struct pst_outbox *outbox, uint8_t type, uint16_t id, const void *bytes, size_t n)
{
	size_t padding = padding_for(type, n);
	unsigned char *at;

	assert(n <= PST_OUTBOX_CONTENT);
	pst_outbox_close(outbox);
	at = outbox->buf.data + outbox->buf.end;
	write_header(at, type, id, n, padding);
	if (n > 0)
		memcpy(at + PST_RECORD_HEADER_LEN, bytes, n);
	pst_buf_commit(&outbox->buf, PST_RECORD_HEADER_LEN + n);
	if (padding > 0)
		pad(outbox, at + PST_RECORD_HEADER_LEN + n, padding);
}

void
pst_outbox_empty(struct pst_outbox *outbox, uint8_t type, uint16_t id)
{
	pst_outbox_record(outbox, type, id, NULL, 0);
}

void
pst_outbox_external(struct pst_outbox *outbox, uint8_t type, uint16_t id, size_t n)
{
	size_t padding = padding_for(type, n);
	unsigned char *at;

	assert(n > 0 && n <= PST_OUTBOX_CONTENT && outbox->external == 0);
	pst_outbox_close(outbox);
	at = outbox->buf.data + outbox->buf.end;
	write_header(at, type, id, n, padding);
	pst_buf_commit(&outbox->buf, PST_RECORD_HEADER_LEN);
	outbox->external = n;
	outbox->before = pst_buf_length(&outbox->buf);
	if (padding > 0)
		pad(outbox, at + PST_RECORD_HEADER_LEN, padding);
}

int
pst_outbox_reserve_file(struct pst_outbox *outbox)
{
	return pst_buf_reserve(&outbox->files, sizeof(struct pst_outbox_file)) == NULL
		   ? PST_ERR_NOMEM
		   : 0;
}

void
pst_outbox_file(
    struct pst_outbox *outbox, uint8_t type, uint16_t id, const void *bytes, size_t n, int fd)
{
	struct pst_outbox_file file = {.fd = fd};

	pst_outbox_close(outbox);
	file.at = outbox->dropped + pst_buf_length(&outbox->buf);
	memcpy(outbox->files.data + outbox->files.end, &file, sizeof file);
	pst_buf_commit(&outbox->files, sizeof file);
	pst_outbox_record(outbox, type, id, bytes, n);
}

int
pst_outbox_fd(const struct pst_outbox *outbox)
{
	struct pst_outbox_file file;

	return outbox->file_shown && file_at(outbox, 0, &file) ? file.fd : -1;
}

/* Of N bytes those that the first descriptor may leave with: it need not wait for its record, so
 * that what stands before that needs no send of its own. */
static size_t
until_file(const struct pst_outbox *outbox, size_t n)
{
	struct pst_outbox_file file;

	if (file_at(outbox, 1, &file) && file.at - outbox->dropped < n)
		return (size_t)(file.at - outbox->dropped);
	return n;
}

size_t
pst_outbox_show(struct pst_outbox *outbox, const void **bytes)
{
	size_t n;

	pst_outbox_close(outbox);
	n = outbox->external > 0 ? outbox->before : pst_buf_length(&outbox->buf);
	n = until_file(outbox, n);
	*bytes = n > 0 ? pst_buf_bytes(&outbox->buf) : NULL;
	outbox->shown = n;
	outbox->file_shown = n > 0 && pst_buf_length(&outbox->files) > 0;
	return n;
}

/* A large buffer that is empty now is given back. */
static void
shrink(struct pst_outbox *outbox)
{
	if (outbox->buf.size > OUTBOX_KEEP)
		pst_outbox_trim(outbox);
}

void
pst_outbox_drop(struct pst_outbox *outbox, size_t n)
{
	assert(n <= outbox->shown);
	if (n > 0 && outbox->file_shown) {
		drop_file(outbox);
		outbox->file_shown = false;
	}
	outbox->dropped += n;
	outbox->shown -= n;
	if (outbox->external > 0)
		outbox->before -= n;
	pst_buf_consume(&outbox->buf, n);
	shrink(outbox);
}

void
pst_outbox_external_written(struct pst_outbox *outbox, size_t n)
{
	assert(n <= outbox->external && outbox->before == 0);
	outbox->external -= n;
	shrink(outbox);
}

void
pst_outbox_trim(struct pst_outbox *outbox)
{
	if (pst_buf_length(&outbox->buf) == 0 && outbox->external == 0)
		pst_outbox_free(outbox);
}
