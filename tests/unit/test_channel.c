/*
 * The arbiter's end of a control channel, over a real socketpair and event loop.
 */
#include "gateway/arbiter/channel.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct event_base *base;
static struct pst_channel *channel;
static int peer;
static char seen[4096]; /* the lines and the end that the channel told of */

static void
on_line(void *owner, const struct pst_control *line)
{
	(void)owner;
	for (unsigned i = 0; i < line->count; i++) {
		strcat(seen, line->words[i]);
		strcat(seen, i + 1 < line->count ? " " : "|");
	}
}

static void
on_end(void *owner, const char *why)
{
	(void)owner;
	strcat(seen, "end: ");
	strcat(seen, why);
}

static void
set_up(void)
{
	static const struct pst_channel_events events = {.line = on_line, .end = on_end};
	int pair[2];

	seen[0] = '\0';
	base = event_base_new();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	channel = pst_channel_new(base, pair[0], &events, NULL);
	ck_assert_ptr_nonnull(channel);
}

static void
tear_down(void)
{
	pst_channel_free(channel);
	event_base_free(base);
	close(peer);
}

/* Let the loop run until nothing is left to do. */
static void
turn(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
say(const char *bytes)
{
	ck_assert_int_eq(write(peer, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
}

/* Read what there is into TEXT; the descriptors that came with it, into FDS: their number. */
static int
hear(char *text, size_t size, int *fds, int room)
{
	int count = 0;
	size_t used = 0;

	for (;;) {
		char control[CMSG_SPACE(8 * sizeof(int))];
		struct iovec iov = {.iov_base = text + used, .iov_len = size - used - 1};
		struct msghdr message = {.msg_iov = &iov,
		    .msg_iovlen = 1,
		    .msg_control = control,
		    .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(peer, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n <= 0)
			break;
		used += (size_t)n;
		for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one;
		     one = CMSG_NXTHDR(&message, one)) {
			ck_assert_int_eq(one->cmsg_type, SCM_RIGHTS);
			ck_assert_int_lt(count, room);
			memcpy(&fds[count++], CMSG_DATA(one), sizeof(int));
		}
	}
	text[used] = '\0';
	return count;
}

START_TEST(test_lines_come_whole_or_in_pieces)
{
	say("READY\nSLOT usable 1.1\nSLOT la");
	turn();
	ck_assert_str_eq(seen, "READY|SLOT usable 1.1|");
	say("te 1.1 GET%20/\n");
	turn();
	ck_assert_str_eq(seen, "READY|SLOT usable 1.1|SLOT late 1.1 GET /|");
}
END_TEST

START_TEST(test_a_byte_at_a_time)
{
	static const char text[] = "READY\nSLOT broken 2.1 a%20b\n";

	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		ck_assert_int_eq(write(peer, text + i, 1), 1);
		turn();
	}
	ck_assert_str_eq(seen, "READY|SLOT broken 2.1 a b|");
}
END_TEST

START_TEST(test_end)
{
	say("READY\n");
	close(peer);
	peer = -1;
	turn();
	ck_assert_str_eq(seen, "READY|end: it closed its control channel");
	pst_channel_send(channel, "DRAIN", NULL);
	turn();
	ck_assert_str_eq(seen, "READY|end: it closed its control channel");
}
END_TEST

START_TEST(test_malformed_line_ends_it)
{
	say("READY\nSLOT  up\nREADY\n");
	turn();
	ck_assert_str_eq(seen, "READY|end: it sent a malformed control line");
}
END_TEST

START_TEST(test_endless_line_ends_it)
{
	char text[PST_CONTROL_LINE + 1];

	memset(text, 'a', sizeof(text));
	ck_assert_int_eq(write(peer, text, sizeof(text)), (ssize_t)sizeof(text));
	turn();
	ck_assert_str_eq(seen, "end: it sent a malformed control line");
}
END_TEST

START_TEST(test_sending)
{
	char text[256];

	pst_channel_send(channel, "SET", "access_logformat", "%(h)s \"x\"", NULL);
	pst_channel_send(channel, "START", NULL);
	turn();
	ck_assert_int_eq(hear(text, sizeof(text), NULL, 0), 0);
	ck_assert_str_eq(text, "SET access_logformat %25(h)s%20\"x\"\nSTART\n");
}
END_TEST

/* The descriptor that came is another number for the file that was sent. */
static void
check_content(int fd, const char *content)
{
	char text[64] = "";

	ck_assert_int_ge(pread(fd, text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, content);
	close(fd);
}

static int
file_with(const char *content)
{
	char path[] = "/tmp/test_channel.XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	return fd;
}

START_TEST(test_descriptors_come_with_their_lines)
{
	int a = file_with("a"), b = file_with("b"), fds[4];
	char text[256];

	pst_channel_send(channel, "SET", "x", "1", NULL);
	pst_channel_send_fd(channel, a, "LISTEN", "127.0.0.1:1", NULL);
	pst_channel_send_fd(channel, b, "ACCESS_LOG", NULL);
	pst_channel_send(channel, "START", NULL);
	close(a);
	close(b);
	turn();
	ck_assert_int_eq(hear(text, sizeof(text), fds, 4), 2);
	ck_assert_str_eq(text, "SET x 1\nLISTEN 127.0.0.1:1\nACCESS_LOG\nSTART\n");
	check_content(fds[0], "a");
	check_content(fds[1], "b");
}
END_TEST

/* Bytes that the peer reads: their number. */
static size_t
drain_peer(int *fds, int room, int *count)
{
	static char text[65536];
	size_t total = 0;

	do {
		*count += hear(text, sizeof(text), fds + *count, room - *count);
		total += strlen(text);
		turn();
	} while (*text);
	return total;
}

START_TEST(test_a_slow_peer_gets_all_in_order)
{
	int a = file_with("late"), fds[2], count = 0;
	char word[1000];
	size_t sent = 0;

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	for (int i = 0; i < 500; i++) {
		pst_channel_send(channel, "SET", "x", word, NULL);
		sent += strlen("SET x \n") + strlen(word);
	}
	pst_channel_send_fd(channel, a, "ACCESS_LOG", NULL);
	pst_channel_send(channel, "START", NULL);
	sent += strlen("ACCESS_LOG\nSTART\n");
	close(a);
	ck_assert_uint_eq(drain_peer(fds, 2, &count), sent);
	ck_assert_int_eq(count, 1);
	check_content(fds[0], "late");
	ck_assert_str_eq(seen, "");
}
END_TEST

START_TEST(test_a_peer_that_never_reads_ends_it)
{
	char word[1000];

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	for (size_t i = 0; i < 2 * PST_CHANNEL_BACKLOG / sizeof(word); i++)
		pst_channel_send(channel, "SET", "x", word, NULL);
	ck_assert_str_eq(seen, "");
	turn();
	ck_assert_str_eq(seen, "end: it does not read its control lines");
}
END_TEST

/* A gateway is told of a large configuration before it reads any of it. */
START_TEST(test_more_may_wait_when_that_is_allowed)
{
	char word[1000];
	int fds[1], count = 0;
	size_t sent = 0;

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	pst_channel_allow(channel, 4 * PST_CHANNEL_BACKLOG);
	for (size_t i = 0; i < 2 * PST_CHANNEL_BACKLOG / sizeof(word); i++) {
		pst_channel_send(channel, "SET", "x", word, NULL);
		sent += strlen("SET x \n") + strlen(word);
	}
	ck_assert_uint_eq(drain_peer(fds, 1, &count), sent);
	ck_assert_str_eq(seen, "");
}
END_TEST

START_TEST(test_a_line_that_is_too_long_ends_it_later)
{
	char word[PST_CONTROL_LINE];

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	pst_channel_send(channel, "SET", "x", word, NULL);
	ck_assert_str_eq(seen, "");
	turn();
	ck_assert_int_eq(strncmp(seen, "end: a control line cannot be made", 34), 0);
}
END_TEST

/* What waits to be sent when it ends, descriptors too, is released. */
START_TEST(test_free_with_descriptors_waiting)
{
	int a = file_with("a"), before, after;
	char word[1000];

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	before = dup(0);
	close(before);
	for (int i = 0; i < 500; i++)
		pst_channel_send(channel, "SET", "x", word, NULL);
	for (int i = 0; i < 10; i++)
		pst_channel_send_fd(channel, a, "LISTEN", "x", NULL);
	pst_channel_free(channel);
	channel = NULL;
	after = dup(0);
	close(after);
	/* The channel's own descriptor is free now, and all copies are. */
	ck_assert_int_le(after, before);
	close(a);
}
END_TEST

START_TEST(test_a_descriptor_is_not_left_when_memory_is_short)
{
	int before, after;

	before = dup(0);
	close(before);
	failmalloc_at = failmalloc_count + 1;
	pst_channel_send_fd(channel, 0, "ACCESS_LOG", NULL);
	failmalloc_at = 0;
	after = dup(0);
	close(after);
	ck_assert_int_eq(after, before);
	turn();
	ck_assert_str_eq(seen, "end: out of memory");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("channel");
	TCase *lines = tcase_create("lines");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(lines, set_up, tear_down);
	tcase_add_test(lines, test_lines_come_whole_or_in_pieces);
	tcase_add_test(lines, test_a_byte_at_a_time);
	tcase_add_test(lines, test_end);
	tcase_add_test(lines, test_malformed_line_ends_it);
	tcase_add_test(lines, test_endless_line_ends_it);
	tcase_add_test(lines, test_sending);
	tcase_add_test(lines, test_descriptors_come_with_their_lines);
	tcase_add_test(lines, test_a_slow_peer_gets_all_in_order);
	tcase_add_test(lines, test_a_peer_that_never_reads_ends_it);
	tcase_add_test(lines, test_more_may_wait_when_that_is_allowed);
	tcase_add_test(lines, test_a_line_that_is_too_long_ends_it_later);
	tcase_add_test(lines, test_free_with_descriptors_waiting);
	tcase_add_test(lines, test_a_descriptor_is_not_left_when_memory_is_short);
	suite_add_tcase(suite, lines);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
