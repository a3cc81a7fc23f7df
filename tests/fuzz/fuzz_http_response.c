/*
 * What a worker might give to the response writer: byte 0 is the request's kind, byte 1 the status,
 * then lines of fields, an empty line and the body. What goes out has a head of whole lines
 * with no CR, LF or NUL but their ends, and exactly the body that its framing says.
 */
#include "gateway/front/http_response.h"
#include "protocol/error.h"
#include "tests/fuzz/http_check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static const unsigned statuses[] = {200, 100, 101, 103, 204, 205, 304, 404, 500, 99, 600, 199};

/* The fields up to an empty line; the rest of DATA is left in *BODY. */
static int
put_fields(struct pst_http_response *response, struct pst_buf *out, struct pst_http_text *body)
{
	int rc = 0;

	while (rc == 0 && body->len > 0) {
		const char *end = memchr(body->data, '\n', body->len);
		size_t len = end != NULL ? (size_t)(end - body->data) : body->len;
		const char *colon = memchr(body->data, ':', len);
		size_t name = colon != NULL ? (size_t)(colon - body->data) : len;

		if (len > 0)
			rc = pst_http_response_field(response, out,
			    (struct pst_http_text){body->data, name},
			    (struct pst_http_text){colon != NULL ? colon + 1 : "",
				colon != NULL ? len - name - 1 : 0});
		if (end != NULL)
			len++;
		body->data += len;
		body->len -= len;
		if (len == 1)
			break;
	}
	return rc;
}

/* The length of the head in front of OUT; every line of it ends with CRLF and has no other. */
static size_t
check_head(const struct pst_buf *out)
{
	const unsigned char *bytes = pst_buf_bytes(out);
	size_t n = pst_buf_length(out), start = 0;

	for (size_t i = 0; i < n; i++) {
		CHECK(bytes[i] != '\0');
		CHECK(bytes[i] != '\n' || (i > 0 && bytes[i - 1] == '\r'));
		CHECK(bytes[i] != '\r' || (i + 1 < n && bytes[i + 1] == '\n'));
		if (bytes[i] != '\n')
			continue;
		if (i - start == 1)
			return i + 1;
		start = i + 1;
	}
	CHECK(!"a head without an end");
	return 0;
}

static void
check_body(const struct pst_http_response *response, const struct pst_buf *out, size_t head,
    struct pst_http_text body, int rc)
{
	const unsigned char *sent = pst_buf_bytes(out) + head;
	size_t len = pst_buf_length(out) - head;

	CHECK(response->body_sent <= body.len);
	switch (response->framing) {
	case PST_HTTP_FRAMING_NONE: CHECK(len == 0 && rc == 0); break;
	case PST_HTTP_FRAMING_CHUNKED:
		CHECK(rc == 0 && len >= 5 + body.len);
		CHECK(memcmp(sent + len - 5, "0\r\n\r\n", 5) == 0);
		break;
	case PST_HTTP_FRAMING_LENGTH:
		CHECK(len == response->body_sent);
		CHECK(rc == 0 || !response->keep_alive);
		CHECK(memcmp(sent, body.data, len) == 0);
		break;
	default: CHECK(rc == 0 && !response->keep_alive && len == body.len); break;
	}
}

static void
respond(struct pst_http_response *response, struct pst_buf *out, unsigned status,
    struct pst_http_text body)
{
	size_t head;
	int rc = pst_http_response_start(response, out, status, (struct pst_http_text){"", 0});

	if (rc == 0)
		rc = put_fields(response, out, &body);
	if (rc == 0)
		rc = pst_http_response_finish(response, out, DATE);
	if (rc != 0) {
		CHECK(pst_buf_length(out) == 0 && response->reason != NULL);
		return;
	}
	if (pst_buf_length(out) == 0 || (status < 200 && status != 101))
		return;
	head = check_head(out);
	CHECK(head == pst_buf_length(out));
	rc = pst_http_response_body(response, out, body.data, body.len);
	if (rc == 0)
		rc = pst_http_response_end(response, out);
	check_body(response, out, head, body, rc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pst_http_request request = {.method = {"GET", 3}};
	struct pst_http_response response;
	struct pst_buf out = {0};

	if (size < 2)
		return 0;
	request.minor = data[0] & 1;
	request.keep_alive = (data[0] & 2) != 0;
	if ((data[0] & 4) != 0)
		request.method = (struct pst_http_text){"HEAD", 4};
	if ((data[0] & 8) != 0)
		request.upgrade = (struct pst_http_text){"websocket", 9};
	pst_http_response_init(&response, &request, (data[0] & 16) != 0);
	respond(&response, &out, statuses[data[1] % (sizeof(statuses) / sizeof(statuses[0]))],
	    (struct pst_http_text){(const char *)data + 2, size - 2});
	pst_buf_free(&out);
	return 0;
}
