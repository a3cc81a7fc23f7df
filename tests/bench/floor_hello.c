/* The floor: floor_hello PORT answers each blank line on a connection with a hello, and parses
 * nothing else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FDS 65536
static unsigned char matched[MOST_FDS]; /* bytes of "\r\n\r\n" that were seen last */

static void
watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= MOST_FDS || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		close(fd);
}

static void
accept_all(int listener, int epoll)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (fd < MOST_FDS)
			matched[fd] = 0;
		watch(epoll, fd);
	}
}

static void
answer(int fd)
{
	static const char reply[] =
	    "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: text/plain\r\n"
	    "Content-Length: 13\r\n\r\nHello, World!";
	static const char blank[] = "\r\n\r\n";
	char bytes[16384];
	ssize_t got = read(fd, bytes, sizeof(bytes));

	if (got <= 0) {
		close(fd);
		return;
	}
	for (ssize_t i = 0; i < got; i++) {
		matched[fd] = bytes[i] == blank[matched[fd]] ? matched[fd] + 1 : bytes[i] == '\r';
		if (matched[fd] < 4)
			continue;
		matched[fd] = 0;
		if (write(fd, reply, sizeof(reply) - 1) < 0)
			return;
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct epoll_event events[256];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int epoll = epoll_create1(0), on = 1;

	if (argc != 2)
		return 2;
	address.sin_port = htons((unsigned short)atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4096))
		return 1;
	watch(epoll, listener);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener, epoll);
			else
				answer(events[i].data.fd);
		}
	}
}
