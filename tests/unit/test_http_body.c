/* Bodies: RFC 9112, sections 6 and 7.1. Each is decoded whole, byte by byte and cut everywhere. */
#include "gateway/front/http_body.h"
#include "protocol/error.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(literal) (literal), sizeof(literal) - 1

struct body_case {
	const char *name;
	const char *bytes;
	size_t len;
	unsigned status; /* 0: complete; 1: more is wanted; else a refusal */
	const char *expect; /* the content, or the reason */
	size_t rest; /* bytes that belong to what follows */
};

static const struct pst_http_limits limits = {
    .field = 10, .fields = 2, .extensions = 20, .trailers = 30};
/* Of decoded bytes. */
#define MOST 20

static const struct body_case chunked[] = {
    {"9112 7.1 nothing", BYTES("0\r\n\r\n"), 0, "", 0},
    {"9112 7.1 one chunk", BYTES("5\r\nhello\r\n0\r\n\r\n"), 0, "hello", 0},
    {"9112 7.1 two chunks", BYTES("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), 0, "hello world", 0},
    {"9112 7.1 hexadecimal in both cases", BYTES("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
	0, "01234567890123456789", 0},
    {"9112 7.1 leading zeros", BYTES("0005\r\nhello\r\n00\r\n\r\n"), 0, "hello", 0},
    {"9112 7.1 16 digits", BYTES("0000000000000005\r\nhello\r\n0\r\n\r\n"), 0, "hello", 0},
    {"9112 7.1 CRLF is content", BYTES("4\r\n\r\n0\r\r\n0\r\n\r\n"), 0, "\r\n0\r", 0},
    {"9112 6.3 the rest is the next request", BYTES("0\r\n\r\nGET"), 0, "", 3},
    {"9112 8 incomplete: no size", BYTES(""), 1, "", 0},
    {"9112 8 incomplete: in a chunk", BYTES("5\r\nhel"), 1, "hel", 0},
    {"9112 8 incomplete: behind a chunk", BYTES("5\r\nhello\r\n"), 1, "hello", 0},
    {"9112 8 incomplete: no empty line", BYTES("0\r\n"), 1, "", 0},

    {"9112 7.1 no size", BYTES("\r\n"), 400, "chunk without a size", 0},
    {"9112 7.1 extension without a size", BYTES(";a\r\n"), 400, "chunk without a size", 0},
    {"9112 7.1 plus", BYTES("+5\r\nhello\r\n"), 400, "chunk without a size", 0},
    {"9112 7.1 minus", BYTES("-5\r\nhello\r\n"), 400, "chunk without a size", 0},
    {"9112 7.1 space before", BYTES(" 5\r\nhello\r\n"), 400, "chunk without a size", 0},
    {"9112 7.1 space behind", BYTES("5 \r\nhello\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1 tab behind", BYTES("5\t\r\nhello\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1 prefix", BYTES("0x5\r\nhello\r\n"), 400, "malformed chunk size", 0},
    {"9112 7.1 underscore", BYTES("0_5\r\nhello\r\n"), 400, "malformed chunk size", 0},
    {"9112 7.1 no hexadecimal", BYTES("5g\r\nhello\r\n"), 400, "malformed chunk size", 0},
    {"9112 7.1 two sizes", BYTES("5 5\r\nhello\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1 NUL", BYTES("5\0\r\nhello\r\n"), 400, "malformed chunk size", 0},
    {"9112 7.1 17 digits", BYTES("00000000000000005\r\n"), 400, "chunk size has too many digits",
	0},
    {"9112 7.1 a size that would wrap", BYTES("10000000000000005\r\n"), 400,
	"chunk size has too many digits", 0},
    {"9112 7.1 the largest size", BYTES("ffffffffffffffff\r\n"), 413,
	"body is larger than the limit", 0},
    {"9112 7.1 LF alone behind a size", BYTES("5\nhello\r\n"), 400, "malformed chunk size", 0},
    {"9112 7.1 CR alone behind a size", BYTES("5\rhello\r\n"), 400,
	"bare CR in a chunk's first line", 0},
    {"9112 7.1 two CRs behind a size", BYTES("5\r\r\nhello\r\n"), 400,
	"bare CR in a chunk's first line", 0},
    {"9112 7.1 chunk longer than its size", BYTES("4\r\nhello\r\n"), 400,
	"chunk is longer than its size says", 0},
    {"9112 7.1 chunk shorter than its size", BYTES("6\r\nhello\r\n0\r\n\r\n"), 400,
	"chunk is longer than its size says", 0},
    {"9112 7.1 LF alone behind a chunk", BYTES("5\r\nhello\n0\r\n\r\n"), 400,
	"chunk is longer than its size says", 0},
    {"9112 7.1 CR alone behind a chunk", BYTES("5\r\nhello\r0\r\n\r\n"), 400,
	"chunk is longer than its size says", 0},
    {"9112 7.1 no CRLF behind a chunk", BYTES("5\r\nhello0\r\n\r\n"), 400,
	"chunk is longer than its size says", 0},
    {"9112 7.1 two CRLFs behind a chunk", BYTES("5\r\nhello\r\n\r\n0\r\n\r\n"), 400,
	"chunk without a size", 0},
    {"9110 15.5.14 body at the limit", BYTES("14\r\n01234567890123456789\r\n0\r\n\r\n"), 0,
	"01234567890123456789", 0},
    {"9110 15.5.14 body beyond the limit", BYTES("15\r\n0"), 413, "body is larger than the limit",
	0},
    {"9110 15.5.14 chunks together", BYTES("a\r\n0123456789\r\nb\r\n"), 413,
	"body is larger than the limit", 0},

    {"9112 7.1.1 extensions are ignored", BYTES("1;a;b=c;d=\"e\\\"\"\r\nx\r\n0;f\r\n\r\n"), 0, "x",
	0},
    {"9112 7.1.1 bad whitespace is ignored", BYTES("1 ; a\t= b ; c\r\nx\r\n0\r\n\r\n"), 0, "x", 0},
    {"9112 7.1.1 whitespace at the end", BYTES("1;a \r\nx\r\n"), 400, "malformed chunk extension",
	0},
    {"9112 7.1.1 whitespace at the end of a value", BYTES("1;a=b \r\nx\r\n"), 400,
	"malformed chunk extension", 0},
    {"9112 7.1.1 no name", BYTES("1;\r\nx\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1.1 no value", BYTES("1;a=\r\nx\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1.1 two values", BYTES("1;a=b=c\r\nx\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1.1 text behind a quote", BYTES("1;a=\"b\"c\r\nx\r\n"), 400,
	"malformed chunk extension", 0},
    {"9112 7.1.1 quote without an end", BYTES("1;a=\"b\r\nx\r\n"), 400, "malformed chunk extension",
	0},
    {"9112 7.1.1 LF in a quote", BYTES("1;a=\"\nb\"\r\nx\r\n"), 400, "malformed chunk extension",
	0},
    {"9112 7.1.1 LF behind a backslash", BYTES("1;a=\"\\\n\"\r\nx\r\n"), 400,
	"malformed chunk extension", 0},
    {"9112 7.1.1 LF alone", BYTES("1;a\nx\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1.1 LF alone in front", BYTES("1;\nx\r\n"), 400, "malformed chunk extension", 0},
    {"9112 7.1.1 CR alone", BYTES("1;a\rx\r\n"), 400, "bare CR in a chunk's first line", 0},
    {"9112 7.1.1 at the limit", BYTES("1;a=34567890123456789\r\nx\r\n0\r\n\r\n"), 0, "x", 0},
    {"9112 7.1.1 beyond the limit", BYTES("1;a=345678901234567890\r\nx\r\n"), 400,
	"chunk extensions are too long", 0},
    {"9112 7.1.1 all of them together", BYTES("1;a=3456789\r\nx\r\n1;a=34567890\r\nx\r\n"), 400,
	"chunk extensions are too long", 0},

    {"9112 7.1.2 trailers are forgotten", BYTES("0\r\nA: b\r\nContent-Length: 5\r\n\r\nX"), 431,
	"trailer field is too long", 0},
    {"9112 7.1.2 trailers", BYTES("1\r\nx\r\n0\r\nA: b\r\nHost:i\r\n\r\nX"), 0, "x", 1},
    {"9112 7.1.2 too many", BYTES("0\r\nA:\r\nB:\r\nC:\r\n\r\n"), 431, "too many trailer fields",
	0},
    {"9112 7.1.2 fields at the limit", BYTES("0\r\nA:34567890\r\nB:34567890\r\n\r\n"), 0, "", 0},
    {"9112 7.1.2 without a colon", BYTES("0\r\nGET\r\n\r\n"), 400, "malformed trailer", 0},
    {"9112 7.1.2 empty name", BYTES("0\r\n:b\r\n\r\n"), 400, "malformed trailer", 0},
    {"9112 7.1.2 space before the colon", BYTES("0\r\nA :b\r\n\r\n"), 400, "malformed trailer", 0},
    {"9112 7.1.2 fold", BYTES("0\r\nA:b\r\n c\r\n\r\n"), 400, "malformed trailer", 0},
    {"9112 7.1.2 first line folded", BYTES("0\r\n A:b\r\n\r\n"), 400, "malformed trailer", 0},
    {"9112 7.1.2 LF alone ends no trailer", BYTES("0\r\nA:b\n\r\n"), 400, "malformed trailer", 0},
    {"9112 7.1.2 LF alone ends no body", BYTES("0\r\n\n"), 400, "malformed trailer", 0},
    {"9112 7.1.2 CR alone ends no trailer", BYTES("0\r\nA:b\rC:d\r\n\r\n"), 400,
	"bare CR in a trailer", 0},
    {"9112 7.1.2 CR alone ends no body", BYTES("0\r\n\rX"), 400, "bare CR in a trailer", 0},
    {"9112 7.1.2 NUL", BYTES("0\r\nA:\0\r\n\r\n"), 400, "malformed trailer", 0},
};

static const struct pst_http_limits small_trailers = {.extensions = 1, .trailers = 5};

static const struct body_case of_five[] = {
    {"9112 6.2 whole", BYTES("hello"), 0, "hello", 0},
    {"9112 6.2 the rest is the next request", BYTES("helloGET"), 0, "hello", 3},
    {"9112 8 incomplete", BYTES("hell"), 1, "hell", 0},
    {"9112 6.2 any bytes", BYTES("\0\r\n\0x"), 0, "\0\r\n\0x", 0},
};

struct outcome {
	int rc;
	size_t consumed;
	size_t content_len;
	char content[64];
	struct pst_http_refusal refusal;
};

static void
decode_piece(struct pst_http_body *body, const char *bytes, size_t n, struct outcome *outcome)
{
	while (n > 0 && outcome->rc == 0) {
		struct pst_http_text piece;
		size_t consumed;

		outcome->rc = pst_http_body_decode(body, bytes, n, &consumed, &piece);
		ck_assert_uint_le(consumed, n);
		ck_assert(consumed > 0 || outcome->rc != 0);
		ck_assert_uint_le(outcome->content_len + piece.len, sizeof(outcome->content));
		if (outcome->rc >= 0) {
			memcpy(outcome->content + outcome->content_len, piece.data, piece.len);
			outcome->content_len += piece.len;
		}
		outcome->consumed += consumed;
		bytes += consumed;
		n -= consumed;
	}
}

static void
decode(const struct pst_http_request *request, const struct body_case *c, size_t first, size_t step,
    struct outcome *outcome)
{
	struct pst_http_body body;

	*outcome = (struct outcome){0};
	ck_assert_int_eq(pst_http_body_init(&body, request, MOST), 0);
	for (size_t at = 0; at < c->len && outcome->rc == 0;) {
		size_t n = at == 0 ? first : step;
		char *piece;

		if (n > c->len - at)
			n = c->len - at;
		piece = malloc(n);
		ck_assert_ptr_nonnull(piece);
		memcpy(piece, c->bytes + at, n);
		decode_piece(&body, piece, n, outcome);
		free(piece);
		at += n;
	}
	ck_assert_uint_eq(body.received, outcome->content_len);
	ck_assert_int_eq(body.done, outcome->rc == 1);
	outcome->refusal = body.refusal;
}

static void
check_equal(const struct body_case *c, const struct outcome *a, const struct outcome *b)
{
	ck_assert_msg(
	    a->rc == b->rc && a->consumed == b->consumed && a->content_len == b->content_len &&
		memcmp(a->content, b->content, a->content_len) == 0 &&
		a->refusal.status == b->refusal.status && a->refusal.reason == b->refusal.reason,
	    "%s: cut, the result differs", c->name);
}

static void
check_case(const struct pst_http_request *request, const struct body_case *c)
{
	struct outcome whole, cut;

	decode(request, c, c->len, 1, &whole);
	decode(request, c, 1, 1, &cut);
	check_equal(c, &whole, &cut);
	for (size_t i = 1; i < c->len; i++) {
		decode(request, c, i, c->len, &cut);
		check_equal(c, &whole, &cut);
	}
	if (c->status > 1) {
		ck_assert_msg(whole.rc == PST_ERR_PROTOCOL, "%s: accepted", c->name);
		ck_assert_msg(whole.refusal.status == c->status &&
				  strcmp(whole.refusal.reason, c->expect) == 0,
		    "%s: %u %s", c->name, whole.refusal.status, whole.refusal.reason);
		return;
	}
	ck_assert_msg(whole.rc == (c->status == 0), "%s: %d %s", c->name, whole.rc,
	    whole.refusal.reason != NULL ? whole.refusal.reason : "");
	ck_assert_msg(
	    whole.consumed == c->len - c->rest, "%s: consumed %zu", c->name, whole.consumed);
	ck_assert_msg(memcmp(whole.content, c->expect, whole.content_len) == 0 &&
			  (whole.content_len == 5 || whole.content_len == strlen(c->expect)),
	    "%s: \"%.*s\"", c->name, (int)whole.content_len, whole.content);
}

START_TEST(test_chunked)
{
	struct pst_http_request request = {.limits = &limits, .body = PST_HTTP_BODY_CHUNKED};

	check_case(&request, &chunked[_i]);
}
END_TEST

START_TEST(test_length)
{
	struct pst_http_request request = {
	    .limits = &limits, .body = PST_HTTP_BODY_LENGTH, .content_length = 5};

	check_case(&request, &of_five[_i]);
}
END_TEST

START_TEST(test_trailer_size)
{
	struct pst_http_request request = {
	    .limits = &small_trailers, .body = PST_HTTP_BODY_CHUNKED};
	const struct body_case fits = {
	    "9112 7.1.2 size at the limit", BYTES("0\r\nA:b\r\n\r\n"), 0, "", 0};
	const struct body_case not = {"9112 7.1.2 size beyond", BYTES("0\r\nA:bc\r\n\r\n"), 431,
	    "trailer section is too large", 0};

	check_case(&request, &fits);
	check_case(&request, &not );
}
END_TEST

START_TEST(test_none)
{
	struct pst_http_request request = {.limits = &limits};
	struct pst_http_body body;
	struct pst_http_text piece;
	size_t consumed;

	ck_assert_int_eq(pst_http_body_init(&body, &request, MOST), 0);
	ck_assert(body.done);
	ck_assert_int_eq(pst_http_body_decode(&body, "GET", 3, &consumed, &piece), 1);
	ck_assert_uint_eq(consumed, 0);
	ck_assert_uint_eq(piece.len, 0);
}
END_TEST

START_TEST(test_limit)
{
	struct pst_http_request request = {
	    .limits = &limits, .body = PST_HTTP_BODY_LENGTH, .content_length = 10};
	struct pst_http_body body;

	ck_assert_int_eq(pst_http_body_init(&body, &request, 10), 0);
	ck_assert_int_eq(pst_http_body_init(&body, &request, 9), PST_ERR_PROTOCOL);
	ck_assert_uint_eq(body.refusal.status, 413);
	ck_assert_str_eq(body.refusal.reason, "body is larger than the limit");
}
END_TEST

/* Content is handed on as a slice of what came, however large. */
START_TEST(test_no_copy)
{
	struct pst_http_request request = {.limits = &PST_HTTP_DEFAULT_LIMITS,
	    .body = PST_HTTP_BODY_LENGTH,
	    .content_length = INT64_MAX};
	static const char bytes[65536];
	struct pst_http_body body;
	struct pst_http_text piece;
	size_t consumed;

	ck_assert_int_eq(pst_http_body_init(&body, &request, 0), 0);
	ck_assert_int_eq(pst_http_body_decode(&body, bytes, sizeof(bytes), &consumed, &piece), 0);
	ck_assert_ptr_eq(piece.data, bytes);
	ck_assert_uint_eq(piece.len, sizeof(bytes));
	ck_assert_uint_eq(consumed, sizeof(bytes));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_body");
	TCase *bodies = tcase_create("bodies");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(bodies, test_chunked, 0, sizeof(chunked) / sizeof(chunked[0]));
	tcase_add_loop_test(bodies, test_length, 0, sizeof(of_five) / sizeof(of_five[0]));
	tcase_add_test(bodies, test_trailer_size);
	tcase_add_test(bodies, test_none);
	tcase_add_test(bodies, test_limit);
	tcase_add_test(bodies, test_no_copy);
	suite_add_tcase(suite, bodies);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
