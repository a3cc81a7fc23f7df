/* Dates (RFC 9110, 5.6.7), status phrases and the character classes. */
#include "gateway/front/http_chars.h"
#include "gateway/front/http_date.h"
#include "gateway/front/http_field.h"
#include "gateway/front/http_scan.h"
#include "gateway/front/http_status.h"
#include "protocol/error.h"

#include <check.h>
#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	int64_t now;
	const char *text;
} dates[] = {
    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
    {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
    {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
    {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
    {2147483648, "Tue, 19 Jan 2038 03:14:08 GMT"},
    {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
    {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    {253402300800, "Fri, 31 Dec 9999 23:59:59 GMT"},
    {-1, "Thu, 01 Jan 1970 00:00:00 GMT"},
};

START_TEST(test_date)
{
	char text[PST_HTTP_DATE_LEN + 1];

	pst_http_date_format(dates[_i].now, text);
	ck_assert_str_eq(text, dates[_i].text);
}
END_TEST

/* Every day of 400 years, as libc has it. */
START_TEST(test_date_libc)
{
	char text[PST_HTTP_DATE_LEN + 1], expect[64];

	for (int64_t day = 0; day < 146097; day++) {
		time_t now = (time_t)(day * 86400 + day % 86400);
		struct tm tm;

		strftime(expect, sizeof(expect), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
		pst_http_date_format(now, text);
		ck_assert_str_eq(text, expect);
	}
}
END_TEST

START_TEST(test_date_cache)
{
	struct pst_http_date date = {0};

	ck_assert_str_eq(pst_http_date_at(&date, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
	ck_assert_str_eq(pst_http_date_at(&date, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
	ck_assert_str_eq(pst_http_date_at(&date, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
	ck_assert_str_eq(pst_http_date_at(&date, 784111778), "Sun, 06 Nov 1994 08:49:38 GMT");
}
END_TEST

START_TEST(test_phrase)
{
	ck_assert_str_eq(pst_http_status_phrase(200), "OK");
	ck_assert_str_eq(pst_http_status_phrase(413), "Content Too Large");
	ck_assert_str_eq(pst_http_status_phrase(511), "Network Authentication Required");
	ck_assert_str_eq(pst_http_status_phrase(199), "Informational");
	ck_assert_str_eq(pst_http_status_phrase(299), "Success");
	ck_assert_str_eq(pst_http_status_phrase(399), "Redirection");
	ck_assert_str_eq(pst_http_status_phrase(499), "Client Error");
	ck_assert_str_eq(pst_http_status_phrase(599), "Server Error");
	ck_assert_str_eq(pst_http_status_phrase(0), "Unknown");
	ck_assert_str_eq(pst_http_status_phrase(600), "Unknown");
}
END_TEST

#define ALNUM "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool
among(int byte, const char *set)
{
	return byte != 0 && strchr(set, byte) != NULL;
}

/* The table against the grammars, written down a second time. */
START_TEST(test_classes)
{
	for (int b = 0; b < 256; b++) {
		unsigned char c = (unsigned char)b;
		bool text = b == '\t' || (b >= 0x20 && b != 0x7f);

		ck_assert_int_eq(pst_http_is(c, PST_HTTP_TCHAR), among(b, ALNUM "!#$%&'*+-.^_`|~"));
		ck_assert_int_eq(pst_http_is(c, PST_HTTP_VALUE), text);
		ck_assert_int_eq(pst_http_is(c, PST_HTTP_TARGET), b > 0x20 && b < 0x7f && b != '#');
		ck_assert_int_eq(pst_http_is(c, PST_HTTP_REGNAME), among(b, ALNUM "-._~"
										  "!$&'()*+,;="));
		ck_assert_int_eq(pst_http_is(c, PST_HTTP_DIGIT), among(b, "0123456789"));
		ck_assert_int_eq(pst_http_is(c, PST_HTTP_HEX), among(b, "0123456789abcdefABCDEF"));
		ck_assert_int_eq(pst_http_is(c, PST_HTTP_QDTEXT), text && b != '"' && b != '\\');
	}
}
END_TEST

/* Every byte at every place of texts that are shorter and longer than a vector. */
START_TEST(test_is_value)
{
	char bytes[50];

	for (size_t n = 0; n <= sizeof bytes; n++) {
		struct pst_http_text text = {bytes, n};

		memset(bytes, 'v', sizeof bytes);
		ck_assert(pst_http_is_value(text));
		for (size_t at = 0; at < n; at++) {
			for (int c = 0; c < 256; c++) {
				bytes[at] = (char)c;
				ck_assert(pst_http_is_value(text) ==
					  pst_http_is((unsigned char)c, PST_HTTP_VALUE));
			}
			bytes[at] = 'v';
		}
	}
}
END_TEST

/* How far C at place AT of N bytes lets a run of either kind go. */
static bool
is_run(const char *bytes, size_t n, size_t at, int c)
{
	bool plain = (c < 128 && isalnum(c)) || c == '-';
	bool rare = !plain && pst_http_is((unsigned char)c, PST_HTTP_PLAIN);
	bool value = pst_http_is((unsigned char)c, PST_HTTP_VALUE);
	size_t run = pst_http_plain_run(bytes, bytes + n);

	/* Rare ones may be left to others. */
	return (run == (plain ? n : at) || (rare && run == n)) &&
	       pst_http_value_run(bytes, bytes + n) == (value ? n : at);
}

/* Every byte at every place: what is found 16 bytes at a time and by one is the same. */
START_TEST(test_runs)
{
	char bytes[40];
	bool good = true;

	memset(bytes, 'v', sizeof bytes);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		for (size_t at = 0; at < n; at++) {
			for (int c = 0; c < 256; c++) {
				bytes[at] = (char)c;
				good &= is_run(bytes, n, at, c);
			}
			bytes[at] = 'v';
		}
	}
	ck_assert(good);
}
END_TEST

/* A line that is scanned gives the same field as when it is parsed; others are not scanned. */
START_TEST(test_field_scan)
{
	static const char *const lines[] = {
	    "Host: h\r\n",
	    "Accept:*/*\r\n",
	    "X-Empty:\r\n",
	    "User-Agent: \t Mozilla/5.0 (X11; Linux x86_64) \t\r\n",
	    "Upgrade-Insecure-Requests: 1\r\n",
	    "TE: trailers\r\n",
	};
	static const char *const others[] = {"", "\r\n", ": v\r\n", "a_b: v\r\n", "a : v\r\n",
	    " a: v\r\n", "a: v\n", "a: v\rb\r\n", "a: v\r", "a: v", "a", "a\r\nb: c\r\n"};
	struct pst_http_field scanned, parsed;
	const char *reason;

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		const char *line = lines[i];
		size_t n = strlen(line);

		ck_assert_uint_eq(pst_http_field_scan(&scanned, line, line + n), n);
		ck_assert_int_eq(
		    pst_http_field_parse(&parsed, (struct pst_http_text){line, n - 2}, &reason), 0);
		ck_assert_mem_eq(&scanned, &parsed, offsetof(struct pst_http_field, hop));
		ck_assert(scanned.hop == parsed.hop && scanned.plain == parsed.plain);
		for (size_t less = 0; less < n; less++)
			ck_assert_uint_eq(pst_http_field_scan(&scanned, line, line + less), 0);
	}
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		ck_assert_uint_eq(
		    pst_http_field_scan(&scanned, others[i], others[i] + strlen(others[i])), 0);
}
END_TEST

START_TEST(test_text_is)
{
	ck_assert(pst_http_text_is((struct pst_http_text){"CLOSE", 5}, "close"));
	ck_assert(!pst_http_text_is((struct pst_http_text){"close", 4}, "close"));
	ck_assert(!pst_http_text_is((struct pst_http_text){"closed", 6}, "close"));
	ck_assert(!pst_http_text_is((struct pst_http_text){"cl\0se", 5}, "close"));
	ck_assert(pst_http_text_is((struct pst_http_text){NULL, 0}, ""));
	/* 0x4b with bit 5 set is k, but so is no other byte: U+212A folds to k elsewhere. */
	ck_assert(!pst_http_text_is((struct pst_http_text){"chun\xe2\x84\xaa"
							   "ed",
					9},
	    "chunked"));
}
END_TEST

/* Every byte at every place of words of every length, as tolower() has it. */
START_TEST(test_letters)
{
	static const char word[] = "transfer-encoding-at";
	char text[sizeof(word)];

	for (size_t n = 1; n < sizeof(word); n++) {
		memcpy(text, word, sizeof(word));
		for (size_t at = 0; at < n; at++) {
			for (int byte = 0; byte < 256; byte++) {
				text[at] = (char)byte;
				ck_assert(pst_http_same_letters(text, word, n) ==
					  ((byte < 128 ? tolower(byte) : byte) ==
					      (unsigned char)word[at]));
			}
			text[at] = (char)toupper(word[at]);
		}
		ck_assert(pst_http_same_letters(text, word, n));
	}
}
END_TEST

START_TEST(test_number)
{
	uint64_t n = 7;

	ck_assert_int_eq(pst_http_number((struct pst_http_text){"", 0}, &n), PST_ERR_PROTOCOL);
	ck_assert_int_eq(pst_http_number((struct pst_http_text){"1a", 2}, &n), PST_ERR_PROTOCOL);
	ck_assert_int_eq(
	    pst_http_number((struct pst_http_text){"9223372036854775808", 19}, &n), PST_ERR_LIMIT);
	ck_assert_uint_eq(n, 7);
	ck_assert_int_eq(pst_http_number((struct pst_http_text){"9223372036854775807", 19}, &n), 0);
	ck_assert_uint_eq(n, INT64_MAX);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_words");
	TCase *tcase = tcase_create("words");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, test_date, 0, sizeof(dates) / sizeof(dates[0]));
	tcase_add_test(tcase, test_date_libc);
	tcase_add_test(tcase, test_date_cache);
	tcase_add_test(tcase, test_phrase);
	tcase_add_test(tcase, test_classes);
	tcase_add_test(tcase, test_is_value);
	tcase_add_test(tcase, test_runs);
	tcase_add_test(tcase, test_field_scan);
	tcase_add_test(tcase, test_text_is);
	tcase_add_test(tcase, test_letters);
	tcase_add_test(tcase, test_number);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
