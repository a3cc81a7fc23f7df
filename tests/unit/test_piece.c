/* A piece of a file to a socket: by sendfile(2), where that does not do, and when the file ends. */
#include "adapters/piece.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static FILE *file;
static int sockets[2];

static void
set_up(void)
{
	file = tmpfile();
	ck_assert_ptr_nonnull(file);
	fputs("0123456789", file);
	ck_assert_int_eq(fflush(file), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
	signal(SIGPIPE, SIG_IGN);
}

static void
tear_down(void)
{
	fclose(file);
	close(sockets[0]);
	close(sockets[1]);
}

static void
assert_received(const char *expect, size_t n)
{
	char bytes[100];

	ck_assert_int_eq(recv(sockets[1], bytes, sizeof(bytes), 0), (ssize_t)n);
	ck_assert_mem_eq(bytes, expect, n);
}

/* sendfile() refuses a socket with O_APPEND with EINVAL. */
static void
refuse_sendfile(void)
{
	int flags = fcntl(sockets[0], F_GETFL);

	ck_assert_int_eq(fcntl(sockets[0], F_SETFL, flags | O_APPEND), 0);
}

/* Either way the file's own position is left alone. */
START_TEST(test_send)
{
	struct pst_piece piece = {.fd = fileno(file), .offset = 2};

	if (_i == 1)
		refuse_sendfile();
	ck_assert_int_eq(pst_piece_send(&piece, sockets[0], 3), 3);
	ck_assert_int_eq(pst_piece_send(&piece, sockets[0], 4), 4);
	assert_received("2345678", 7);
	ck_assert_int_eq(piece.copies, _i == 1);
	ck_assert_int_eq(piece.offset, 9);
	ck_assert(!piece.spoilt);
	ck_assert_int_eq(lseek(piece.fd, 0, SEEK_CUR), 10);
}
END_TEST

START_TEST(test_end)
{
	struct pst_piece piece = {.fd = fileno(file), .offset = 8};
	static const char expect[] = "89\0\0\0";

	if (_i == 1)
		refuse_sendfile();
	ck_assert_int_eq(pst_piece_send(&piece, sockets[0], 5), 2);
	ck_assert(!piece.spoilt);
	ck_assert_int_eq(pst_piece_send(&piece, sockets[0], 3), 3);
	ck_assert(piece.spoilt);
	ck_assert_int_eq(piece.err, 0);
	assert_received(expect, 5);
}
END_TEST

START_TEST(test_unreadable)
{
	struct pst_piece piece = {.fd = open("/", O_RDONLY | O_CLOEXEC)};
	static const char expect[] = "\0\0\0";

	ck_assert_int_ge(piece.fd, 0);
	ck_assert_int_eq(pst_piece_send(&piece, sockets[0], 3), 3);
	ck_assert(piece.spoilt);
	ck_assert_int_eq(piece.err, EISDIR);
	assert_received(expect, 3);
	close(piece.fd);
}
END_TEST

START_TEST(test_socket)
{
	struct pst_piece piece = {.fd = fileno(file)};
	static char bytes[65536];

	while (send(sockets[0], bytes, sizeof(bytes), 0) > 0)
		;
	if (_i == 1)
		refuse_sendfile();
	ck_assert_int_eq(pst_piece_send(&piece, sockets[0], 10), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(sockets[1]);
	ck_assert_int_eq(pst_piece_send(&piece, sockets[0], 10), -1);
	ck_assert(errno == EPIPE || errno == ECONNRESET);
	ck_assert(!piece.spoilt);
	ck_assert_int_eq(piece.offset, 0);
	sockets[1] = -1;
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("piece");
	Suite *suite = suite_create("piece");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, test_send, 0, 2);
	tcase_add_loop_test(tcase, test_end, 0, 2);
	tcase_add_test(tcase, test_unreadable);
	tcase_add_loop_test(tcase, test_socket, 0, 2);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
