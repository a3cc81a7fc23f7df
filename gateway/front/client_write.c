#include "gateway/front/client_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

/* All of the answer was sent. */
static void
finish(struct pst_client *client)
{
	if (!pst_exchange_keep_alive(client->exchange)) {
		pst_client_close_politely(client);
		return;
	}
	if (pst_exchange_is_receiving(client->exchange)) {
		if (pst_exchange_forgo_body(client->exchange))
			pst_client_want_body(client);
		else
			pst_client_close_politely(client);
		return;
	}
	pst_exchange_end(&client->exchange);
	if (pst_buf_length(&client->in) > 0) {
		pst_client_take_ahead(client);
	} else if (client->ended) {
		pst_client_close(client, false);
		return;
	} else {
		pst_client_set_state(client, PST_CLIENT_IDLE);
		pst_buf_free(&client->in);
		pst_client_leave_buffer(client);
	}
	pst_client_read(client);
}

int
pst_client_unsent(const struct pst_client *client)
{
	int bytes = 0;

	(void)ioctl(client->fd, SIOCOUTQ, &bytes);
	return bytes;
}

static void
wait_until_writable(struct pst_client *client)
{
	if (client->state == PST_CLIENT_WAITING) {
		pst_client_set_state(client, PST_CLIENT_WRITING);
		client->unsent = pst_client_unsent(client);
	}
	event_add(&client->write_event, NULL);
}

/* A file's bytes cannot be sent, for REASON: the client is closed; -1 with errno set. */
static ssize_t
stop_file(struct pst_client *client, const char *reason)
{
	pst_exchange_log_unreadable(client->exchange, reason);
	pst_client_close(client, true);
	errno = EIO;
	return -1;
}

/* sendfile() says EPIPE and the like for the socket, and these for the file. */
static bool
is_of_the_file(int error)
{
	return error == EIO || error == EINVAL || error == EOVERFLOW || error == ESTALE;
}

static ssize_t
write_file(struct pst_client *client, struct pst_spool_piece *piece)
{
	uint64_t want = piece->length < PST_CLIENT_TURN ? piece->length : PST_CLIENT_TURN;
	ssize_t n = sendfile(client->fd, piece->fd, &piece->offset, (size_t)want);

	if (n == 0)
		return stop_file(client, "its file is shorter than it was");
	if (n == -1)
		return is_of_the_file(errno) ? stop_file(client, strerror(errno)) : -1;
	if (pst_exchange_file_sent(client->exchange, (uint64_t)n) == -1)
		return stop_file(client, "out of memory");
	return n;
}

/* Write what is in memory, and behind it what lies elsewhere: like write_once(). */
static ssize_t
write_lent(struct pst_client *client)
{
	struct iovec parts[1 + PST_EXCHANGE_LENT];
	struct msghdr message = {.msg_iov = parts};
	int count = pst_exchange_frame(client->exchange, parts + 1);
	size_t held = pst_buf_length(&client->out);
	ssize_t n;
	int err;

	if (count < 0)
		return stop_file(client, "out of memory");
	parts[0] = (struct iovec){held > 0 ? pst_buf_bytes(&client->out) : NULL, held};
	message.msg_iovlen = (size_t)count + 1;
	n = sendmsg(client->fd, &message, MSG_NOSIGNAL);
	err = errno;
	if (n > 0)
		pst_buf_consume(&client->out, (size_t)n < held ? (size_t)n : held);
	if (pst_exchange_frame_sent(client->exchange, n > (ssize_t)held ? (size_t)n - held : 0) ==
	    -1)
		return stop_file(client, "out of memory");
	errno = err;
	return n;
}

/* Write once: bytes, 0 when there is nothing, -1 with errno set. */
static ssize_t
write_once(struct pst_client *client)
{
	struct pst_spool_piece piece;
	bool file = pst_exchange_file(client->exchange, &piece);
	ssize_t n;

	if (pst_buf_length(&client->out) > 0) {
		n = send(client->fd, pst_buf_bytes(&client->out), pst_buf_length(&client->out),
		    MSG_NOSIGNAL | (file ? MSG_MORE : 0));
		if (n > 0)
			pst_buf_consume(&client->out, (size_t)n);
		return n;
	}
	return file ? write_file(client, &piece) : 0;
}

void
pst_client_write(void *arg)
{
	struct pst_client *client = arg;
	size_t left = PST_CLIENT_TURN;

	while (client->state != PST_CLIENT_WRITING && client->state != PST_CLIENT_CLOSED &&
	       client->exchange != NULL) {
		ssize_t n;

		if (pst_exchange_refill(client->exchange) == -1)
			return;
		n = write_once(client);
		if (n > 0)
			pst_pace_count(&client->pace, (uint64_t)n);
		if (n > 0 && (size_t)n < left) {
			left -= (size_t)n;
			continue;
		}
		if (n > 0)
			event_active(&client->write_event, EV_WRITE, 0);
		else if (n == 0 && pst_exchange_is_whole(client->exchange))
			finish(client);
		else if (n == 0 && pst_tunnel_is_open(client->exchange))
			pst_buf_free(&client->out);
		else if (n == -1 && errno == EAGAIN)
			wait_until_writable(client);
		else if (n == -1 && errno != EINTR)
			pst_client_close(client, true);
		if (n != -1 || errno != EINTR)
			return;
	}
}

void
pst_client_write_lent(struct pst_client *client)
{
	while (client->state == PST_CLIENT_WAITING && pst_exchange_refill(client->exchange) == 0 &&
	       client->state == PST_CLIENT_WAITING && pst_exchange_is_lent(client->exchange)) {
		ssize_t n = write_lent(client);

		if (n > 0)
			pst_pace_count(&client->pace, (uint64_t)n);
		else if (n == -1 && errno == EAGAIN)
			wait_until_writable(client);
		else if (n == -1 && errno != EINTR)
			return;
	}
}

void
pst_client_stop_answer(struct pst_client *client, const char *what)
{
	pst_exchange_log_slow(client->exchange, what, "its connection is closed");
	pst_client_close(client, true);
}

/* The client took something of what the full socket held: WRITING is over, or the client. */
static bool
answer_keeps_pace(struct pst_client *client)
{
	const struct pst_clients *clients = client->clients;
	uint64_t waited = pst_deadline_elapsed(&client->deadline);
	char what[128];

	if (pst_pace_wait(&client->pace, waited, clients->writing.after, clients->min_rate)) {
		pst_client_set_state(client, PST_CLIENT_WAITING);
		return true;
	}
	snprintf(what, sizeof(what),
	    "it takes its answer slower than %" PRIu64 " bytes/s (--min-rate)", clients->min_rate);
	pst_client_stop_answer(client, what);
	return false;
}

void
pst_client_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_client *client = arg;

	(void)fd;
	(void)what;
	if (client->state == PST_CLIENT_WRITING && !answer_keeps_pace(client))
		return;
	if (client->state != PST_CLIENT_CLOSED)
		pst_client_write(client);
}
