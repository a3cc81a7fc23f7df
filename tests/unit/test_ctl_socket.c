/*
 * The control socket over a real socket and event loop: requests, answers, and who is cut off.
 */
#include "gateway/arbiter/channel.h"
#include "gateway/arbiter/ctl_socket.h"
#include "tests/unit/runner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct event_base *base;
static struct pst_ctl_socket *ctl;
static char directory[64], path[96];
static char seen[4096]; /* requests, and who left */
static struct pst_ctl_client *asker; /* of the last request */
static bool answers; /* at once */

static void
on_request(void *arg, struct pst_ctl_client *client, const struct pst_control *line)
{
	(void)arg;
	asker = client;
	for (unsigned i = 0; i < line->count; i++) {
		strcat(seen, line->words[i]);
		strcat(seen, i + 1 < line->count ? " " : "|");
	}
	if (answers)
		pst_ctl_answer(client, true, "");
}

static void
on_left(void *arg, struct pst_ctl_client *client)
{
	(void)arg;
	ck_assert_ptr_eq(client, asker);
	strcat(seen, "left|");
}

static const struct pst_ctl_events events = {.request = on_request, .left = on_left};

static void
set_up(void)
{
	seen[0] = '\0';
	answers = true;
	base = event_base_new();
	strcpy(directory, "/tmp/penstock-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/ctl", directory);
	ctl = pst_ctl_socket_open(base, path, &events, NULL);
	ck_assert_ptr_nonnull(ctl);
}

static void
tear_down(void)
{
	pst_ctl_socket_close(ctl);
	event_base_free(base);
	ck_assert_int_eq(rmdir(directory), 0);
}

static void
turn(void)
{
	for (int i = 0; i < 50; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static int
come(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	turn();
	return fd;
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turn();
}

/* What there is to read; "end" when the connection is over. */
static const char *
hear(int fd)
{
	static char text[4096];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return "end";
	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(test_requests_and_answers)
{
	struct stat status;
	int fd = come();

	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	say(fd, "STA");
	ck_assert_str_eq(seen, "");
	say(fd, "TUS\n");
	ck_assert_str_eq(hear(fd), "OK\n");
	answers = false;
	say(fd, "SCALE web 3\n");
	ck_assert_str_eq(seen, "STATUS|SCALE web 3|");
	pst_ctl_tell(asker, "A b\nC d\n", 8);
	pst_ctl_answer(asker, false, "no such pool");
	ck_assert_str_eq(hear(fd), "A b\nC d\nERROR no%20such%20pool\n");
	close(fd);
	turn();
	ck_assert_str_eq(seen, "STATUS|SCALE web 3|");
}
END_TEST

START_TEST(test_who_leaves_while_it_waits)
{
	int fd = come();

	answers = false;
	say(fd, "RELOAD\n");
	close(fd);
	turn();
	ck_assert_str_eq(seen, "RELOAD|left|");
}
END_TEST

START_TEST(test_who_does_not_wait_for_the_answer)
{
	int fd = come();

	answers = false;
	say(fd, "RELOAD\nSTATUS\nDRAIN\n");
	ck_assert_str_eq(seen, "RELOAD|left|");
	ck_assert_str_eq(hear(fd), "end");
	close(fd);
}
END_TEST

START_TEST(test_several_at_once_are_all_answered)
{
	int fd = come();

	say(fd, "STATUS\nLOG info\nSTATUS\n");
	ck_assert_str_eq(seen, "STATUS|LOG info|STATUS|");
	ck_assert_str_eq(hear(fd), "OK\nOK\nOK\n");
	close(fd);
}
END_TEST

static const char *const bad[] = {"\n", " STATUS\n", "STATUS  x\n", "a%0\n", "%00\n", "\xff\n"};

START_TEST(test_what_is_no_line)
{
	int fd = come(), other;

	say(fd, bad[_i]);
	ck_assert_str_eq(hear(fd), "end");
	close(fd);
	other = come();
	say(other, "STATUS\n");
	ck_assert_str_eq(hear(other), "OK\n");
	close(other);
}
END_TEST

START_TEST(test_too_many)
{
	int fds[PST_CTL_CLIENTS + 1];

	for (int i = 0; i <= PST_CTL_CLIENTS; i++)
		fds[i] = come();
	ck_assert_int_eq(strncmp(hear(fds[PST_CTL_CLIENTS]), "ERROR too%20many", 16), 0);
	ck_assert_str_eq(hear(fds[PST_CTL_CLIENTS]), "end");
	close(fds[0]);
	turn();
	close(fds[PST_CTL_CLIENTS]);
	fds[0] = come();
	say(fds[0], "STATUS\n");
	ck_assert_str_eq(hear(fds[0]), "OK\n");
	for (int i = 0; i < PST_CTL_CLIENTS; i++)
		close(fds[i]);
}
END_TEST

START_TEST(test_who_reads_nothing)
{
	static char much[65536];
	int fd = come();

	answers = false;
	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\n';
	say(fd, "STATUS\n");
	for (size_t sent = 0; sent < 2 * (size_t)PST_CHANNEL_BACKLOG; sent += sizeof(much))
		pst_ctl_tell(asker, much, sizeof(much));
	turn();
	ck_assert_str_eq(seen, "STATUS|left|");
	close(fd);
}
END_TEST

/* A socket that nobody answers on is replaced; one that somebody does is not, nor is a file. */
START_TEST(test_where_it_listens)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char other[96];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pst_ctl_socket *second;

	ck_assert_ptr_null(pst_ctl_socket_open(base, path, &events, NULL));
	snprintf(other, sizeof(other), "%s/dead", directory);
	strcpy(address.sun_path, other);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	second = pst_ctl_socket_open(base, other, &events, NULL);
	ck_assert_ptr_nonnull(second);
	pst_ctl_socket_close(second);
	ck_assert_int_eq(access(other, F_OK), -1);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("ctl_socket");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_requests_and_answers);
	tcase_add_test(tcase, test_who_leaves_while_it_waits);
	tcase_add_test(tcase, test_who_does_not_wait_for_the_answer);
	tcase_add_test(tcase, test_several_at_once_are_all_answered);
	tcase_add_loop_test(tcase, test_what_is_no_line, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, test_too_many);
	tcase_add_test(tcase, test_who_reads_nothing);
	tcase_add_test(tcase, test_where_it_listens);
	return run_case("ctl_socket", tcase);
}
