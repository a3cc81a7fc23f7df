#include "protocol/output.h"

#include "protocol/error.h"
#include "protocol/record.h"

#include <assert.h>
#include <fastcgi.h>
#include <string.h>

/* An empty buffer of more than this is given back at once, a smaller one serves again. */
#define OUTPUT_KEEP 16384

/* A header and the most padding that we write. */
#define RECORD_OVERHEAD (PST_RECORD_HEADER_LEN + 8)

/* libfcgi 2.4 answers a GET_VALUES record without padding only when further bytes come. */
static uint8_t
padding_for(uint8_t type, size_t content)
{
	size_t padding = -content & 7;

	return (uint8_t)(padding == 0 && type == FCGI_GET_VALUES ? 8 : padding);
}

void
pst_output_free(struct pst_output *output)
{
	pst_buf_free(&output->buf);
	*output = (struct pst_output){0};
}

/* The open record may take padding yet, and the first byte may need a record of its own. */
int
pst_output_reserve(struct pst_output *output, size_t records, size_t n)
{
	size_t overhead = (records + n / PST_OUTPUT_CONTENT + 2) * RECORD_OVERHEAD;

	if (n > SIZE_MAX - overhead || pst_buf_reserve(&output->buf, n + overhead) == NULL)
		return PST_ERR_NOMEM;
	return 0;
}

bool
pst_output_continues(const struct pst_output *output, uint8_t type, uint16_t id, size_t n)
{
	return output->is_open && output->type == type && output->id == id &&
	    n <= PST_OUTPUT_CONTENT - output->content;
}

static void
open_record(struct pst_output *output, uint8_t type, uint16_t id)
{
	pst_output_close(output);
	pst_buf_commit(&output->buf, PST_RECORD_HEADER_LEN);
	output->is_open = true;
	output->type = type;
	output->id = id;
	output->content = 0;
}

void
pst_output_close(struct pst_output *output)
{
	struct pst_record record = {
	    .version = FCGI_VERSION_1,
	    .type = output->type,
	    .id = output->id,
	    .content = (uint16_t)output->content,
	    .padding = padding_for(output->type, output->content),
	};
	unsigned char *end;

	if (!output->is_open)
		return;
	end = output->buf.data + output->buf.end;
	pst_record_encode(&record, end - output->content - PST_RECORD_HEADER_LEN);
	memset(end, 0, record.padding);
	pst_buf_commit(&output->buf, record.padding);
	output->is_open = false;
}

static void
add_piece(struct pst_output *output, const void *bytes, size_t n)
{
	memcpy(output->buf.data + output->buf.end, bytes, n);
	pst_buf_commit(&output->buf, n);
	output->content += n;
}

void
pst_output_add(struct pst_output *output, uint8_t type, uint16_t id, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	size_t room;

	while (n > 0) {
		if (!pst_output_continues(output, type, id, 1))
			open_record(output, type, id);
		room = PST_OUTPUT_CONTENT - output->content;
		if (room > n)
			room = n;
		add_piece(output, p, room);
		p += room;
		n -= room;
	}
}

void
pst_output_record(
    struct pst_output *output, uint8_t type, uint16_t id, const void *bytes, size_t n)
{
	assert(n <= PST_OUTPUT_CONTENT);
	open_record(output, type, id);
	if (n > 0)
		add_piece(output, bytes, n);
	pst_output_close(output);
}

size_t
pst_output_show(struct pst_output *output, const void **bytes)
{
	size_t n = pst_buf_length(&output->buf);

	*bytes = NULL;
	if (n == 0)
		return 0;
	pst_output_close(output);
	*bytes = pst_buf_bytes(&output->buf);
	output->shown = pst_buf_length(&output->buf);
	return output->shown;
}

void
pst_output_drop(struct pst_output *output, size_t n)
{
	assert(n <= output->shown);
	output->shown -= n;
	pst_buf_consume(&output->buf, n);
	if (output->buf.size > OUTPUT_KEEP)
		pst_output_trim(output);
}

void
pst_output_trim(struct pst_output *output)
{
	if (pst_buf_length(&output->buf) == 0)
		pst_output_free(output);
}
