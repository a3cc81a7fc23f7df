/*
 * A chunked body. Byte 0 chooses how it is cut, which changes nothing; and what was accepted,
 * written out again as one chunk, gives the same content.
 */
#include "gateway/front/http_body.h"
#include "protocol/buf.h"
#include "protocol/error.h"
#include "tests/fuzz/http_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 4096

static const struct pst_http_limits limits = {
    .field = 40, .fields = 4, .extensions = 64, .trailers = 100};

static int
decode_piece(struct pst_http_body *body, const uint8_t *bytes, size_t n, size_t *total,
    struct pst_buf *content)
{
	int rc = 0;

	while (n > 0 && rc == 0) {
		struct pst_http_text piece;
		size_t consumed;

		rc = pst_http_body_decode(body, bytes, n, &consumed, &piece);
		CHECK(consumed <= n && (consumed > 0 || rc == 1));
		CHECK(piece.len <= consumed);
		CHECK(piece.data >= (const char *)bytes &&
		      piece.data + piece.len <= (const char *)bytes + n);
		if (rc >= 0)
			CHECK(pst_buf_append(content, piece.data, piece.len) == 0);
		bytes += consumed;
		n -= consumed;
		*total += consumed;
	}
	return rc;
}

/* Decode in pieces of STEP bytes. */
static int
decode(struct pst_http_body *body, const uint8_t *data, size_t size, size_t step, size_t *total,
    struct pst_buf *content)
{
	const struct pst_http_request request = {.limits = &limits, .body = PST_HTTP_BODY_CHUNKED};
	int rc = 0;

	*total = 0;
	(void)pst_http_body_init(body, &request, MOST);
	for (size_t at = 0; at < size && rc == 0; at += step) {
		size_t n = size - at < step ? size - at : step;
		uint8_t *piece = malloc(n);

		CHECK(piece != NULL);
		memcpy(piece, data + at, n);
		rc = decode_piece(body, piece, n, total, content);
		free(piece);
	}
	CHECK(body->received == pst_buf_length(content));
	CHECK(body->received <= (uint64_t)MOST);
	CHECK(body->done == (rc == 1));
	return rc;
}

static bool
same(const struct pst_buf *a, const struct pst_buf *b)
{
	size_t n = pst_buf_length(a);

	return n == pst_buf_length(b) &&
	       (n == 0 || memcmp(pst_buf_bytes(a), pst_buf_bytes(b), n) == 0);
}

static void
check_round_trip(const struct pst_buf *content)
{
	struct pst_buf wire = {0}, again = {0};
	struct pst_http_body body;
	char size[16];
	size_t total;
	int n = snprintf(size, sizeof(size), "%zx\r\n", pst_buf_length(content));

	if (pst_buf_length(content) > 0) {
		CHECK(pst_buf_append(&wire, size, (size_t)n) == 0);
		CHECK(pst_buf_append(&wire, pst_buf_bytes(content), pst_buf_length(content)) == 0);
		CHECK(pst_buf_append(&wire, "\r\n", 2) == 0);
	}
	CHECK(pst_buf_append(&wire, "0\r\n\r\n", 5) == 0);
	CHECK(decode(&body, pst_buf_bytes(&wire), pst_buf_length(&wire), 7, &total, &again) == 1);
	CHECK(total == pst_buf_length(&wire));
	CHECK(same(content, &again));
	pst_buf_free(&wire);
	pst_buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pst_http_body whole, cut;
	struct pst_buf content = {0}, pieces = {0};
	size_t whole_total, cut_total;
	int rc;

	if (size == 0)
		return 0;
	rc = decode(&whole, data + 1, size - 1, size, &whole_total, &content);
	CHECK(decode(&cut, data + 1, size - 1, 1 + data[0] % 16, &cut_total, &pieces) == rc);
	CHECK(whole_total == cut_total);
	CHECK(whole.refusal.reason == cut.refusal.reason);
	CHECK(same(&content, &pieces));
	if (rc == 1)
		check_round_trip(&content);
	else
		CHECK(rc == 0 || whole.refusal.status != 0);
	pst_buf_free(&content);
	pst_buf_free(&pieces);
	return 0;
}
