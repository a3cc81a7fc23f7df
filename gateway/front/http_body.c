#include "gateway/front/http_body.h"

#include "gateway/front/http_chars.h"
#include "protocol/error.h"

#include <string.h>

/* Where the decoder stands: what the next byte belongs to. */
enum state {
	CONTENT, /* of a body with Content-Length */
	SIZE, /* chunk-size */
	SIZE_BLANK, /* whitespace behind it, which only ';' may follow */
	NAME_BEGIN, /* behind ';' */
	NAME, /* chunk-ext-name */
	NAME_BLANK,
	VALUE_BEGIN, /* behind '=' */
	VALUE, /* chunk-ext-val, a token */
	QUOTED, /* chunk-ext-val, a quoted-string */
	QUOTED_PAIR,
	VALUE_END, /* behind the closing quote */
	VALUE_BLANK,
	SIZE_LF, /* the LF of the chunk's first line */
	DATA, /* chunk-data */
	DATA_CR,
	DATA_LF,
	TRAILER, /* the start of a trailer line, or of the empty line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
};

#define SIZE_DIGITS 16

static int
refuse(struct pst_http_body *body, unsigned status, const char *reason)
{
	body->refusal.status = status;
	body->refusal.reason = reason;
	return PST_ERR_PROTOCOL;
}

static const char *const too_large = "body is larger than the limit";

int
pst_http_body_init(
    struct pst_http_body *body, const struct pst_http_request *request, uint64_t most)
{
	*body = (struct pst_http_body){
	    .limits = request->limits,
	    .most = most != 0 ? most : INT64_MAX,
	    .kind = request->body,
	    .left = request->content_length,
	    .state = request->body == PST_HTTP_BODY_CHUNKED ? SIZE : CONTENT,
	    .done = request->body == PST_HTTP_BODY_NONE,
	};
	if (body->kind == PST_HTTP_BODY_CHUNKED)
		body->left = 0;
	return body->left > body->most ? refuse(body, 413, too_large) : 0;
}

/* --- the line in front of a chunk (RFC 9112, 7.1 and 7.1.1) --- */

static int
size_digit(struct pst_http_body *body, unsigned char byte)
{
	if (++body->digits > SIZE_DIGITS)
		return refuse(body, 400, "chunk size has too many digits");
	body->left = body->left << 4 | pst_http_hex(byte);
	return 0;
}

static int
step_size(struct pst_http_body *body, unsigned char byte)
{
	if (pst_http_is(byte, PST_HTTP_HEX))
		return size_digit(body, byte);
	if (body->digits == 0)
		return refuse(body, 400, "chunk without a size");
	switch (byte) {
	case '\r': body->state = SIZE_LF; return 0;
	case ';': body->state = NAME_BEGIN; return 0;
	case ' ':
	case '\t': body->state = SIZE_BLANK; return 0;
	default: return refuse(body, 400, "malformed chunk size");
	}
}

/* The chunk's size is known. */
static int
end_size(struct pst_http_body *body, unsigned char byte)
{
	if (byte != '\n')
		return refuse(body, 400, "bare CR in a chunk's first line");
	if (body->left > body->most - body->received)
		return refuse(body, 413, too_large);
	body->state = body->left > 0 ? DATA : TRAILER;
	return 0;
}

/* Bytes that may stand between the parts of an extension: to the state that follows, or -1. */
static int
after_part(unsigned char byte, int blank, bool value_may_follow, bool line_may_end)
{
	if (byte == ' ' || byte == '\t')
		return blank;
	if (byte == ';')
		return NAME_BEGIN;
	if (byte == '=' && value_may_follow)
		return VALUE_BEGIN;
	if (byte == '\r' && line_may_end)
		return SIZE_LF;
	return -1;
}

static int
next_in_extension(int state, unsigned char byte)
{
	bool token = pst_http_is(byte, PST_HTTP_TCHAR);
	bool blank = byte == ' ' || byte == '\t';

	switch (state) {
	case SIZE_BLANK: return after_part(byte, SIZE_BLANK, false, false);
	case NAME_BEGIN: return token ? NAME : blank ? NAME_BEGIN : -1;
	case NAME: return token ? NAME : after_part(byte, NAME_BLANK, true, true);
	case NAME_BLANK: return after_part(byte, NAME_BLANK, true, false);
	case VALUE_BEGIN: return token ? VALUE : byte == '"' ? QUOTED : blank ? VALUE_BEGIN : -1;
	case VALUE: return token ? VALUE : after_part(byte, VALUE_BLANK, false, true);
	case QUOTED:
		if (byte == '"')
			return VALUE_END;
		if (byte == '\\')
			return QUOTED_PAIR;
		return pst_http_is(byte, PST_HTTP_QDTEXT) ? QUOTED : -1;
	case QUOTED_PAIR: return pst_http_is(byte, PST_HTTP_VALUE) ? QUOTED : -1;
	case VALUE_END: return after_part(byte, VALUE_BLANK, false, true);
	default: /* VALUE_BLANK */ return after_part(byte, VALUE_BLANK, false, false);
	}
}

static int
step_extension(struct pst_http_body *body, unsigned char byte)
{
	int state = next_in_extension(body->state, byte);

	if (state < 0)
		return refuse(body, 400, "malformed chunk extension");
	if (++body->extensions > body->limits->extensions)
		return refuse(body, 400, "chunk extensions are too long");
	body->state = state;
	return 0;
}

/* --- the end of a chunk --- */

static int
step_data_end(struct pst_http_body *body, unsigned char byte)
{
	if (byte != (body->state == DATA_CR ? '\r' : '\n'))
		return refuse(body, 400, "chunk is longer than its size says");
	if (body->state == DATA_LF) {
		body->left = 0;
		body->digits = 0;
		body->state = SIZE;
	} else {
		body->state = DATA_LF;
	}
	return 0;
}

/* --- trailers (RFC 9112, 7.1.2) --- */

static int
count_trailer(struct pst_http_body *body, unsigned char byte)
{
	const struct pst_http_limits *limits = body->limits;

	if (++body->trailers > limits->trailers)
		return refuse(body, 431, "trailer section is too large");
	if (body->state == TRAILER) {
		body->trailer_len = 0;
		if (byte != '\r' && ++body->trailer_fields > limits->fields && limits->fields != 0)
			return refuse(body, 431, "too many trailer fields");
	}
	if (byte != '\r' && ++body->trailer_len > limits->field && limits->field != 0)
		return refuse(body, 431, "trailer field is too long");
	return 0;
}

static int
next_in_trailer(int state, unsigned char byte)
{
	switch (state) {
	case TRAILER:
		if (byte == '\r')
			return END_LF;
		return pst_http_is(byte, PST_HTTP_TCHAR) ? TRAILER_NAME : -1;
	case TRAILER_NAME:
		if (byte == ':')
			return TRAILER_VALUE;
		return pst_http_is(byte, PST_HTTP_TCHAR) ? TRAILER_NAME : -1;
	default: /* TRAILER_VALUE */
		if (byte == '\r')
			return TRAILER_LF;
		return pst_http_is(byte, PST_HTTP_VALUE) ? TRAILER_VALUE : -1;
	}
}

static int
step_trailer(struct pst_http_body *body, unsigned char byte)
{
	int state, err;

	if (body->state == END_LF || body->state == TRAILER_LF) {
		if (byte != '\n')
			return refuse(body, 400, "bare CR in a trailer");
		body->done = body->state == END_LF;
		body->state = TRAILER;
		return 0;
	}
	state = next_in_trailer(body->state, byte);
	if (state < 0)
		return refuse(body, 400, "malformed trailer");
	err = count_trailer(body, byte);
	body->state = state;
	return err;
}

/* --- bytes in --- */

static int
step(struct pst_http_body *body, unsigned char byte)
{
	switch ((enum state)body->state) {
	case SIZE: return step_size(body, byte);
	case SIZE_LF: return end_size(body, byte);
	case DATA_CR:
	case DATA_LF: return step_data_end(body, byte);
	case TRAILER:
	case TRAILER_NAME:
	case TRAILER_VALUE:
	case TRAILER_LF:
	case END_LF: return step_trailer(body, byte);
	default: return step_extension(body, byte);
	}
}

static void
take_content(struct pst_http_body *body, const char *bytes, size_t n, struct pst_http_text *piece)
{
	if (n > body->left)
		n = body->left;
	*piece = (struct pst_http_text){bytes, n};
	body->left -= n;
	body->received += n;
	if (body->left > 0)
		return;
	if (body->state == DATA)
		body->state = DATA_CR;
	else
		body->done = true;
}

int
pst_http_body_decode(struct pst_http_body *body, const void *bytes, size_t n, size_t *consumed,
    struct pst_http_text *piece)
{
	const char *p = bytes;
	int err = 0;

	*consumed = 0;
	*piece = (struct pst_http_text){p, 0};
	while (*consumed < n && !body->done && err == 0) {
		if (body->state == CONTENT || body->state == DATA) {
			take_content(body, p + *consumed, n - *consumed, piece);
			*consumed += piece->len;
			break;
		}
		err = step(body, p[(*consumed)++]);
	}
	if (err != 0)
		return err;
	return body->done ? 1 : 0;
}
