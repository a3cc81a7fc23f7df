#include "gateway/front/http_request.h"

#include "gateway/front/http_chars.h"
#include "gateway/front/http_scan.h"
#include "protocol/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_SIZE     1024
#define FIRST_FIELDS   16
#define CONNECTION_MAX 32 /* options looked at; each is compared with every field */

static int
refuse(struct pst_http_request *request, unsigned status, const char *reason)
{
	request->refusal.status = status;
	request->refusal.reason = reason;
	request->stage = PST_HTTP_STAGE_REFUSED;
	return PST_ERR_PROTOCOL;
}

/* --- memory --- */

/* TEXT pointed into FROM, which has LEN bytes and was copied to TO. Others, such as constants and a
 * decoded path, are left alone: none of ours is at the end, where a line's CRLF is before. */
static void
rebase(struct pst_http_text *text, const char *from, size_t len, const char *to)
{
	uintptr_t at = (uintptr_t)text->data;

	if (text->data != NULL && at >= (uintptr_t)from && at < (uintptr_t)from + len)
		text->data = to + (at - (uintptr_t)from);
}

static void
rebase_all(struct pst_http_request *request, const char *from, const char *to)
{
	struct pst_http_text *const texts[] = {
	    &request->method,
	    &request->line,
	    &request->target.raw,
	    &request->target.scheme,
	    &request->target.authority,
	    &request->target.raw_path,
	    &request->target.path,
	    &request->target.query,
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		rebase(texts[i], from, request->used, to);
	for (size_t i = 0; i < request->field_count; i++) {
		rebase(&request->table[i].name, from, request->used, to);
		rebase(&request->table[i].value, from, request->used, to);
	}
}

static int
grow(struct pst_http_request *request, size_t n)
{
	size_t size = request->size != 0 ? request->size : FIRST_SIZE;
	char *bytes;

	while (size - request->used < n)
		size *= 2;
	bytes = malloc(size);
	if (bytes == NULL)
		return PST_ERR_NOMEM;
	if (request->used > 0) {
		memcpy(bytes, request->bytes, request->used);
		rebase_all(request, request->bytes, bytes);
	}
	free(request->bytes);
	request->bytes = bytes;
	request->size = size;
	return 0;
}

/* Make room for N more bytes of head. */
static inline int
reserve(struct pst_http_request *request, size_t n)
{
	return request->size - request->used >= n ? 0 : grow(request, n);
}

/* Make room for a decoded path of up to N bytes. */
static int
reserve_decoded(struct pst_http_request *request, size_t n)
{
	char *bytes;

	if (request->decoded_size >= n)
		return 0;
	bytes = realloc(request->decoded, n);
	if (bytes == NULL)
		return PST_ERR_NOMEM;
	request->decoded = bytes;
	request->decoded_size = n;
	return 0;
}

static int
reserve_field(struct pst_http_request *request)
{
	size_t size = request->table_size != 0 ? request->table_size * 2 : FIRST_FIELDS;
	struct pst_http_field *table;

	if (request->field_count < request->table_size)
		return 0;
	table = realloc(request->table, size * sizeof(*table));
	if (table == NULL)
		return PST_ERR_NOMEM;
	request->fields = request->table = table;
	request->table_size = size;
	return 0;
}

void
pst_http_request_init(struct pst_http_request *request, const struct pst_http_limits *limits)
{
	*request = (struct pst_http_request){.limits = limits};
}

void
pst_http_request_reset(struct pst_http_request *request)
{
	*request = (struct pst_http_request){
	    .limits = request->limits,
	    .bytes = request->bytes,
	    .size = request->size,
	    .table = request->table,
	    .table_size = request->table_size,
	    .decoded = request->decoded,
	    .decoded_size = request->decoded_size,
	};
}

void
pst_http_request_release(struct pst_http_request *request)
{
	free(request->bytes);
	free(request->table);
	free(request->decoded);
	pst_http_request_init(request, request->limits);
}

void
pst_http_request_free(struct pst_http_request *request)
{
	pst_http_request_release(request);
}

/* --- the request line (RFC 9112, section 3) --- */

static int
parse_version(struct pst_http_request *request, struct pst_http_text version)
{
	if (memchr(version.data, ' ', version.len) != NULL)
		return refuse(request, 400,
		    pst_http_line_fault(version, "whitespace within the request target"));
	if (version.len != strlen("HTTP/1.1") || memcmp(version.data, "HTTP/", 5) != 0 ||
	    !pst_http_is(version.data[5], PST_HTTP_DIGIT) || version.data[6] != '.' ||
	    !pst_http_is(version.data[7], PST_HTTP_DIGIT))
		return refuse(
		    request, 400, pst_http_line_fault(version, "malformed protocol version"));
	if (version.data[5] != '1')
		return refuse(request, 505, "protocol version other than HTTP/1.0 and HTTP/1.1");
	request->minor = version.data[7] == '0' ? 0 : 1;
	return 0;
}

static int
parse_method(struct pst_http_request *request, struct pst_http_text method)
{
	if (method.len == 0)
		return refuse(request, 400, "request line begins with a space");
	if (!pst_http_all(method, PST_HTTP_TCHAR))
		return refuse(
		    request, 400, pst_http_line_fault(method, "invalid character in the method"));
	if (method.len > PST_HTTP_METHOD_MAX)
		return refuse(request, 501, "method is too long");
	request->method = method;
	return 0;
}

static int
parse_target(struct pst_http_request *request, struct pst_http_text raw)
{
	int err = 0;

	if (memchr(raw.data, '%', raw.len) != NULL)
		err = reserve_decoded(request, raw.len);
	if (err != 0)
		return err;
	err = pst_http_target_parse(
	    &request->target, request->method, raw, request->decoded, &request->refusal);
	if (err != 0)
		return refuse(request, request->refusal.status, request->refusal.reason);
	return 0;
}

static int
parse_request_line(struct pst_http_request *request, struct pst_http_text line)
{
	const char *end = line.data + line.len;
	const char *space, *second;
	int err;

	space = memchr(line.data, ' ', line.len);
	if (space == NULL)
		return refuse(request, 400,
		    pst_http_line_fault(line, "request line without a target and a version"));
	err = parse_method(request, (struct pst_http_text){line.data, space - line.data});
	if (err != 0)
		return err;
	second = memchr(space + 1, ' ', end - space - 1);
	if (second == NULL)
		return refuse(
		    request, 400, pst_http_line_fault(line, "request line without a version"));
	err = parse_version(request, (struct pst_http_text){second + 1, end - second - 1});
	if (err != 0)
		return err;
	return parse_target(request, (struct pst_http_text){space + 1, second - space - 1});
}

/* --- fields (RFC 9112, section 5) --- */

static size_t
fields_limit(const struct pst_http_limits *limits)
{
	if (limits->fields == 0 || limits->fields > PST_HTTP_FIELDS_CAP)
		return PST_HTTP_FIELDS_CAP;
	return limits->fields;
}

/*
 * CGI makes HTTP_X_Y of X-Y and of X_Y, so one could pose as the other; and HTTP_PROXY is read
 * by HTTP clients within applications as the proxy to use.
 */
static bool
is_unwelcome(const struct pst_http_field *field, enum pst_http_map map)
{
	if (field->id == PST_HTTP_PROXY)
		return true;
	return map != PST_HTTP_MAP_DANGEROUS && !field->plain;
}

/* One more field is in the table, if it is to be there. */
static int
add_field(struct pst_http_request *request)
{
	const struct pst_http_field *field = &request->table[request->field_count];

	request->fields = request->table;
	if (!is_unwelcome(field, request->limits->map)) {
		request->field_count++;
		return 0;
	}
	if (field->id != PST_HTTP_PROXY && request->limits->map == PST_HTTP_MAP_REFUSE)
		return refuse(request, 400, "underscore in a field name");
	request->dropped++;
	return 0;
}

static int
parse_field(struct pst_http_request *request, struct pst_http_text line)
{
	const char *reason;
	int err;

	if (line.data[0] == ' ' || line.data[0] == '\t')
		return refuse(request, 400,
		    request->field_lines == 0 ? "whitespace before the first field"
					      : "field folded over two lines");
	if (++request->field_lines > fields_limit(request->limits))
		return refuse(request, 431, "too many header fields");
	err = reserve_field(request);
	if (err != 0)
		return err;
	if (pst_http_field_parse(&request->table[request->field_count], line, &reason) != 0)
		return refuse(request, 400, reason);
	return add_field(request);
}

/* --- the head as a whole --- */

/* What the fields that govern the message say; NULL where there is none. */
struct govern {
	struct pst_http_field *host;
	const struct pst_http_field *length;
	const struct pst_http_field *encoding;
	const struct pst_http_field *upgrade;
	bool close, persist, switches;
};

/* RFC 9112, 3.2: one Host, well-formed, in 1.1; the absolute form overrides what it says. */
static int
settle_host(struct pst_http_request *request, struct pst_http_field *host)
{
	struct pst_http_text authority = request->target.authority;

	if (host == NULL && request->minor > 0)
		return refuse(request, 400, "no Host field");
	if (host != NULL && !pst_http_host_valid(host->value))
		return refuse(request, 400, "malformed Host field");
	if (host != NULL && authority.len > 0)
		host->value = authority;
	if (authority.len > 0)
		request->host = authority;
	else if (host != NULL)
		request->host = host->value;
	return 0;
}

/*
 * RFC 9112, 6.1 and 6.3. The only coding that is undone here is chunked: alone it is accepted,
 * as the last of several it is 501, and anywhere else the body has no certain end.
 */
static int
settle_encoding(struct pst_http_request *request, const struct govern *govern)
{
	struct pst_http_text rest = govern->encoding->value;
	struct pst_http_text element = {NULL, 0};
	unsigned count = 0, chunked = 0;
	bool last = false;

	if (request->minor == 0)
		return refuse(request, 400, "Transfer-Encoding in HTTP/1.0");
	if (govern->length != NULL)
		return refuse(request, 400, "both Content-Length and Transfer-Encoding");
	while (pst_http_list_next(&rest, &element)) {
		if (element.len == 0)
			return refuse(request, 400, "empty element in Transfer-Encoding");
		last = pst_http_text_is(element, "chunked");
		chunked += last;
		count++;
	}
	if (!last)
		return refuse(request, 400, "Transfer-Encoding does not end with chunked");
	if (chunked > 1)
		return refuse(request, 400, "chunked twice in Transfer-Encoding");
	if (count > 1)
		return refuse(request, 501, "transfer coding other than chunked");
	request->body = PST_HTTP_BODY_CHUNKED;
	return 0;
}

static int
settle_length(struct pst_http_request *request, const struct pst_http_field *length)
{
	switch (pst_http_number(length->value, &request->content_length)) {
	case 0: break;
	case PST_ERR_LIMIT: return refuse(request, 413, "Content-Length is beyond any limit");
	default: return refuse(request, 400, "malformed Content-Length");
	}
	if (request->content_length > 0)
		request->body = PST_HTTP_BODY_LENGTH;
	return 0;
}

static void
mark_hop(struct pst_http_request *request, struct pst_http_text option)
{
	for (size_t i = 0; i < request->field_count; i++) {
		struct pst_http_field *field = &request->table[i];

		if (!pst_http_name_governs(field->id) && field->name.len == option.len &&
		    strncasecmp(field->name.data, option.data, option.len) == 0)
			field->hop = true;
	}
}

static int
gather_connection(struct pst_http_request *request, struct govern *govern,
    struct pst_http_text value, unsigned *options)
{
	struct pst_http_text option;

	while (pst_http_list_next(&value, &option)) {
		if (++*options > CONNECTION_MAX)
			return refuse(request, 400, "too many options in Connection");
		if (!pst_http_all(option, PST_HTTP_TCHAR))
			return refuse(request, 400, "malformed Connection field");
		if (pst_http_text_is(option, "close"))
			govern->close = true;
		else if (pst_http_text_is(option, "keep-alive"))
			govern->persist = true;
		else if (pst_http_text_is(option, "upgrade"))
			govern->switches = true;
		else if (option.len > 0)
			mark_hop(request, option);
	}
	return 0;
}

/* RFC 9110, 10.1.1: there is one expectation, and HTTP/1.0 has none. */
static int
settle_expect(struct pst_http_request *request, struct pst_http_text value)
{
	struct pst_http_text expectation;

	if (request->minor == 0)
		return 0;
	while (pst_http_list_next(&value, &expectation)) {
		if (pst_http_text_is(expectation, "100-continue"))
			request->expect_continue = true;
		else if (expectation.len > 0)
			return refuse(request, 417, "expectation other than 100-continue");
	}
	return 0;
}

/* A field that may come once, and comes again, has no certain meaning. */
static int
once(struct pst_http_request *request, const struct pst_http_field **slot,
    const struct pst_http_field *field, const char *reason)
{
	if (*slot != NULL)
		return refuse(request, 400, reason);
	*slot = field;
	return 0;
}

static int
gather(struct pst_http_request *request, struct govern *govern)
{
	const struct pst_http_field *host = NULL;
	unsigned options = 0;
	int err = 0;

	for (size_t i = 0; i < request->field_count && err == 0; i++) {
		struct pst_http_field *field = &request->table[i];

		switch (field->id) {
		case PST_HTTP_HOST:
			err = once(request, &host, field, "more than one Host field");
			govern->host = field;
			break;
		case PST_HTTP_CONTENT_LENGTH:
			err = once(request, &govern->length, field, "more than one Content-Length");
			break;
		case PST_HTTP_TRANSFER_ENCODING:
			err = once(
			    request, &govern->encoding, field, "more than one Transfer-Encoding");
			break;
		case PST_HTTP_UPGRADE: govern->upgrade = field; break;
		case PST_HTTP_CONNECTION:
			err = gather_connection(request, govern, field->value, &options);
			break;
		case PST_HTTP_EXPECT: err = settle_expect(request, field->value); break;
		default: break;
		}
	}
	return err;
}

static int
settle(struct pst_http_request *request)
{
	struct govern govern = {0};
	int err;

	err = gather(request, &govern);
	if (err == 0)
		err = settle_host(request, govern.host);
	if (err == 0 && govern.encoding != NULL)
		err = settle_encoding(request, &govern);
	else if (err == 0 && govern.length != NULL)
		err = settle_length(request, govern.length);
	if (err != 0)
		return err;
	request->keep_alive = !govern.close && (request->minor > 0 || govern.persist);
	if (request->body == PST_HTTP_BODY_NONE)
		request->expect_continue = false;
	if (request->minor > 0 && govern.switches && govern.upgrade != NULL)
		request->upgrade = govern.upgrade->value;
	request->stage = PST_HTTP_STAGE_DONE;
	return 1;
}

/* --- bytes in --- */

/* The bytes that the line which is arriving may have in all, its CRLF counted. */
static size_t
line_room(const struct pst_http_request *request, bool *by_head)
{
	const struct pst_http_limits *limits = request->limits;
	size_t cap = limits->head;
	size_t line = request->stage == PST_HTTP_STAGE_FIELDS ? limits->field : limits->line;
	size_t room;

	if (cap == 0 || cap > PST_HTTP_HEAD_CAP)
		cap = PST_HTTP_HEAD_CAP;
	room = cap - (request->line_start - request->head_start);
	*by_head = line == 0 || line >= room || line + 2 > room;
	return *by_head ? room : line + 2;
}

/* N bytes of a line are certainly not too many; nearly all lines are told so. */
static inline bool
fits(const struct pst_http_request *request, size_t n)
{
	const struct pst_http_limits *limits = request->limits;
	size_t line = request->stage == PST_HTTP_STAGE_FIELDS ? limits->field : limits->line;
	size_t before = request->line_start - request->head_start;

	return n <= line && before + n <= limits->head && limits->head <= PST_HTTP_HEAD_CAP;
}

static int
refuse_long(struct pst_http_request *request, bool by_head)
{
	if (request->stage != PST_HTTP_STAGE_FIELDS)
		return refuse(request, 414, "request line is too long");
	return refuse(request, 431, by_head ? "head is too large" : "header field is too long");
}

/*
 * The first byte tells an HTTP client from others, who may never send a line end: they are
 * answered at once.
 */
static int
begin_line(struct pst_http_request *request, unsigned char byte)
{
	bool empty = byte == '\r' && !request->empty_line_seen;

	if (byte == 0x16)
		return refuse(request, 400, "TLS handshake on a plain HTTP listener");
	if (byte == '\r' && request->empty_line_seen)
		return refuse(request, 400, "more than one empty line before the request");
	if (byte == '\n')
		return refuse(request, 400, "bare LF in a line");
	if (!empty && !pst_http_is(byte, PST_HTTP_TCHAR))
		return refuse(request, 400, "request line does not begin with a method");
	request->stage = PST_HTTP_STAGE_LINE;
	return 0;
}

/* RFC 9112, 2.2: an empty line before the request line is ignored. */
static int
skip_empty_line(struct pst_http_request *request)
{
	request->empty_line_seen = true;
	request->head_start = request->line_start = request->used;
	request->line = (struct pst_http_text){NULL, 0};
	request->stage = PST_HTTP_STAGE_IDLE;
	return 0;
}

/* A line is complete, its LF is the last byte in. */
static int
end_line(struct pst_http_request *request)
{
	struct pst_http_text line = {
	    request->bytes + request->line_start,
	    request->used - request->line_start - 1,
	};
	int err;

	if (line.len == 0 || line.data[line.len - 1] != '\r')
		return refuse(request, 400, "bare LF in a line");
	line.len--;
	if (request->stage == PST_HTTP_STAGE_LINE) {
		if (line.len == 0)
			return skip_empty_line(request);
		request->line = line;
		err = parse_request_line(request, line);
		request->stage = err == 0 ? PST_HTTP_STAGE_FIELDS : request->stage;
	} else if (line.len == 0) {
		return settle(request);
	} else {
		err = parse_field(request, line);
	}
	request->line_start = request->used;
	return err;
}

/* Take what there is of a line, whose bytes are in up to END: as far as its LF, or all. */
static int
take_line(struct pst_http_request *request, size_t end)
{
	const char *line = request->bytes + request->line_start;
	const char *from = request->bytes + request->used;
	const char *lf = memchr(from, '\n', end - request->used);
	size_t length = lf != NULL ? (size_t)(lf - line) + 1 : end - request->line_start;
	bool by_head, too_long = false;

	if (lf == NULL || !fits(request, length)) {
		size_t room = line_room(request, &by_head);

		too_long = length > room || (length == room && lf == NULL);
		length = too_long ? room : length;
	}
	request->used = request->line_start + length;
	if (request->stage == PST_HTTP_STAGE_LINE)
		request->line = (struct pst_http_text){line, length};
	if (too_long)
		return refuse_long(request, by_head);
	return lf != NULL ? end_line(request) : 0;
}

/* A field's line as nearly all are, which begins where what is used ends: false when it is another,
 * and nothing was done. */
static bool
take_field(struct pst_http_request *request, size_t end, int *err)
{
	size_t length;

	if (request->field_lines >= fields_limit(request->limits))
		return false;
	*err = reserve_field(request);
	if (*err != 0)
		return true;
	length = pst_http_field_scan(&request->table[request->field_count],
	    request->bytes + request->used, request->bytes + end);
	if (length == 0 || !fits(request, length))
		return false;
	request->field_lines++;
	request->used += length;
	request->line_start = request->used;
	*err = add_field(request);
	return true;
}

/* Take the lines, or the part of one, whose bytes are in up to END. */
static int
take_lines(struct pst_http_request *request, size_t end)
{
	int err = 0;

	while (err == 0 && request->used < end) {
		bool begins = request->used == request->line_start;

		if (request->stage == PST_HTTP_STAGE_IDLE)
			err = begin_line(request, (unsigned char)request->bytes[request->used]);
		else if (request->stage == PST_HTTP_STAGE_FIELDS && begins &&
			 take_field(request, end, &err))
			continue;
		if (err == 0)
			err = take_line(request, end);
	}
	return err;
}

/* Bytes go to a buffer of the request's as long as they may belong to the head. */
int
pst_http_request_parse(
    struct pst_http_request *request, const void *bytes, size_t n, size_t *consumed)
{
	int err = 0;

	assert(request->stage < PST_HTTP_STAGE_DONE);
	*consumed = 0;
	while (*consumed < n && err == 0) {
		size_t before = request->used, some = n - *consumed;

		err = reserve(request, 1);
		if (err != 0)
			break;
		if (some > request->size - before)
			some = request->size - before;
		memcpy(request->bytes + before, (const char *)bytes + *consumed, some);
		err = take_lines(request, before + some);
		*consumed += request->used - before;
	}
	return err;
}

/* --- what was asked --- */

const struct pst_http_field *
pst_http_request_field(const struct pst_http_request *request, const char *name)
{
	for (size_t i = 0; i < request->field_count; i++) {
		if (pst_http_text_is(request->fields[i].name, name))
			return &request->fields[i];
	}
	return NULL;
}

bool
pst_http_request_connection_has(const struct pst_http_request *request, const char *option)
{
	for (size_t i = 0; i < request->field_count; i++) {
		struct pst_http_text rest = request->fields[i].value;
		struct pst_http_text element;

		if (request->fields[i].id != PST_HTTP_CONNECTION)
			continue;
		while (pst_http_list_next(&rest, &element)) {
			if (pst_http_text_is(element, option))
				return true;
		}
	}
	return false;
}
