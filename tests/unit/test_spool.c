/*
 * The body store, beside a plain model of it; what disks and budgets do when they are full.
 */
#include "gateway/front/spool.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB 1024
#define MIB (1024 * KIB)

static char directory[64];
static struct pst_spool_budget budget;

static void
set_up(void)
{
	strcpy(directory, "/tmp/penstock-spool-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	budget = (struct pst_spool_budget){
	    .directory = directory, .memory_limit = 64 * MIB, .file_limit = 1024 * MIB};
}

/* Nothing is left: no byte counted, no file named. */
static void
tear_down(void)
{
	ck_assert_uint_eq(budget.memory, 0);
	ck_assert_uint_eq(budget.file, 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

/* The byte at a place of the body: no period that a buffer size divides. */
static unsigned char
byte_at(uint64_t place)
{
	return (unsigned char)(place * 7 + place / 251);
}

static int
append(struct pst_spool *spool, size_t n)
{
	uint64_t from = pst_spool_total(spool);
	unsigned char *bytes = malloc(n + 1);
	int err;

	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_at(from + i);
	err = pst_spool_append(spool, bytes, n);
	free(bytes);
	ck_assert_uint_eq(pst_spool_total(spool), err < 0 ? from : from + n);
	return err;
}

/* The first N bytes of the front are those of the body from PLACE on. */
static void
expect(struct pst_spool *spool, uint64_t place, size_t n)
{
	unsigned char *bytes = malloc(n + 1);

	ck_assert_int_eq(pst_spool_read(spool, bytes, n), (ssize_t)n);
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != byte_at(place + i))
			ck_abort_msg(
			    "byte %zu of %zu at %llu is wrong", i, n, (unsigned long long)place);
	free(bytes);
}

/* The same by way of the pieces, as sendfile would. */
static void
expect_pieces(struct pst_spool *spool, uint64_t place)
{
	while (pst_spool_length(spool) > 0) {
		struct pst_spool_piece piece;
		unsigned char bytes[1000];
		size_t n;

		pst_spool_front(spool, &piece);
		n = piece.length < sizeof bytes ? (size_t)piece.length : sizeof bytes;
		ck_assert_uint_gt(n, 0);
		if (piece.bytes)
			memcpy(bytes, piece.bytes, n);
		else
			ck_assert_int_eq(pread(piece.fd, bytes, n, piece.offset), (ssize_t)n);
		for (size_t i = 0; i < n; i++)
			ck_assert_uint_eq(bytes[i], byte_at(place + i));
		pst_spool_consume(spool, n);
		place += n;
	}
}

START_TEST(test_memory_only)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 64 * KIB, 0);
	struct pst_spool_piece piece;

	pst_spool_front(spool, &piece);
	ck_assert_uint_eq(piece.length, 0);
	ck_assert_uint_eq(pst_spool_room(spool), 64 * KIB);
	ck_assert_int_eq(append(spool, 64 * KIB), 0);
	ck_assert_uint_eq(pst_spool_room(spool), 0);
	ck_assert_uint_ge(budget.memory, 64 * KIB);
	ck_assert_int_eq(append(spool, 1), PST_SPOOL_ERR_LIMIT);
	expect(spool, 0, 64 * KIB);
	pst_spool_consume(spool, 1);
	ck_assert_int_eq(append(spool, 1), 0);
	expect(spool, 1, 64 * KIB);
	expect_pieces(spool, 1);
	ck_assert_uint_eq(budget.memory, 0); /* memory back when empty */
	ck_assert_int_eq(append(spool, 10), 0);
	ck_assert_uint_eq(pst_spool_length(spool), 10);
	pst_spool_free(spool);
}
END_TEST

START_TEST(test_spills_to_file)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 1000, 100000);
	struct pst_spool_piece piece;

	/* One append across the border, one behind it. */
	ck_assert_int_eq(append(spool, 3000), 0);
	ck_assert_int_eq(append(spool, 500), 0);
	ck_assert_uint_eq(budget.file, 2500);
	ck_assert_uint_eq(pst_spool_length(spool), 3500);
	expect(spool, 0, 3500);
	pst_spool_front(spool, &piece);
	ck_assert_ptr_nonnull(piece.bytes);
	ck_assert_int_eq(piece.fd, -1);
	ck_assert_uint_eq(piece.length, 1000);
	/* Once in the file, room in memory is not used: the order would be lost. */
	pst_spool_consume(spool, 900);
	ck_assert_int_eq(append(spool, 10), 0);
	expect(spool, 900, 2610);
	pst_spool_consume(spool, 1100);
	pst_spool_front(spool, &piece);
	ck_assert_ptr_null(piece.bytes);
	ck_assert_int_ge(piece.fd, 0);
	ck_assert_int_eq(piece.offset, 1000);
	ck_assert_uint_eq(piece.length, 1510);
	ck_assert_uint_eq(budget.memory, 0);
	expect_pieces(spool, 2000);
	ck_assert_uint_eq(budget.file, 0);
	/* Empty: memory first again. */
	ck_assert_int_eq(append(spool, 1000), 0);
	ck_assert_uint_eq(budget.file, 0);
	expect(spool, 3510, 1000);
	pst_spool_free(spool);
}
END_TEST

START_TEST(test_keep_and_rewind)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_KEEP, 1000, 100000);

	ck_assert_int_eq(append(spool, 1500), 0);
	pst_spool_consume(spool, 700);
	ck_assert_int_eq(append(spool, 1500), 0);
	expect(spool, 700, 2300);
	pst_spool_rewind(spool);
	ck_assert_uint_eq(pst_spool_length(spool), 3000);
	for (int i = 0; i < 3; i++) {
		expect_pieces(spool, 0);
		ck_assert_uint_eq(pst_spool_length(spool), 0);
		ck_assert_uint_eq(budget.file, 2000);
		pst_spool_rewind(spool);
	}
	/* Consumed to the end, then appended to: what was kept is still there. */
	pst_spool_consume(spool, 3000);
	ck_assert_int_eq(append(spool, 10), 0);
	expect(spool, 3000, 10);
	pst_spool_rewind(spool);
	expect(spool, 0, 3010);
	pst_spool_free(spool);
}
END_TEST

/* A small body that is kept, consumed and appended to stays in memory. */
START_TEST(test_keep_in_memory)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_KEEP, 1000, 0);

	ck_assert_int_eq(append(spool, 500), 0);
	pst_spool_consume(spool, 500);
	ck_assert_int_eq(append(spool, 500), 0);
	ck_assert_int_eq(append(spool, 1), PST_SPOOL_ERR_LIMIT);
	pst_spool_rewind(spool);
	expect(spool, 0, 1000);
	pst_spool_free(spool);
}
END_TEST

/* What was kept is freed once it need not be, wherever it is. */
START_TEST(test_let_go)
{
	for (size_t consumed = 0; consumed <= 3000; consumed += 500) {
		struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_KEEP, 1000, 100000);

		ck_assert(pst_spool_keeps(spool));
		ck_assert_uint_eq(pst_spool_memory_room(spool), 1000);
		ck_assert_int_eq(append(spool, 3000), 0);
		ck_assert_uint_eq(pst_spool_memory_room(spool), 0);
		pst_spool_consume(spool, consumed);
		pst_spool_let_go(spool);
		pst_spool_let_go(spool);
		ck_assert(!pst_spool_keeps(spool));
		expect(spool, consumed, 3000 - consumed);
		ck_assert_int_eq(append(spool, 400), 0);
		expect_pieces(spool, consumed);
		ck_assert_uint_eq(budget.file, 0);
		ck_assert_uint_eq(budget.memory, 0);
		ck_assert_uint_eq(pst_spool_memory_room(spool), 1000);
		pst_spool_free(spool);
	}
}
END_TEST

/* A long response through a short queue: the disk gets back what was consumed. */
START_TEST(test_file_is_given_back)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 1000, 8 * MIB);
	struct pst_spool_piece piece;
	struct stat st;

	ck_assert_int_eq(append(spool, 4 * MIB), 0);
	for (uint64_t place = 0; place < 64 * MIB; place += MIB) {
		ck_assert_int_eq(append(spool, MIB), 0);
		expect(spool, place, MIB);
		pst_spool_consume(spool, MIB);
		ck_assert_uint_le(budget.file, 8 * MIB);
	}
	pst_spool_front(spool, &piece);
	ck_assert_int_eq(fstat(piece.fd, &st), 0);
	ck_assert_int_le(st.st_blocks * 512, 8 * MIB);
	pst_spool_free(spool);
}
END_TEST

START_TEST(test_limit)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 1000, 1000);

	ck_assert_int_eq(append(spool, 2001), PST_SPOOL_ERR_LIMIT);
	ck_assert_uint_eq(pst_spool_length(spool), 0);
	ck_assert_uint_eq(budget.memory, 0);
	ck_assert_int_eq(append(spool, 2000), 0);
	ck_assert_uint_eq(pst_spool_room(spool), 0);
	ck_assert_int_eq(append(spool, 1), PST_SPOOL_ERR_LIMIT);
	expect(spool, 0, 2000);
	pst_spool_free(spool);
}
END_TEST

START_TEST(test_budget)
{
	struct pst_spool *first, *second;

	budget.memory_limit = 64 * KIB;
	budget.file_limit = 100 * KIB;
	first = pst_spool_new(&budget, PST_SPOOL_KEEP, 32 * KIB, MIB);
	second = pst_spool_new(&budget, PST_SPOOL_KEEP, 64 * KIB, MIB);
	ck_assert_int_eq(append(first, 32 * KIB), 0);
	ck_assert_uint_eq(budget.file, 0);
	/* The memory of all is spent: to the file, although the spool itself might hold it. */
	ck_assert_int_eq(append(second, 64 * KIB), 0);
	ck_assert_uint_le(budget.memory, budget.memory_limit);
	ck_assert_uint_gt(budget.file, 0);
	ck_assert_int_eq(append(second, 100 * KIB), PST_SPOOL_ERR_BUDGET);
	ck_assert_int_eq(append(first, 101 * KIB), PST_SPOOL_ERR_BUDGET);
	expect(second, 0, 64 * KIB);
	pst_spool_free(second);
	ck_assert_uint_eq(budget.file, 0);
	ck_assert_int_eq(append(first, 100 * KIB), 0);
	expect(first, 0, 132 * KIB);
	pst_spool_free(first);
}
END_TEST

/* A limit on the file's size stands for a full disk: the write comes up short, then fails. */
START_TEST(test_disk_full)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_KEEP, 100, MIB);
	struct rlimit limit = {.rlim_cur = 5000, .rlim_max = RLIM_INFINITY};
	struct pst_spool_piece piece;
	struct stat st;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(append(spool, 1100), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(append(spool, 6000), PST_SPOOL_ERR_FULL);
	ck_assert_int_eq(pst_spool_errno(spool), EFBIG);
	ck_assert_uint_eq(budget.file, 1000);
	/* As it was: nothing of the failed write takes up space. */
	expect(spool, 0, 1100);
	pst_spool_consume(spool, 100);
	pst_spool_front(spool, &piece);
	ck_assert_int_eq(fstat(piece.fd, &st), 0);
	ck_assert_int_eq(st.st_size, 1000);
	ck_assert_int_eq(append(spool, 4000), 0);
	ck_assert_int_eq(append(spool, 1), PST_SPOOL_ERR_FULL);
	pst_spool_rewind(spool);
	expect(spool, 0, 5100);
	pst_spool_free(spool);
}
END_TEST

START_TEST(test_no_directory)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 100, MIB);

	budget.directory = "/nonexistent/spool";
	ck_assert_int_eq(append(spool, 100), 0);
	ck_assert_int_eq(append(spool, 1), PST_SPOOL_ERR_IO);
	ck_assert_int_eq(pst_spool_errno(spool), ENOENT);
	expect(spool, 0, 100);
	pst_spool_free(spool);
}
END_TEST

START_TEST(test_read_beyond)
{
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 100, MIB);
	char bytes[400];

	ck_assert_int_eq(pst_spool_read(spool, bytes, sizeof bytes), 0);
	ck_assert_int_eq(append(spool, 50), 0);
	ck_assert_int_eq(pst_spool_read(spool, bytes, sizeof bytes), 50);
	ck_assert_int_eq(append(spool, 150), 0);
	ck_assert_int_eq(pst_spool_read(spool, bytes, sizeof bytes), 200);
	ck_assert_int_eq(pst_spool_read(spool, bytes, 150), 150);
	ck_assert_int_eq(pst_spool_append(spool, NULL, 0), 0);
	pst_spool_free(spool);
	pst_spool_free(NULL);
}
END_TEST

START_TEST(test_no_memory)
{
	struct pst_spool *spool;
	int err;

	failmalloc_count = 0;
	failmalloc_at = 1;
	spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 1000, 1000);
	failmalloc_at = 0;
	ck_assert_ptr_null(spool);

	spool = pst_spool_new(&budget, PST_SPOOL_QUEUE, 1000, 1000);
	failmalloc_count = 0;
	failmalloc_at = 1;
	err = pst_spool_append(spool, "x", 1);
	failmalloc_at = 0;
	ck_assert_int_eq(err, PST_SPOOL_ERR_MEMORY);
	ck_assert_uint_eq(pst_spool_length(spool), 0);
	ck_assert_int_eq(append(spool, 5), 0);
	expect(spool, 0, 5);
	pst_spool_free(spool);
}
END_TEST

/* Any order of calls agrees with a model that only counts. */
START_TEST(test_model)
{
	enum pst_spool_kind kind = _i % 2 ? PST_SPOOL_KEEP : PST_SPOOL_QUEUE;
	struct pst_spool *spool = pst_spool_new(&budget, kind, 3000, 20000);
	uint64_t front = 0, total = 0;

	srand(1000 + (unsigned)_i);
	for (int round = 0; round < 400; round++) {
		size_t n = (size_t)rand() % 4000;
		int what = rand() % 10;

		if (what < 5) {
			bool fits = n <= pst_spool_room(spool);
			int err = append(spool, n);

			ck_assert_int_eq(err, fits ? 0 : PST_SPOOL_ERR_LIMIT);
			total += err == 0 ? n : 0;
		} else if (what == 9 && kind == PST_SPOOL_KEEP) {
			pst_spool_rewind(spool);
			front = 0;
		} else {
			n = n < total - front ? n : (size_t)(total - front);
			pst_spool_consume(spool, n);
			front += n;
		}
		ck_assert_uint_eq(pst_spool_length(spool), total - front);
		expect(spool, front, (size_t)(total - front));
	}
	pst_spool_free(spool);
}
END_TEST

/* --- what is lent --- */

/* What FD shows of PIECE is the body from PLACE on, and cannot be written to. */
static void
expect_lent(int fd, const struct pst_spool_piece *piece, uint64_t place)
{
	unsigned char *bytes = malloc(piece->length);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, bytes, piece->length, piece->offset), (ssize_t)piece->length);
	for (size_t i = 0; i < piece->length; i++)
		ck_assert_uint_eq(bytes[i], byte_at(place + i));
	ck_assert_int_eq(pwrite(fd, "x", 1, piece->offset), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
	free(bytes);
}

START_TEST(test_lend)
{
	struct pst_sheets *sheets = pst_sheets_new();
	struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_KEEP, 2 * MIB, 10 * MIB);
	struct pst_spool_piece piece;

	budget.sheets_limit = 1;
	pst_spool_use_sheet(spool, sheets);
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(append(spool, 70001), 0);
	ck_assert(!pst_spool_lends_all(spool));
	for (int i = 0; i < 2; i++) {
		expect_lent(pst_spool_lend(spool, &piece), &piece, 0);
		ck_assert_uint_eq(piece.length, PST_SHEET_SIZE);
		pst_spool_consume(spool, 1000);
		expect_lent(pst_spool_lend(spool, &piece), &piece, 1000);
		pst_spool_consume(spool, piece.length);
		expect_lent(pst_spool_lend(spool, &piece), &piece, PST_SHEET_SIZE);
		pst_spool_consume(spool, piece.length - 1);
		ck_assert_int_eq(pst_spool_lend(spool, &piece), -1); /* too little */
		pst_spool_rewind(spool);
		expect(spool, 0, 30 * 70001);
	}
	pst_spool_free(spool);
	ck_assert_uint_eq(budget.sheets, 0);
	pst_sheets_free(sheets);
}
END_TEST

/* Whose memory was lent serves another one only when it was returned. */
START_TEST(test_sheets_are_used_again)
{
	struct pst_sheets *sheets = pst_sheets_new();
	struct pst_spool_piece piece;
	int fd[2];

	budget.sheets_limit = 1;
	for (int i = 0; i < 4; i++) {
		struct pst_spool *spool = pst_spool_new(&budget, PST_SPOOL_KEEP, MIB, 0);
		struct pst_spool *other = pst_spool_new(&budget, PST_SPOOL_KEEP, MIB, 0);
		struct stat st[2];
		bool same;

		pst_spool_use_sheet(spool, sheets);
		pst_spool_use_sheet(other, sheets); /* beyond the limit */
		ck_assert(pst_spool_lends_all(spool) && !pst_spool_lends_all(other));
		ck_assert_int_eq(append(spool, 20000), 0);
		ck_assert_int_eq(append(other, 20000), 0);
		ck_assert_int_eq(pst_spool_lend(other, &piece), -1);
		fd[0] = pst_spool_lend(spool, &piece);
		ck_assert_int_ge(fd[0], 0);
		if (i == 3) /* given again before it was returned: somebody may have kept it */
			pst_spool_rewind(spool);
		if (i >= 1)
			pst_spool_returned(spool);
		pst_spool_free(spool);
		pst_spool_free(other);
		spool = pst_spool_new(&budget, PST_SPOOL_KEEP, MIB, 0);
		pst_spool_use_sheet(spool, sheets);
		ck_assert_int_eq(append(spool, 20000), 0);
		fd[1] = pst_spool_lend(spool, &piece);
		ck_assert(fstat(fd[0], &st[0]) == 0 && fstat(fd[1], &st[1]) == 0);
		same = st[0].st_ino == st[1].st_ino && st[0].st_dev == st[1].st_dev;
		ck_assert_int_eq(same, i == 1 || i == 2);
		close(fd[0]);
		close(fd[1]);
		pst_spool_returned(spool);
		if (i == 3)
			pst_sheets_free(sheets); /* it goes with the last one */
		pst_spool_free(spool);
	}
}
END_TEST

START_TEST(test_error_strings)
{
	for (int err = PST_SPOOL_ERR_IO; err <= PST_SPOOL_OK; err++)
		ck_assert_uint_gt(strlen(pst_spool_error_string(err)), 5);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("spool");
	TCase *tcase = tcase_create("spool");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_memory_only);
	tcase_add_test(tcase, test_spills_to_file);
	tcase_add_test(tcase, test_keep_and_rewind);
	tcase_add_test(tcase, test_keep_in_memory);
	tcase_add_test(tcase, test_let_go);
	tcase_add_test(tcase, test_file_is_given_back);
	tcase_add_test(tcase, test_limit);
	tcase_add_test(tcase, test_budget);
	tcase_add_test(tcase, test_disk_full);
	tcase_add_test(tcase, test_no_directory);
	tcase_add_test(tcase, test_read_beyond);
	tcase_add_test(tcase, test_no_memory);
	tcase_add_loop_test(tcase, test_model, 0, 10);
	tcase_add_test(tcase, test_lend);
	tcase_add_test(tcase, test_sheets_are_used_again);
	tcase_add_test(tcase, test_error_strings);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
