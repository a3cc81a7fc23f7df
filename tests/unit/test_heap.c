/* Who is first: gateway/front/heap.h. */
#include "gateway/front/heap.h"

#include "tests/unit/runner.h"

#include <check.h>
#include <stdlib.h>

#define ITEMS 300

static struct pst_heap heap;
static struct pst_heap_item items[ITEMS];

static void
set_up(void)
{
	ck_assert_int_eq(pst_heap_reserve(&heap, ITEMS), 0);
}

static void
tear_down(void)
{
	pst_heap_free(&heap);
}

START_TEST(test_an_empty_one)
{
	ck_assert_ptr_null(pst_heap_first(&heap));
	pst_heap_remove(&heap, &items[0]);
	ck_assert_ptr_null(pst_heap_first(&heap));
}
END_TEST

START_TEST(test_the_lightest_is_first)
{
	pst_heap_put(&heap, &items[0], 2, 1);
	pst_heap_put(&heap, &items[1], 1, 2);
	ck_assert_ptr_eq(pst_heap_first(&heap), &items[1]);
	pst_heap_put(&heap, &items[1], 3, 3);
	ck_assert_ptr_eq(pst_heap_first(&heap), &items[0]);
	pst_heap_remove(&heap, &items[0]);
	ck_assert_ptr_eq(pst_heap_first(&heap), &items[1]);
}
END_TEST

START_TEST(test_of_equals_the_lowest_order_is_first)
{
	for (unsigned i = 0; i < ITEMS; i++)
		pst_heap_put(&heap, &items[i], 7, i);
	for (unsigned i = 0; i < 3 * ITEMS; i++) {
		ck_assert_ptr_eq(pst_heap_first(&heap), &items[i % ITEMS]);
		pst_heap_put(&heap, &items[i % ITEMS], 7, ITEMS + i);
	}
}
END_TEST

/* By looking at all of them. */
static struct pst_heap_item *
find_first(void)
{
	struct pst_heap_item *first = NULL;

	for (unsigned i = 0; i < ITEMS; i++) {
		struct pst_heap_item *item = &items[i];

		if (item->place == 0)
			continue;
		if (first == NULL || item->weight < first->weight ||
		    (item->weight == first->weight && item->order < first->order))
			first = item;
	}
	return first;
}

START_TEST(test_whatever_changes_the_first_is_right)
{
	srandom(1);
	for (unsigned i = 0; i < 50000; i++) {
		struct pst_heap_item *item = &items[random() % ITEMS];

		if (random() % 4 == 0)
			pst_heap_remove(&heap, item);
		else
			pst_heap_put(&heap, item, (uint64_t)(random() % 50), i);
		ck_assert_ptr_eq(pst_heap_first(&heap), find_first());
	}
}
END_TEST

START_TEST(test_room_can_be_made_at_any_time)
{
	struct pst_heap small = {0};
	struct pst_heap_item some[40] = {0};

	for (unsigned i = 0; i < 40; i++) {
		ck_assert_int_eq(pst_heap_reserve(&small, i + 1), 0);
		pst_heap_put(&small, &some[i], 40 - i, 0);
		ck_assert_ptr_eq(pst_heap_first(&small), &some[i]);
	}
	pst_heap_free(&small);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("heap");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_an_empty_one);
	tcase_add_test(tcase, test_the_lightest_is_first);
	tcase_add_test(tcase, test_of_equals_the_lowest_order_is_first);
	tcase_add_test(tcase, test_whatever_changes_the_first_is_right);
	tcase_add_test(tcase, test_room_can_be_made_at_any_time);
	return run_case("heap", tcase);
}
