#include "gateway/front/cgi_response.h"

#include "gateway/front/http_chars.h"
#include "gateway/front/http_field.h"
#include "gateway/front/http_scan.h"
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
	struct pst_cgi_field *fields; /* they point into the block, or into what is being fed */
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
take_status(struct pst_cgi_response *response, const char *line, const char *text, size_t n)
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

		response->phrase = response->line + (size_t)(phrase.data - line);
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
reserve_field(struct pst_cgi_response *response)
{
	size_t size = response->field_size == 0 ? KEPT_FIELDS / 4 : response->field_size * 2;
	struct pst_cgi_field *fields;

	if (response->field_count < response->field_size)
		return 0;
	fields = realloc(response->fields, size * sizeof(*fields));
	if (fields == NULL)
		return fail(response, PST_ERR_NOMEM, "out of memory");
	response->fields = fields;
	response->field_size = size;
	return 0;
}

static int
keep_field(struct pst_cgi_response *response, enum pst_http_name id, struct pst_http_text name,
    struct pst_http_text value)
{
	int err = reserve_field(response);

	if (err == 0)
		response->fields[response->field_count++] = (struct pst_cgi_field){name, value, id};
	return err;
}

static int
take_field(struct pst_cgi_response *response, const char *line, enum pst_http_name id,
    struct pst_http_text name, struct pst_http_text value)
{
	if (id == PST_HTTP_STATUS)
		return take_status(response, line, value.data, value.len);
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
	if (id == PST_HTTP_LOCATION)
		response->location = true;
	return keep_field(response, id, name, value);
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
	if (n > 0 && pst_http_all((struct pst_http_text){name, n}, PST_HTTP_TCHAR))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (name[i] == ' ' || name[i] == '\t')
			return "a header name with a space";
		if (!pst_http_is((unsigned char)name[i], PST_HTTP_TCHAR))
			return "a header name with a character that is not allowed";
	}
	return "a header without a name";
}

static int
take_line(struct pst_cgi_response *response, const char *line, size_t n)
{
	const char *colon;
	const char *reason;
	struct pst_http_text name, value;

	if (!pst_http_is_value((struct pst_http_text){line, n}))
		return bad(response, line_error(line, n));
	if (response->lines == 0 && is_status_line(line, n))
		return take_status(response, line, line + 9, n - 9);
	if (line[0] == ' ' || line[0] == '\t')
		return bad(response, "a header line that begins with a space");
	if (response->lines >= response->limits.fields)
		return fail(response, PST_ERR_LIMIT, "too many header lines");
	colon = memchr(line, ':', n);
	if (!colon)
		return bad(response, "a header line without a colon");
	name = (struct pst_http_text){line, colon - line};
	reason = name_error(name.data, name.len);
	if (reason)
		return bad(response, reason);
	value = pst_http_trim((struct pst_http_text){colon + 1, n - (colon + 1 - line)});
	return take_field(response, line, pst_http_name_find(name), name, value);
}

/* --- the end of a block --- */

static int
finish_block(struct pst_cgi_response *response)
{
	if (response->lines == 0)
		return bad(response, "an empty line where the header should begin");
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

/* The N bytes at LINE are a line with its LF, which begins at response->line of the block. */
static int
finish_line(struct pst_cgi_response *response, const char *line, size_t n)
{
	size_t whole = n--;
	int err;

	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (n == 0)
		return finish_block(response);
	err = take_line(response, line, n);
	if (err < 0)
		return err;
	response->lines++;
	response->line += whole;
	return PST_CGI_RESPONSE_MORE;
}

/* --- bytes in --- */

static void
rebase(struct pst_http_text *text, const char *from, const char *to)
{
	text->data = to + (text->data - from);
}

/* What fields FIRST and later say stood at FROM and stands at TO now. */
static void
rebase_fields(
    struct pst_cgi_response *response, size_t first, size_t last, const char *from, const char *to)
{
	for (size_t i = first; i < last; i++) {
		rebase(&response->fields[i].name, from, to);
		rebase(&response->fields[i].value, from, to);
	}
}

/* Append N bytes to the block, of which the fields from number NEW on were made. */
static int
keep_bytes(struct pst_cgi_response *response, const char *bytes, size_t n, size_t new)
{
	const char *was = (const char *)response->block.data;
	size_t before = pst_buf_length(&response->block);

	if (pst_buf_append(&response->block, bytes, n) < 0)
		return fail(response, PST_ERR_NOMEM, "out of memory");
	if (was != (const char *)response->block.data)
		rebase_fields(response, 0, new, was, (const char *)response->block.data);
	rebase_fields(response, new, response->field_count, bytes,
	    (const char *)pst_buf_bytes(&response->block) + before);
	return 0;
}

/* How long the line at AT is with its LF, or all N bytes without one (*WHOLE); none where that
 * would be too much for the block, which has USED bytes. */
static size_t
line_length(
    const struct pst_cgi_response *response, const char *at, size_t n, size_t used, bool *whole)
{
	const char *lf = memchr(at, '\n', n);

	*whole = lf != NULL;
	if (lf != NULL)
		n = (size_t)(lf - at) + 1;
	return n > response->limits.head - used ? 0 : n;
}

/* A part of a line came before: what belongs to it is put behind that. */
static int
continue_line(struct pst_cgi_response *response, const char *bytes, size_t n, size_t *taken)
{
	size_t begun = response->line;
	bool whole;

	*taken = line_length(response, bytes, n, pst_buf_length(&response->block), &whole);
	if (*taken == 0)
		return fail(response, PST_ERR_LIMIT, "a header block that is too large");
	if (keep_bytes(response, bytes, *taken, response->field_count) < 0)
		return PST_ERR_NOMEM;
	if (!whole)
		return PST_CGI_RESPONSE_MORE;
	return finish_line(response, (const char *)pst_buf_bytes(&response->block) + begun,
	    pst_buf_length(&response->block) - begun);
}

/* A field's line as nearly all are, of at most MOST bytes: its length; 0 when it is another, and
 * nothing was done. */
static size_t
take_field_line(
    struct pst_cgi_response *response, const char *line, const char *end, size_t most, int *event)
{
	struct pst_http_field field;
	size_t length = pst_http_field_scan(&field, line, end);
	int err;

	if (length == 0 || length > most || response->lines >= response->limits.fields)
		return 0;
	err = take_field(response, line, field.id, field.name, field.value);
	if (err < 0) {
		*event = err;
		return length;
	}
	response->lines++;
	response->line += length;
	return length;
}

/* Lines are looked at where they are, and then kept together. */
static int
take_lines(struct pst_cgi_response *response, const char *bytes, size_t n, size_t *taken)
{
	size_t before = response->line, new = response->field_count, at = 0;
	int event = PST_CGI_RESPONSE_MORE;
	bool whole = true;

	while (event == PST_CGI_RESPONSE_MORE && at < n) {
		size_t length = take_field_line(
		    response, bytes + at, bytes + n, response->limits.head - (before + at), &event);

		if (length > 0) {
			at += length;
			continue;
		}
		length = line_length(response, bytes + at, n - at, before + at, &whole);
		if (length == 0)
			return fail(response, PST_ERR_LIMIT, "a header block that is too large");
		if (whole)
			event = finish_line(response, bytes + at, length);
		at += length;
	}
	*taken = at;
	return event < 0 || keep_bytes(response, bytes, at, new) == 0 ? event : PST_ERR_NOMEM;
}

int
pst_cgi_response_feed(struct pst_cgi_response *response, const void *bytes, size_t n, size_t *taken)
{
	int event = PST_CGI_RESPONSE_MORE;
	size_t more = 0;

	assert(response->state != STATE_DONE);
	*taken = 0;
	if (response->state == STATE_FAILED)
		return PST_ERR_CLOSED;
	if (response->state == STATE_INTERIM)
		start_block(response);
	if (pst_buf_length(&response->block) > response->line)
		event = continue_line(response, bytes, n, taken);
	if (event == PST_CGI_RESPONSE_MORE && *taken < n)
		event = take_lines(response, (const char *)bytes + *taken, n - *taken, &more);
	*taken += more;
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
