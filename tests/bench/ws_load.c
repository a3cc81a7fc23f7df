/*
 * Load for a server that echoes WebSocket messages: ws_load PORT CONNECTIONS SECONDS.
 *
 * Each connection sends a text of 32 bytes, waits for it to come back, and sends the next. Prints
 * one line of the same form as report.lua. One thread, epoll; a message is one frame both ways.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TEXT   32
#define MOST   (1 << 22) /* latencies that are kept */
#define ANSWER 4096

struct connection {
	int fd;
	size_t got; /* of the frame that comes back */
	unsigned char frame[2 + TEXT];
	uint64_t sent_at;
};

static uint32_t *latencies;
static size_t count;

static uint64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void
fail(const char *what)
{
	fprintf(stderr, "ws_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Connect and shake hands; blocking. */
static int
open_one(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(port)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static const char request[] =
	    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	char answer[ANSWER + 1];
	size_t got = 0;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (send(fd, request, sizeof(request) - 1, 0) != (ssize_t)sizeof(request) - 1)
		fail("handshake");
	do {
		ssize_t n = recv(fd, answer + got, ANSWER - got, 0);

		if (n <= 0)
			fail("the answer to the handshake");
		got += (size_t)n;
		answer[got] = '\0';
	} while (!strstr(answer, "\r\n\r\n"));
	if (strncmp(answer, "HTTP/1.1 101", 12) != 0) {
		fprintf(stderr, "ws_load: no 101: %.60s\n", answer);
		exit(1);
	}
	return fd;
}

/* A masked text frame. */
static void
send_one(struct connection *connection)
{
	unsigned char frame[6 + TEXT] = {0x81, 0x80 | TEXT, 1, 2, 3, 4};

	for (int i = 0; i < TEXT; i++)
		frame[6 + i] = (unsigned char)('a' ^ frame[2 + i % 4]);
	connection->got = 0;
	connection->sent_at = now_us();
	if (send(connection->fd, frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame))
		fail("send");
}

static void
read_some(struct connection *connection)
{
	ssize_t n = recv(connection->fd, connection->frame + connection->got,
	    sizeof(connection->frame) - connection->got, 0);

	if (n <= 0)
		fail("recv");
	connection->got += (size_t)n;
	if (connection->got < sizeof(connection->frame))
		return;
	if (connection->frame[0] != 0x81 || connection->frame[1] != TEXT ||
	    connection->frame[2] != 'a') {
		fprintf(stderr, "ws_load: something else came back\n");
		exit(1);
	}
	if (count < MOST)
		latencies[count] = (uint32_t)(now_us() - connection->sent_at);
	count++;
	send_one(connection);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	int loop = epoll_create1(0);
	size_t connections, kept;
	struct connection *all;
	uint64_t began, end;

	if (argc != 4) {
		fprintf(stderr, "usage: ws_load PORT CONNECTIONS SECONDS\n");
		return 2;
	}
	connections = (size_t)atoi(argv[2]);
	all = calloc(connections, sizeof(*all));
	latencies = malloc(MOST * sizeof(*latencies));
	if (!all || !latencies || loop < 0)
		fail("memory");
	for (size_t i = 0; i < connections; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};

		all[i].fd = open_one(argv[1]);
		if (epoll_ctl(loop, EPOLL_CTL_ADD, all[i].fd, &event) < 0)
			fail("epoll_ctl");
	}
	began = now_us();
	end = began + (uint64_t)(atof(argv[3]) * 1e6);
	for (size_t i = 0; i < connections; i++)
		send_one(&all[i]);
	while (now_us() < end) {
		struct epoll_event events[256];
		int n = epoll_wait(loop, events, 256, 100);

		for (int i = 0; i < n; i++)
			read_some(events[i].data.ptr);
	}
	kept = count < MOST ? count : MOST;
	qsort(latencies, kept, sizeof(*latencies), compare);
	printf("RESULT {\"requests\": %zu, \"us\": %llu, \"p50\": %u, \"p99\": %u, \"max\": %u, "
	       "\"errors\": 0}\n",
	    count, (unsigned long long)(now_us() - began), kept ? latencies[kept / 2] : 0,
	    kept ? latencies[kept * 99 / 100] : 0, kept ? latencies[kept - 1] : 0);
	return 0;
}
