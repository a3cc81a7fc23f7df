/*
 * What STATUS is answered: made into lines, read back, and shown.
 */
#include "gateway/report.h"
#include "gateway/ctl/show.h"
#include "gateway/ctl/table.h"
#include "gateway/status_line.h"
#include "protocol/error.h"
#include "tests/unit/failmalloc.h"
#include "tests/unit/runner.h"

#include <stdio.h>
#include <string.h>

/* Take all lines of BUF, in pieces of STEP bytes: the first error, or 0. */
static int
take_all(struct pst_report *report, const struct pst_buf *buf, size_t step)
{
	struct pst_buf in = {0};
	struct pst_control line;
	int err = 0;

	for (size_t at = 0; at < pst_buf_length(buf); at += step) {
		size_t left = pst_buf_length(buf) - at;

		if (pst_buf_append(&in, pst_buf_bytes(buf) + at, left < step ? left : step) != 0)
			break;
		while (err == 0 && pst_control_take(&in, &line) == 1)
			err = pst_report_take(report, &line);
	}
	pst_buf_free(&in);
	return err;
}

static void
take_text(struct pst_report *report, const char *text)
{
	struct pst_buf buf = {0};

	ck_assert_int_eq(pst_buf_append(&buf, text, strlen(text)), 0);
	ck_assert_int_eq(take_all(report, &buf, 7), 0);
	pst_buf_free(&buf);
}

START_TEST(test_more_facts_than_a_line_has)
{
	struct pst_status_line line;
	struct pst_report report;
	struct pst_buf buf = {0};
	char keys[20][8];
	const struct pst_thing *thing;

	pst_status_begin(&line, &buf, "worker", "web.1.1");
	for (unsigned i = 0; i < 20; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%u", i);
		if (i % 2)
			pst_status_text(&line, keys[i], "a b%");
		else
			pst_status_number(&line, keys[i], i * (uint64_t)1000000000000);
	}
	ck_assert_int_eq(pst_status_end(&line), 0);
	pst_report_init(&report);
	ck_assert_int_eq(take_all(&report, &buf, 1), 0);
	thing = pst_report_next(&report, "worker", NULL);
	ck_assert_str_eq(thing->name, "web.1.1");
	ck_assert_ptr_null(pst_report_next(&report, "worker", thing));
	for (unsigned i = 0; i < 20; i++) {
		if (i % 2)
			ck_assert_str_eq(pst_thing_text(thing, keys[i]), "a b%");
		else
			ck_assert_uint_eq(
			    pst_thing_number(thing, keys[i]), i * (uint64_t)1000000000000);
	}
	pst_report_free(&report);
	pst_buf_free(&buf);
}
END_TEST

START_TEST(test_a_value_that_is_too_long_is_left_out)
{
	static char longest[PST_CONTROL_LINE];
	struct pst_status_line line;
	struct pst_buf buf = {0};

	memset(longest, 'x', sizeof(longest) - 1);
	pst_status_begin(&line, &buf, "worker", "1.1");
	pst_status_text(&line, "title", longest);
	ck_assert_int_eq(pst_status_end(&line), -1);
	ck_assert_uint_eq(pst_buf_length(&buf), 0);
	pst_buf_free(&buf);
}
END_TEST

START_TEST(test_what_is_said_last_counts)
{
	struct pst_report report;
	const struct pst_thing *thing;

	pst_report_init(&report);
	take_text(&report, "STATUS pool web kind app queued 1\nSTATUS worker 1.1 pid 5\n"
			   "STATUS pool web queued 27 % %\n");
	thing = pst_report_next(&report, "pool", NULL);
	ck_assert_uint_eq(pst_thing_number(thing, "queued"), 27);
	ck_assert_str_eq(pst_thing_text(thing, "kind"), "app");
	ck_assert_str_eq(pst_thing_text(thing, ""), "");
	ck_assert_ptr_null(pst_thing_text(thing, "pid"));
	ck_assert_uint_eq(pst_thing_number(NULL, "pid"), 0);
	pst_report_free(&report);
}
END_TEST

static const char *const strange[] = {
    "STATUS\n", "STATUS pool\n", "STATUS pool web queued\n", "OK pool web\n", "STATUS end\n"};

START_TEST(test_lines_of_another_kind)
{
	struct pst_report report;
	struct pst_buf buf = {0};

	pst_report_init(&report);
	ck_assert_int_eq(pst_buf_append(&buf, strange[_i], strlen(strange[_i])), 0);
	ck_assert_int_eq(take_all(&report, &buf, 3), PST_ERR_PROTOCOL);
	ck_assert_ptr_null(TAILQ_FIRST(&report.things));
	pst_report_free(&report);
	pst_buf_free(&buf);
}
END_TEST

START_TEST(test_without_memory)
{
	static const char text[] = "STATUS pool web kind app queued 1\nSTATUS pool web queued 2\n";
	struct pst_report report;
	struct pst_buf buf = {0};
	int err = PST_ERR_NOMEM, failures = 0;

	ck_assert_int_eq(pst_buf_append(&buf, text, sizeof(text) - 1), 0);
	while (err == PST_ERR_NOMEM) {
		pst_report_init(&report);
		failmalloc_count = 0;
		/* The first is the buffer of the lines. */
		failmalloc_at = (unsigned long)failures + 2;
		err = take_all(&report, &buf, sizeof(text));
		failmalloc_at = 0;
		failures += err == PST_ERR_NOMEM;
		pst_report_free(&report);
	}
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(failures, 4);
	pst_buf_free(&buf);
}
END_TEST

/* What REPORT looks like. */
static char *
shown(const struct pst_report *report)
{
	static char text[8192];
	FILE *out = tmpfile();
	size_t n;

	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(pst_show_report(report, out), 0);
	rewind(out);
	n = fread(text, 1, sizeof(text) - 1, out);
	text[n] = '\0';
	fclose(out);
	return text;
}

START_TEST(test_shown)
{
	struct pst_report report;

	pst_report_init(&report);
	take_text(&report,
	    "STATUS instance - version 1.2 pid 77 title shop phase serving uptime_ms 7980000 "
	    "log_level info\nSTATUS instance - reloads 3 reload failed\n"
	    "STATUS listener unix:/x url unix:/x\n"
	    "STATUS gateway - state usable pid 78 age_ms 61000 clients 2 requests 9\n");
	take_text(&report,
	    "STATUS pool web kind app workers 2 queued 1 requests 9 wait.count 4 wait.sum_us 6000\n"
	    "STATUS pool web wait.max_us 2500000 failed.502 1 failed.503 0 failed.504 2\n"
	    "STATUS worker web.1.1 pid 80 state usable age_ms 999 memory.rss 9 memory.pss 1048576\n"
	    "STATUS worker web.1.1 activity busy served 4 request GET%20/%1B[2J request_ms 1500\n"
	    "STATUS worker web.2.2 state backoff failures 3 retry_ms 400\n");
	ck_assert_str_eq(shown(&report),
	    "penstock 1.2 [shop] (pid 77): serving, up for 2 h 13 min\n"
	    "   listening at: unix:/x\n"
	    "   gateway: pid 78, usable for 1 min 1 s, 2 clients, 9 requests\n"
	    "   log level: info; reloads: 3 (the last one: failed)\n"
	    "\n"
	    "POOL  KIND  WORKERS  QUEUED  REQUESTS  MEAN WAIT  LONGEST  FAILED\n"
	    "web   app         2       1         9     1.5 ms    2.5 s  502: 1, 504: 2\n"
	    "\n"
	    "WORKER   PID  STATE                    AGE  SERVED   MEMORY  FAILURES  BUSY WITH\n"
	    "web.1.1   80  busy                999.0 ms       4  1.0 MiB            "
	    "GET /\\x1b[2J for 1.5 s\n"
	    "web.2.2       starts in 400.0 ms                                    3\n");
	pst_report_free(&report);
}
END_TEST

START_TEST(test_several_gateways_are_shown)
{
	struct pst_report report;

	pst_report_init(&report);
	take_text(&report,
	    "STATUS instance - version 1.2 pid 77 title shop phase serving uptime_ms 7980000 "
	    "log_level info\nSTATUS instance - reloads 0 reload none gateways_leaving 2\n"
	    "STATUS gateway 1 state usable pid 78 age_ms 61000 clients 2 requests 9\n"
	    "STATUS gateway 2 state backoff failures 1 retry_ms 400\n"
	    "STATUS worker 1.1 pid 80 gateway 1 state usable\n"
	    "STATUS worker 2.2 pid 81 gateway 2 state ready\n");
	ck_assert_str_eq(shown(&report),
	    "penstock 1.2 [shop] (pid 77): serving, up for 2 h 13 min\n"
	    "\n"
	    "   gateway 1: pid 78, usable for 1 min 1 s, 2 clients, 9 requests\n"
	    "   gateway 2: backoff, started again in 400.0 ms, does not say how it is\n"
	    "   older gateways that finish requests: 2\n"
	    "   log level: info; reloads: 0\n"
	    "\n"
	    "\n"
	    "\n"
	    "WORKER  PID  GATEWAY  STATE\n"
	    "1.1      80        1  usable\n"
	    "2.2      81        2  ready\n");
	pst_report_free(&report);
}
END_TEST

/* What gateways say of one pool: sums, but of a greatest the greatest. */
START_TEST(test_put_together)
{
	static const char *const said[] = {
	    "STATUS pool web kind app queued 3 oldest_ms 12 wait.sum_us 5 wait.max_us 4\n",
	    "STATUS pool web kind app queued 4 oldest_ms 11 wait.sum_us 6 wait.max_us 5\n",
	    "STATUS pool api kind app queued 1\nSTATUS pool web usage.lag_max_us 7\n",
	};
	static const char sum[] = "STATUS pool web kind app queued 7 oldest_ms 12 wait.sum_us 11 "
				  "wait.max_us 5 usage.lag_max_us 7\n"
				  "STATUS pool api kind app queued 1\n";
	struct pst_buf in = {0}, out = {0};
	struct pst_report report;
	struct pst_control line;

	pst_report_init(&report);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		ck_assert_int_eq(pst_buf_append(&in, said[i], strlen(said[i])), 0);
	while (pst_control_take(&in, &line) == 1)
		ck_assert_int_eq(pst_report_add(&report, &line), 0);
	ck_assert_int_eq(pst_report_write(&report, &out), 0);
	ck_assert_uint_eq(pst_buf_length(&out), sizeof(sum) - 1);
	ck_assert_mem_eq(pst_buf_bytes(&out), sum, sizeof(sum) - 1);
	pst_buf_free(&in);
	pst_buf_free(&out);
	pst_report_free(&report);
}
END_TEST

/* A penstock that says less, or nothing, is shown, too. */
START_TEST(test_an_empty_report_is_shown)
{
	struct pst_report report;

	pst_report_init(&report);
	ck_assert_ptr_nonnull(strstr(shown(&report), "does not say how it is"));
	take_text(&report, "STATUS worker 1.1\nSTATUS pool x\nSTATUS gateway -\n");
	(void)shown(&report);
	pst_report_free(&report);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("ctl_report");

	tcase_add_test(tcase, test_more_facts_than_a_line_has);
	tcase_add_test(tcase, test_a_value_that_is_too_long_is_left_out);
	tcase_add_test(tcase, test_what_is_said_last_counts);
	tcase_add_loop_test(
	    tcase, test_lines_of_another_kind, 0, sizeof(strange) / sizeof(strange[0]));
	tcase_add_test(tcase, test_shown);
	tcase_add_test(tcase, test_several_gateways_are_shown);
	tcase_add_test(tcase, test_put_together);
	tcase_add_test(tcase, test_an_empty_report_is_shown);
	tcase_add_test(tcase, test_without_memory);
	return run_case("ctl_report", tcase);
}
