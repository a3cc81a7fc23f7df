/*
 * What a worker prints becomes framed lines of the error log.
 */
#include "gateway/arbiter/output.h"
#include "gateway/log.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pst_outputs outputs;
static struct pst_output *output;
static int worker; /* the end that it writes to */
static int log_fd;

static void
set_up(void)
{
	char path[] = "/tmp/test_output.XXXXXX";
	int ends[2];

	log_fd = mkstemp(path);
	ck_assert_int_ge(log_fd, 0);
	unlink(path);
	ck_assert_int_eq(pst_log_open(fcntl(log_fd, F_DUPFD_CLOEXEC, 3), PST_LOG_INFO), 0);
	outputs.base = event_base_new();
	ck_assert_int_eq(event_base_priority_init(outputs.base, 2), 0);
	outputs.priority = 1;
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	worker = ends[1];
	output = pst_output_new(&outputs, ends[0], "3.17");
	ck_assert_ptr_nonnull(output);
	pst_output_set_pid(output, 42);
}

static void
tear_down(void)
{
	pst_outputs_close(&outputs);
	event_base_free(outputs.base);
	if (worker >= 0)
		close(worker);
	pst_log_close(1000);
	close(log_fd);
}

static void
turn(void)
{
	for (int i = 0; i < 50; i++)
		event_base_loop(outputs.base, EVLOOP_NONBLOCK);
}

static void
print(const char *text)
{
	ck_assert_int_eq(write(worker, text, strlen(text)), (ssize_t)strlen(text));
}

/* The log without its dates. */
static const char *
logged(void)
{
	static char text[65536];
	char raw[65536], *at = raw, *out = text;
	ssize_t n;

	ck_assert(pst_log_flush(1000));
	n = pread(log_fd, raw, sizeof(raw) - 1, 0);
	ck_assert_int_ge(n, 0);
	raw[n] = '\0';
	*out = '\0';
	while (*at) {
		char *end = strchr(at, '\n') + 1, *bracket = strchr(at, ']');

		ck_assert_ptr_nonnull(bracket);
		out = mempcpy(out, bracket + 2, (size_t)(end - bracket - 2));
		*out = '\0';
		at = end;
	}
	return text;
}

#define FRAME "[42] [INFO] worker 3.17: "

START_TEST(test_lines)
{
	print("one\ntwo\n\nth");
	turn();
	ck_assert_str_eq(logged(), FRAME "one\n" FRAME "two\n" FRAME "\n");
	print("ree\n");
	turn();
	ck_assert_str_eq(logged(), FRAME "one\n" FRAME "two\n" FRAME "\n" FRAME "three\n");
}
END_TEST

START_TEST(test_the_unfinished_line_of_a_dead_worker)
{
	print("one\nlast words");
	pst_output_finish(output, NULL);
	ck_assert_str_eq(logged(), FRAME "one\n" FRAME "last words\n");
}
END_TEST

static const struct {
	const char *printed, *said;
} reasons[] = {
    {"", ""},
    {"one\n\ntwo", "two"},
    {"one\n<6>two\n\n", "two"},
    {"<3>cannot load x\n<2>it ends\nmore\n", "cannot load x"},
    {"<3>first\n<3>second\n", "second"},
};

START_TEST(test_what_tells_why)
{
	char said[PST_OUTPUT_SAID] = "?";

	print(reasons[_i].printed);
	pst_output_finish(output, said);
	ck_assert_str_eq(said, reasons[_i].said);
}
END_TEST

/* A line that is longer is cut, and its later pieces are no lines. */
START_TEST(test_a_reason_is_cut)
{
	char text[3 * PST_OUTPUT_LINE], said[PST_OUTPUT_SAID];

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "<3>begin", 8);
	text[sizeof(text) - 1] = '\0';
	print(text);
	turn();
	pst_output_finish(output, said);
	ck_assert_uint_eq(strlen(said), PST_OUTPUT_SAID - 1);
	ck_assert_int_eq(strncmp(said, "beginxxx", 8), 0);
}
END_TEST

START_TEST(test_its_subprocess_writes_on)
{
	print("worker\n");
	pst_output_finish(output, NULL);
	print("child\nof it");
	turn();
	ck_assert_str_eq(logged(), FRAME "worker\n" FRAME "child\n");
	close(worker);
	worker = -1;
	turn();
	ck_assert_str_eq(logged(), FRAME "worker\n" FRAME "child\n" FRAME "of it\n");
	ck_assert_ptr_null(outputs.first);
}
END_TEST

START_TEST(test_a_worker_that_closed_its_output_before_it_exits)
{
	print("x");
	close(worker);
	worker = -1;
	turn();
	ck_assert_str_eq(logged(), FRAME "x\n");
	ck_assert_ptr_nonnull(outputs.first);
	pst_output_finish(output, NULL);
	ck_assert_ptr_null(outputs.first);
}
END_TEST

START_TEST(test_a_long_line_comes_in_pieces)
{
	char text[2 * PST_OUTPUT_LINE + 11], expect[3 * PST_OUTPUT_LINE];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	print(text);
	turn();
	snprintf(expect, sizeof(expect), FRAME "%.*s\n" FRAME "%.*s\n" FRAME "xxxxxxxxx\n",
	    PST_OUTPUT_LINE, text, PST_OUTPUT_LINE, text);
	ck_assert_str_eq(logged(), expect);
}
END_TEST

START_TEST(test_no_forged_lines)
{
	print("\r[2026-01-01 00:00:00 +0000] [1] [INFO] \x1b[31mforged\n");
	turn();
	ck_assert_str_eq(
	    logged(), FRAME "\\r[2026-01-01 00:00:00 +0000] [1] [INFO] \\x1b[31mforged\n");
}
END_TEST

#define LEVEL(level) "[42] [" level "] worker 3.17: "

START_TEST(test_levels)
{
	print("<0>a\n<2>b\n<3>c\n<4>d\n<5>e\n<6>f\n<7>hidden\n");
	turn();
	ck_assert_str_eq(
	    logged(), LEVEL("CRITICAL") "a\n" LEVEL("CRITICAL") "b\n" LEVEL("ERROR") "c\n" LEVEL(
			  "WARNING") "d\n" LEVEL("INFO") "e\n" LEVEL("INFO") "f\n");
}
END_TEST

START_TEST(test_what_is_no_level)
{
	print("<8>a\n<3\n<33>b\n <3>c\n<>\n<\nx<3>\n<3>\n");
	turn();
	ck_assert_str_eq(logged(), FRAME "<8>a\n" FRAME "<3\n" FRAME "<33>b\n" FRAME " <3>c\n" FRAME
					 "<>\n" FRAME "<\n" FRAME "x<3>\n" LEVEL("ERROR") "\n");
}
END_TEST

START_TEST(test_a_levels_setting_hides_only_what_says_its_level)
{
	pst_log_set_level(PST_LOG_ERROR);
	print("<6>hidden\n<4>hidden\nplain\n<3>shown\n");
	turn();
	ck_assert_str_eq(logged(), FRAME "plain\n" LEVEL("ERROR") "shown\n");
}
END_TEST

START_TEST(test_the_pieces_of_a_line_have_one_level)
{
	char text[PST_OUTPUT_LINE + 8], expect[2 * PST_OUTPUT_LINE];

	memcpy(text, "<3>", 3);
	memset(text + 3, 'x', sizeof(text) - 3);
	memcpy(text + PST_OUTPUT_LINE, "<6>\n", 5);
	print(text);
	turn();
	snprintf(expect, sizeof(expect), LEVEL("ERROR") "%.*s\n" LEVEL("ERROR") "<6>\n",
	    PST_OUTPUT_LINE - 3, text + 3);
	ck_assert_str_eq(logged(), expect);
	print("next\n");
	turn();
	ck_assert_ptr_nonnull(strstr(logged(), FRAME "next\n"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("output");
	TCase *lines = tcase_create("lines");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(lines, set_up, tear_down);
	tcase_add_test(lines, test_lines);
	tcase_add_test(lines, test_the_unfinished_line_of_a_dead_worker);
	tcase_add_loop_test(lines, test_what_tells_why, 0, sizeof(reasons) / sizeof(reasons[0]));
	tcase_add_test(lines, test_a_reason_is_cut);
	tcase_add_test(lines, test_its_subprocess_writes_on);
	tcase_add_test(lines, test_a_worker_that_closed_its_output_before_it_exits);
	tcase_add_test(lines, test_a_long_line_comes_in_pieces);
	tcase_add_test(lines, test_no_forged_lines);
	tcase_add_test(lines, test_levels);
	tcase_add_test(lines, test_what_is_no_level);
	tcase_add_test(lines, test_a_levels_setting_hides_only_what_says_its_level);
	tcase_add_test(lines, test_the_pieces_of_a_line_have_one_level);
	suite_add_tcase(suite, lines);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
