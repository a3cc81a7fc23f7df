/*
 * A body that is bytes and files: what is read of it, however it was added and however it is read.
 */
#include "adapters/body.h"

#include "protocol/error.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int
lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

/* A file that holds TEXT, and what is in front of OFFSET. */
static struct pst_session_file
file_of(const char *text, size_t offset)
{
	struct pst_session_file file = {
	    .fd = memfd_create("body", 0), .offset = offset, .length = strlen(text)};

	ck_assert_int_ge(file.fd, 0);
	ck_assert_int_eq(pwrite(file.fd, text, strlen(text), (off_t)offset), (ssize_t)strlen(text));
	return file;
}

static void
add(struct pst_body *body, const char *text)
{
	ck_assert_int_eq(pst_body_add(body, text, strlen(text)), 0);
}

static void
add_file(struct pst_body *body, const char *text)
{
	struct pst_session_file file = file_of(text, 3);

	ck_assert_int_eq(pst_body_add_file(body, &file), 0);
}

/* All of BODY is TEXT, read N bytes at a time; the credit that it gives back. */
static size_t
drain(struct pst_body *body, const char *text, size_t n)
{
	char bytes[64], all[256] = "";
	size_t credit, sum = 0, at = 0;
	ssize_t got;

	while ((got = pst_body_read(body, bytes, n, &credit)) > 0) {
		ck_assert_uint_le((size_t)got, n);
		memcpy(all + at, bytes, (size_t)got);
		at += (size_t)got;
		sum += credit;
	}
	ck_assert_int_eq(got, 0);
	ck_assert_str_eq(all, text);
	ck_assert(pst_body_is_empty(body));
	return sum;
}

START_TEST(test_mixed)
{
	int before = lowest_fd();
	struct pst_body body = {0};

	add(&body, "one ");
	add_file(&body, "two ");
	add_file(&body, "three ");
	add(&body, "four ");
	add(&body, "five ");
	add_file(&body, "six");
	add(&body, "!");
	ck_assert_uint_eq(drain(&body, "one two three four five six!", (size_t)_i),
	    15 + 3 * PST_SESSION_FILE_COST);
	ck_assert_int_eq(lowest_fd(), before);
	add_file(&body, "again");
	drain(&body, "again", 64);
	pst_body_free(&body);
}
END_TEST

/* In any division between the two. */
START_TEST(test_move)
{
	static const char *const parts[] = {"a", "<b>", "c", "<d>", "<e>", "f"};
	int before = lowest_fd();
	struct pst_body to = {0}, from = {0};

	for (int i = 0; i < 6; i++) {
		struct pst_body *body = i < _i ? &to : &from;

		if (*parts[i] == '<')
			add_file(body, parts[i]);
		else
			add(body, parts[i]);
	}
	ck_assert_int_eq(pst_body_move(&to, &from), 0);
	pst_body_clear(&from, 0);
	drain(&to, "a<b>c<d><e>f", 2);
	pst_body_free(&to);
	pst_body_free(&from);
	ck_assert_int_eq(lowest_fd(), before);
}
END_TEST

START_TEST(test_clear)
{
	int before = lowest_fd();
	struct pst_body body = {0};

	for (int i = 0; i < 2; i++) {
		add(&body, "bytes");
		add_file(&body, "file");
		add_file(&body, "file");
		pst_body_clear(&body, i == 0 ? 0 : 100000);
		ck_assert(pst_body_is_empty(&body));
		ck_assert_int_eq(lowest_fd(), before);
	}
	pst_body_free(&body);
}
END_TEST

START_TEST(test_no_files)
{
	int before = lowest_fd(), ends[2];
	struct pst_body body = {0};
	struct pst_session_file file = file_of("short", 0);

	file.length = 6;
	ck_assert_int_eq(pst_body_add_file(&body, &file), PST_ERR_PROTOCOL);
	file = file_of("short", 0);
	file.offset = (uint64_t)INT64_MAX - 5;
	ck_assert_int_eq(pst_body_add_file(&body, &file), PST_ERR_PROTOCOL);
	ck_assert_int_eq(pipe(ends), 0);
	close(ends[1]);
	file = (struct pst_session_file){ends[0], 0, 1};
	ck_assert_int_eq(pst_body_add_file(&body, &file), PST_ERR_PROTOCOL);
	file = (struct pst_session_file){open("/tmp", O_RDONLY), 0, 1};
	ck_assert_int_eq(pst_body_add_file(&body, &file), PST_ERR_PROTOCOL);
	ck_assert(pst_body_is_empty(&body));
	pst_body_free(&body);
	ck_assert_int_eq(lowest_fd(), before);
}
END_TEST

START_TEST(test_too_many)
{
	int before = lowest_fd();
	struct pst_body body = {0}, from = {0};
	struct pst_session_file file;

	for (unsigned i = 0; i < PST_BODY_FILES; i++)
		add_file(&body, "x");
	file = file_of("y", 0);
	ck_assert_int_eq(pst_body_add_file(&body, &file), PST_ERR_LIMIT);
	add_file(&from, "y");
	ck_assert_int_eq(pst_body_move(&body, &from), PST_ERR_LIMIT);
	pst_body_free(&body);
	pst_body_free(&from);
	ck_assert_int_eq(lowest_fd(), before);
}
END_TEST

/* It is an error, at whichever byte, and no signal. */
START_TEST(test_shrinks)
{
	struct pst_body body = {0};
	struct pst_session_file file = file_of("0123456789", 0);
	int also = dup(file.fd);
	char bytes[64];
	size_t credit;

	ck_assert_int_eq(pst_body_add_file(&body, &file), 0);
	ck_assert_int_eq(pst_body_read(&body, bytes, 4, &credit), 4);
	ck_assert_int_eq(ftruncate(also, _i), 0);
	if (_i > 4)
		ck_assert_int_eq(pst_body_read(&body, bytes, 64, &credit), _i - 4);
	ck_assert_int_eq(pst_body_read(&body, bytes, 64, &credit), -1);
	ck_assert_int_eq(errno, ENODATA);
	ck_assert_uint_eq(credit, 0);
	pst_body_free(&body);
	close(also);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("body");
	TCase *tcase = tcase_create("body");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, test_mixed, 1, 32);
	tcase_add_loop_test(tcase, test_move, 0, 7);
	tcase_add_test(tcase, test_clear);
	tcase_add_test(tcase, test_no_files);
	tcase_add_test(tcase, test_too_many);
	tcase_add_loop_test(tcase, test_shrinks, 0, 10);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
