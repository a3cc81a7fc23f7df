/* The head of a response: what is written, and all that is refused. */
#include "adapters/head.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct pst_buf out;
static struct pst_head_kept kept;
static char why[200];

static void
set_up(void)
{
	memset(why, 0, sizeof(why));
}

static void
tear_down(void)
{
	pst_buf_free(&out);
	pst_head_kept_free(&kept);
	memset(&kept, 0, sizeof(kept));
}

static struct pst_field
field(const char *name, const char *value)
{
	return (struct pst_field){name, strlen(name), value, strlen(value)};
}

static int
append(int status, const char *reason, const struct pst_field *fields, size_t count)
{
	return pst_head_append(&out, &kept, status, reason, fields, count, why, sizeof(why));
}

static void
assert_out(const char *expect)
{
	ck_assert_uint_eq(pst_buf_length(&out), strlen(expect));
	if (*expect)
		ck_assert_mem_eq(pst_buf_bytes(&out), expect, strlen(expect));
}

START_TEST(test_written)
{
	const struct pst_field fields[] = {
	    field("Content-Type", "text/plain"),
	    field("Set-Cookie", "a=1"),
	    field("Set-Cookie", "b=\xc3\xa9\t2"),
	    field("X-Empty", ""),
	    {"", 0, NULL, 0},
	};

	ck_assert_int_eq(append(200, NULL, fields, 4), PST_RESULT_OK);
	assert_out("Status: 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\n"
		   "Set-Cookie: b=\xc3\xa9\t2\r\nX-Empty: \r\n\r\n");
}
END_TEST

START_TEST(test_lengths_count)
{
	const struct pst_field longer = {"X-Name!\r", 6, "value\n", 5};

	ck_assert_int_eq(append(404, "Nowhere", &longer, 1), PST_RESULT_OK);
	assert_out("Status: 404 Nowhere\r\nX-Name: value\r\n\r\n");
}
END_TEST

static const struct {
	int status;
	const char *reason;
	const char *expect; /* NULL: refused */
} statuses[] = {
    {100, NULL, "Status: 100 Continue\r\n\r\n"},
    {103, NULL, "Status: 103 Early Hints\r\n\r\n"},
    {200, "", "Status: 200 \r\n\r\n"},
    {200, "O K\t\xe9", "Status: 200 O K\t\xe9\r\n\r\n"},
    {299, NULL, "Status: 299 Unknown\r\n\r\n"},
    {599, NULL, "Status: 599 Unknown\r\n\r\n"},
    {101, NULL, NULL},
    {99, NULL, NULL},
    {0, NULL, NULL},
    {-200, NULL, NULL},
    {600, NULL, NULL},
    {2000, NULL, NULL},
    {200, "O\rK", NULL},
    {200, "OK\n", NULL},
    {200, "\x7f", NULL},
    {200, "\x01", NULL},
};

START_TEST(test_status)
{
	int result = append(statuses[_i].status, statuses[_i].reason, NULL, 0);

	if (statuses[_i].expect) {
		ck_assert_int_eq(result, PST_RESULT_OK);
		assert_out(statuses[_i].expect);
		return;
	}
	ck_assert_int_eq(result, PST_RESULT_INVALID);
	assert_out("");
	ck_assert_str_ne(why, "");
}
END_TEST

static const struct {
	struct pst_field field;
	const char *why; /* NULL: allowed */
} fields[] = {
#define FIELD(name, value)                                                                         \
	{                                                                                          \
		name, sizeof(name) - 1, value, sizeof(value) - 1                                   \
	}
    {FIELD("a", "b"), NULL},
    {FIELD("!#$%&'*+-.^_`|~09azAZ", " \t!~\x80\xff"), NULL},
    {FIELD("Content-Length", "0"), NULL},
    {FIELD("Content-Length", "123456789012345678"), NULL},
    {FIELD("Upgrade-Insecure-Requests", "1"), NULL},
    {FIELD("X-Status", "1"), NULL},
    {FIELD("", "b"), "the name is empty"},
    {FIELD("a b", "c"), "byte 0x20 in the name"},
    {FIELD("a:", "c"), "byte 0x3a in the name"},
    {FIELD("a\r\nb", "c"), "byte 0x0d in the name"},
    {FIELD("a\0b", "c"), "byte 0x00 in the name"},
    {FIELD("\xc3\xa9", "c"), "byte 0xc3 in the name"},
    {FIELD("a\t", "c"), "byte 0x09 in the name"},
    {FIELD("a(", "c"), "byte 0x28 in the name"},
    {FIELD("a", "b\r"), "byte 0x0d in the value"},
    {FIELD("a", "\nb"), "byte 0x0a in the value"},
    {FIELD("a", "b\0"), "byte 0x00 in the value"},
    {FIELD("a", "\x1b[1m"), "byte 0x1b in the value"},
    {FIELD("a", "\x7f"), "byte 0x7f in the value"},
    {FIELD("Connection", "close"), "hop-by-hop"},
    {FIELD("connection", "close"), "hop-by-hop"},
    {FIELD("KEEP-ALIVE", "1"), "hop-by-hop"},
    {FIELD("Proxy-Authenticate", "Basic"), "hop-by-hop"},
    {FIELD("Proxy-Authorization", "Basic"), "hop-by-hop"},
    {FIELD("Proxy-Connection", "close"), "hop-by-hop"},
    {FIELD("TE", "trailers"), "hop-by-hop"},
    {FIELD("Trailer", "a"), "hop-by-hop"},
    {FIELD("Trailers", "a"), "hop-by-hop"},
    {FIELD("Transfer-Encoding", "chunked"), "hop-by-hop"},
    {FIELD("Upgrade", "websocket"), "hop-by-hop"},
    {FIELD("Status", "404 Not Found"), "the status is given apart"},
    {FIELD("Content-Length", ""), "is no length"},
    {FIELD("Content-Length", "-1"), "is no length"},
    {FIELD("Content-Length", "+1"), "is no length"},
    {FIELD("Content-Length", "1, 1"), "is no length"},
    {FIELD("content-length", "0x10"), "is no length"},
    {FIELD("Content-Length", "1234567890123456789"), "is no length"},
};

START_TEST(test_field)
{
	const struct pst_field two[] = {field("First", "one"), fields[_i].field};
	int result = append(200, NULL, two, 2);

	if (!fields[_i].why) {
		ck_assert_int_eq(result, PST_RESULT_OK);
		return;
	}
	ck_assert_int_eq(result, PST_RESULT_INVALID);
	assert_out("");
	ck_assert_msg(strncmp(why, "field 2", 7) == 0, "%s", why);
	ck_assert_msg(strstr(why, fields[_i].why) != NULL, "%s", why);
}
END_TEST

START_TEST(test_two_lengths)
{
	const struct pst_field two[] = {
	    field("Content-Length", "1"),
	    field("content-length", "1"),
	};

	ck_assert_int_eq(append(200, NULL, two, 2), PST_RESULT_INVALID);
	ck_assert_str_eq(why, "field 2: a second Content-Length");
}
END_TEST

/* As long as may be, and a byte longer; and lengths whose sum would wrap around. */
START_TEST(test_size)
{
	static char value[PST_HEAD_MAX];
	const size_t rest = strlen("Status: 200 OK\r\na: \r\n\r\n");
	struct pst_field big = {"a", 1, value, PST_HEAD_MAX - rest};

	memset(value, 'x', sizeof(value));
	ck_assert_int_eq(append(200, NULL, &big, 1), PST_RESULT_OK);
	ck_assert_uint_eq(pst_buf_length(&out), PST_HEAD_MAX);
	big.value_len++;
	ck_assert_int_eq(append(200, NULL, &big, 1), PST_RESULT_INVALID);
	ck_assert_uint_eq(pst_buf_length(&out), PST_HEAD_MAX);
	ck_assert_str_eq(why, "the head is larger than 65536 bytes");
}
END_TEST

/* Refused, though the bytes would be those of a head that was found good. */
START_TEST(test_kept)
{
	const struct pst_field good[] = {field("A", "b: c"), field("D", "e")};
	const struct pst_field in_value = field("A", "b: c\r\nD: e");
	const struct pst_field in_name = field("A: b: c\r\nD", "e");
	const struct pst_field moved[] = {field("A: b", "c"), field("D", "e")};
	const struct pst_field split[] = {field("A", "b"), field(" c\r\nD", "e")};
	const struct pst_field *const rest = good + 1;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(append(200, "OK", good, 2), PST_RESULT_OK);
		assert_out("Status: 200 OK\r\nA: b: c\r\nD: e\r\n\r\n");
		pst_buf_consume(&out, pst_buf_length(&out));
		ck_assert_int_eq(append(200, "OK", &in_value, 1), PST_RESULT_INVALID);
		ck_assert_int_eq(append(200, "OK", &in_name, 1), PST_RESULT_INVALID);
		ck_assert_int_eq(append(200, "OK", moved, 2), PST_RESULT_INVALID);
		ck_assert_int_eq(append(200, "OK", split, 2), PST_RESULT_INVALID);
		ck_assert_int_eq(append(200, "OK\r\nA: b: c", rest, 1), PST_RESULT_INVALID);
		ck_assert_int_eq(append(200 + 256 * 100, "OK", good, 2), PST_RESULT_INVALID);
		assert_out("");
	}
	ck_assert_int_eq(append(201, "OK", good, 2), PST_RESULT_OK);
	assert_out("Status: 201 OK\r\nA: b: c\r\nD: e\r\n\r\n");
}
END_TEST

/* Pseudo-random, the same everywhere: 0 to N - 1. */
static size_t
random_below(size_t n)
{
	static unsigned long seed = 1;

	seed = (seed * 1103515245 + 12345) & 0x7fffffff;
	return (seed >> 8) % n;
}

/* TEXT is cut into a reason and fields, the last of which takes what is left: how many these are.
 */
static size_t
cut(const char *text, size_t n, char reason[], struct pst_field to[4])
{
	size_t count = random_below(4), at = random_below(4);

	memcpy(reason, text, at);
	reason[at] = '\0';
	for (size_t i = 0; i < count; i++) {
		size_t name = random_below(n - at < 6 ? n - at + 1 : 6);
		size_t rest = n - at - name;
		size_t value = i + 1 == count ? rest : random_below(rest < 6 ? rest + 1 : 6);
		to[i] = (struct pst_field){text + at, name, text + at + name, value};
		at += name + value;
	}
	return count;
}

/* Heads of the same few bytes, one after the other: each is taken, or not, as if it came alone. */
START_TEST(test_kept_like_alone)
{
	char text[17] = "OKabcdabcdabcdab", reason[5];
	struct pst_buf alone = {0};
	struct pst_field to[4];
	unsigned good = 0;

	for (unsigned round = 0; round < 40000; round++) {
		size_t count, n = sizeof(text) - 1;
		int status = 200 + (int)random_below(2), expect;
		if (random_below(3) == 0)
			text[random_below(n)] = "abcd: \r\n\0"[random_below(9)];
		if (random_below(20) == 0)
			memcpy(text, "OKabcdabcdabcdab", n);
		count = cut(text, n - random_below(3), reason, to);
		for (unsigned again = 0; again < 2; again++) {
			expect = pst_head_append(
			    &alone, NULL, status, reason, to, count, why, sizeof(why));
			good += expect == PST_RESULT_OK;
			ck_assert_int_eq(append(status, reason, to, count), expect);
			ck_assert_uint_eq(pst_buf_length(&out), pst_buf_length(&alone));
			if (pst_buf_length(&out) > 0)
				ck_assert_mem_eq(pst_buf_bytes(&out), pst_buf_bytes(&alone),
				    pst_buf_length(&out));
			pst_buf_consume(&alone, pst_buf_length(&alone));
			pst_buf_consume(&out, pst_buf_length(&out));
		}
	}
	ck_assert_uint_gt(good, 1000);
	pst_buf_free(&alone);
}
END_TEST

/* What was in OUT before stays, whatever comes of the call. */
START_TEST(test_appends)
{
	ck_assert_int_eq(append(103, NULL, NULL, 0), PST_RESULT_OK);
	ck_assert_int_eq(append(700, NULL, NULL, 0), PST_RESULT_INVALID);
	ck_assert_int_eq(append(200, NULL, NULL, 0), PST_RESULT_OK);
	assert_out("Status: 103 Early Hints\r\n\r\nStatus: 200 OK\r\n\r\n");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("head");
	TCase *tcase = tcase_create("head");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_written);
	tcase_add_test(tcase, test_lengths_count);
	tcase_add_loop_test(tcase, test_status, 0, sizeof(statuses) / sizeof(statuses[0]));
	tcase_add_loop_test(tcase, test_field, 0, sizeof(fields) / sizeof(fields[0]));
	tcase_add_test(tcase, test_two_lengths);
	tcase_add_test(tcase, test_size);
	tcase_add_test(tcase, test_kept);
	tcase_add_test(tcase, test_kept_like_alone);
	tcase_add_test(tcase, test_appends);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
