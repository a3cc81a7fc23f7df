/*
 * The state table of a kept process, and how long it waits before it starts again.
 */
#include "gateway/arbiter/slot.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

/* Every change that may happen; all others abort. */
static const bool may[PST_SLOT_STATES][PST_SLOT_STATES] = {
    [PST_SLOT_EMPTY] = {[PST_SLOT_STARTING] = true, [PST_SLOT_BACKOFF] = true},
    [PST_SLOT_STARTING] = {[PST_SLOT_READY] = true,
	[PST_SLOT_USABLE] = true,
	[PST_SLOT_DRAINING] = true,
	[PST_SLOT_DYING] = true,
	[PST_SLOT_BACKOFF] = true,
	[PST_SLOT_EMPTY] = true},
    [PST_SLOT_READY] = {[PST_SLOT_USABLE] = true,
	[PST_SLOT_RETIRING] = true,
	[PST_SLOT_DRAINING] = true,
	[PST_SLOT_DYING] = true,
	[PST_SLOT_BACKOFF] = true,
	[PST_SLOT_EMPTY] = true},
    [PST_SLOT_RETIRING] =
	{[PST_SLOT_DRAINING] = true, [PST_SLOT_DYING] = true, [PST_SLOT_EMPTY] = true},
    [PST_SLOT_USABLE] = {[PST_SLOT_READY] = true,
	[PST_SLOT_RETIRING] = true,
	[PST_SLOT_DRAINING] = true,
	[PST_SLOT_DYING] = true,
	[PST_SLOT_BACKOFF] = true,
	[PST_SLOT_EMPTY] = true},
    [PST_SLOT_DRAINING] =
	{[PST_SLOT_DYING] = true, [PST_SLOT_BACKOFF] = true, [PST_SLOT_EMPTY] = true},
    [PST_SLOT_DYING] = {[PST_SLOT_BACKOFF] = true, [PST_SLOT_EMPTY] = true},
    [PST_SLOT_BACKOFF] =
	{[PST_SLOT_STARTING] = true, [PST_SLOT_BACKOFF] = true, [PST_SLOT_EMPTY] = true},
};

static struct pst_slot
slot_in(enum pst_slot_state state)
{
	return (struct pst_slot){.state = state};
}

START_TEST(test_changes_that_may_happen)
{
	for (int from = 0; from < PST_SLOT_STATES; from++) {
		for (int to = 0; to < PST_SLOT_STATES; to++) {
			struct pst_slot slot = slot_in((enum pst_slot_state)from);

			if (!may[from][to])
				continue;
			pst_slot_enter(&slot, (enum pst_slot_state)to, 1);
			ck_assert_int_eq(slot.state, to);
		}
	}
}
END_TEST

/* Run once for each pair; the test expects SIGABRT, so a pair that may happen aborts itself. */
START_TEST(test_changes_that_may_not)
{
	int from = _i / PST_SLOT_STATES, to = _i % PST_SLOT_STATES;
	struct pst_slot slot = slot_in((enum pst_slot_state)from);

	if (may[from][to])
		abort();
	pst_slot_enter(&slot, (enum pst_slot_state)to, 1);
}
END_TEST

START_TEST(test_who_has_a_process)
{
	static const struct {
		enum pst_slot_state state;
		bool has_process, is_wanted;
	} expect[PST_SLOT_STATES] = {
	    {PST_SLOT_EMPTY, false, false},
	    {PST_SLOT_STARTING, true, true},
	    {PST_SLOT_READY, true, true},
	    {PST_SLOT_USABLE, true, true},
	    {PST_SLOT_RETIRING, true, true},
	    {PST_SLOT_DRAINING, true, false},
	    {PST_SLOT_DYING, true, false},
	    {PST_SLOT_BACKOFF, false, false},
	};

	for (size_t i = 0; i < PST_SLOT_STATES; i++) {
		struct pst_slot slot = slot_in(expect[i].state);

		ck_assert_int_eq(pst_slot_has_process(&slot), expect[i].has_process);
		ck_assert_int_eq(pst_slot_is_wanted(&slot), expect[i].is_wanted);
	}
}
END_TEST

START_TEST(test_backoff)
{
	static const unsigned expect[] = {
	    100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};

	for (unsigned n = 0; n < sizeof(expect) / sizeof(expect[0]); n++)
		ck_assert_uint_eq(pst_slot_backoff(n + 1), expect[n]);
	ck_assert_uint_eq(pst_slot_backoff(1000), 30000);
	ck_assert_uint_eq(pst_slot_backoff(4000000000u), 30000);
}
END_TEST

/* One life from STARTED for UP milliseconds: the wait that follows. */
static unsigned
live(struct pst_slot *slot, int64_t started, int64_t up)
{
	unsigned delay;

	pst_slot_enter(slot, PST_SLOT_STARTING, started);
	pst_slot_enter(slot, PST_SLOT_READY, started);
	pst_slot_enter(slot, PST_SLOT_USABLE, started);
	delay = pst_slot_fail(slot, started + up);
	pst_slot_enter(slot, PST_SLOT_BACKOFF, started + up);
	return delay;
}

START_TEST(test_short_lives_add_up_and_a_long_one_is_forgiven)
{
	struct pst_slot slot = slot_in(PST_SLOT_EMPTY);

	ck_assert_uint_eq(live(&slot, 1000, 0), 100);
	ck_assert_uint_eq(live(&slot, 2000, PST_SLOT_STEADY - 1), 200);
	ck_assert_uint_eq(live(&slot, 20000, 5), 400);
	ck_assert_uint_eq(live(&slot, 30000, PST_SLOT_STEADY), 100);
	ck_assert_uint_eq(live(&slot, 60000, 0), 200);
}
END_TEST

START_TEST(test_a_process_that_was_never_usable_is_not_forgiven)
{
	struct pst_slot slot = slot_in(PST_SLOT_EMPTY);

	ck_assert_uint_eq(live(&slot, 1000, PST_SLOT_STEADY), 100);
	pst_slot_enter(&slot, PST_SLOT_STARTING, 20000);
	ck_assert_uint_eq(pst_slot_fail(&slot, 20000 + 10 * PST_SLOT_STEADY), 200);
}
END_TEST

/* A worker serves on while its gateway is started again. */
START_TEST(test_a_lost_gateway_does_not_make_it_young)
{
	struct pst_slot slot = slot_in(PST_SLOT_EMPTY);

	(void)live(&slot, 1000, 0);
	pst_slot_enter(&slot, PST_SLOT_STARTING, 2000);
	pst_slot_enter(&slot, PST_SLOT_READY, 2000);
	pst_slot_enter(&slot, PST_SLOT_USABLE, 2000);
	pst_slot_enter(&slot, PST_SLOT_READY, 11000);
	pst_slot_enter(&slot, PST_SLOT_USABLE, 11500);
	ck_assert_uint_eq(pst_slot_fail(&slot, 2000 + PST_SLOT_STEADY), 100);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("slot");
	TCase *states = tcase_create("states"), *waits = tcase_create("waits");
	SRunner *runner;
	int failed;

	tcase_add_test(states, test_changes_that_may_happen);
	tcase_add_loop_test_raise_signal(
	    states, test_changes_that_may_not, SIGABRT, 0, PST_SLOT_STATES * PST_SLOT_STATES);
	tcase_add_test(states, test_who_has_a_process);
	tcase_add_test(waits, test_backoff);
	tcase_add_test(waits, test_short_lives_add_up_and_a_long_one_is_forgiven);
	tcase_add_test(waits, test_a_process_that_was_never_usable_is_not_forgiven);
	tcase_add_test(waits, test_a_lost_gateway_does_not_make_it_young);
	suite_add_tcase(suite, states);
	suite_add_tcase(suite, waits);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
