/*
 * Lines that go out in order, readers that are stuck, disks that are full, files that are
 * rotated.
 */
#include "gateway/log_writer.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Time enough for a slow machine; only a failing test waits that long. */
#define LONG 60000

#define RING 4096

static size_t
tell(void *arg, uint64_t count, int error, char *line, size_t size)
{
	(void)arg;
	return (size_t)snprintf(line, size, "lost %llu%s\n", (unsigned long long)count,
	    error == EFBIG ? " for want of room" : "");
}

/* An owner that tells it elsewhere. */
struct elsewhere {
	unsigned calls;
	uint64_t counts[4];
	int errors[4];
};

static size_t
tell_elsewhere(void *arg, uint64_t count, int error, char *line, size_t size)
{
	struct elsewhere *told = arg;

	(void)line;
	(void)size;
	ck_assert_uint_lt(told->calls, 4);
	told->counts[told->calls] = count;
	told->errors[told->calls++] = error;
	return 0;
}

/* An unlinked file, to look at what was written. */
static int
new_file(void)
{
	char path[] = "/tmp/penstock-log-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	return fd;
}

/* All that is in FD, with a NUL; freed by the caller. */
static char *
contents(int fd)
{
	struct stat st;
	char *text;

	ck_assert_int_eq(fstat(fd, &st), 0);
	text = malloc((size_t)st.st_size + 1);
	ck_assert_int_eq(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
	text[st.st_size] = '\0';
	return text;
}

static void
expect_contents(int fd, const char *expected)
{
	char *text = contents(fd);

	ck_assert_str_eq(text, expected);
	free(text);
	close(fd);
}

static bool
put(struct pst_log_writer *writer, const char *text)
{
	return pst_log_writer_put(writer, text, strlen(text));
}

/* Read from FD until N bytes were read or it ends; the number. */
static size_t
read_up_to(int fd, char *to, size_t n)
{
	size_t length = 0;

	while (length < n) {
		ssize_t got = read(fd, to + length, n - length);

		if (got <= 0)
			break;
		length += (size_t)got;
	}
	return length;
}

START_TEST(test_lines_in_order)
{
	int fd = new_file(), keep = dup(fd);
	struct pst_log_writer *writer = pst_log_writer_new(fd, RING, NULL, NULL);

	ck_assert(put(writer, "one\n"));
	ck_assert(put(writer, "two\nthree\n"));
	ck_assert(pst_log_writer_put(writer, "", 0));
	ck_assert(pst_log_writer_flush(writer, LONG));
	ck_assert(put(writer, "four\n"));
	ck_assert(pst_log_writer_free(writer, LONG));
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* it was the writer's */
	expect_contents(keep, "one\ntwo\nthree\nfour\n");
	ck_assert(pst_log_writer_free(NULL, 0));
}
END_TEST

struct voice {
	struct pst_log_writer *writer;
	char letter;
};

/* Lines of one letter, some longer than others. */
static void *
speak(void *arg)
{
	const struct voice *voice = arg;
	char line[512];

	memset(line, voice->letter, sizeof(line));
	for (int i = 0; i < 4000; i++) {
		size_t n = 1 + (size_t)i * 37 % (sizeof(line) - 1);

		line[n - 1] = '\n';
		while (!pst_log_writer_put(voice->writer, line, n))
			ck_assert(pst_log_writer_flush(voice->writer, LONG));
		line[n - 1] = voice->letter;
	}
	ck_assert(pst_log_writer_free(voice->writer, LONG));
	return NULL;
}

/* As several gateways do with one access log. */
START_TEST(test_lines_of_two_writers_stay_whole)
{
	struct voice voices[2] = {{.letter = 'a'}, {.letter = 'b'}};
	pthread_t threads[2];
	char line[1024];
	int ends[2];
	size_t lines = 0;
	FILE *in;

	ck_assert_int_eq(pipe(ends), 0);
	in = fdopen(ends[0], "r");
	for (int i = 0; i < 2; i++) {
		voices[i].writer = pst_log_writer_new(dup(ends[1]), 65536, NULL, NULL);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, speak, &voices[i]), 0);
	}
	close(ends[1]);
	for (; fgets(line, sizeof(line), in); lines++)
		ck_assert_uint_eq(strspn(line, line[0] == 'a' ? "a" : "b"), strlen(line) - 1);
	ck_assert_uint_eq(lines, 8000);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	fclose(in);
}
END_TEST

/* Much more than the ring holds, so that it wraps at every place. */
START_TEST(test_ring_wraps)
{
	int fd = new_file(), keep = dup(fd);
	struct pst_log_writer *writer = pst_log_writer_new(fd, 100, NULL, NULL);
	char expected[32 * 2000] = "", *at = expected;

	for (int i = 0; i < 2000; i++) {
		char line[32];
		int n = snprintf(line, sizeof line, "%d%.*s\n", i, i % 20, "....................");

		if (!pst_log_writer_put(writer, line, (size_t)n)) {
			ck_assert(pst_log_writer_flush(writer, LONG));
			ck_assert(pst_log_writer_put(writer, line, (size_t)n));
		}
		memcpy(at, line, (size_t)n + 1);
		at += n;
	}
	ck_assert(pst_log_writer_free(writer, LONG));
	expect_contents(keep, expected);
}
END_TEST

/* A pipe that is full already; the bytes that are in it. */
static size_t
full_pipe(int fds[2])
{
	char bytes[4096];
	size_t length = 0;
	ssize_t n;

	memset(bytes, '.', sizeof bytes);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	while ((n = write(fds[1], bytes, sizeof bytes)) > 0)
		length += (size_t)n;
	ck_assert_int_eq(fcntl(fds[1], F_SETFL, 0), 0);
	return length;
}

/* Nobody reads the pipe: lines are dropped, counted, and the count is told when somebody does. */
START_TEST(test_stuck_reader)
{
	struct pst_log_writer *writer;
	char *text = calloc(1, 1 << 20);
	size_t expected, length;
	int pipe_fds[2];

	expected = full_pipe(pipe_fds);
	writer = pst_log_writer_new(pipe_fds[1], RING, tell, NULL);
	for (int i = 0; i < RING / 8; i++, expected += 8)
		ck_assert(put(writer, "a line.\n"));
	for (int i = 0; i < 5; i++)
		ck_assert(!put(writer, "lost\n"));
	ck_assert(!put(writer, "lost\nand lost\n"));
	ck_assert_uint_eq(pst_log_writer_dropped(writer), 7);
	ck_assert(!pst_log_writer_flush(writer, 1));

	expected += strlen("lost 7\n");
	length = read_up_to(pipe_fds[0], text, expected);
	ck_assert_uint_eq(length, expected);
	ck_assert_ptr_nonnull(strstr(text, "\nlost 7\n"));
	ck_assert(put(writer, "after\n"));
	ck_assert(pst_log_writer_free(writer, LONG));
	length = read_up_to(pipe_fds[0], text, 1 << 20);
	ck_assert_uint_eq(length, strlen("after\n"));
	ck_assert_mem_eq(text, "after\n", length);
	close(pipe_fds[0]);
	free(text);
}
END_TEST

/* Exit does not hang although the thread is in a write that does not return. */
START_TEST(test_free_with_stuck_reader)
{
	struct pst_log_writer *writer;
	char *text = calloc(1, 1 << 20);
	int pipe_fds[2];

	full_pipe(pipe_fds);
	writer = pst_log_writer_new(pipe_fds[1], RING, tell, NULL);
	ck_assert(put(writer, "a line\n"));
	ck_assert(!pst_log_writer_free(writer, 1));
	/* The thread that was left behind ends by itself: the pipe gets its end. */
	read_up_to(pipe_fds[0], text, 1 << 20);
	close(pipe_fds[0]);
	free(text);
}
END_TEST

/* The reader has gone: no SIGPIPE kills the process, lines are counted. */
START_TEST(test_reader_gone)
{
	struct pst_log_writer *writer;
	int pipe_fds[2];

	signal(SIGPIPE, SIG_DFL);
	ck_assert_int_eq(pipe(pipe_fds), 0);
	close(pipe_fds[0]);
	writer = pst_log_writer_new(pipe_fds[1], RING, tell, NULL);
	ck_assert(put(writer, "one\ntwo\n"));
	ck_assert(pst_log_writer_flush(writer, LONG));
	ck_assert_uint_eq(pst_log_writer_dropped(writer), 2);
	ck_assert(put(writer, "three\n"));
	ck_assert(pst_log_writer_flush(writer, LONG));
	ck_assert_uint_eq(pst_log_writer_dropped(writer), 3);
	ck_assert(pst_log_writer_free(writer, LONG));
}
END_TEST

/* A full disk in the middle of a line; then there is room again: no two lines run into one. */
START_TEST(test_disk_full)
{
	struct rlimit limit = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
	int fd = new_file(), keep = dup(fd);
	struct pst_log_writer *writer;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	writer = pst_log_writer_new(fd, RING, tell, NULL);
	ck_assert(put(writer, "one\n"));
	ck_assert(pst_log_writer_flush(writer, LONG));
	ck_assert(put(writer, "a long line\nand another\n"));
	ck_assert(pst_log_writer_flush(writer, LONG));
	ck_assert_uint_eq(pst_log_writer_dropped(writer), 2);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(put(writer, "room again\n"));
	ck_assert(pst_log_writer_free(writer, LONG));
	expect_contents(keep, "one\na long\nroom again\nlost 2 for want of room\n");
}
END_TEST

/* It is told once when writing begins to fail, and what was lost until it works again. */
START_TEST(test_disk_full_is_told_elsewhere)
{
	struct rlimit limit = {.rlim_cur = 4, .rlim_max = RLIM_INFINITY};
	struct elsewhere told = {0};
	struct pst_log_writer *writer;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	writer = pst_log_writer_new(new_file(), RING, tell_elsewhere, &told);
	ck_assert(put(writer, "one\n"));
	for (int i = 0; i < 3; i++) {
		ck_assert(pst_log_writer_flush(writer, LONG));
		ck_assert(put(writer, "lost\n"));
	}
	ck_assert(pst_log_writer_flush(writer, LONG));
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(put(writer, "room again\n"));
	ck_assert(pst_log_writer_free(writer, LONG));
	ck_assert_uint_eq(told.calls, 2);
	ck_assert_uint_eq(told.counts[0], 1);
	ck_assert_uint_eq(told.counts[1], 2);
	ck_assert_int_eq(told.errors[0], EFBIG);
	ck_assert_int_eq(told.errors[1], EFBIG);
}
END_TEST

/* Somebody who shares the descriptor made it non-blocking: nothing is lost. */
START_TEST(test_non_blocking_descriptor)
{
	struct pst_log_writer *writer;
	char *lines = malloc(400000), *text = malloc(400000);
	int pipe_fds[2];

	memset(lines, 'x', 400000);
	for (size_t i = 99; i < 400000; i += 100)
		lines[i] = '\n';
	ck_assert_int_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
	fcntl(pipe_fds[0], F_SETFL, 0);
	writer = pst_log_writer_new(pipe_fds[1], 400000, tell, NULL);
	ck_assert(pst_log_writer_put(writer, lines, 400000));
	ck_assert_uint_eq(read_up_to(pipe_fds[0], text, 400000), 400000);
	ck_assert_mem_eq(text, lines, 400000);
	ck_assert(pst_log_writer_free(writer, LONG));
	close(pipe_fds[0]);
	free(lines);
	free(text);
}
END_TEST

START_TEST(test_reopen)
{
	int first = new_file(), keep_first = dup(first);
	int second = new_file(), third = new_file(), keep_third = dup(third);
	struct pst_log_writer *writer = pst_log_writer_new(first, RING, NULL, NULL);

	ck_assert(put(writer, "old\n"));
	pst_log_writer_reopen(writer, second);
	pst_log_writer_reopen(writer, third);
	ck_assert(put(writer, "new\n"));
	ck_assert(pst_log_writer_free(writer, LONG));
	expect_contents(keep_first, "old\n");
	expect_contents(keep_third, "new\n");
	ck_assert_int_eq(fcntl(first, F_GETFD), -1);
	ck_assert_int_eq(fcntl(second, F_GETFD), -1);
	ck_assert_int_eq(fcntl(third, F_GETFD), -1);
}
END_TEST

#define THREADS 4
#define LINES   500

static void *
put_many(void *arg)
{
	struct pst_log_writer *writer = arg;

	for (int i = 0; i < LINES; i++)
		while (!put(writer, "a line of one thread\n"))
			pst_log_writer_flush(writer, LONG);
	return NULL;
}

START_TEST(test_threads)
{
	int fd = new_file(), keep = dup(fd);
	struct pst_log_writer *writer = pst_log_writer_new(fd, RING, NULL, NULL);
	pthread_t threads[THREADS];
	struct stat st;
	char *text;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_many, writer), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(pst_log_writer_free(writer, LONG));
	ck_assert_int_eq(fstat(keep, &st), 0);
	ck_assert_int_eq(st.st_size, THREADS * LINES * 21);
	text = contents(keep);
	for (int i = 0; i < THREADS * LINES; i++)
		ck_assert_mem_eq(text + i * 21, "a line of one thread\n", 21);
	free(text);
	close(keep);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log_writer");
	TCase *tcase = tcase_create("log_writer");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, test_lines_in_order);
	tcase_add_test(tcase, test_lines_of_two_writers_stay_whole);
	tcase_add_test(tcase, test_ring_wraps);
	tcase_add_test(tcase, test_stuck_reader);
	tcase_add_test(tcase, test_free_with_stuck_reader);
	tcase_add_test(tcase, test_reader_gone);
	tcase_add_test(tcase, test_disk_full);
	tcase_add_test(tcase, test_disk_full_is_told_elsewhere);
	tcase_add_test(tcase, test_non_blocking_descriptor);
	tcase_add_test(tcase, test_reopen);
	tcase_add_test(tcase, test_threads);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
