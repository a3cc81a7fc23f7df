/* Whether a foreign server is worth a try: gateway/front/remote.h. */
#include "gateway/front/remote.h"

#include "gateway/log.h"
#include "tests/unit/runner.h"

#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static struct pst_remote remote;

static void
set_up(void)
{
	remote = (struct pst_remote){.pool = "blog", .where = "unix:/run/php.sock"};
	pst_log_set_level(PST_LOG_CRITICAL);
}

static void
assert_advice(uint64_t now, enum pst_remote_advice advice)
{
	ck_assert_int_eq(pst_remote_advise(&remote, now, true), advice);
}

START_TEST(test_it_is_up_until_it_fails)
{
	assert_advice(1000, PST_REMOTE_TRY_IT);
	assert_advice(1000, PST_REMOTE_TRY_IT);
	pst_remote_reached(&remote, 1000);
	assert_advice(1000, PST_REMOTE_TRY_IT);
}
END_TEST

START_TEST(test_one_try_after_each_wait)
{
	uint64_t now = 1000;

	pst_remote_failed(&remote, now, false, "Connection refused");
	for (uint64_t wait = PST_REMOTE_WAIT; wait < PST_REMOTE_WAIT_MAX; wait *= 2) {
		assert_advice(now + wait - 1, PST_REMOTE_REFUSE);
		now += wait;
		assert_advice(now, PST_REMOTE_TRY_IT);
		assert_advice(now, PST_REMOTE_REFUSE);
		pst_remote_failed(&remote, now, false, "Connection refused");
	}
	assert_advice(now + PST_REMOTE_WAIT_MAX - 1, PST_REMOTE_REFUSE);
	assert_advice(now + PST_REMOTE_WAIT_MAX, PST_REMOTE_TRY_IT);
	pst_remote_reached(&remote, now + PST_REMOTE_WAIT_MAX);
	assert_advice(now + PST_REMOTE_WAIT_MAX, PST_REMOTE_TRY_IT);
	assert_advice(now + PST_REMOTE_WAIT_MAX, PST_REMOTE_TRY_IT);
}
END_TEST

START_TEST(test_a_try_that_nobody_finished)
{
	pst_remote_failed(&remote, 1000, false, "Connection refused");
	assert_advice(2000, PST_REMOTE_TRY_IT);
	assert_advice(2000 + PST_REMOTE_TRY - 1, PST_REMOTE_REFUSE);
	assert_advice(2000 + PST_REMOTE_TRY, PST_REMOTE_TRY_IT);
}
END_TEST

START_TEST(test_a_new_failure_waits_as_the_first)
{
	pst_remote_failed(&remote, 1000, false, "gone");
	pst_remote_failed(&remote, 1000, false, "gone");
	pst_remote_reached(&remote, 5000);
	pst_remote_failed(&remote, 6000, false, "gone");
	assert_advice(6000 + PST_REMOTE_WAIT, PST_REMOTE_TRY_IT);
}
END_TEST

START_TEST(test_a_full_one_lets_wait)
{
	pst_remote_failed(&remote, 1000, true, "its backlog is full");
	assert_advice(1000, PST_REMOTE_LET_WAIT);
	ck_assert_uint_eq(pst_remote_again(&remote, 1000), PST_REMOTE_FULL_WAIT);
	assert_advice(1000 + PST_REMOTE_FULL_WAIT, PST_REMOTE_TRY_IT);
	assert_advice(1000 + PST_REMOTE_FULL_WAIT, PST_REMOTE_TRY_IT);
	ck_assert_uint_eq(pst_remote_again(&remote, 2000), 1);
}
END_TEST

START_TEST(test_a_full_one_is_not_down)
{
	pst_remote_failed(&remote, 1000, false, "gone");
	pst_remote_failed(&remote, 2000, true, "its backlog is full");
	assert_advice(2000, PST_REMOTE_LET_WAIT);
	pst_remote_failed(&remote, 3000, false, "gone");
	assert_advice(3000, PST_REMOTE_REFUSE);
	assert_advice(3000 + PST_REMOTE_WAIT, PST_REMOTE_TRY_IT);
}
END_TEST

START_TEST(test_no_connection_is_free)
{
	ck_assert_int_eq(pst_remote_advise(&remote, 1000, false), PST_REMOTE_LET_WAIT);
	pst_remote_failed(&remote, 1000, false, "gone");
	ck_assert_int_eq(pst_remote_advise(&remote, 9000, false), PST_REMOTE_REFUSE);
	assert_advice(9000, PST_REMOTE_TRY_IT);
}
END_TEST

START_TEST(test_addresses)
{
	struct pst_remote_address address;
	char path[200];

	ck_assert_ptr_null(pst_remote_resolve(&address, "unix:/run/php.sock"));
	ck_assert_int_eq(address.socket.ss_family, AF_UNIX);
	ck_assert_str_eq(((struct sockaddr_un *)&address.socket)->sun_path, "/run/php.sock");
	ck_assert_ptr_null(pst_remote_resolve(&address, "127.0.0.1:9000"));
	ck_assert_int_eq(address.socket.ss_family, AF_INET);
	ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&address.socket)->sin_port), 9000);
	ck_assert_ptr_null(pst_remote_resolve(&address, "[::1]:9000"));
	ck_assert_int_eq(address.socket.ss_family, AF_INET6);
	ck_assert_ptr_nonnull(pst_remote_resolve(&address, "fd://3"));
	ck_assert_ptr_nonnull(pst_remote_resolve(&address, "127.0.0.1:x"));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	ck_assert_ptr_nonnull(pst_remote_unix(&address, path));
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("remote");

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_test(tcase, test_it_is_up_until_it_fails);
	tcase_add_test(tcase, test_one_try_after_each_wait);
	tcase_add_test(tcase, test_a_try_that_nobody_finished);
	tcase_add_test(tcase, test_a_new_failure_waits_as_the_first);
	tcase_add_test(tcase, test_a_full_one_lets_wait);
	tcase_add_test(tcase, test_a_full_one_is_not_down);
	tcase_add_test(tcase, test_no_connection_is_free);
	tcase_add_test(tcase, test_addresses);
	return run_case("remote", tcase);
}
