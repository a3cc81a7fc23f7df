#include "gateway/front/websocket_deflate.h"

#include "gateway/front/http_chars.h"
#include "protocol/error.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Our window, and the most of the client's where we are asked, in bits: 4 KiB each. */
#define WINDOW_BITS 12
/* zlib's memLevel, for 16 KiB of hash table, and its level. */
#define MEMORY 5
#define LEVEL  1

/* --- the grammar (RFC 6455, 9.1) --- */

struct param {
	struct pst_http_text name;
	struct pst_http_text value; /* data NULL: it has none */
};

static void
skip_blank(struct pst_http_text *rest)
{
	while (rest->len > 0 && (*rest->data == ' ' || *rest->data == '\t')) {
		rest->data++;
		rest->len--;
	}
}

/* Whether CHARACTER comes next; then it is taken, with the whitespace around it. */
static bool
take(struct pst_http_text *rest, char character)
{
	skip_blank(rest);
	if (rest->len == 0 || *rest->data != character)
		return false;
	rest->data++;
	rest->len--;
	skip_blank(rest);
	return true;
}

static bool
take_token(struct pst_http_text *rest, struct pst_http_text *token)
{
	size_t n = 0;

	while (n < rest->len && pst_http_is((unsigned char)rest->data[n], PST_HTTP_TCHAR))
		n++;
	*token = (struct pst_http_text){rest->data, n};
	rest->data += n;
	rest->len -= n;
	return n > 0;
}

/* What is quoted has to be a token (9.1): none needs a backslash, and none is taken. */
static bool
take_value(struct pst_http_text *rest, struct pst_http_text *value)
{
	bool quoted = rest->len > 0 && *rest->data == '"';

	if (!quoted)
		return take_token(rest, value);
	rest->data++;
	rest->len--;
	if (!take_token(rest, value) || rest->len == 0 || *rest->data != '"')
		return false;
	rest->data++;
	rest->len--;
	return true;
}

static bool
take_param(struct pst_http_text *rest, struct param *param)
{
	*param = (struct param){0};
	if (!take_token(rest, &param->name))
		return false;
	return !take(rest, '=') || take_value(rest, &param->value);
}

/* --- an offer (RFC 7692, 7.1) --- */

/* One that is being read; what is wrong with it only makes it one that is declined. */
struct offer {
	struct pst_websocket_terms terms;
	bool declined;
	bool server_takeover, client_takeover; /* their parameters have come */
};

/* 8 to 15, without a leading zero; 0: no such number. */
static uint8_t
window_bits(struct pst_http_text text)
{
	uint64_t bits;

	if (text.len == 0 || *text.data == '0' || pst_http_number(text, &bits) != 0 || bits < 8 ||
	    bits > 15)
		return 0;
	return (uint8_t)bits;
}

static void
take_flag(struct offer *offer, bool *seen, const struct param *param)
{
	if (*seen || param->value.data != NULL)
		offer->declined = true;
	*seen = true;
}

/* zlib makes no raw stream for a window of 8 bits. */
static void
take_server_bits(struct offer *offer, const struct param *param)
{
	uint8_t bits = window_bits(param->value);

	if (offer->terms.asked_server_bits || bits < 9)
		offer->declined = true;
	else if (bits < offer->terms.server_bits)
		offer->terms.server_bits = bits;
	offer->terms.asked_server_bits = true;
}

static void
take_client_bits(struct offer *offer, const struct param *param)
{
	uint8_t bits = param->value.data == NULL ? WINDOW_BITS : window_bits(param->value);

	if (offer->terms.asked_client_bits || bits == 0)
		offer->declined = true;
	else
		offer->terms.client_bits = bits < WINDOW_BITS ? bits : WINDOW_BITS;
	offer->terms.asked_client_bits = true;
}

static void
take_offer_param(struct offer *offer, const struct param *param)
{
	if (pst_http_text_is(param->name, "server_no_context_takeover"))
		take_flag(offer, &offer->server_takeover, param);
	else if (pst_http_text_is(param->name, "client_no_context_takeover"))
		take_flag(offer, &offer->client_takeover, param);
	else if (pst_http_text_is(param->name, "server_max_window_bits"))
		take_server_bits(offer, param);
	else if (pst_http_text_is(param->name, "client_max_window_bits"))
		take_client_bits(offer, param);
	else
		offer->declined = true;
}

static int
read_offer(struct pst_http_text *rest, struct offer *offer)
{
	struct pst_http_text name;
	struct param param;

	*offer = (struct offer){.terms = {.server_bits = WINDOW_BITS, .client_bits = 15}};
	if (!take_token(rest, &name))
		return PST_ERR_PROTOCOL;
	offer->declined = !pst_http_text_is(name, "permessage-deflate");
	while (take(rest, ';')) {
		if (!take_param(rest, &param))
			return PST_ERR_PROTOCOL;
		take_offer_param(offer, &param);
	}
	return 0;
}

int
pst_websocket_terms_choose(struct pst_websocket_terms *terms, struct pst_http_text offers)
{
	struct pst_http_text rest = offers;

	skip_blank(&rest);
	for (;;) {
		struct offer offer;

		/* Empty elements are allowed in any list (RFC 9110, 5.6.1). */
		while (take(&rest, ','))
			continue;
		if (rest.len == 0)
			return 0;
		if (read_offer(&rest, &offer) != 0)
			return PST_ERR_PROTOCOL;
		if (!offer.declined && terms->server_bits == 0)
			*terms = offer.terms;
		if (!take(&rest, ',') && rest.len > 0)
			return PST_ERR_PROTOCOL;
	}
}

size_t
pst_websocket_terms_answer(const struct pst_websocket_terms *terms, char *text)
{
	char server[32] = "", client[32] = "";

	if (terms->server_bits == 0)
		return 0;
	if (terms->asked_server_bits)
		snprintf(server, sizeof(server), "; server_max_window_bits=%u", terms->server_bits);
	if (terms->asked_client_bits)
		snprintf(client, sizeof(client), "; client_max_window_bits=%u", terms->client_bits);
	return (size_t)snprintf(text, PST_WEBSOCKET_TERMS_MAX,
	    "permessage-deflate; server_no_context_takeover; client_no_context_takeover%s%s",
	    server, client);
}

/* --- one message --- */

z_stream *
pst_websocket_deflate_begin(const struct pst_websocket_terms *terms)
{
	z_stream *stream = calloc(1, sizeof(*stream));

	if (stream != NULL && deflateInit2(stream, LEVEL, Z_DEFLATED, -(int)terms->server_bits,
				  MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(stream);
		stream = NULL;
	}
	return stream;
}

z_stream *
pst_websocket_inflate_begin(const struct pst_websocket_terms *terms)
{
	z_stream *stream = calloc(1, sizeof(*stream));

	if (stream != NULL && inflateInit2(stream, -(int)terms->client_bits) != Z_OK) {
		free(stream);
		stream = NULL;
	}
	return stream;
}

int
pst_websocket_deflate(z_stream *stream, const void *bytes, size_t n, bool end, struct pst_buf *out)
{
	assert(n <= UINT_MAX);
	stream->next_in = (Bytef *)(uintptr_t)bytes;
	stream->avail_in = (uInt)n;
	do {
		uInt room = 8192;

		stream->next_out = pst_buf_reserve(out, room);
		stream->avail_out = room;
		if (stream->next_out == NULL)
			return PST_ERR_NOMEM;
		(void)deflate(stream, end ? Z_SYNC_FLUSH : Z_NO_FLUSH);
		pst_buf_commit(out, room - stream->avail_out);
	} while (stream->avail_out == 0);
	/* The message goes without the empty block that ends it (RFC 7692, 7.2.1). */
	if (end)
		out->end -= 4;
	return 0;
}

int
pst_websocket_inflate(
    z_stream *stream, const unsigned char **bytes, size_t *n, void *to, size_t room, size_t *got)
{
	int result;

	assert(*n <= UINT_MAX && room > 0 && room <= UINT_MAX);
	stream->next_in = (Bytef *)(uintptr_t)*bytes;
	stream->avail_in = (uInt)*n;
	stream->next_out = to;
	stream->avail_out = (uInt)room;
	do {
		result = inflate(stream, Z_SYNC_FLUSH);
		/* A block may say that it is the last, and another follow (7.2.3.4). */
		if (result == Z_STREAM_END)
			result = inflateReset(stream);
	} while (result == Z_OK && stream->avail_in > 0 && stream->avail_out > 0);
	*bytes = stream->next_in;
	*n = stream->avail_in;
	*got = room - stream->avail_out;
	if (result == Z_MEM_ERROR)
		return PST_ERR_NOMEM;
	return result == Z_OK || result == Z_BUF_ERROR ? 0 : PST_ERR_PROTOCOL;
}

void
pst_websocket_deflate_end(z_stream **stream)
{
	if (*stream != NULL)
		(void)deflateEnd(*stream);
	free(*stream);
	*stream = NULL;
}

void
pst_websocket_inflate_end(z_stream **stream)
{
	if (*stream != NULL)
		(void)inflateEnd(*stream);
	free(*stream);
	*stream = NULL;
}
