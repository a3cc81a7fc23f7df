/* The shared page, one step at a time: what each function does in each state, and with a page that
 * the other side has spoilt. test_page_model.c tries all orders, test_page_stress.c real threads.
 */
#include "protocol/error.h"
#include "protocol/page.h"
#include "protocol/page_map.h"
#include "tests/unit/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS 4

static alignas(64) unsigned char bytes[PST_PAGE_HEADER + WORDS * 8];
static struct pst_page gateway, worker;

static void
set_up(void)
{
	pst_page_init(bytes, sizeof(bytes));
	ck_assert_int_eq(pst_page_view(&gateway, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(pst_page_view(&worker, bytes, sizeof(bytes)), 0);
	pst_page_begin_epoch(&gateway);
}

static uint64_t
word_at(uint16_t id)
{
	uint64_t word;

	memcpy(&word, bytes + PST_PAGE_HEADER + (id - 1) * 8, sizeof(word));
	return word;
}

static void
scribble(uint16_t id, uint64_t word)
{
	memcpy(bytes + PST_PAGE_HEADER + (id - 1) * 8, &word, sizeof(word));
}

START_TEST(test_layout)
{
	pst_page_ticket ticket = pst_page_offer(&gateway, 2);
	uint32_t numbers[2];

	ck_assert_mem_eq(bytes, "Penstock", 8);
	memcpy(numbers, bytes + 8, sizeof(numbers));
	ck_assert_uint_eq(numbers[0], 1);
	ck_assert_uint_eq(numbers[1], sizeof(bytes));
	ck_assert_uint_eq(ticket, UINT64_C(1) << 32 | 1); /* epoch 1, serial 1 */
	ck_assert_uint_eq(word_at(2), ticket << 8 | 1);
	ck_assert_uint_eq(pst_page_offer(&gateway, 3), ticket + 1);
}
END_TEST

START_TEST(test_claimed)
{
	pst_page_ticket ticket = pst_page_offer(&gateway, 1);

	ck_assert(pst_page_claim(&worker, 1, ticket));
	ck_assert(!pst_page_claim(&worker, 1, ticket));
	ck_assert(!pst_page_withdraw(&gateway, 1, ticket));
	pst_page_done(&worker, 1, ticket);
	ck_assert(!pst_page_withdraw(&gateway, 1, ticket));
	ck_assert_int_eq(pst_page_clear(&gateway, 1, ticket), PST_PAGE_DONE);
	ck_assert(!pst_page_claim(&worker, 1, ticket));
}
END_TEST

START_TEST(test_withdrawn)
{
	pst_page_ticket ticket = pst_page_offer(&gateway, 1), other;

	ck_assert(pst_page_withdraw(&gateway, 1, ticket));
	ck_assert(!pst_page_withdraw(&gateway, 1, ticket));
	ck_assert(!pst_page_claim(&worker, 1, ticket));
	pst_page_done(&worker, 1, ticket);
	ck_assert_int_eq(pst_page_clear(&gateway, 1, ticket), PST_PAGE_WITHDRAWN);
	other = pst_page_offer(&gateway, 1);
	ck_assert(!pst_page_claim(&worker, 1, ticket));
	ck_assert(pst_page_claim(&worker, 1, other));
	ck_assert_int_eq(pst_page_clear(&gateway, 1, other), PST_PAGE_CLAIMED);
}
END_TEST

/* Ended by the worker without having been claimed: it is refused. */
START_TEST(test_refused)
{
	pst_page_ticket ticket = pst_page_offer(&gateway, 1);

	ck_assert_int_eq(pst_page_clear(&gateway, 1, ticket), PST_PAGE_OFFERED);
	ck_assert(!pst_page_claim(&worker, 1, ticket));
}
END_TEST

START_TEST(test_ids_without_a_word)
{
	static const uint16_t ids[] = {0, WORDS + 1, UINT16_MAX};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		ck_assert_uint_eq(pst_page_offer(&gateway, ids[i]), 0);
		ck_assert(!pst_page_claim(&worker, ids[i], UINT64_C(1) << 32 | 1));
		ck_assert(!pst_page_withdraw(&gateway, ids[i], UINT64_C(1) << 32 | 1));
		pst_page_done(&worker, ids[i], 1);
	}
	/* No ticket claims nothing, whatever the word says. */
	scribble(1, 1);
	ck_assert(!pst_page_claim(&worker, 1, 0));
	ck_assert(!pst_page_withdraw(&gateway, 1, 0));
	ck_assert_int_eq(pst_page_clear(&gateway, 1, 0), PST_PAGE_FREE);
}
END_TEST

START_TEST(test_epochs)
{
	pst_page_ticket claimed = pst_page_offer(&gateway, 1);
	pst_page_ticket left = pst_page_offer(&gateway, 2), fresh;
	struct pst_page next;

	ck_assert(pst_page_claim(&worker, 1, claimed));
	ck_assert_int_eq(pst_page_view(&next, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(pst_page_offer(&next, 1), 0); /* no epoch yet */
	pst_page_begin_epoch(&next);
	ck_assert(!pst_page_claim(&worker, 2, left));
	fresh = pst_page_offer(&next, 2);
	ck_assert_uint_ne(fresh, left);
	ck_assert(!pst_page_claim(&worker, 2, left));
	ck_assert(pst_page_claim(&worker, 2, fresh));
	/* What the worker still does for the dead gateway harms nothing. */
	pst_page_done(&worker, 1, claimed);
	ck_assert_uint_eq(word_at(1), 0);
	/* The earlier gateway lives: it knows that it knows nothing any more. */
	ck_assert_uint_eq(pst_page_offer(&gateway, 3), 0);
	ck_assert(!pst_page_withdraw(&gateway, 1, claimed));
	ck_assert_int_eq(pst_page_clear(&gateway, 2, left), PST_PAGE_FREE);
	ck_assert_int_eq(pst_page_clear(&next, 2, fresh), PST_PAGE_CLAIMED);
}
END_TEST

START_TEST(test_scribbled)
{
	pst_page_ticket ticket = pst_page_offer(&gateway, 1);
	const uint64_t bad[] = {
	    0,
	    UINT64_MAX,
	    ticket << 8,
	    ticket << 8 | 5,
	    ticket << 8 | 0x81,
	    (ticket + 1) << 8 | 1,
	    (ticket + (UINT64_C(1) << 32)) << 8 | 1,
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		scribble(1, bad[i]);
		ck_assert(!pst_page_withdraw(&gateway, 1, ticket)); /* counts as started */
		ck_assert(!pst_page_claim(&worker, 1, ticket)); /* and is not */
		ck_assert_int_eq(pst_page_clear(&gateway, 1, ticket), PST_PAGE_BAD);
		ck_assert_uint_eq(word_at(1), 0);
	}
	ticket = pst_page_offer(&gateway, 1);
	ck_assert(pst_page_claim(&worker, 1, ticket));
}
END_TEST

START_TEST(test_no_page)
{
	unsigned char copy[sizeof(bytes)];
	struct pst_page page;

	ck_assert_int_eq(pst_page_view(&page, bytes, PST_PAGE_HEADER - 8), PST_ERR_PROTOCOL);
	ck_assert_int_eq(pst_page_view(&page, bytes, sizeof(bytes) - 8), PST_ERR_PROTOCOL);
	memcpy(copy, bytes, sizeof(copy));
	for (size_t at = 0; at < 16; at++) {
		bytes[at] ^= 1;
		ck_assert_int_eq(pst_page_view(&page, bytes, sizeof(bytes)), PST_ERR_PROTOCOL);
		bytes[at] ^= 1;
	}
	ck_assert_mem_eq(copy, bytes, sizeof(copy));
	/* No words at all. */
	pst_page_init(bytes, PST_PAGE_HEADER);
	ck_assert_int_eq(pst_page_view(&page, bytes, PST_PAGE_HEADER), 0);
	pst_page_begin_epoch(&page);
	ck_assert_uint_eq(pst_page_offer(&page, 1), 0);
}
END_TEST

START_TEST(test_vitals)
{
	const struct pst_page_vitals said = {.started = 1, .turned = UINT64_MAX, .cpu = 3};
	struct pst_page_vitals heard;

	pst_page_write_vitals(&worker, &said);
	pst_page_read_vitals(&gateway, &heard);
	ck_assert_uint_eq(heard.started, 1);
	ck_assert_uint_eq(heard.turned, UINT64_MAX);
	ck_assert_uint_eq(heard.cpu, 3);
}
END_TEST

START_TEST(test_tickets)
{
	static const char *const none[] = {
	    "", "0", "00000000000000", "0000000000000g", "0000000000000A", "000000000000010"};
	pst_page_ticket ticket = UINT64_C(0xabcdef01234567);
	char text[PST_PAGE_DIGITS];

	pst_page_print_ticket(ticket, text);
	ck_assert_mem_eq(text, "abcdef01234567", sizeof(text));
	ck_assert_uint_eq(pst_page_parse_ticket(text, sizeof(text)), ticket);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_uint_eq(pst_page_parse_ticket(none[i], strlen(none[i])), 0);
}
END_TEST

/* --- the memory --- */

START_TEST(test_map)
{
	int fd = pst_page_create(1);
	struct pst_page one, two;
	pst_page_ticket ticket;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(pst_page_map(&one, fd), 0);
	ck_assert_int_eq(pst_page_map(&two, fd), 0);
	ck_assert_uint_eq(one.words, 496);
	pst_page_begin_epoch(&one);
	ticket = pst_page_offer(&one, 496);
	ck_assert(pst_page_claim(&two, 496, ticket));
	/* Its size is for ever. */
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 2L * PST_PAGE_SIZE), -1);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	/* What can be done is to empty it, which nobody notices as an error. */
	ck_assert_int_eq(
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PST_PAGE_SIZE), 0);
	ck_assert(!pst_page_withdraw(&one, 496, ticket));
	ck_assert_int_eq(pst_page_view(&one, one.bytes, PST_PAGE_SIZE), PST_ERR_PROTOCOL);
	pst_page_unmap(&one);
	pst_page_unmap(&one);
	pst_page_unmap(&two);
	close(fd);
}
END_TEST

/* Words, and how many there are then. */
START_TEST(test_sizes)
{
	static const size_t sizes[][2] = {{0, 496}, {496, 496}, {497, 1008}, {65535, 66032}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = pst_page_create(sizes[i][0]);
		struct pst_page page;

		ck_assert_int_eq(pst_page_map(&page, fd), 0);
		ck_assert_uint_eq(page.words, sizes[i][1]);
		pst_page_unmap(&page);
		close(fd);
	}
}
END_TEST

static void
check_unmappable(int fd, int err)
{
	struct pst_page page;

	ck_assert_int_eq(pst_page_map(&page, fd), -1);
	ck_assert_int_eq(errno, err);
	close(fd);
}

START_TEST(test_unmappable)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* Sealed, but no page. */
	ck_assert_int_eq(ftruncate(fd, PST_PAGE_SIZE), 0);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	check_unmappable(fd, EINVAL);
	/* A page, but not sealed. */
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	check_unmappable(fd, EINVAL);
	/* Something else. */
	check_unmappable(open("/dev/null", O_RDWR | O_CLOEXEC), EINVAL);
	check_unmappable(-1, EBADF);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("page");

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_test(tcase, test_layout);
	tcase_add_test(tcase, test_claimed);
	tcase_add_test(tcase, test_withdrawn);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_ids_without_a_word);
	tcase_add_test(tcase, test_epochs);
	tcase_add_test(tcase, test_scribbled);
	tcase_add_test(tcase, test_no_page);
	tcase_add_test(tcase, test_vitals);
	tcase_add_test(tcase, test_tickets);
	tcase_add_test(tcase, test_map);
	tcase_add_test(tcase, test_sizes);
	tcase_add_test(tcase, test_unmappable);
	return run_case("page", tcase);
}
