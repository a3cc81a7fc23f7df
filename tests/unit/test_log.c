/* The error log's lines: gunicorn's format, and nothing that forges one. */
#include "gateway/escape.h"
#include "gateway/log.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LONG 60000

static int log_fd; /* ours; what was logged is read here */

static void
set_up(void)
{
	char path[] = "/tmp/penstock-log-XXXXXX";
	int fd;

	setenv("TZ", "XST-05:30", 1);
	tzset();
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	unlink(path);
	log_fd = dup(fd);
	ck_assert_int_eq(pst_log_open(fd, PST_LOG_DEBUG), 0);
	ck_assert_int_eq(pst_log_fd(), fd);
}

static void
tear_down(void)
{
	ck_assert(pst_log_close(LONG));
	close(log_fd);
}

/* What was logged so far. */
static const char *
logged(void)
{
	static char text[65536];
	ssize_t n;

	ck_assert(pst_log_flush(LONG));
	n = pread(log_fd, text, sizeof text - 1, 0);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

/* The message behind "[date] [pid] [LEVEL] " of the only line, whose LF is checked. */
static const char *
message(const char *level)
{
	const char *text = logged();
	char expected[64];

	snprintf(expected, sizeof expected, "] [%ld] [%s] ", (long)getpid(), level);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	ck_assert_mem_eq(text + 26, expected, strlen(expected));
	return text + 26 + strlen(expected);
}

START_TEST(test_format)
{
	time_t before = time(NULL);
	struct tm fields = {0};
	char zone[8];

	pst_log_info("worker %s: ready after %d ms", "3.17", 12);
	ck_assert_str_eq(message("INFO"), "worker 3.17: ready after 12 ms\n");
	ck_assert_int_eq(
	    sscanf(logged(), "[%d-%d-%d %d:%d:%d %6s", &fields.tm_year, &fields.tm_mon,
		&fields.tm_mday, &fields.tm_hour, &fields.tm_min, &fields.tm_sec, zone),
	    7);
	ck_assert_str_eq(zone, "+0530]");
	fields.tm_year -= 1900;
	fields.tm_mon--;
	fields.tm_isdst = -1;
	ck_assert_int_ge(mktime(&fields), before);
	ck_assert_int_le(mktime(&fields), time(NULL));
}
END_TEST

START_TEST(test_levels)
{
	enum pst_log_level level;

	pst_log_set_level(PST_LOG_WARNING);
	ck_assert(!pst_log_enabled(PST_LOG_INFO));
	pst_log_debug("no");
	pst_log_info("no");
	errno = EXDEV;
	pst_log_warning("yes");
	ck_assert_int_eq(errno, EXDEV);
	ck_assert_str_eq(message("WARNING"), "yes\n");
	ck_assert(pst_log_level_parse("Debug", &level));
	ck_assert_int_eq(level, PST_LOG_DEBUG);
	ck_assert(pst_log_level_parse("critical", &level));
	ck_assert_int_eq(level, PST_LOG_CRITICAL);
	ck_assert(!pst_log_level_parse("warn", &level));
	ck_assert(!pst_log_level_parse("", &level));
}
END_TEST

START_TEST(test_no_forged_line)
{
	pst_log_error("%s", "a\r\n[2026-11-22 20:31:22 +0000] [1] [INFO] forged\x1b[2J\x7f\t\x01");
	ck_assert_str_eq(message("ERROR"),
	    "a\\r\\n[2026-11-22 20:31:22 +0000] [1] [INFO] forged\\x1b[2J\\x7f\\t\\x01\n");
}
END_TEST

START_TEST(test_long_message)
{
	char *text = malloc(20000);
	const char *line;

	memset(text, 'x', 19999);
	text[19999] = '\0';
	pst_log_critical("%s", text);
	line = logged();
	ck_assert_uint_eq(strlen(line), PST_LOG_LINE);
	ck_assert_str_eq(line + PST_LOG_LINE - 5, "x...\n");
	free(text);
}
END_TEST

START_TEST(test_worker)
{
	pst_log_set_level(PST_LOG_CRITICAL);
	pst_log_worker(4711, "3.17", PST_LOG_ERROR, "ZeroDivisionError\0\nx", 20);
	ck_assert_ptr_nonnull(
	    strstr(logged(), "] [4711] [ERROR] worker 3.17: ZeroDivisionError\\x00\\nx\n"));
}
END_TEST

START_TEST(test_reopen)
{
	int old = log_fd, fd;
	char path[] = "/tmp/penstock-log-XXXXXX";

	pst_log_info("old");
	logged();
	fd = mkstemp(path);
	unlink(path);
	log_fd = dup(fd);
	pst_log_reopen(fd);
	pst_log_info("new");
	ck_assert_str_eq(message("INFO"), "new\n");
	ck_assert_int_eq(pst_log_fd(), fd);
	close(old);
}
END_TEST

START_TEST(test_closed)
{
	pst_log_info("yes");
	ck_assert_str_eq(message("INFO"), "yes\n");
	ck_assert(pst_log_close(LONG));
	pst_log_info("no");
	ck_assert_str_eq(message("INFO"), "yes\n");
	ck_assert_uint_eq(pst_log_dropped(), 0);
}
END_TEST

/* --- escaping --- */

static const struct {
	const char *bytes, *expect;
} escapes[] = {
    {"", ""},
    {"plain \\ text", "plain \\ text"},
    {"\n\r\t\v", "\\n\\r\\t\\x0b"},
    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"\xc2\x9b"
     "2J",
	"\\xc2\\x9b"
	"2J"}, /* CSI as one C1 character */
    {"\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"}, /* U+2028, U+2029 */
    {"\xc0\x8a", "\\xc0\\x8a"}, /* overlong LF */
    {"\xe0\x80\x8a", "\\xe0\\x80\\x8a"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
    {"\xe2\x82", "\\xe2\\x82"}, /* cut off */
    {"\xff\x80"
     "a",
	"\\xff\\x80"
	"a"},
};

START_TEST(test_escape)
{
	char text[128];
	size_t n = pst_escape_line(text, sizeof text, escapes[_i].bytes, strlen(escapes[_i].bytes));

	text[n] = '\0';
	ck_assert_str_eq(text, escapes[_i].expect);
}
END_TEST

/* Whatever the room: never beyond it, and cut only behind a whole character or escape. */
START_TEST(test_escape_cut)
{
	static const char bytes[] = "a\n\xc3\xa9\x01z";
	static const char whole[] = "a\\n\xc3\xa9\\x01z";
	size_t length = strlen(whole);

	for (size_t size = 3; size <= length + 2; size++) {
		char *text = malloc(size);
		size_t n = pst_escape_line(text, size, bytes, strlen(bytes));

		ck_assert_uint_le(n, size);
		if (size >= length) {
			ck_assert_uint_eq(n, length);
			ck_assert_mem_eq(text, whole, n);
		} else {
			size_t kept = n - 3;

			ck_assert_mem_eq(text + kept, "...", 3);
			ck_assert_mem_eq(text, whole, kept);
			ck_assert(kept == 0 || kept == 1 || kept == 3 || kept == 5 || kept == 9);
		}
		free(text);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *lines = tcase_create("lines"), *escape = tcase_create("escape");
	SRunner *runner;
	int failed;

	tcase_set_timeout(lines, 120);
	tcase_add_checked_fixture(lines, set_up, tear_down);
	tcase_add_test(lines, test_format);
	tcase_add_test(lines, test_levels);
	tcase_add_test(lines, test_no_forged_line);
	tcase_add_test(lines, test_long_message);
	tcase_add_test(lines, test_worker);
	tcase_add_test(lines, test_reopen);
	tcase_add_test(lines, test_closed);
	suite_add_tcase(suite, lines);
	tcase_add_loop_test(escape, test_escape, 0, (int)(sizeof escapes / sizeof escapes[0]));
	tcase_add_test(escape, test_escape_cut);
	suite_add_tcase(suite, escape);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
