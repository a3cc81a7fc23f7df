/*
 * What --bind takes, and what it refuses.
 */
#include "gateway/address.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct good {
	const char *text;
	enum pst_address_kind kind;
	const char *host, *port, *path;
	int fd;
};

static const struct good good[] = {
    {"127.0.0.1:8000", PST_ADDRESS_INET, "127.0.0.1", "8000", "", -1},
    {"localhost:80", PST_ADDRESS_INET, "localhost", "80", "", -1},
    {"localhost", PST_ADDRESS_INET, "localhost", "8000", "", -1},
    {"tcp://localhost:80", PST_ADDRESS_INET, "localhost", "80", "", -1},
    {":8000", PST_ADDRESS_INET, "0.0.0.0", "8000", "", -1},
    {":0", PST_ADDRESS_INET, "0.0.0.0", "0", "", -1},
    {"0.0.0.0:65535", PST_ADDRESS_INET, "0.0.0.0", "65535", "", -1},
    {"0.0.0.0:0000080", PST_ADDRESS_INET, "0.0.0.0", "80", "", -1},
    {"0.0.0.0:000", PST_ADDRESS_INET, "0.0.0.0", "0", "", -1},
    {"[::1]:8000", PST_ADDRESS_INET, "::1", "8000", "", -1},
    {"[::1]", PST_ADDRESS_INET, "::1", "8000", "", -1},
    {"[fe80::1%eth0]:80", PST_ADDRESS_INET, "fe80::1%eth0", "80", "", -1},
    {"unix:/run/p.sock", PST_ADDRESS_UNIX, "", "", "/run/p.sock", -1},
    {"unix:///run/p.sock", PST_ADDRESS_UNIX, "", "", "/run/p.sock", -1},
    {"unix:p.sock", PST_ADDRESS_UNIX, "", "", "p.sock", -1},
    {"fd://3", PST_ADDRESS_FD, "", "", "", 3},
    {"fd://1024", PST_ADDRESS_FD, "", "", "", 1024},
};

START_TEST(test_good)
{
	const struct good *expect = &good[_i];
	struct pst_address address;
	const char *why = NULL;

	ck_assert_msg(
	    pst_address_parse(&address, expect->text, &why) == 0, "%s: %s", expect->text, why);
	ck_assert_int_eq(address.kind, expect->kind);
	ck_assert_str_eq(address.host, expect->host);
	ck_assert_str_eq(address.port, expect->port);
	ck_assert_str_eq(address.path, expect->path);
	ck_assert_int_eq(address.fd, expect->fd);
}
END_TEST

static const char *const bad[] = {
    "",
    "8000",
    ":",
    "localhost:",
    ":65536",
    ":99999999999999999999",
    ":-1",
    ":+1",
    ": 80",
    ":80 ",
    ":http",
    "::1",
    "::1:8000",
    "[::1",
    "[]:80",
    "[::1]8000",
    "[::1]:",
    "http://localhost:80",
    "/run/p.sock",
    "unix:",
    "unix://",
    "fd://",
    "fd://2",
    "fd://3x",
    "fd://-1",
    "fd://99999999999",
};

START_TEST(test_bad)
{
	struct pst_address address;
	const char *why = NULL;

	ck_assert_msg(pst_address_parse(&address, bad[_i], &why) == -1, "'%s'", bad[_i]);
	ck_assert_ptr_nonnull(why);
}
END_TEST

/* A unix path of LENGTH bytes. */
static int
parse_path(size_t length)
{
	struct pst_address address;
	const char *why;
	char text[512] = "unix:";

	memset(text + 5, 'p', length);
	return pst_address_parse(&address, text, &why);
}

START_TEST(test_lengths)
{
	struct pst_address address;
	const char *why;
	char host[512];

	ck_assert_int_eq(parse_path(sizeof(address.path) - 1), 0);
	ck_assert_int_eq(parse_path(sizeof(address.path)), -1);
	memset(host, 'h', sizeof(host));
	host[sizeof(address.host) - 1] = '\0';
	ck_assert_int_eq(pst_address_parse(&address, host, &why), 0);
	host[sizeof(address.host) - 1] = 'h';
	host[sizeof(address.host)] = '\0';
	ck_assert_int_eq(pst_address_parse(&address, host, &why), -1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("address");
	TCase *parse = tcase_create("parse");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(parse, test_good, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(parse, test_bad, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(parse, test_lengths);
	suite_add_tcase(suite, parse);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
