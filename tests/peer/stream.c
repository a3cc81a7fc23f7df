#include "tests/peer/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_un un;
};

static void
fail(const char *what)
{
	perror(what);
	exit(2);
}

static socklen_t
parse(const char *text, union address *address)
{
	const char *colon = strrchr(text, ':');
	char host[64];

	memset(address, 0, sizeof *address);
	if (strncmp(text, "unix:", 5) == 0 && strlen(text + 5) < sizeof address->un.sun_path) {
		address->un.sun_family = AF_UNIX;
		strcpy(address->un.sun_path, text + 5);
		return sizeof address->un;
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof host) {
		fprintf(stderr, "%s: not unix:PATH or HOST:PORT\n", text);
		exit(2);
	}
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	address->in.sin_family = AF_INET;
	address->in.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &address->in.sin_addr) != 1) {
		fprintf(stderr, "%s: not a numeric address\n", text);
		exit(2);
	}
	return sizeof address->in;
}

static int
open_socket(const char *text, union address *address, socklen_t *length)
{
	int fd;

	*length = parse(text, address);
	fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket");
	return fd;
}

int
stream_connect(const char *text)
{
	union address address;
	socklen_t length;
	int fd = open_socket(text, &address, &length);

	if (connect(fd, &address.any, length) < 0)
		fail(text);
	return fd;
}

int
stream_listen(const char *text)
{
	union address address;
	socklen_t length;
	int one = 1, fd = open_socket(text, &address, &length);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, &address.any, length) < 0 || listen(fd, 64) < 0)
		fail(text);
	return fd;
}

static int
read_some(int fd, struct pst_session *session)
{
	unsigned char bytes[65536];
	ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
	int err;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		pst_session_close(session);
		return 0;
	}
	err = pst_session_recv(session, bytes, (size_t)n);
	if (err < 0)
		fprintf(stderr, "session: %s\n", pst_session_reason(session));
	return err;
}

/* -1 when the peer takes nothing more. */
static int
write_some(int fd, struct pst_session *session)
{
	const void *bytes;
	size_t length = pst_session_send(session, &bytes);
	ssize_t n = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0) {
		pst_session_close(session);
		return -1;
	}
	pst_session_sent(session, (size_t)n);
	return 0;
}

int
stream_run(int fd, struct pst_session *session, const bool *done)
{
	struct pollfd poller = {.fd = fd};
	int err;

	while (!*done) {
		poller.events = (short)((pst_session_want_read(session) ? POLLIN : 0) |
					(pst_session_want_write(session) ? POLLOUT : 0));
		if (poller.events == 0)
			return 0;
		if (poll(&poller, 1, -1) < 0)
			continue;
		if ((poller.revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
		    (poller.events & POLLIN) != 0) {
			err = read_some(fd, session);
			if (err < 0)
				return err;
		}
		if ((poller.revents & (POLLOUT | POLLHUP | POLLERR)) != 0 &&
		    pst_session_want_write(session) && write_some(fd, session) < 0)
			return 0;
	}
	return 0;
}
