/*
 * responder ADDRESS: a FastCGI responder on the session alone, for web servers to talk to. What it
 * answers is said by the path, REQUEST_URI:
 *
 *	/echo       the request's body
 *	/params     NAME=VALUE lines of all parameters
 *	/bytes/N    N bytes, each counting up from 0 to 250
 *	/stderr     "to stderr" on STDERR, then a short body
 *	/silent     nothing until the client aborts or closes
 *
 * One line on stdout for each event: "accept", "begin keep|close", "abort",
 * "end complete|connection", so that a test sees what the peer did.
 */
#include "protocol/buf.h"
#include "tests/peer/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One request at a time, as the default limit has it. */
struct responder {
	struct pst_session *session;
	struct pst_buf params;
	struct pst_buf body;
	char path[256];
};

static void
say(const char *what)
{
	puts(what);
	fflush(stdout);
}

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct responder *responder = arg;

	say(keep ? "begin keep" : "begin close");
	pst_buf_free(&responder->params);
	pst_buf_free(&responder->body);
	responder->path[0] = '\0';
	if (role != PST_ROLE_RESPONDER)
		pst_session_submit_end(responder->session, id, PST_END_UNKNOWN_ROLE, 0);
}

static int
on_param(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct responder *responder = arg;

	(void)id;
	if (name_len == 11 && memcmp(name, "REQUEST_URI", 11) == 0 &&
	    value_len < sizeof responder->path) {
		memcpy(responder->path, value, value_len);
		responder->path[value_len] = '\0';
	}
	return pst_buf_append(&responder->params, name, name_len) < 0 ||
	       pst_buf_append(&responder->params, "=", 1) < 0 ||
	       pst_buf_append(&responder->params, value, value_len) < 0 ||
	       pst_buf_append(&responder->params, "\n", 1) < 0;
}

static int
on_params(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count)
{
	int refused = 0;

	for (size_t i = 0; refused == 0 && i < count; i++)
		refused = on_param(arg, id, pairs[i].name, pairs[i].name_len,
		    pst_pair_value(&pairs[i]), pairs[i].value_len);
	return refused;
}

static void
write_out(struct responder *responder, uint16_t id, const void *bytes, size_t n)
{
	if (n > 0)
		pst_session_submit_data(responder->session, id, PST_STREAM_STDOUT, bytes, n);
}

static void
write_buf(struct responder *responder, uint16_t id, const struct pst_buf *buf)
{
	if (pst_buf_length(buf) > 0)
		write_out(responder, id, pst_buf_bytes(buf), pst_buf_length(buf));
}

static void
write_counting(struct responder *responder, uint16_t id, size_t n)
{
	unsigned char piece[2510];
	size_t some;

	for (size_t i = 0; i < sizeof piece; i++)
		piece[i] = (unsigned char)(i % 251);
	for (; n > 0; n -= some) {
		some = n < sizeof piece ? n : sizeof piece;
		write_out(responder, id, piece, some);
	}
}

static void
answer(struct responder *responder, uint16_t id)
{
	static const char head[] =
	    "Status: 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n";
	const char *path = responder->path;

	if (strcmp(path, "/silent") == 0)
		return;
	if (strcmp(path, "/stderr") == 0)
		pst_session_submit_data(responder->session, id, PST_STREAM_STDERR, "to stderr", 9);
	write_out(responder, id, head, sizeof head - 1);
	if (strcmp(path, "/params") == 0)
		write_buf(responder, id, &responder->params);
	else if (strncmp(path, "/bytes/", 7) == 0)
		write_counting(responder, id, strtoul(path + 7, NULL, 10));
	else if (strcmp(path, "/echo") == 0)
		write_buf(responder, id, &responder->body);
	else
		write_out(responder, id, "hello\n", 6);
	pst_session_submit_end(responder->session, id, PST_END_COMPLETE, 0);
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct responder *responder = arg;

	(void)stream;
	if (n == 0)
		answer(responder, id);
	else if (pst_buf_append(&responder->body, bytes, n) < 0)
		pst_session_submit_end(responder->session, id, PST_END_OVERLOADED, 0);
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	struct responder *responder = arg;

	(void)why;
	say("abort");
	pst_session_submit_end(responder->session, id, PST_END_COMPLETE, 0);
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	(void)arg;
	(void)id;
	(void)app_status;
	say(end == PST_END_CONNECTION ? "end connection" : "end complete");
}

static const struct pst_session_callbacks callbacks = {
    .begin = on_begin,
    .params = on_params,
    .data = on_data,
    .abort = on_abort,
    .end = on_end,
};

static void
serve(int fd)
{
	struct responder responder = {0};
	const bool never = false;

	say("accept");
	responder.session = pst_session_new_server(&callbacks, NULL, &responder);
	if (responder.session == NULL)
		return;
	stream_run(fd, responder.session, &never);
	pst_session_free(responder.session);
	pst_buf_free(&responder.params);
	pst_buf_free(&responder.body);
}

int
main(int argc, char **argv)
{
	int listener, fd;

	if (argc != 2) {
		fprintf(stderr, "usage: responder unix:PATH | HOST:PORT\n");
		return 2;
	}
	listener = stream_listen(argv[1]);
	say("listening");
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0) {
			perror("accept");
			return 1;
		}
		serve(fd);
		close(fd);
	}
}
