/*
 * The head of a request. Byte 0 chooses the limits, the rest is what a client sends. However it
 * is cut the result is the same; and what is accepted, written out again from the parsed
 * request, is parsed to the same request.
 */
#include "gateway/front/http_chars.h"
#include "gateway/front/http_request.h"
#include "protocol/buf.h"
#include "protocol/error.h"
#include "tests/fuzz/http_check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pst_http_limits choices[] = {
    {.line = 4094, .field = 8190, .fields = 100, .head = 65536},
    {.line = 40, .field = 20, .fields = 3, .head = 120},
    {.map = PST_HTTP_MAP_DANGEROUS},
    {.map = PST_HTTP_MAP_REFUSE, .head = 100},
};

/* Feed the bytes in pieces of STEP; the pieces are copies that are gone afterwards. */
static int
parse(
    struct pst_http_request *request, const uint8_t *data, size_t size, size_t step, size_t *total)
{
	int rc = 0;

	*total = 0;
	while (*total < size && rc == 0) {
		size_t n = size - *total < step ? size - *total : step;
		uint8_t *piece = malloc(n);
		size_t consumed;

		CHECK(piece != NULL);
		memcpy(piece, data + *total, n);
		rc = pst_http_request_parse(request, piece, n, &consumed);
		free(piece);
		CHECK(consumed <= n);
		CHECK(rc != 0 || consumed == n);
		*total += consumed;
	}
	return rc;
}

static bool
same(struct pst_http_text a, struct pst_http_text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void
check_same(const struct pst_http_request *a, const struct pst_http_request *b)
{
	CHECK(same(a->method, b->method));
	CHECK(same(a->target.path, b->target.path));
	CHECK(same(a->target.raw_path, b->target.raw_path));
	CHECK(same(a->target.query, b->target.query));
	CHECK(same(a->host, b->host));
	CHECK(same(a->upgrade, b->upgrade));
	CHECK(a->minor == b->minor);
	CHECK(a->body == b->body);
	CHECK(a->content_length == b->content_length);
	CHECK(a->keep_alive == b->keep_alive);
	CHECK(a->expect_continue == b->expect_continue);
	CHECK(a->field_count == b->field_count);
	for (size_t i = 0; i < a->field_count; i++) {
		CHECK(same(a->fields[i].name, b->fields[i].name));
		CHECK(same(a->fields[i].value, b->fields[i].value));
		CHECK(a->fields[i].id == b->fields[i].id);
		CHECK(a->fields[i].hop == b->fields[i].hop);
	}
}

/* What holds for the fields that have come, also of a head that is refused or not whole. */
static void
check_fields(const struct pst_http_request *request, const struct pst_http_limits *limits)
{
	for (size_t i = 0; i < request->field_count; i++) {
		const struct pst_http_field *field = &request->fields[i];

		CHECK(field->name.len > 0 && pst_http_all(field->name, PST_HTTP_TCHAR));
		CHECK(pst_http_all(field->value, PST_HTTP_VALUE));
		CHECK(field->id != PST_HTTP_PROXY);
		CHECK(limits->map == PST_HTTP_MAP_DANGEROUS ||
		      memchr(field->name.data, '_', field->name.len) == NULL);
	}
}

/* What holds for every accepted request, whatever was sent. */
static void
check_accepted(const struct pst_http_request *request, const struct pst_http_limits *limits)
{
	CHECK(request->stage == PST_HTTP_STAGE_DONE);
	CHECK(request->method.len > 0 && pst_http_all(request->method, PST_HTTP_TCHAR));
	CHECK(pst_http_all(request->target.raw, PST_HTTP_TARGET));
	CHECK(request->target.path.len > 0 &&
	      request->target.path.len <= request->target.raw_path.len);
	CHECK(
	    request->target.path.data[0] == '/' || request->target.form == PST_HTTP_FORM_ASTERISK);
	CHECK(memchr(request->target.path.data, '\0', request->target.path.len) == NULL);
	CHECK(pst_http_host_valid(request->host));
	CHECK(limits->fields == 0 || request->field_count <= limits->fields);
}

static void
check_refused(const struct pst_http_refusal *refusal)
{
	static const unsigned statuses[] = {400, 413, 414, 417, 431, 501, 505};
	size_t i = 0;

	while (i < sizeof(statuses) / sizeof(statuses[0]) && statuses[i] != refusal->status)
		i++;
	CHECK(i < sizeof(statuses) / sizeof(statuses[0]));
	CHECK(refusal->reason != NULL);
}

static void
put(struct pst_buf *out, struct pst_http_text text, const char *behind)
{
	CHECK(pst_buf_append(out, text.data, text.len) == 0);
	CHECK(pst_buf_append(out, behind, strlen(behind)) == 0);
}

static void
write_again(const struct pst_http_request *request, struct pst_buf *out)
{
	put(out, request->method, " ");
	put(out, request->target.raw, request->minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
	for (size_t i = 0; i < request->field_count; i++) {
		put(out, request->fields[i].name, ": ");
		put(out, request->fields[i].value, "\r\n");
	}
	CHECK(pst_buf_append(out, "\r\n", 2) == 0);
}

static void
check_round_trip(const struct pst_http_request *request)
{
	const struct pst_http_limits unlimited = {.map = PST_HTTP_MAP_DANGEROUS};
	struct pst_http_request again;
	struct pst_buf out = {0};
	size_t consumed;

	pst_http_request_init(&again, &unlimited);
	write_again(request, &out);
	CHECK(pst_http_request_parse(
		  &again, pst_buf_bytes(&out), pst_buf_length(&out), &consumed) == 1);
	CHECK(consumed == pst_buf_length(&out));
	check_same(request, &again);
	pst_http_request_free(&again);
	pst_buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pst_http_limits *limits;
	struct pst_http_request whole, cut;
	size_t whole_total, cut_total;
	int rc;

	if (size == 0)
		return 0;
	limits = &choices[data[0] % (sizeof(choices) / sizeof(choices[0]))];
	pst_http_request_init(&whole, limits);
	pst_http_request_init(&cut, limits);
	rc = parse(&whole, data + 1, size - 1, size, &whole_total);
	CHECK(parse(&cut, data + 1, size - 1, 1 + data[0] / 16, &cut_total) == rc);
	CHECK(whole_total == cut_total);
	CHECK(whole.refusal.status == cut.refusal.status);
	CHECK(whole.refusal.reason == cut.refusal.reason);
	check_fields(&whole, limits);
	check_fields(&cut, limits);
	if (rc == 1) {
		check_same(&whole, &cut);
		check_accepted(&whole, limits);
		check_round_trip(&whole);
	} else if (rc == PST_ERR_PROTOCOL) {
		check_refused(&whole.refusal);
	}
	pst_http_request_free(&whole);
	pst_http_request_free(&cut);
	return 0;
}
