/*
 * What workers answer, given to the parser whole, one byte at a time and cut in two at every
 * point: the same blocks come out, the same body remains, the same reason is given.
 */
#include "gateway/front/cgi_response.h"
#include "protocol/buf.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(literal) (literal), sizeof(literal) - 1

struct response_case {
	const char *name;
	const char *bytes;
	size_t length;
	/* "STATUS PHRASE [LENGTH] Name=value;... " for each block, "| body", or "! reason". */
	const char *expect;
};

static const struct response_case cases[] = {
    {"a document (RFC 3875, 6.2.1)", BYTES("Content-Type: text/plain\r\n\r\nhello"),
	"200 [-1] Content-Type=text/plain; | hello"},
    {"bare LF", BYTES("Content-Type: text/plain\n\nhello"),
	"200 [-1] Content-Type=text/plain; | hello"},
    {"mixed line ends", BYTES("A: 1\r\nB: 2\n\r\nx"), "200 [-1] A=1;B=2; | x"},
    {"no body", BYTES("A: 1\n\n"), "200 [-1] A=1; | "},
    {"a body that looks like a header", BYTES("A: 1\n\nB: 2\n\n"), "200 [-1] A=1; | B: 2\n\n"},
    {"Status with a phrase", BYTES("Status: 404 Not Found\r\n\r\n"), "404 Not Found [-1] | "},
    {"Status without a phrase", BYTES("Status: 404\n\n"), "404 [-1] | "},
    {"Status with a space and no phrase", BYTES("Status: 404 \n\n"), "404 [-1] | "},
    {"status in any case, behind others", BYTES("A: 1\nSTATUS:204\n\n"), "204 [-1] A=1; | "},
    {"Location alone", BYTES("Location: http://h/x\n\n"), "302 [-1] Location=http://h/x; | "},
    {"a local Location", BYTES("Location: /x\n\n"), "302 [-1] Location=/x; | "},
    {"Location and Status", BYTES("Location: /x\nStatus: 201 Made\n\n"),
	"201 Made [-1] Location=/x; | "},
    {"NPH", BYTES("HTTP/1.1 200 OK\r\nA: 1\r\n\r\nx"), "200 OK [-1] A=1; | x"},
    {"NPH 1.0 without a phrase", BYTES("HTTP/1.0 404\r\n\r\n"), "404 [-1] | "},
    {"NPH as the second line", BYTES("A: 1\nHTTP/1.1 200 OK\n\n"),
	"! a header line without a colon"},
    {"NPH and Status", BYTES("HTTP/1.1 200 OK\nStatus: 200\n\n"), "! a second Status field"},
    {"two Status", BYTES("Status: 200\nStatus: 200\n\n"), "! a second Status field"},
    {"Status of two digits", BYTES("Status: 20\n\n"), "! a status that is not three digits"},
    {"Status of four digits", BYTES("Status: 2000\n\n"), "! a status that is not three digits"},
    {"Status of words", BYTES("Status: OK\n\n"), "! a status that is not three digits"},
    {"Status empty", BYTES("Status:\n\n"), "! a status that is not three digits"},
    {"Status glued to its phrase", BYTES("Status: 200OK\n\n"),
	"! a status that is not three digits"},
    {"Status 099", BYTES("Status: 099\n\n"), "! a status outside 100 to 599"},
    {"Status 600", BYTES("Status: 600\n\n"), "! a status outside 100 to 599"},
    {"duplicates are kept in order", BYTES("Set-Cookie: a=1\nX: y\nset-cookie: b=2\n\n"),
	"200 [-1] Set-Cookie=a=1;X=y;set-cookie=b=2; | "},
    {"values are trimmed", BYTES("A: \t b c \t\nB:\nC:d\n\n"), "200 [-1] A=b c;B=;C=d; | "},
    {"bytes above 0x7f", BYTES("A: \xc3\xa9\xff\n\n"), "200 [-1] A=\xc3\xa9\xff; | "},
    {"fields of the hop",
	BYTES("Connection: close\nA: 1\nTransfer-Encoding: chunked\nKeep-Alive: 5\n"
	      "Proxy-Connection: x\nTE: x\nTrailer: x\nUpgrade: x\n\n"),
	"200 [-1] A=1;Upgrade=x; dropped | "},
    {"Content-Length", BYTES("Content-Length: 5\n\nhello"), "200 [5] Content-Length=5; | hello"},
    {"Content-Length twice the same", BYTES("Content-Length: 5\ncontent-length: 05\n\nhello"),
	"200 [5] Content-Length=5; | hello"},
    {"Content-Length twice", BYTES("Content-Length: 5\nContent-Length: 6\n\n"),
	"! two Content-Length fields that differ"},
    {"Content-Length a list", BYTES("Content-Length: 5, 5\n\n"),
	"! a Content-Length that is not a number"},
    {"Content-Length signed", BYTES("Content-Length: +5\n\n"),
	"! a Content-Length that is not a number"},
    {"Content-Length empty", BYTES("Content-Length:\n\n"),
	"! a Content-Length that is not a number"},
    {"Content-Length 2^63-1", BYTES("Content-Length: 9223372036854775807\n\n"),
	"200 [9223372036854775807] Content-Length=9223372036854775807; | "},
    {"Content-Length 2^63", BYTES("Content-Length: 9223372036854775808\n\n"),
	"! a Content-Length that is not a number"},
    {"interim, then final", BYTES("Status: 103\nLink: </x>\n\nStatus: 200 OK\nA: 1\n\nbody"),
	"103 [-1] Link=</x>; 200 OK [-1] A=1; | body"},
    {"interim by NPH", BYTES("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
	"100 Continue [-1] 204 No [-1] | "},
    {"101 is final", BYTES("Status: 101\nUpgrade: x\n\nraw\n\n"), "101 [-1] Upgrade=x; | raw\n\n"},
    {"an end after interim", BYTES("Status: 103\n\n"),
	"103 [-1] ! an end after an interim response"},
    {"garbage after interim", BYTES("Status: 103\n\nhello\n"),
	"103 [-1] ! a header line without a colon"},
    {"nothing", BYTES(""), "! an end before the header"},
    {"an end within", BYTES("A: 1\n"), "! an end within the header"},
    {"an end within a line end", BYTES("A: 1\n\r"), "! an end within the header"},
    {"an empty line first", BYTES("\r\nA: 1\n\n"), "! an empty line where the header should begin"},
    {"a traceback", BYTES("Traceback (most recent call last):\n"), "! a header name with a space"},
    {"words", BYTES("hello\n"), "! a header line without a colon"},
    {"folding", BYTES("A: 1\n B: 2\n\n"), "! a header line that begins with a space"},
    {"a space before the colon", BYTES("A : 1\n\n"), "! a header name with a space"},
    {"no name", BYTES(": 1\n\n"), "! a header without a name"},
    {"a delimiter in the name", BYTES("A(: 1\n\n"),
	"! a header name with a character that is not allowed"},
    {"a byte above 0x7f in the name", BYTES("\xc3: 1\n\n"),
	"! a header name with a character that is not allowed"},
    {"CR inside", BYTES("A: 1\rB: 2\n\n"), "! a CR inside a header line"},
    {"CR CR LF", BYTES("A: 1\r\r\n\n"), "! a CR inside a header line"},
    {"NUL", BYTES("A: 1\0\n\n"), "! a NUL in a header line"},
    {"NUL in the phrase", BYTES("Status: 200 O\0K\n\n"), "! a NUL in a header line"},
    {"escape", BYTES("A: \x1b[0m\n\n"), "! a control character in a header line"},
    {"DEL", BYTES("A: \x7f\n\n"), "! a control character in a header line"},
};

#define CASES ((int)(sizeof cases / sizeof cases[0]))

/* --- what came out, as text --- */

struct outcome {
	struct pst_cgi_response *response;
	char text[4096];
	size_t length;
	int event;
};

static void __attribute__((format(printf, 2, 3)))
say(struct outcome *outcome, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(
	    outcome->text + outcome->length, sizeof outcome->text - outcome->length, format, args);
	va_end(args);
	ck_assert_int_ge(n, 0);
	outcome->length += (size_t)n;
	ck_assert_uint_lt(outcome->length, sizeof outcome->text);
}

static void
say_block(struct outcome *outcome)
{
	const struct pst_cgi_response *response = outcome->response;
	struct pst_http_text phrase = pst_cgi_response_phrase(response);
	const struct pst_cgi_field *fields;
	size_t count;

	say(outcome, "%u%s%.*s [%" PRId64 "] ", pst_cgi_response_status(response),
	    phrase.len ? " " : "", (int)phrase.len, phrase.data,
	    pst_cgi_response_content_length(response));
	fields = pst_cgi_response_fields(response, &count);
	for (size_t i = 0; i < count; i++)
		say(outcome, "%.*s=%.*s;", (int)fields[i].name.len, fields[i].name.data,
		    (int)fields[i].value.len, fields[i].value.data);
	if (count > 0)
		say(outcome, " ");
	if (pst_cgi_response_dropped_fields(response))
		say(outcome, "dropped ");
}

/* Feed a copy of exactly N bytes, so that a sanitizer sees a read beyond them. */
static void
feed(struct outcome *outcome, const char *bytes, size_t n)
{
	char *copy = malloc(n + 1), *at = copy;

	memcpy(copy, bytes, n);
	while (n > 0 && outcome->event >= 0 && outcome->event != PST_CGI_RESPONSE_HEAD) {
		size_t taken;

		outcome->event = pst_cgi_response_feed(outcome->response, at, n, &taken);
		if (outcome->event < 0)
			break;
		ck_assert_uint_le(taken, n);
		ck_assert(outcome->event != PST_CGI_RESPONSE_MORE || taken == n);
		if (outcome->event != PST_CGI_RESPONSE_MORE)
			say_block(outcome);
		if (outcome->event == PST_CGI_RESPONSE_HEAD)
			say(outcome, "| ");
		at += taken;
		n -= taken;
	}
	if (outcome->event == PST_CGI_RESPONSE_HEAD)
		say(outcome, "%.*s", (int)n, at);
	free(copy);
}

static void
finish(struct outcome *outcome)
{
	size_t taken;

	if (outcome->event >= 0 && outcome->event != PST_CGI_RESPONSE_HEAD)
		outcome->event = pst_cgi_response_end(outcome->response);
	if (outcome->event < 0) {
		say(outcome, "! %s", pst_cgi_response_reason(outcome->response));
		ck_assert_int_eq(
		    pst_cgi_response_feed(outcome->response, "A", 1, &taken), PST_ERR_CLOSED);
		ck_assert_int_eq(pst_cgi_response_end(outcome->response), PST_ERR_CLOSED);
	}
}

/* The bytes in pieces of CUT, then of STEP bytes; STEP 0: all the rest. */
static void
check_cut(const struct response_case *c, size_t cut, size_t step)
{
	struct outcome outcome = {.response = pst_cgi_response_new(NULL)};

	feed(&outcome, c->bytes, cut);
	for (size_t at = cut; at < c->length;) {
		size_t n = step && step < c->length - at ? step : c->length - at;

		feed(&outcome, c->bytes + at, n);
		at += n;
	}
	finish(&outcome);
	if (strcmp(outcome.text, c->expect) != 0)
		ck_abort_msg("%s, cut at %zu: got \"%s\", not \"%s\"", c->name, cut, outcome.text,
		    c->expect);
	pst_cgi_response_free(outcome.response);
}

START_TEST(test_case)
{
	const struct response_case *c = &cases[_i];

	check_cut(c, 0, 0);
	check_cut(c, 0, 1);
	for (size_t cut = 1; cut < c->length; cut++)
		check_cut(c, cut, 0);
}
END_TEST

/* --- limits --- */

static const struct pst_cgi_response_limits small = {.head = 20, .fields = 2, .interim = 2};

static const struct response_case limit_cases[] = {
    {"exactly the size", BYTES("A: 567890123456789\n\n|"), "200 [-1] A=567890123456789; | |"},
    {"one byte more", BYTES("A: 5678901234567890\n\n"), "! a header block that is too large"},
    {"a line without an end", BYTES("AAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
	"! a header block that is too large"},
    {"two lines", BYTES("A: 1\nB: 2\n\n"), "200 [-1] A=1;B=2; | "},
    {"three lines", BYTES("A: 1\nB: 2\nC: 3\n\n"), "! too many header lines"},
    {"two interim blocks", BYTES("Status: 100\n\nStatus: 100\n\nA: 1\n\n"),
	"100 [-1] 100 [-1] 200 [-1] A=1; | "},
    {"three interim blocks", BYTES("Status: 100\n\nStatus: 100\n\nStatus: 100\n\n"),
	"100 [-1] 100 [-1] ! too many interim responses"},
};

START_TEST(test_limit)
{
	const struct response_case *c = &limit_cases[_i];

	for (size_t step = 0; step < 3; step++) {
		struct outcome outcome = {.response = pst_cgi_response_new(&small)};

		for (size_t at = 0; at < c->length;) {
			size_t n = step && step < c->length - at ? step : c->length - at;

			feed(&outcome, c->bytes + at, n);
			at += n;
		}
		finish(&outcome);
		ck_assert_str_eq(outcome.text, c->expect);
		pst_cgi_response_free(outcome.response);
	}
}
END_TEST

/* --- memory and reuse --- */

static const char long_response[] =
    "Status: 103\nLink: </a>\n\nContent-Type: text/plain\nA: 1\nB: 2\nC: 3\n\nbody";

/* Feed it all with the nth allocation failing; without check, which allocates too. */
static int
feed_without_memory(struct pst_cgi_response *response, unsigned long nth)
{
	const char *at = long_response;
	size_t n = sizeof long_response - 1, taken;
	int event;

	failmalloc_count = 0;
	failmalloc_at = nth;
	do {
		event = pst_cgi_response_feed(response, at, n, &taken);
		at += taken;
		n -= taken;
	} while (event == PST_CGI_RESPONSE_INTERIM);
	failmalloc_at = 0;
	return event;
}

START_TEST(test_no_memory)
{
	unsigned long nth = 0;
	int event;

	do {
		struct pst_cgi_response *response = pst_cgi_response_new(NULL);

		event = feed_without_memory(response, ++nth);
		if (event < 0) {
			ck_assert_int_eq(event, PST_ERR_NOMEM);
			ck_assert_str_eq(pst_cgi_response_reason(response), "out of memory");
		}
		pst_cgi_response_free(response);
	} while (event < 0);
	ck_assert_int_eq(event, PST_CGI_RESPONSE_HEAD);
	ck_assert_uint_gt(nth, 2); /* the block and its fields */
}
END_TEST

START_TEST(test_no_memory_new)
{
	struct pst_cgi_response *response;

	failmalloc_count = 0;
	failmalloc_at = 1;
	response = pst_cgi_response_new(NULL);
	failmalloc_at = 0;
	ck_assert_ptr_null(response);
}
END_TEST

START_TEST(test_reset)
{
	struct outcome outcome = {.response = pst_cgi_response_new(NULL)};
	const struct pst_cgi_field *field;

	feed(&outcome, BYTES("Status: 500 X\nContent-Length: 3\nConnection: x\n\n"));
	pst_cgi_response_reset(outcome.response);
	outcome.event = 0;
	outcome.length = 0;
	feed(&outcome, BYTES("bad\n"));
	finish(&outcome);
	pst_cgi_response_reset(outcome.response);
	ck_assert_str_eq(pst_cgi_response_reason(outcome.response), "");
	outcome.event = 0;
	outcome.length = 0;
	feed(&outcome, BYTES("B: 1\nb: 2\n\n"));
	ck_assert_str_eq(outcome.text, "200 [-1] B=1;b=2; | ");
	field = pst_cgi_response_find(outcome.response, "b");
	ck_assert_ptr_nonnull(field);
	ck_assert_mem_eq(field->value.data, "1", 1);
	ck_assert_ptr_null(pst_cgi_response_find(outcome.response, "c"));
	pst_cgi_response_free(outcome.response);
	pst_cgi_response_free(NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cgi_response");
	TCase *parse = tcase_create("parse");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(parse, test_case, 0, CASES);
	tcase_add_loop_test(
	    parse, test_limit, 0, (int)(sizeof limit_cases / sizeof limit_cases[0]));
	tcase_add_test(parse, test_no_memory);
	tcase_add_test(parse, test_no_memory_new);
	tcase_add_test(parse, test_reset);
	suite_add_tcase(suite, parse);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
