#include "gateway/front/client_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What is read of the requests behind the one that is being served. */
#define AHEAD 16384
_Static_assert(AHEAD <= PST_LOOP_SCRATCH, "it is read by way of the scratch");

/* True when the peer has closed both sides, which a unix socket tells, or a TCP reset. */
static bool
is_gone(const struct pst_client *client)
{
	struct pollfd poller = {.fd = client->fd, .events = 0};

	return poll(&poller, 1, 0) == 1 && (poller.revents & (POLLERR | POLLHUP)) != 0;
}

/* The time since what was read last, or since the head, with N bytes at its end. */
static bool
body_keeps_pace(struct pst_client *client, size_t n)
{
	const struct pst_clients *clients = client->clients;
	uint64_t waited =
	    client->state == PST_CLIENT_BODY ? pst_deadline_elapsed(&client->deadline) : 0;

	pst_pace_count(&client->pace, n);
	return pst_pace_wait(&client->pace, waited, clients->body.after, clients->min_rate);
}

void
pst_client_watch_body(struct pst_client *client)
{
	if (client->exchange == NULL || client->state == PST_CLIENT_BODY ||
	    !pst_exchange_is_owed_body(client->exchange))
		pst_deadline_cancel(&client->upload);
	else if (!pst_deadline_armed(&client->upload))
		pst_deadline_arm(&client->upload, &client->clients->upload);
}

static void
refuse_slow_body(struct pst_client *client)
{
	char what[128];

	snprintf(what, sizeof(what), "its body comes slower than %" PRIu64 " bytes/s (--min-rate)",
	    client->clients->min_rate);
	pst_exchange_late_input(client->exchange, what);
}

/* Be in the state that fits the exchange, which has taken N bytes. */
void
pst_client_follow(struct pst_client *client, size_t n)
{
	enum pst_exchange_state state = pst_exchange_state(client->exchange);

	if (state == PST_EXCHANGE_HEAD)
		return;
	if (state == PST_EXCHANGE_BODY && body_keeps_pace(client, n)) {
		pst_client_set_state(client, PST_CLIENT_BODY);
		return;
	}
	if (state == PST_EXCHANGE_BODY)
		refuse_slow_body(client);
	client->pace = (struct pst_pace){0};
	client->upload_pace = (struct pst_pace){0};
	pst_client_set_state(client, PST_CLIENT_WAITING);
	pst_client_watch_body(client);
}

/* The first byte of a request is there. */
static bool
begin(struct pst_client *client)
{
	client->exchange = pst_exchange_new(client->clients->context, client);
	if (client->exchange == NULL) {
		pst_client_close(client, false);
		return false;
	}
	client->pace = (struct pst_pace){0};
	pst_client_set_state(client, PST_CLIENT_HEAD);
	return true;
}

static void
keep_ahead(struct pst_client *client, const unsigned char *bytes, size_t n)
{
	if (n > 0 && client->state != PST_CLIENT_CLOSED &&
	    pst_buf_append(&client->in, bytes, n) != 0)
		pst_client_close(client, false);
}

/* N bytes came of a body that is streamed. */
static void
take_body(struct pst_client *client, const unsigned char *bytes, size_t n)
{
	const struct pst_clients *clients = client->clients;
	uint64_t waited = pst_deadline_elapsed(&client->upload);
	size_t used = pst_exchange_input(client->exchange, bytes, n);

	pst_pace_count(&client->upload_pace, used);
	keep_ahead(client, bytes + used, n - used);
	if (client->state == PST_CLIENT_CLOSED)
		return;
	pst_deadline_cancel(&client->upload);
	if (!pst_pace_wait(&client->upload_pace, waited, clients->body.after, clients->min_rate) &&
	    pst_exchange_is_owed_body(client->exchange))
		refuse_slow_body(client);
	if (client->state != PST_CLIENT_CLOSED)
		pst_client_watch_body(client);
}

/* --- after an upgrade: what the worker does not take yet waits in the client's buffer --- */

static void
pass_on(struct pst_client *client, const unsigned char *bytes, size_t n)
{
	size_t used = pst_exchange_input(client->exchange, bytes, n);

	keep_ahead(client, bytes + used, n - used);
}

/* All was taken, and nothing follows it. */
static void
end_tunnel(struct pst_client *client)
{
	if (!pst_tunnel_end_input(client->exchange) || is_gone(client))
		pst_client_close(client, false);
}

static void
pass_on_kept(struct pst_client *client)
{
	struct pst_buf *in = &client->in;
	size_t used = pst_tunnel_input(client->exchange, pst_buf_bytes(in), pst_buf_length(in));

	if (client->state == PST_CLIENT_CLOSED)
		return;
	pst_buf_consume(in, used);
	if (pst_buf_length(in) > 0)
		return;
	pst_buf_free(in);
	if (client->ended && pst_tunnel_is_open(client->exchange))
		end_tunnel(client);
}

static size_t
wanted_of_tunnel(const struct pst_client *client)
{
	bool waits = client->ended || pst_buf_length(&client->in) > 0;

	return !waits && pst_tunnel_wants(client->exchange) ? PST_LOOP_SCRATCH : 0;
}

/* --- bytes in --- */

/* Take N bytes, which stand in no buffer of the client. */
static void
take(struct pst_client *client, const unsigned char *bytes, size_t n)
{
	size_t used = 0;

	if (client->state == PST_CLIENT_LINGERING) {
		pst_deadline_arm(&client->silence, &client->clients->silence);
		return;
	}
	if (client->state == PST_CLIENT_WAITING || client->state == PST_CLIENT_WRITING) {
		if (pst_exchange_is_receiving(client->exchange))
			take_body(client, bytes, n);
		else if (pst_tunnel_is_open(client->exchange))
			pass_on(client, bytes, n);
		else
			keep_ahead(client, bytes, n);
		return;
	}
	if (client->exchange == NULL && !begin(client))
		return;
	used = pst_exchange_input(client->exchange, bytes, n);
	pst_client_follow(client, used);
	keep_ahead(client, bytes + used, n - used);
}

/* The same for what was read ahead. */
void
pst_client_take_ahead(struct pst_client *client)
{
	struct pst_buf *in = &client->in;
	size_t used;

	if (!begin(client))
		return;
	used = pst_exchange_input(client->exchange, pst_buf_bytes(in), pst_buf_length(in));
	pst_buf_consume(in, used);
	pst_client_follow(client, used);
}

/* The client sends no more. One that waits may have closed, or only shut down its sending side. */
static void
on_end(struct pst_client *client)
{
	client->ended = true;
	client->readable = false;
	if (client->exchange != NULL && pst_tunnel_is_open(client->exchange)) {
		end_tunnel(client);
		return;
	}
	if ((client->state != PST_CLIENT_WAITING && client->state != PST_CLIENT_WRITING) ||
	    pst_exchange_is_receiving(client->exchange) || is_gone(client))
		pst_client_close(client, false);
	else if (client->state == PST_CLIENT_WAITING && !client->peer.local)
		pst_deadline_arm(&client->deadline, &client->clients->probe);
}

static size_t
wanted_of_body(const struct pst_client *client)
{
	size_t wants = pst_exchange_wants(client->exchange);

	return wants < PST_LOOP_SCRATCH ? wants : PST_LOOP_SCRATCH;
}

/* How much may be read now; at most PST_LOOP_SCRATCH. */
static size_t
wanted(const struct pst_client *client)
{
	size_t ahead = pst_buf_length(&client->in);

	switch (client->state) {
	case PST_CLIENT_WAITING:
	case PST_CLIENT_WRITING:
		if (pst_exchange_is_receiving(client->exchange))
			return wanted_of_body(client);
		if (pst_tunnel_is_open(client->exchange))
			return wanted_of_tunnel(client);
		return client->ended || ahead >= AHEAD ? 0 : AHEAD - ahead;
	case PST_CLIENT_CLOSED: return 0;
	default: return PST_LOOP_SCRATCH;
	}
}

static void
read_once(struct pst_client *client, size_t want)
{
	unsigned char *bytes = pst_loop_scratch(client->clients->context->loop);
	ssize_t n = read(client->fd, bytes, want);

	if (n > 0) {
		/* Less than was asked for: all is read, unless the end stands behind it. */
		if ((size_t)n < want && !client->hung_up)
			client->readable = false;
		take(client, bytes, (size_t)n);
	} else if (n == 0) {
		on_end(client);
	} else if (errno == EAGAIN) {
		client->readable = false;
	} else if (errno != EINTR) {
		pst_client_close(client, false);
	}
}

void
pst_client_read(struct pst_client *client)
{
	size_t left = PST_CLIENT_TURN;

	while (client->readable) {
		size_t want = wanted(client);

		if (want == 0)
			return;
		if (left < want) {
			event_active(&client->read_event, EV_READ, 0);
			return;
		}
		left -= want;
		read_once(client, want);
	}
}

void
pst_client_intake(void *arg)
{
	struct pst_client *client = arg;

	if (client->state == PST_CLIENT_CLOSED || client->exchange == NULL)
		return;
	pst_client_watch_body(client);
	if (pst_tunnel_is_open(client->exchange))
		pass_on_kept(client);
	pst_client_read(client);
}

/* What waits in the socket is the last that will come, and too little for the body. */
static bool
is_cut_short(const struct pst_client *client)
{
	int unread = 0;

	return client->exchange != NULL && ioctl(client->fd, FIONREAD, &unread) == 0 &&
	       (uint64_t)unread < pst_exchange_due(client->exchange);
}

/* Seen also where nothing is read now, as the worker is waited for. */
static bool
has_left(const struct pst_client *client)
{
	/* What came before the end of a tunnel is heard. */
	if (client->exchange != NULL && pst_tunnel_is_open(client->exchange))
		return false;
	if (!client->hung_up && wanted(client) > 0)
		return false;
	return is_gone(client) || (client->hung_up && is_cut_short(client));
}

void
pst_client_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_client *client = arg;

	(void)fd;
	if (client->state == PST_CLIENT_CLOSED)
		return;
	if (what & EV_CLOSED)
		client->hung_up = true;
	if (has_left(client)) {
		pst_client_close(client, false);
		return;
	}
	client->readable = !client->ended;
	pst_client_read(client);
}
