#include "gateway/front/http_response.h"

#include "gateway/front/decimal.h"
#include "gateway/front/http_chars.h"
#include "gateway/front/http_date.h"
#include "gateway/front/http_status.h"
#include "protocol/error.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The order in which a response is written. */
enum state {
	BEGIN, /* start may come */
	HEAD, /* start was called: field, finish */
	BODY, /* finish was called: body, chunk_open, end */
	CHUNK, /* chunk_open was called: the caller writes; chunk_close */
	ENDED,
};

#define TEXT(literal) ((struct pst_http_text){literal, sizeof(literal) - 1})

static int
fault(struct pst_http_response *response, const char *reason)
{
	response->reason = reason;
	return PST_ERR_PROTOCOL;
}

void
pst_http_response_init(
    struct pst_http_response *response, const struct pst_http_request *request, bool keep_alive)
{
	*response = (struct pst_http_response){
	    .state = BEGIN,
	    .minor = request->minor,
	    .keep_alive = keep_alive && request->keep_alive,
	    .head = request->method.len == 4 && memcmp(request->method.data, "HEAD", 4) == 0,
	    .upgrade = request->upgrade.len > 0,
	};
}

/* --- the head --- */

/* What was written to room in OUT, as far as END, is part of the head. */
static int
put_end(struct pst_http_response *response, struct pst_buf *out, const unsigned char *end)
{
	size_t n = (size_t)(end - (out->data + out->end));

	if (response->silent)
		return 0;
	pst_buf_commit(out, n);
	response->head_len += n;
	return 0;
}

/* Inline: the texts are constants, of which the compiler knows the lengths. */
static inline unsigned char *
put_constant(unsigned char *to, const char *text)
{
	size_t n = strlen(text);

	memcpy(to, text, n);
	return to + n;
}

static int
put_line_end(struct pst_http_response *response, struct pst_buf *out)
{
	unsigned char *to = pst_buf_reserve(out, 2);

	return to == NULL ? PST_ERR_NOMEM : put_end(response, out, put_constant(to, "\r\n"));
}

static int
put_field(struct pst_http_response *response, struct pst_buf *out, struct pst_http_text name,
    struct pst_http_text value)
{
	unsigned char *to = pst_buf_reserve(out, name.len + value.len + 4);

	if (to == NULL)
		return PST_ERR_NOMEM;
	to = put_constant(pst_http_copy(to, name.data, name.len), ": ");
	to = put_constant(pst_http_copy(to, value.data, value.len), "\r\n");
	return put_end(response, out, to);
}

static int
put_number(
    struct pst_http_response *response, struct pst_buf *out, struct pst_http_text name, uint64_t n)
{
	char digits[PST_DECIMAL_MAX];
	size_t length = pst_decimal(digits, n);

	return put_field(response, out, name, (struct pst_http_text){digits, length});
}

/* A head that failed is taken back: the caller answers something else in its place. */
static int
settle(struct pst_http_response *response, struct pst_buf *out, int err)
{
	if (err == 0)
		return 0;
	assert(pst_buf_length(out) >= response->head_len);
	out->end -= response->head_len;
	if (out->end == out->start)
		out->end = out->start = 0;
	response->head_len = 0;
	response->state = ENDED;
	return err;
}

static bool
is_interim(unsigned status)
{
	return status < 200 && status != 101;
}

static int
put_status(struct pst_http_response *response, struct pst_buf *out, struct pst_http_text reason)
{
	unsigned status = response->status;
	unsigned char *to;

	if (reason.len == 0) {
		reason.data = pst_http_status_phrase(status);
		reason.len = strlen(reason.data);
	}
	to = pst_buf_reserve(out, strlen("HTTP/1.1 000 \r\n") + reason.len);
	if (to == NULL)
		return PST_ERR_NOMEM;
	to = put_constant(to, "HTTP/1.1 000 ");
	to[-4] = (unsigned char)('0' + status / 100);
	to[-3] = (unsigned char)('0' + status / 10 % 10);
	to[-2] = (unsigned char)('0' + status % 10);
	to = put_constant(pst_http_copy(to, reason.data, reason.len), "\r\n");
	return put_end(response, out, to);
}

static int
check_status(struct pst_http_response *response, unsigned status, struct pst_http_text reason)
{
	if (status < 100 || status > 599)
		return fault(response, "a status that is not between 100 and 599");
	if (!pst_http_is_value(reason))
		return fault(response, "a control character in the reason phrase");
	if (status == 101 && !response->upgrade)
		return fault(response, "status 101 for a request that asked for no upgrade");
	return 0;
}

int
pst_http_response_start(struct pst_http_response *response, struct pst_buf *out, unsigned status,
    struct pst_http_text reason)
{
	int err;

	if (response->state != BEGIN)
		return PST_ERR_STATE;
	response->head_len = 0;
	err = check_status(response, status, reason);
	if (err != 0)
		return settle(response, out, err);
	response->status = status;
	response->silent = response->minor == 0 && is_interim(status);
	response->state = HEAD;
	return settle(response, out, put_status(response, out, pst_http_trim(reason)));
}

static int
take_length(struct pst_http_response *response, struct pst_http_text value)
{
	uint64_t length;

	if (pst_http_number(value, &length) != 0)
		return fault(response, "a malformed Content-Length");
	if (response->has_length && response->length != length)
		return fault(response, "two Content-Length fields that differ");
	response->has_length = true;
	response->length = length;
	return 0;
}

static void
take_connection(struct pst_http_response *response, struct pst_http_text value)
{
	struct pst_http_text option;

	while (pst_http_list_next(&value, &option)) {
		if (pst_http_text_is(option, "close"))
			response->keep_alive = false;
	}
}

static int
check_field(
    struct pst_http_response *response, struct pst_http_text name, struct pst_http_text value)
{
	if (name.len == 0 || !pst_http_all(name, PST_HTTP_TCHAR))
		return fault(response, "a field name that is not a token");
	if (!pst_http_is_value(value))
		return fault(response, "a control character in a field value");
	return 0;
}

/* Take note of a field that the writer acts upon. *LEFT_OUT: it is not sent as it came. */
static int
take_field(struct pst_http_response *response, enum pst_http_name id, struct pst_http_text value,
    bool *left_out)
{
	*left_out = pst_http_name_is_hop(id);
	switch (id) {
	case PST_HTTP_CONTENT_LENGTH:
		*left_out = true;
		return is_interim(response->status) ? 0 : take_length(response, value);
	case PST_HTTP_CONNECTION: take_connection(response, value); return 0;
	case PST_HTTP_UPGRADE: *left_out = response->status != 101; return 0;
	case PST_HTTP_DATE: response->has_date = true; return 0;
	case PST_HTTP_SERVER: response->has_server = true; return 0;
	default: return 0;
	}
}

int
pst_http_response_known_field(struct pst_http_response *response, struct pst_buf *out,
    enum pst_http_name id, struct pst_http_text name, struct pst_http_text value)
{
	bool left_out = false;
	int err = 0;

	if (response->state != HEAD)
		return PST_ERR_STATE;
	if (id != PST_HTTP_OTHER)
		err = take_field(response, id, value, &left_out);
	if (err == 0 && !left_out)
		err = put_field(response, out, name, value);
	return settle(response, out, err);
}

int
pst_http_response_field(struct pst_http_response *response, struct pst_buf *out,
    struct pst_http_text name, struct pst_http_text value)
{
	int err;

	if (response->state != HEAD)
		return PST_ERR_STATE;
	err = check_field(response, name, value);
	if (err != 0)
		return settle(response, out, err);
	return pst_http_response_known_field(
	    response, out, pst_http_name_find(name), name, pst_http_trim(value));
}

int
pst_http_response_length(struct pst_http_response *response, struct pst_buf *out, uint64_t length)
{
	if (response->state != HEAD)
		return PST_ERR_STATE;
	if (response->has_length && response->length != length)
		return settle(
		    response, out, fault(response, "a body that differs from Content-Length"));
	response->has_length = true;
	response->length = length;
	return 0;
}

/* RFC 9112, 6.3, and RFC 9110, 6.4.1: what ends the body. */
static void
choose_framing(struct pst_http_response *response)
{
	unsigned status = response->status;

	response->content = false;
	if (status == 101)
		response->framing = PST_HTTP_FRAMING_TUNNEL;
	else if (response->head || status == 204 || status == 205 || status == 304)
		response->framing = PST_HTTP_FRAMING_NONE;
	else if (response->has_length)
		response->framing = PST_HTTP_FRAMING_LENGTH;
	else if (response->minor > 0)
		response->framing = PST_HTTP_FRAMING_CHUNKED;
	else
		response->framing = PST_HTTP_FRAMING_CLOSE;
	response->content = response->framing != PST_HTTP_FRAMING_NONE;
	response->left = response->length;
	if (response->framing >= PST_HTTP_FRAMING_CLOSE)
		response->keep_alive = false;
}

static unsigned char *
put_length(unsigned char *to, uint64_t length)
{
	to = put_constant(to, "Content-Length: ");
	to += pst_decimal((char *)to, length);
	return put_constant(to, "\r\n");
}

/*
 * A length may be told without a body for HEAD and 304, where it is that of the body which GET
 * would have had, never with 204; 205 says that there is none.
 */
static unsigned char *
put_framing(const struct pst_http_response *response, unsigned char *to)
{
	if (response->status == 205)
		return put_length(to, 0);
	if (response->framing == PST_HTTP_FRAMING_CHUNKED)
		return put_constant(to, "Transfer-Encoding: chunked\r\n");
	if (response->has_length && response->status != 204 && response->status != 101)
		return put_length(to, response->length);
	return to;
}

static unsigned char *
put_connection(const struct pst_http_response *response, unsigned char *to)
{
	if (response->framing == PST_HTTP_FRAMING_TUNNEL)
		return put_constant(to, "Connection: upgrade\r\n");
	if (!response->keep_alive)
		return put_constant(to, "Connection: close\r\n");
	if (response->minor == 0)
		return put_constant(to, "Connection: keep-alive\r\n");
	return to;
}

/* What the writer adds to a head, at most. */
#define OWN_FIELDS 160

static int
finish_final(struct pst_http_response *response, struct pst_buf *out, const char *date)
{
	unsigned char *to = pst_buf_reserve(out, OWN_FIELDS);

	choose_framing(response);
	if (to == NULL)
		return PST_ERR_NOMEM;
	if (!response->has_date) {
		to = put_constant(to, "Date: ");
		memcpy(to, date, PST_HTTP_DATE_LEN);
		to = put_constant(to + PST_HTTP_DATE_LEN, "\r\n");
	}
	if (!response->has_server)
		to = put_constant(to, "Server: penstock\r\n");
	to = put_connection(response, put_framing(response, to));
	return put_end(response, out, put_constant(to, "\r\n"));
}

int
pst_http_response_finish(struct pst_http_response *response, struct pst_buf *out, const char *date)
{
	int err;

	if (response->state != HEAD)
		return PST_ERR_STATE;
	if (is_interim(response->status)) {
		response->state = BEGIN;
		err = put_line_end(response, out);
		response->silent = false;
		/* What belongs to the interim response says nothing about the final one. */
		response->has_date = response->has_server = false;
		return settle(response, out, err);
	}
	response->state = BODY;
	return settle(response, out, finish_final(response, out, date));
}

/* --- the body --- */

/* "1f4" CRLF in front of a chunk of N bytes. */
static int
put_chunk_size(struct pst_buf *out, uint64_t n)
{
	char line[20];
	int len = snprintf(line, sizeof(line), "%llx\r\n", (unsigned long long)n);

	return pst_buf_append(out, line, (size_t)len);
}

static void
count(struct pst_http_response *response, uint64_t n)
{
	response->body_sent += n;
	if (response->framing == PST_HTTP_FRAMING_LENGTH)
		response->left -= n;
}

/* One chunk, or nothing: a frame cut short by a failed allocation would be taken for more. */
static int
append_chunk(struct pst_buf *out, const void *bytes, size_t n)
{
	/* 16 digits and two CRLFs at most, so what follows cannot fail. */
	if (pst_buf_reserve(out, n + 20) == NULL)
		return PST_ERR_NOMEM;
	(void)put_chunk_size(out, n);
	(void)pst_buf_append(out, bytes, n);
	(void)pst_buf_append(out, "\r\n", 2);
	return 0;
}

int
pst_http_response_body(
    struct pst_http_response *response, struct pst_buf *out, const void *bytes, size_t n)
{
	bool length = response->framing == PST_HTTP_FRAMING_LENGTH;
	size_t fits = length && n > response->left ? (size_t)response->left : n;
	int err = 0;

	if (response->state != BODY)
		return PST_ERR_STATE;
	if (!response->content || n == 0)
		return 0;
	if (response->framing == PST_HTTP_FRAMING_CHUNKED)
		err = append_chunk(out, bytes, n);
	else if (fits > 0)
		err = pst_buf_append(out, bytes, fits);
	if (err != 0)
		return err;
	count(response, fits);
	if (fits == n)
		return 0;
	response->keep_alive = false;
	return fault(response, "more body than Content-Length");
}

int
pst_http_response_chunk_open(struct pst_http_response *response, struct pst_buf *out, uint64_t n)
{
	int err = 0;

	if (response->state != BODY || !response->content || n == 0)
		return PST_ERR_STATE;
	if (response->framing == PST_HTTP_FRAMING_LENGTH && n > response->left)
		return fault(response, "more body than Content-Length");
	if (response->framing == PST_HTTP_FRAMING_CHUNKED)
		err = put_chunk_size(out, n);
	if (err != 0)
		return err;
	count(response, n);
	response->state = CHUNK;
	return 0;
}

int
pst_http_response_chunk_close(struct pst_http_response *response, struct pst_buf *out)
{
	int err = 0;

	if (response->state != CHUNK)
		return PST_ERR_STATE;
	if (response->framing == PST_HTTP_FRAMING_CHUNKED)
		err = pst_buf_append(out, "\r\n", 2);
	if (err == 0)
		response->state = BODY;
	return err;
}

size_t
pst_http_response_chunk_end(const struct pst_http_response *response, const char **bytes)
{
	bool chunked = response->framing == PST_HTTP_FRAMING_CHUNKED;

	*bytes = "\r\n";
	return response->state == CHUNK && chunked ? 2 : 0;
}

void
pst_http_response_chunk_closed(struct pst_http_response *response)
{
	assert(response->state == CHUNK);
	response->state = BODY;
}

bool
pst_http_response_ends_after(const struct pst_http_response *response, uint64_t n)
{
	if (response->framing == PST_HTTP_FRAMING_NONE)
		return true;
	return response->framing == PST_HTTP_FRAMING_LENGTH && response->left == n;
}

int
pst_http_response_end(struct pst_http_response *response, struct pst_buf *out)
{
	return pst_http_response_end_with(response, out, NULL, 0);
}

/* The last chunk: all of it, or nothing. */
static int
append_last_chunk(struct pst_buf *out, const void *fields, size_t n)
{
	if (pst_buf_reserve(out, n + 5) == NULL)
		return PST_ERR_NOMEM;
	(void)pst_buf_append(out, "0\r\n", 3);
	if (n > 0)
		(void)pst_buf_append(out, fields, n);
	(void)pst_buf_append(out, "\r\n", 2);
	return 0;
}

int
pst_http_response_end_with(
    struct pst_http_response *response, struct pst_buf *out, const void *fields, size_t n)
{
	int err = 0;

	if (response->state != BODY)
		return PST_ERR_STATE;
	if (response->framing == PST_HTTP_FRAMING_CHUNKED)
		err = append_last_chunk(out, fields, n);
	if (err != 0)
		return err;
	response->state = ENDED;
	if (response->framing == PST_HTTP_FRAMING_LENGTH && response->left > 0) {
		response->keep_alive = false;
		return fault(response, "less body than Content-Length");
	}
	return 0;
}

/* --- answers of our own --- */

static int
put_own_fields(struct pst_http_response *response, struct pst_buf *out, unsigned retry_after)
{
	int err = pst_http_response_field(
	    response, out, TEXT("Content-Type"), TEXT("text/plain; charset=utf-8"));

	if (err == 0 && retry_after > 0)
		err = settle(
		    response, out, put_number(response, out, TEXT("Retry-After"), retry_after));
	return err;
}

/* RFC 9110, 15.5.22, and RFC 6455, 4.4. */
static int
put_websocket_fields(struct pst_http_response *response, struct pst_buf *out)
{
	int err = put_field(response, out, TEXT("Upgrade"), TEXT("websocket"));

	return err != 0 ? err : put_field(response, out, TEXT("Sec-WebSocket-Version"), TEXT("13"));
}

int
pst_http_response_error(struct pst_buf *out, const struct pst_http_error *error, const char *date)
{
	struct pst_http_response response = {
	    .minor = error->minor, .head = error->head, .keep_alive = error->keep_alive};
	const char *phrase = pst_http_status_phrase(error->status);
	const char *detail = error->detail != NULL ? error->detail : "";
	char body[512];
	size_t before = pst_buf_length(out);
	int len, err;

	len = snprintf(body, sizeof(body), "%u %s%s%s\n", error->status, phrase,
	    detail[0] != '\0' ? ": " : "", detail);
	assert(len > 0 && (size_t)len < sizeof(body));
	err = pst_http_response_start(&response, out, error->status, TEXT(""));
	if (err == 0)
		err = put_own_fields(&response, out, error->retry_after);
	if (err == 0 && error->websocket)
		err = put_websocket_fields(&response, out);
	if (err == 0)
		err = pst_http_response_length(&response, out, (uint64_t)len);
	if (err == 0)
		err = pst_http_response_finish(&response, out, date);
	if (err == 0)
		err = pst_http_response_body(&response, out, body, (size_t)len);
	if (err == 0)
		err = pst_http_response_end(&response, out);
	if (err != 0 && pst_buf_length(out) > before) {
		response.head_len = pst_buf_length(out) - before;
		settle(&response, out, err);
	}
	return err;
}

int
pst_http_response_continue(struct pst_buf *out)
{
	return pst_buf_append(out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}
