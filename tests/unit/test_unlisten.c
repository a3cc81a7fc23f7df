/* The end of a listener: gateway/arbiter/unlisten.h, with real sockets on loopback. */
#include "gateway/arbiter/unlisten.h"

#include "tests/unit/runner.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in address;

static int
make_listener(void)
{
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return fd;
}

/* A socket that connects: 0, or what became of it at once. */
static int
begin(int *fd)
{
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(*fd, 0);
	return connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

START_TEST(test_who_has_connected_is_accepted_and_nobody_else)
{
	int listener = make_listener(), before, after, accepted, error = 0;
	socklen_t size = sizeof(error);
	struct pollfd poller;
	char text[8];

	ck_assert_int_eq(begin(&before), EINPROGRESS);
	poller = (struct pollfd){before, POLLOUT, 0};
	ck_assert_int_eq(poll(&poller, 1, 10000), 1);
	pst_unlisten(listener);
	ck_assert_int_eq(begin(&after), EINPROGRESS);
	poller = (struct pollfd){after, POLLOUT, 0};
	ck_assert_int_eq(poll(&poller, 1, 200), 0);

	ck_assert_int_eq(write(before, "hello", 5), 5);
	accepted = accept(listener, NULL, NULL);
	ck_assert_int_ge(accepted, 0);
	ck_assert_int_eq(accept(listener, NULL, NULL), -1);
	close(listener);
	ck_assert_int_eq(read(accepted, text, sizeof(text)), 5);
	ck_assert_int_eq(write(accepted, "there", 5), 5);
	poller = (struct pollfd){before, POLLIN, 0};
	ck_assert_int_eq(poll(&poller, 1, 10000), 1);
	ck_assert_int_eq(read(before, text, sizeof(text)), 5);

	/* It sends its SYN again, and is refused. */
	poller = (struct pollfd){after, POLLOUT, 0};
	ck_assert_int_eq(poll(&poller, 1, 30000), 1);
	ck_assert_int_eq(getsockopt(after, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	ck_assert_int_eq(error, ECONNREFUSED);
	close(before);
	close(after);
	close(accepted);
}
END_TEST

START_TEST(test_a_unix_socket_is_left_alone)
{
	struct sockaddr_un unix_address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(unix_address);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

	/* The kernel chooses a name (unix(7), autobind). */
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&unix_address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	pst_unlisten(listener);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&unix_address, &length), 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&unix_address, length), 0);
	close(client);
	close(listener);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("unlisten");

	tcase_add_test(tcase, test_who_has_connected_is_accepted_and_nobody_else);
	tcase_add_test(tcase, test_a_unix_socket_is_left_alone);
	return run_case("unlisten", tcase);
}
