/* The access log's formats and lines. */
#include "gateway/front/access_log.h"
#include "gateway/front/base64.h"
#include "protocol/error.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define TEXT(literal)                                                                              \
	{                                                                                          \
		(literal), sizeof(literal) - 1                                                     \
	}

struct known {
	enum pst_access_lookup what;
	const char *name;
	struct pst_http_text value;
};

static const struct known known[] = {
    {PST_ACCESS_REQUEST_FIELD, "referer", TEXT("http://h/\"x\"")},
    {PST_ACCESS_REQUEST_FIELD, "user-agent", TEXT("curl/7\n[forged] \\ \x7f\xc3\xa9")},
    {PST_ACCESS_REQUEST_FIELD, "x-empty", TEXT("")},
    {PST_ACCESS_REQUEST_FIELD, "authorization", TEXT("basic  am9lOnNlY3JldA==")},
    {PST_ACCESS_RESPONSE_FIELD, "content-type", TEXT("text/plain")},
    {PST_ACCESS_VARIABLE, "server_name", TEXT("h")},
};

static bool
lookup(
    void *arg, enum pst_access_lookup what, struct pst_http_text name, struct pst_http_text *value)
{
	(void)arg;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (known[i].what != what || strlen(known[i].name) != name.len ||
		    strncasecmp(known[i].name, name.data, name.len) != 0)
			continue;
		*value = known[i].value;
		return true;
	}
	return false;
}

static const struct pst_access_entry full = {
    .client = TEXT("192.0.2.7"),
    .request_line = TEXT("GET /a?b=c HTTP/1.1"),
    .method = TEXT("GET"),
    .path = TEXT("/a"),
    .query = TEXT("b=c"),
    .protocol = TEXT("HTTP/1.1"),
    .worker = TEXT("3.17"),
    .pool = TEXT("web"),
    .status = 200,
    .sent = 1234,
    .time = {.tv_sec = 1795379482},
    .duration_us = 12034567,
    .queue_us = 1500,
    .cpu_us = 250,
    .waited_us = 3000000,
    .lag_us = 0,
    .lookup = lookup,
};

static const struct pst_access_entry bare = {
    .sent = -1, .queue_us = -1, .cpu_us = -1, .waited_us = -1, .lag_us = -1};

static const struct {
	const char *format;
	const struct pst_access_entry *entry;
	const char *expect;
} lines[] = {
    {PST_ACCESS_LOG_DEFAULT, &full,
	"192.0.2.7 - joe [22/Nov/2026:20:31:22 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234 "
	"\"http://h/\\\"x\\\"\" \"curl/7\\x0a[forged] \\\\ \\x7f\\xc3\\xa9\"\n"},
    {PST_ACCESS_LOG_DEFAULT, &bare, "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - - \"-\" \"-\"\n"},
    {"%(m)s %(U)s %(q)s %(H)s %(B)s", &full, "GET /a b=c HTTP/1.1 1234\n"},
    {"<%(m)s %(U)s %(q)s %(H)s %(B)s>", &bare, "<-   - ->\n"},
    {"%(T)s %(M)s %(D)s %(L)s", &full, "12 12034 12034567 12.034567\n"},
    {"%(T)s %(M)s %(D)s %(L)s", &bare, "0 0 0 0.000000\n"},
    {"%({worker}x)s %({queue}x)s", &full, "3.17 0.001500\n"},
    {"%({cpu}x)s %({waited}x)s %({lag}x)s", &full, "0.000250 3.000000 0.000000\n"},
    {"%({cpu}x)s %({waited}x)s %({lag}x)s", &bare, "- - -\n"},
    {"%({pool}x)s", &full, "web\n"},
    {"%({WORKER}x)s %({queue}x)s", &bare, "- -\n"},
    {"%({Referer}i)s %({X-Empty}i)s %({none}i)s", &full, "http://h/\\\"x\\\" - -\n"},
    {"%({Content-Type}o)s %({referer}o)s", &full, "text/plain -\n"},
    {"%({SERVER_NAME}e)s %({HTTP_HOST}e)s", &full, "h -\n"},
    {"%({a}i)s", &bare, "-\n"},
    {"%%%(s)s%%%%x%%", &full, "%200%%x%\n"},
    {"", &full, "\n"},
    {"plain", &full, "plain\n"},
    {"[%(s)5s] [%(s)-5s] [%(s)d] [%(r).3s] [%(r)6.3s]", &full,
	"[  200] [200  ] [200] [GET] [   GET]\n"},
    {"[%(f).10s] [%(f).11s]", &full, "[http://h/] [http://h/\\\"]\n"},
};

static void
set_up(void)
{
	setenv("TZ", "UTC0", 1);
	tzset();
}

static struct pst_access_log *
compile(const char *format)
{
	const char *reason;
	size_t at;
	struct pst_access_log *log = pst_access_log_compile(format, &reason, &at);

	if (!log)
		ck_abort_msg("%s: %s at %zu", format, reason, at);
	ck_assert_ptr_null(reason);
	return log;
}

static void
expect_line(struct pst_access_log *log, const struct pst_access_entry *entry, const char *expected)
{
	struct pst_buf out = {0};

	ck_assert_int_eq(pst_buf_append(&out, "before\n", 7), 0);
	ck_assert_int_eq(pst_access_log_format(log, entry, &out), 0);
	ck_assert_int_eq(pst_buf_append(&out, "", 1), 0);
	ck_assert_str_eq((char *)pst_buf_bytes(&out) + 7, expected);
	pst_buf_free(&out);
}

START_TEST(test_line)
{
	struct pst_access_log *log = compile(lines[_i].format);

	expect_line(log, lines[_i].entry, lines[_i].expect);
	expect_line(log, lines[_i].entry, lines[_i].expect);
	pst_access_log_free(log);
}
END_TEST

START_TEST(test_pid_and_dates)
{
	struct pst_access_log *log = compile("%(p)s %(t)s");
	struct pst_access_entry entry = full;
	char expected[80];

	for (int i = 0; i < 3; i++) {
		snprintf(expected, sizeof expected, "<%ld> [22/Nov/2026:20:31:2%d +0000]\n",
		    (long)getpid(), 2 + i);
		entry.time.tv_sec = full.time.tv_sec + i;
		expect_line(log, &entry, expected);
	}
	pst_access_log_free(log);
}
END_TEST

static const struct {
	const char *format;
	const char *reason;
	size_t at;
} mistakes[] = {
    {"ab %(z)s", "unknown atom", 3},
    {"%()s", "unknown atom", 0},
    {"%(hh)s", "unknown atom", 0},
    {"%({}i)s", "unknown atom", 0},
    {"%({a}z)s", "unknown atom", 0},
    {"%({a)s", "unknown atom", 0},
    {"%({host}x)s", "unknown atom", 0},
    {"x%(h", "no ) after %(", 1},
    {"%h", "% without (ATOM)s; a percent sign is %%", 0},
    {"100%", "% without (ATOM)s; a percent sign is %%", 3},
    {"%(h)", "no s after %(...)", 0},
    {"%(h)x", "no s after %(...)", 0},
    {"%(h)257s", "a width above 256", 0},
    {"%(h)99999999999999999999s", "a width above 256", 0},
    {"%(h).257s", "a precision above 256", 0},
    {"a\nb", "a control character", 0},
};

START_TEST(test_mistake)
{
	const char *reason = NULL;
	size_t at = 999;

	ck_assert_ptr_null(pst_access_log_compile(mistakes[_i].format, &reason, &at));
	ck_assert_str_eq(reason, mistakes[_i].reason);
	ck_assert_uint_eq(at, mistakes[_i].at);
}
END_TEST

/* Whatever bytes the values hold: one LF, at the end, and quotes only where the format has them. */
START_TEST(test_no_forged_line)
{
	struct pst_access_log *log = compile("\"%(r)s\" \"%(h)s\" %({X-Y}o)s");
	char bytes[256];
	struct pst_access_entry entry = bare;
	struct pst_buf out = {0};
	unsigned quotes = 0;

	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	entry.request_line = entry.client = (struct pst_http_text){bytes, sizeof bytes};
	ck_assert_int_eq(pst_access_log_format(log, &entry, &out), 0);
	for (size_t i = 0; i < out.end; i++) {
		unsigned char c = out.data[i];

		ck_assert(c == '\n' ? i == out.end - 1 : c >= 0x20 && c < 0x7f);
		quotes += c == '"' && out.data[i ? i - 1 : 0] != '\\';
	}
	ck_assert_uint_eq(quotes, 4);
	pst_buf_free(&out);
	pst_access_log_free(log);
}
END_TEST

START_TEST(test_base64)
{
	char text[16];

	ck_assert_uint_eq(pst_base64_decode(text, sizeof text, "Zm9vYmFy", 8), 6);
	ck_assert_mem_eq(text, "foobar", 6);
	ck_assert_uint_eq(pst_base64_decode(text, sizeof text, "Zm9vYg==", 8), 4);
	ck_assert_uint_eq(pst_base64_decode(text, sizeof text, "Zm9vYg", 6), 4);
	ck_assert_uint_eq(pst_base64_decode(text, sizeof text, "+/", 2), 1);
	ck_assert_uint_eq((unsigned char)text[0], 0xfb);
	ck_assert_uint_eq(pst_base64_decode(text, sizeof text, "Zm*9v", 5), 1);
	ck_assert_uint_eq(pst_base64_decode(text, 2, "Zm9vYmFy", 8), 2);
	ck_assert_uint_eq(pst_base64_decode(text, sizeof text, "", 0), 0);
}
END_TEST

START_TEST(test_no_memory)
{
	struct pst_access_log *log = NULL;
	struct pst_buf out = {0};
	const char *reason;
	size_t at;
	int err;

	for (unsigned long nth = 1; nth <= 2; nth++) {
		failmalloc_count = 0;
		failmalloc_at = nth;
		log = pst_access_log_compile(PST_ACCESS_LOG_DEFAULT, &reason, &at);
		failmalloc_at = 0;
		ck_assert_ptr_null(log);
		ck_assert_str_eq(reason, "out of memory");
	}
	log = compile("%(h)s %(r)s");
	failmalloc_count = 0;
	failmalloc_at = 1;
	err = pst_access_log_format(log, &full, &out);
	failmalloc_at = 0;
	ck_assert_int_eq(err, PST_ERR_NOMEM);
	ck_assert_uint_eq(pst_buf_length(&out), 0);
	ck_assert_int_eq(pst_access_log_format(log, &full, &out), 0);
	pst_buf_free(&out);
	pst_access_log_free(log);
	pst_access_log_free(NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("access_log");
	TCase *tcase = tcase_create("access_log");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_loop_test(tcase, test_line, 0, (int)(sizeof lines / sizeof lines[0]));
	tcase_add_test(tcase, test_pid_and_dates);
	tcase_add_loop_test(tcase, test_mistake, 0, (int)(sizeof mistakes / sizeof mistakes[0]));
	tcase_add_test(tcase, test_no_forged_line);
	tcase_add_test(tcase, test_base64);
	tcase_add_test(tcase, test_no_memory);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
