/*
 * What each of several gateways gets, and who of them takes the next client.
 */
#include "gateway/arbiter/share.h"
#include "gateway/board.h"
#include "tests/unit/runner.h"

#include <unistd.h>

#define MOST 16

START_TEST(test_each_slot_is_in_one_share)
{
	for (unsigned of = 1; of <= MOST; of++) {
		for (unsigned slot = 1; slot <= 3 * MOST; slot++) {
			unsigned owners = 0;

			for (unsigned number = 1; number <= of; number++)
				owners += pst_share_has((struct pst_share){number, of}, slot);
			ck_assert_uint_eq(owners, 1);
		}
	}
}
END_TEST

START_TEST(test_no_share_is_empty)
{
	for (unsigned of = 1; of <= MOST; of++) {
		for (unsigned number = 1; number <= of; number++) {
			unsigned slots = 0;

			for (unsigned slot = 1; slot <= 2 * of + 1; slot++)
				slots += pst_share_has((struct pst_share){number, of}, slot);
			ck_assert_uint_ge(slots, 2);
			ck_assert_uint_le(slots, 3);
		}
	}
}
END_TEST

START_TEST(test_parts_make_the_whole)
{
	static const unsigned long long wholes[] = {0, 1, 7, 2048, 17179869184, 1ull << 62};

	for (unsigned of = 1; of <= MOST; of++) {
		for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++) {
			unsigned long long sum = 0;

			for (unsigned number = 1; number <= of; number++)
				sum += pst_share_part((struct pst_share){number, of}, wholes[i]);
			ck_assert_uint_eq(sum, wholes[i]);
		}
	}
}
END_TEST

static struct pst_board board;

static void
open_board(void)
{
	int fd = pst_board_create();

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pst_board_map(&board, fd), 0);
	close(fd);
}

START_TEST(test_whose_turn_it_is)
{
	const uint64_t mates = 1u << 3 | 1ull << 63;

	open_board();
	/* Nobody else accepts. */
	ck_assert(pst_board_is_turn(&board, mates, 0));
	ck_assert(pst_board_is_turn(&board, mates, 1000));
	pst_board_show(&board, 3, 0);
	ck_assert(pst_board_is_turn(&board, mates, 0));
	ck_assert(pst_board_is_turn(&board, mates, 1));
	ck_assert(!pst_board_is_turn(&board, mates, 2));
	/* An eighth more is no difference. */
	pst_board_show(&board, 3, 800);
	pst_board_show(&board, 63, 900);
	ck_assert(pst_board_is_turn(&board, mates, 901));
	ck_assert(!pst_board_is_turn(&board, mates, 902));
	/* Whoever is not one of them does not count, nor one that does not accept. */
	pst_board_show(&board, 4, 0);
	pst_board_hide(&board, 3);
	ck_assert(pst_board_is_turn(&board, mates, 902));
	ck_assert(!pst_board_is_turn(&board, mates, UINT64_MAX));
	/* Nor what cannot be. */
	pst_board_show(&board, 63, UINT64_MAX - 1);
	ck_assert(pst_board_is_turn(&board, mates, UINT64_MAX));
	pst_board_unmap(&board);
}
END_TEST

START_TEST(test_not_a_board)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(pst_board_map(&board, ends[0]), -1);
	ck_assert_ptr_null(board.words);
	ck_assert_int_eq(pst_board_map(&board, -1), -1);
	pst_board_unmap(&board);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("share");

	tcase_add_test(tc, test_each_slot_is_in_one_share);
	tcase_add_test(tc, test_no_share_is_empty);
	tcase_add_test(tc, test_parts_make_the_whole);
	tcase_add_test(tc, test_whose_turn_it_is);
	tcase_add_test(tc, test_not_a_board);
	return run_case("share", tc);
}
