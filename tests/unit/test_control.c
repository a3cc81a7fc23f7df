/* Control lines, there and back, and what is no line. */
#include "protocol/control.h"
#include "protocol/error.h"
#include "tests/unit/runner.h"

#include <string.h>

START_TEST(test_append)
{
	struct pst_buf out = {0};

	ck_assert_int_eq(pst_control_appendl(&out, "READY", NULL), 0);
	ck_assert_int_eq(pst_control_appendl(&out, "SET", "e", "", "a b%\n\x7f\xc3\xa9", NULL), 0);
	ck_assert_uint_eq(pst_buf_length(&out), 35);
	ck_assert_mem_eq(pst_buf_bytes(&out), "READY\nSET e % a%20b%25%0A%7F%C3%A9\n", 35);
	pst_buf_free(&out);
}
END_TEST

/* Every byte that a word can hold. */
START_TEST(test_round_trip)
{
	char word[256];
	struct pst_buf buf = {0};
	struct pst_control line;

	for (unsigned i = 0; i < 255; i++)
		word[i] = (char)(i + 1);
	word[255] = '\0';
	ck_assert_int_eq(pst_control_appendl(&buf, "A", word, "", word, NULL), 0);
	ck_assert_int_eq(pst_control_take(&buf, &line), 1);
	ck_assert_uint_eq(line.count, 4);
	ck_assert_str_eq(line.words[1], word);
	ck_assert_str_eq(line.words[2], "");
	ck_assert_str_eq(line.words[3], word);
	ck_assert_int_eq(pst_control_take(&buf, &line), 0);
	pst_buf_free(&buf);
}
END_TEST

START_TEST(test_is)
{
	struct pst_buf buf = {0};
	struct pst_control line;

	pst_buf_append(&buf, "SLOT up 3.17\n", 13);
	ck_assert_int_eq(pst_control_take(&buf, &line), 1);
	ck_assert(pst_control_is(&line, "SLOT"));
	ck_assert(pst_control_is(&line, "SLOT up"));
	ck_assert(pst_control_is(&line, "SLOT up 3.17"));
	ck_assert(!pst_control_is(&line, "SLOT up 3.17 x"));
	ck_assert(!pst_control_is(&line, "SLO"));
	ck_assert(!pst_control_is(&line, "SLOT u"));
	ck_assert(!pst_control_is(&line, "SLOT upper"));
	pst_buf_free(&buf);
}
END_TEST

/* Each is one bad line; the next one is good. */
static const char *const bad[] = {"", " ", " A", "A ", "A  B", "A\tB", "A\rB", "\x80", "%4", "%4 1",
    "%zz", "%00", "A%", "%%", "%2", "\x7f"};

START_TEST(test_bad)
{
	struct pst_buf buf = {0};
	struct pst_control line;

	pst_buf_append(&buf, bad[_i], strlen(bad[_i]));
	ck_assert_int_eq(pst_control_take(&buf, &line), 0);
	pst_buf_append(&buf, "\nGOOD %2f\n", 10);
	ck_assert_int_eq(pst_control_take(&buf, &line), PST_ERR_PROTOCOL);
	ck_assert_int_eq(pst_control_take(&buf, &line), 1);
	ck_assert_str_eq(line.words[0], "GOOD");
	ck_assert_str_eq(line.words[1], "/");
	pst_buf_free(&buf);
}
END_TEST

START_TEST(test_byte_by_byte)
{
	static const char bytes[] = "READY\nSLOT up 3.17 /run/a%20b\n";
	struct pst_buf buf = {0};
	struct pst_control line;
	unsigned lines = 0;

	for (size_t i = 0; i < sizeof bytes - 1; i++) {
		pst_buf_append(&buf, bytes + i, 1);
		if (bytes[i] != '\n') {
			ck_assert_int_eq(pst_control_take(&buf, &line), 0);
			continue;
		}
		ck_assert_int_eq(pst_control_take(&buf, &line), 1);
		lines++;
	}
	ck_assert_uint_eq(lines, 2);
	ck_assert_str_eq(line.words[3], "/run/a b");
	pst_buf_free(&buf);
}
END_TEST

/* The longest line, with its LF, and one byte more. */
START_TEST(test_length)
{
	char word[PST_CONTROL_LINE + 1];
	struct pst_buf buf = {0};
	struct pst_control line;

	memset(word, 'x', sizeof word);
	word[PST_CONTROL_LINE] = '\0';
	ck_assert_int_eq(pst_control_appendl(&buf, word, NULL), PST_ERR_LIMIT);
	word[PST_CONTROL_LINE - 1] = '\0';
	ck_assert_int_eq(pst_control_appendl(&buf, word, NULL), 0);
	ck_assert_uint_eq(pst_buf_length(&buf), PST_CONTROL_LINE);
	ck_assert_int_eq(pst_control_take(&buf, &line), 1);
	word[PST_CONTROL_LINE - 1] = 'x';
	pst_buf_append(&buf, word, PST_CONTROL_LINE - 1);
	ck_assert_int_eq(pst_control_take(&buf, &line), 0);
	pst_buf_append(&buf, word, 1);
	ck_assert_int_eq(pst_control_take(&buf, &line), PST_ERR_LIMIT);
	pst_buf_append(&buf, "\n", 1);
	ck_assert_int_eq(pst_control_take(&buf, &line), PST_ERR_LIMIT);
	pst_buf_free(&buf);
}
END_TEST

START_TEST(test_words)
{
	const char *words[PST_CONTROL_WORDS + 1];
	struct pst_buf buf = {0};
	struct pst_control line;

	for (unsigned i = 0; i <= PST_CONTROL_WORDS; i++)
		words[i] = "w";
	ck_assert_int_eq(pst_control_append(&buf, words, PST_CONTROL_WORDS + 1), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_control_append(&buf, words, PST_CONTROL_WORDS), 0);
	ck_assert_int_eq(pst_control_take(&buf, &line), 1);
	ck_assert_uint_eq(line.count, PST_CONTROL_WORDS);
	pst_buf_append(&buf, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", 42);
	ck_assert_int_eq(pst_control_take(&buf, &line), PST_ERR_LIMIT);
	pst_buf_free(&buf);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("control");

	tcase_add_test(tcase, test_append);
	tcase_add_test(tcase, test_round_trip);
	tcase_add_test(tcase, test_is);
	tcase_add_loop_test(tcase, test_bad, 0, (int)(sizeof bad / sizeof bad[0]));
	tcase_add_test(tcase, test_byte_by_byte);
	tcase_add_test(tcase, test_length);
	tcase_add_test(tcase, test_words);
	return run_case("control", tcase);
}
