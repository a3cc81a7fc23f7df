/* How fast clients are: gateway/front/pace.h. */
#include "gateway/front/pace.h"

#include "tests/unit/runner.h"

#include <check.h>

static struct pst_pace pace;

static void
set_up(void)
{
	pace = (struct pst_pace){0};
}

static bool
step(uint64_t bytes, uint64_t ms)
{
	pst_pace_count(&pace, bytes);
	return pst_pace_wait(&pace, ms, 10000, 500);
}

START_TEST(test_nothing_is_said_before_a_window_is_complete)
{
	for (int i = 0; i < 9; i++)
		ck_assert(step(1, 1000));
	ck_assert(step(0, 999));
	ck_assert(!step(0, 1));
}
END_TEST

START_TEST(test_exactly_the_rate_is_enough)
{
	ck_assert(step(5000, 10000));
	ck_assert(step(0, 9999));
	ck_assert(!step(4999, 1));
}
END_TEST

START_TEST(test_each_window_is_judged_alone)
{
	ck_assert(step(1000000, 10000));
	ck_assert(!step(10, 10000));
}
END_TEST

START_TEST(test_a_long_wait_is_one_window)
{
	ck_assert(step(10000, 20000));
	ck_assert(!step(9999, 20000));
}
END_TEST

START_TEST(test_no_rate)
{
	ck_assert(pst_pace_wait(&pace, UINT32_MAX, 1000, 0));
}
END_TEST

START_TEST(test_numbers_of_any_size)
{
	pst_pace_count(&pace, UINT64_MAX);
	ck_assert(pst_pace_wait(&pace, UINT32_MAX, 1000, UINT64_MAX / UINT32_MAX));
	pst_pace_count(&pace, 1);
	ck_assert(!pst_pace_wait(&pace, 1000, 1000, UINT64_MAX));
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("pace");

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_test(tcase, test_nothing_is_said_before_a_window_is_complete);
	tcase_add_test(tcase, test_exactly_the_rate_is_enough);
	tcase_add_test(tcase, test_each_window_is_judged_alone);
	tcase_add_test(tcase, test_a_long_wait_is_one_window);
	tcase_add_test(tcase, test_no_rate);
	tcase_add_test(tcase, test_numbers_of_any_size);
	return run_case("pace", tcase);
}
