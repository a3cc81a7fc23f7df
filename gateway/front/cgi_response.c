#include "gateway/front/cgi_response.h"

#include "gateway/front/http_chars.h"
#include "gateway/front/http_field.h"
#include "protocol/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct pst_cgi_response_limits PST_CGI_RESPONSE_DEFAULT_LIMITS = {
    .head = 64 * 1024,
    .fields = 256,
    .interim = 16,
};

enum response_state {
	STATE_HEAD, /* a block is coming in */
	STATE_INTERIM, /* a 1xx block is complete; the next feed begins another */
	STATE_DONE, /* the final block is complete */
	STATE_FAILED,
};

/* While a block comes in, fields are offsets into it: the bytes may move. */
struct raw_field {
	size_t name, name_len;
	size_t value, value_len;
};

struct pst_cgi_response {
	struct pst_cgi_response_limits limits;
	enum response_state state;
	const char *reason;
	unsigned interim; /* 1xx blocks so far */

	struct pst_buf block; /* the block's bytes so far, with their line ends */
	size_t line; /* where in it the line begins that is coming in */
	unsigned lines; /* complete ones */

	/* What the complete lines said. */
	unsigned status; /* 0: nothing yet */
	size_t phrase, phrase_len;
	bool location;
	bool dropped;
	int64_t content_length;
	struct pst_buf raw; /* struct raw_field, one after another */

	/* Made when the block is complete. */
	struct pst_cgi_field *fields;
	size_t field_count;
	size_t field_size; /* there is memory for so many */
};

/* Memory for more than this is given back. */
#define KEPT_BYTES  4096
#define KEPT_FIELDS 64

/* --- life --- */

static void
clear(struct pst_buf *buf)
{
	if (buf->size > KEPT_BYTES)
		pst_buf_free(buf);
	else
		pst_buf_consume(buf, pst_buf_length(buf));
}

static void
free_fields(struct pst_cgi_response *response)
{
	free(response->fields);
	response->fields = NULL;
	response->field_size = 0;
}

static void
start_block(struct pst_cgi_response *response)
{
	clear(&response->block);
	clear(&response->raw);
	if (response->field_size > KEPT_FIELDS)
		free_fields(response);
	response->field_count = 0;
	response->line = 0;
	response->lines = 0;
	response->status = 0;
	response->phrase = response->phrase_len = 0;
	response->location = false;
	response->dropped = false;
	response->content_length = -1;
	response->state = STATE_HEAD;
}

struct pst_cgi_response *
pst_cgi_response_new(const struct pst_cgi_response_limits *limits)
{
	struct pst_cgi_response *response = calloc(1, sizeof(*response));

	if (!response)
		return NULL;
	response->limits = limits ? *limits : PST_CGI_RESPONSE_DEFAULT_LIMITS;
	pst_cgi_response_reset(response);
	return response;
}

void
pst_cgi_response_free(struct pst_cgi_response *response)
{
	if (!response)
		return;
	pst_buf_free(&response->block);
	pst_buf_free(&response->raw);
	free_fields(response);
	free(response);
}

void
pst_cgi_response_reset(struct pst_cgi_response *response)
{
	start_block(response);
	response->interim = 0;
	response->reason = "";
}

static int
fail(struct pst_cgi_response *response, int err, const char *reason)
{
	start_block(response);
	response->state = STATE_FAILED;
	response->reason = reason;
	return err;
}

static int
bad(struct pst_cgi_response *response, const char *reason)
{
	return fail(response, PST_ERR_PROTOCOL, reason);
}

/* --- one line --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "200 OK" or "200": digits, then nothing or a space and the phrase. */
static int
take_status(struct pst_cgi_response *response, const char *text, size_t n)
{
	if (response->status)
		return bad(response, "a second Status field");
	if (n < 3 || !is_digit(text[0]) || !is_digit(text[1]) || !is_digit(text[2]) ||
	    (n > 3 && text[3] != ' ' && text[3] != '\t'))
		return bad(response, "a status that is not three digits");
	response->status = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
	if (response->status < 100 || response->status > 599)
		return bad(response, "a status outside 100 to 599");
	if (n > 4) {
		struct pst_http_text rest = {text + 4, n - 4}, phrase = pst_http_trim(rest);

		response->phrase = phrase.data - (char *)pst_buf_bytes(&response->block);
		response->phrase_len = phrase.len;
	}
	return 0;
}

/* The first line of a program that believes to speak HTTP: "HTTP/1.1 200 OK". */
static bool
is_status_line(const char *line, size_t n)
{
	return n > 8 && memcmp(line, "HTTP/", 5) == 0 && is_digit(line[5]) && line[6] == '.' &&
	       is_digit(line[7]) && line[8] == ' ';
}

static int
take_content_length(struct pst_cgi_response *response, struct pst_http_text value)
{
	uint64_t length;

	if (pst_http_number(value, &length) < 0)
		return bad(response, "a Content-Length that is not a number");
	if (response->content_length >= 0 && (uint64_t)response->content_length != length)
		return bad(response, "two Content-Length fields that differ");
	response->content_length = (int64_t)length;
	return 0;
}

/*
 * Fields of the worker's own connection, which are never passed on. Upgrade is the HTTP
 * writer's to judge.
 */
static bool
is_of_the_hop(enum pst_http_name id)
{
	return id != PST_HTTP_UPGRADE && pst_http_name_is_hop(id);
}

static int
keep_field(struct pst_cgi_response *response, struct pst_http_text name, struct pst_http_text value)
{
	const char *block = (char *)pst_buf_bytes(&response->block);
	struct raw_field field = {.name = name.data - block,
	    .name_len = name.len,
	    .value = value.len ? (size_t)(value.data - block) : 0,
	    .value_len = value.len};

	if (pst_buf_append(&response->raw, &field, sizeof(field)) < 0)
		return fail(response, PST_ERR_NOMEM, "out of memory");
	return 0;
}

static int
take_field(struct pst_cgi_response *response, struct pst_http_text name, struct pst_http_text value)
{
	enum pst_http_name id = pst_http_name_find(name);

	if (pst_http_text_is(name, "status"))
		return take_status(response, value.data, value.len);
	if (id == PST_HTTP_CONTENT_LENGTH) {
		/* A repeated one says the same; one is enough. */
		bool repeated = response->content_length >= 0;
		int err = take_content_length(response, value);

		if (err < 0 || repeated)
			return err;
	}
	if (is_of_the_hop(id)) {
		response->dropped = true;
		return 0;
	}
	if (pst_http_text_is(name, "location"))
		response->location = true;
	return keep_field(response, name, value);
}

/* The first byte that must not be in a line. */
static const char *
line_error(const char *line, size_t n)
{
	size_t i = 0;

	while (i < n && pst_http_is((unsigned char)line[i], PST_HTTP_VALUE))
		i++;
	return line[i] == '\r'   ? "a CR inside a header line"
	       : line[i] == '\0' ? "a NUL in a header line"
				 : "a control character in a header line";
}

static const char *
name_error(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (name[i] == ' ' || name[i] == '\t')
			return "a header name with a space";
		if (!pst_http_is((unsigned char)name[i], PST_HTTP_TCHAR))
			return "a header name with a character that is not allowed";
	}
	return n == 0 ? "a header without a name" : NULL;
}

static int
take_line(struct pst_cgi_response *response, const char *line, size_t n)
{
	const char *colon;
	const char *reason;
	struct pst_http_text value;

	if (!pst_http_is_value((struct pst_http_text){line, n}))
		return bad(response, line_error(line, n));
	if (response->lines == 0 && is_status_line(line, n))
		return take_status(response, line + 9, n - 9);
	if (line[0] == ' ' || line[0] == '\t')
		return bad(response, "a header line that begins with a space");
	if (response->lines >= response->limits.fields)
		return fail(response, PST_ERR_LIMIT, "too many header lines");
	colon = memchr(line, ':', n);
	if (!colon)
		return bad(response, "a header line without a colon");
	reason = name_error(line, colon - line);
	if (reason)
		return bad(response, reason);
	value = pst_http_trim((struct pst_http_text){colon + 1, n - (colon + 1 - line)});
	return take_field(response, (struct pst_http_text){line, colon - line}, value);
}

/* --- the end of a block --- */

/* What the fields of the last block were is lost. */
static int
reserve_fields(struct pst_cgi_response *response, size_t count)
{
	size_t size = count < KEPT_FIELDS / 4 ? KEPT_FIELDS / 4 : count;

	free_fields(response);
	response->fields = calloc(size, sizeof(*response->fields));
	if (!response->fields)
		return -1;
	response->field_size = size;
	return 0;
}

/* Fields are slices now that the block does not move any more. */
static int
make_fields(struct pst_cgi_response *response)
{
	const char *block = (char *)pst_buf_bytes(&response->block);
	size_t count = pst_buf_length(&response->raw) / sizeof(struct raw_field);

	response->field_count = count;
	if (count == 0)
		return 0;
	if (count > response->field_size && reserve_fields(response, count) < 0)
		return fail(response, PST_ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct raw_field raw;

		memcpy(&raw, pst_buf_bytes(&response->raw) + i * sizeof(raw), sizeof(raw));
		response->fields[i] = (struct pst_cgi_field){
		    {block + raw.name, raw.name_len}, {block + raw.value, raw.value_len}};
	}
	clear(&response->raw);
	return 0;
}

static int
finish_block(struct pst_cgi_response *response)
{
	int err;

	if (response->lines == 0)
		return bad(response, "an empty line where the header should begin");
	err = make_fields(response);
	if (err < 0)
		return err;
	if (!response->status)
		response->status = response->location ? 302 : 200; /* RFC 3875, section 6.2 */
	/* 101 is final: what follows is another protocol. */
	if (response->status >= 200 || response->status == 101) {
		response->state = STATE_DONE;
		return PST_CGI_RESPONSE_HEAD;
	}
	if (response->interim++ >= response->limits.interim)
		return fail(response, PST_ERR_LIMIT, "too many interim responses");
	response->state = STATE_INTERIM;
	return PST_CGI_RESPONSE_INTERIM;
}

/* The line that begins at response->line is complete with its LF. */
static int
finish_line(struct pst_cgi_response *response)
{
	const char *line = (char *)pst_buf_bytes(&response->block) + response->line;
	size_t n = pst_buf_length(&response->block) - response->line - 1;
	int err;

	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (n == 0)
		return finish_block(response);
	err = take_line(response, line, n);
	if (err < 0)
		return err;
	response->lines++;
	response->line = pst_buf_length(&response->block);
	return PST_CGI_RESPONSE_MORE;
}

int
pst_cgi_response_feed(struct pst_cgi_response *response, const void *bytes, size_t n, size_t *taken)
{
	const char *at = bytes, *end = at + n;
	int event = PST_CGI_RESPONSE_MORE;

	assert(response->state != STATE_DONE);
	*taken = 0;
	if (response->state == STATE_FAILED)
		return PST_ERR_CLOSED;
	if (response->state == STATE_INTERIM)
		start_block(response);
	while (event == PST_CGI_RESPONSE_MORE && at < end) {
		const char *lf = memchr(at, '\n', end - at);
		size_t piece = (lf ? lf + 1 : end) - at;

		if (piece > response->limits.head - pst_buf_length(&response->block))
			return fail(response, PST_ERR_LIMIT, "a header block that is too large");
		if (pst_buf_append(&response->block, at, piece) < 0)
			return fail(response, PST_ERR_NOMEM, "out of memory");
		at += piece;
		*taken += piece;
		if (lf)
			event = finish_line(response);
	}
	return event;
}

int
pst_cgi_response_end(struct pst_cgi_response *response)
{
	assert(response->state != STATE_DONE);
	if (response->state == STATE_FAILED)
		return PST_ERR_CLOSED;
	if (response->state == STATE_INTERIM)
		return bad(response, "an end after an interim response");
	return bad(response, pst_buf_length(&response->block) > 0 ? "an end within the header"
								  : "an end before the header");
}

/* --- what a block said --- */

static bool
complete(const struct pst_cgi_response *response)
{
	return response->state == STATE_INTERIM || response->state == STATE_DONE;
}

unsigned
pst_cgi_response_status(const struct pst_cgi_response *response)
{
	assert(complete(response));
	return response->status;
}

struct pst_http_text
pst_cgi_response_phrase(const struct pst_cgi_response *response)
{
	assert(complete(response));
	return (struct pst_http_text){
	    (char *)pst_buf_bytes(&response->block) + response->phrase, response->phrase_len};
}

const struct pst_cgi_field *
pst_cgi_response_fields(const struct pst_cgi_response *response, size_t *count)
{
	assert(complete(response));
	*count = response->field_count;
	return response->fields;
}

const struct pst_cgi_field *
pst_cgi_response_find(const struct pst_cgi_response *response, const char *name)
{
	assert(complete(response));
	for (size_t i = 0; i < response->field_count; i++)
		if (pst_http_text_is(response->fields[i].name, name))
			return &response->fields[i];
	return NULL;
}

int64_t
pst_cgi_response_content_length(const struct pst_cgi_response *response)
{
	assert(complete(response));
	return response->content_length;
}

bool
pst_cgi_response_dropped_fields(const struct pst_cgi_response *response)
{
	return response->dropped;
}

const char *
pst_cgi_response_reason(const struct pst_cgi_response *response)
{
	return response->reason;
}
