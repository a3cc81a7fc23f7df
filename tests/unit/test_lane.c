/* Memory that a worker and its gateway share: the ring of the one, what the other maps, and what
 * becomes of both when the other side writes nonsense. */
#include "protocol/lane.h"
#include "protocol/sealed.h"
#include "tests/unit/runner.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING 4096
#define SIZE (PST_LANE_HEADER + RING)

static struct pst_lane worker, gateway;
static unsigned char block[RING + 1];

static void
set_up(void)
{
	int fd = pst_lane_create(&worker, SIZE);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pst_lane_map(&gateway, fd, SIZE), 0);
	close(fd);
	memset(block, 'x', sizeof(block));
}

static void
tear_down(void)
{
	pst_lane_unmap(&worker);
	pst_lane_unmap(&gateway);
	ck_assert_ptr_null(gateway.bytes);
}

static bool
put(size_t n, struct pst_lane_place *place)
{
	return pst_lane_put(&worker, block, n, place);
}

START_TEST(test_put)
{
	struct pst_lane_place first, second;

	ck_assert(pst_lane_put(&worker, "hello", 5, &first));
	ck_assert(pst_lane_put(&worker, "world", 5, &second));
	ck_assert_uint_eq(first.length, 5);
	ck_assert_mem_eq(gateway.bytes + first.offset, "hello", 5);
	ck_assert_mem_eq(gateway.bytes + second.offset, "world", 5);
	ck_assert_uint_ge(first.offset, PST_LANE_HEADER);
	ck_assert_uint_eq(second.offset, first.offset + 5);
	ck_assert_uint_gt(second.mark, first.mark);
}
END_TEST

START_TEST(test_full)
{
	struct pst_lane_place first, second, place;

	ck_assert(!put(RING + 1, &place));
	ck_assert(put(3000, &first));
	ck_assert(put(1000, &second));
	ck_assert(!put(97, &place));
	ck_assert(put(96, &place));
	ck_assert(!put(1, &place));
	pst_lane_done(&gateway, first.mark);
	/* At its beginning again, as none is cut. */
	ck_assert(put(2900, &place));
	ck_assert_uint_eq(place.offset, PST_LANE_HEADER);
	ck_assert(!put(101, &place));
	pst_lane_done(&gateway, second.mark);
	ck_assert(put(1000, &place));
	ck_assert_uint_eq(place.offset, PST_LANE_HEADER + 2900);
}
END_TEST

/* What does not fit behind the last leaves the rest of the ring out. */
START_TEST(test_skips)
{
	struct pst_lane_place first, second, place;

	ck_assert(put(2000, &first));
	ck_assert(put(1000, &second));
	ck_assert(!put(1097, &place));
	pst_lane_done(&gateway, first.mark);
	ck_assert(put(1097, &place));
	ck_assert_uint_eq(place.offset, PST_LANE_HEADER);
	ck_assert(!put(904, &place));
	ck_assert(put(903, &place));
	ck_assert(!put(1, &place));
}
END_TEST

/* Who finds all done with uses the same bytes again. */
START_TEST(test_begins_anew)
{
	struct pst_lane_place place;

	for (int i = 0; i < 100; i++) {
		ck_assert(put(1000, &place));
		ck_assert_uint_eq(place.offset, PST_LANE_HEADER);
		pst_lane_done(&gateway, place.mark);
	}
	ck_assert(put(RING, &place));
	ck_assert(!put(1, &place));
}
END_TEST

START_TEST(test_all_sizes)
{
	struct pst_lane_place places[8];
	unsigned long seed = 7;
	size_t lent = 0;

	for (unsigned i = 0; i < 20000; i++) {
		size_t n = 1 + (seed = seed * 6364136223846793005ul + 1442695040888963407ul) % 1500;

		memset(block, (int)('a' + i % 26), n);
		if (lent < 8 && put(n, &places[lent])) {
			ck_assert_uint_le(places[lent].offset + n, SIZE);
			for (size_t k = 0; k < lent; k++)
				ck_assert(
				    places[k].offset + places[k].length <= places[lent].offset ||
				    places[lent].offset + n <= places[k].offset);
			lent++;
			continue;
		}
		ck_assert_uint_gt(lent, 0);
		pst_lane_done(&gateway, places[0].mark);
		memmove(places, places + 1, --lent * sizeof(places[0]));
	}
}
END_TEST

/* The worker writes within its memory, or nothing, whatever it is told. */
START_TEST(test_nonsense)
{
	static const uint64_t marks[] = {1, 77, RING, RING + 1, UINT64_MAX, UINT64_MAX / 2};
	struct pst_lane_place place;

	for (unsigned i = 0; i < 600; i++) {
		pst_lane_done(&gateway, marks[i % 6]);
		if (!put(1 + i, &place))
			continue;
		ck_assert_uint_ge(place.offset, PST_LANE_HEADER);
		ck_assert_uint_le(place.offset + place.length, SIZE);
	}
}
END_TEST

static void
check_unmappable(int fd, size_t size, int err)
{
	struct pst_lane lane = {0};

	ck_assert_int_eq(pst_lane_map(&lane, fd, size), -1);
	ck_assert_int_eq(errno, err);
	ck_assert_ptr_null(lane.bytes);
	if (fd >= 0)
		close(fd);
}

START_TEST(test_unmappable)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* Whoever made it may cut it off. */
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	check_unmappable(fd, SIZE, EINVAL);
	check_unmappable(pst_sealed_create("test", SIZE), SIZE + 1, EINVAL);
	check_unmappable(pst_sealed_create("test", SIZE), SIZE - 1, EINVAL);
	check_unmappable(pst_sealed_create("test", PST_LANE_HEADER), PST_LANE_HEADER, EINVAL);
	check_unmappable(
	    pst_sealed_create("test", PST_LANE_MAX + 1), (size_t)PST_LANE_MAX + 1, EINVAL);
	check_unmappable(-1, SIZE, EBADF);
	/* Its pages may be missing when they are touched. */
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (fd >= 0)
		check_unmappable(fd, SIZE, EINVAL);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("lane");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_put);
	tcase_add_test(tcase, test_full);
	tcase_add_test(tcase, test_skips);
	tcase_add_test(tcase, test_begins_anew);
	tcase_add_test(tcase, test_all_sizes);
	tcase_add_test(tcase, test_nonsense);
	tcase_add_test(tcase, test_unmappable);
	return run_case("lane", tcase);
}
