#include "gateway/front/client.h"

#include "gateway/front/container.h"
#include "gateway/front/pace.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event_struct.h>

/* nginx's lingering_time. */
#define LINGER_MS 30000
/* Until a client that has shut down its sending side is asked whether it is there. */
#define PROBE_MS 100

/* What is read of the requests behind the one that is being served. */
#define AHEAD 16384
_Static_assert(AHEAD <= PST_LOOP_SCRATCH, "it is read by way of the scratch");
/* What one client may write in a turn before others have theirs. */
#define TURN_BYTES ((size_t)1 << 20)

enum state {
	IDLE,
	HEAD,
	BODY,
	WAITING,
	WRITING,
	LINGERING,
	CLOSED,
};

struct pst_client {
	enum state state;
	int fd;
	bool readable; /* there may be something to read: edges are told once only */
	bool hung_up; /* the end of what it sends is in the socket */
	bool ended; /* ... and was read */
	TAILQ_ENTRY(pst_client) link;
	struct pst_clients *clients;
	struct pst_exchange *exchange; /* NULL between requests */
	struct pst_buf in; /* what was read ahead */
	struct pst_buf out;
	struct pst_deadline deadline; /* of the state */
	struct pst_pace pace; /* of the body, then of the answer */
	int unsent; /* what the full socket held when WRITING began */
	struct pst_task flush;
	struct pst_task burial;
	struct event read_event;
	struct event write_event; /* pending only while the socket is full */
	struct pst_peer_address peer;
	struct pst_peer_address local;
};

/* --- state --- */

#define TO(state) (1u << (state))
#define ANY       (TO(LINGERING) | TO(CLOSED))

static const unsigned allowed[] = {
    [IDLE] = TO(HEAD) | ANY,
    [HEAD] = TO(HEAD) | TO(BODY) | TO(WAITING) | ANY,
    [BODY] = TO(BODY) | TO(WAITING) | ANY,
    [WAITING] = TO(IDLE) | TO(HEAD) | TO(WRITING) | ANY,
    [WRITING] = TO(WRITING) | TO(WAITING) | ANY,
    [LINGERING] = TO(CLOSED),
    [CLOSED] = 0,
};

/* How long a client may stay in a state without doing what is expected of it. */
static struct pst_deadline_list *
deadlines_of(struct pst_clients *clients, enum state state)
{
	switch (state) {
	case IDLE: return &clients->idle;
	case HEAD: return &clients->head;
	case BODY: return &clients->body;
	case WRITING: return &clients->writing;
	case LINGERING: return &clients->linger;
	case WAITING:
	case CLOSED: return NULL;
	}
	abort();
}

/* The one place where the state changes. Entering a state, even again, starts its time. */
static void
set_state(struct pst_client *client, enum state state)
{
	struct pst_deadline_list *deadlines = deadlines_of(client->clients, state);

	assert(allowed[client->state] & TO(state));
	client->state = state;
	if (deadlines != NULL)
		pst_deadline_arm(&client->deadline, deadlines);
	else
		pst_deadline_cancel(&client->deadline);
}

static void
bury(void *arg)
{
	struct pst_client *client = arg;

	pst_buf_free(&client->in);
	pst_buf_free(&client->out);
	free(client);
}

/* Close at once; what was not sent is lost. RESET: so that the client cannot take it for an end. */
static void
close_now(struct pst_client *client, bool reset)
{
	struct pst_clients *clients = client->clients;
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (client->state == CLOSED)
		return;
	set_state(client, CLOSED);
	if (client->exchange != NULL)
		pst_exchange_end(&client->exchange);
	event_del(&client->read_event);
	event_del(&client->write_event);
	pst_task_cancel(&client->flush);
	if (reset)
		setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(client->fd);
	TAILQ_REMOVE(&clients->list, client, link);
	clients->count--;
	pst_loop_bury(clients->context->loop, &client->burial);
	clients->left(clients->arg);
}

/*
 * The last answer was sent. If the client may still be sending, closing would make the kernel
 * send a reset that overtakes the answer: so the client is told by a FIN, and what comes is read
 * until it has closed, too.
 */
static void
close_politely(struct pst_client *client)
{
	bool all_read = !client->readable && pst_buf_length(&client->in) == 0 &&
			client->exchange != NULL && pst_exchange_took_request(client->exchange);

	if (client->exchange != NULL)
		pst_exchange_end(&client->exchange);
	if (client->ended || all_read || shutdown(client->fd, SHUT_WR) == -1) {
		close_now(client, false);
		return;
	}
	pst_buf_free(&client->in);
	set_state(client, LINGERING);
	client->readable = true;
	event_active(&client->read_event, EV_READ, 0);
}

/* --- reading --- */

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
	    client->state == BODY ? pst_deadline_elapsed(&client->deadline) : 0;

	pst_pace_count(&client->pace, n);
	return pst_pace_wait(&client->pace, waited, clients->body.after, clients->min_rate);
}

/* Be in the state that fits the exchange, which has taken N bytes. */
static void
follow(struct pst_client *client, size_t n)
{
	enum pst_exchange_state state = pst_exchange_state(client->exchange);

	if (state == PST_EXCHANGE_HEAD)
		return;
	if (state == PST_EXCHANGE_BODY && body_keeps_pace(client, n)) {
		set_state(client, BODY);
		return;
	}
	if (state == PST_EXCHANGE_BODY) {
		char what[128];

		snprintf(what, sizeof(what),
		    "its body comes slower than %" PRIu64 " bytes/s (--min-rate)",
		    client->clients->min_rate);
		pst_exchange_late_input(client->exchange, what);
	}
	client->pace = (struct pst_pace){0};
	set_state(client, WAITING);
}

/* The first byte of a request is there. */
static bool
begin(struct pst_client *client)
{
	client->exchange = pst_exchange_new(client->clients->context, client);
	if (client->exchange == NULL) {
		close_now(client, false);
		return false;
	}
	client->pace = (struct pst_pace){0};
	set_state(client, HEAD);
	return true;
}

/* Take N bytes, which stand in no buffer of the client. */
static void
take(struct pst_client *client, const unsigned char *bytes, size_t n)
{
	size_t used = 0;

	if (client->state == LINGERING)
		return;
	if (client->state == WAITING || client->state == WRITING) {
		if (pst_buf_append(&client->in, bytes, n) != 0)
			close_now(client, false);
		return;
	}
	if (client->exchange == NULL && !begin(client))
		return;
	used = pst_exchange_input(client->exchange, bytes, n);
	follow(client, used);
	if (used < n && pst_buf_append(&client->in, bytes + used, n - used) != 0)
		close_now(client, false);
}

/* The same for what was read ahead. */
static void
take_ahead(struct pst_client *client)
{
	struct pst_buf *in = &client->in;
	size_t used;

	if (!begin(client))
		return;
	used = pst_exchange_input(client->exchange, pst_buf_bytes(in), pst_buf_length(in));
	pst_buf_consume(in, used);
	follow(client, used);
}

/* The client sends no more. One that waits may have closed, or only shut down its sending side. */
static void
on_end(struct pst_client *client)
{
	client->ended = true;
	client->readable = false;
	if ((client->state != WAITING && client->state != WRITING) || is_gone(client))
		close_now(client, false);
	else if (client->state == WAITING && !client->peer.local)
		pst_deadline_arm(&client->deadline, &client->clients->probe);
}

/* How much may be read now; at most PST_LOOP_SCRATCH. */
static size_t
wanted(const struct pst_client *client)
{
	size_t ahead = pst_buf_length(&client->in);

	switch (client->state) {
	case WAITING:
	case WRITING: return client->ended || ahead >= AHEAD ? 0 : AHEAD - ahead;
	case CLOSED: return 0;
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
		close_now(client, false);
	}
}

static void
read_all(struct pst_client *client)
{
	size_t left = TURN_BYTES;

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

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_client *client = arg;

	(void)fd;
	if (client->state == CLOSED)
		return;
	if (what & EV_CLOSED)
		client->hung_up = true;
	if (client->hung_up && is_gone(client)) {
		close_now(client, false);
		return;
	}
	client->readable = !client->ended;
	read_all(client);
}

/* --- writing --- */

/* All of the answer was sent. */
static void
finish(struct pst_client *client)
{
	if (!pst_exchange_keep_alive(client->exchange) || client->clients->context->draining) {
		close_politely(client);
		return;
	}
	pst_exchange_end(&client->exchange);
	if (pst_buf_length(&client->in) > 0) {
		take_ahead(client);
	} else if (client->ended) {
		close_now(client, false);
		return;
	} else {
		set_state(client, IDLE);
		pst_buf_free(&client->in);
		pst_buf_free(&client->out);
	}
	read_all(client);
}

/* What the client has not acknowledged, on a unix socket not read. */
static int
unsent(const struct pst_client *client)
{
	int bytes = 0;

	(void)ioctl(client->fd, SIOCOUTQ, &bytes);
	return bytes;
}

static void
wait_until_writable(struct pst_client *client)
{
	if (client->state == WAITING) {
		set_state(client, WRITING);
		client->unsent = unsent(client);
	}
	event_add(&client->write_event, NULL);
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
	if (!file)
		return 0;
	n = sendfile(client->fd, piece.fd, &piece.offset,
	    piece.length < TURN_BYTES ? (size_t)piece.length : TURN_BYTES);
	if (n > 0 && pst_exchange_file_sent(client->exchange, (uint64_t)n) == -1)
		n = -1;
	if (n == 0) {
		errno = EIO; /* the file is shorter than it was */
		n = -1;
	}
	return n;
}

static void
flush(void *arg)
{
	struct pst_client *client = arg;
	size_t left = TURN_BYTES;

	while (client->state != WRITING && client->state != CLOSED && client->exchange != NULL) {
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
		else if (n == -1 && errno == EAGAIN)
			wait_until_writable(client);
		else if (n == -1 && errno != EINTR)
			close_now(client, true);
		if (n != -1 || errno != EINTR)
			return;
	}
}

static void
stop_answer(struct pst_client *client, const char *what)
{
	pst_exchange_log_slow(client->exchange, what, "its connection is closed");
	close_now(client, true);
}

/* The client took something of what the full socket held: WRITING is over, or the client. */
static bool
answer_keeps_pace(struct pst_client *client)
{
	const struct pst_clients *clients = client->clients;
	uint64_t waited = pst_deadline_elapsed(&client->deadline);
	char what[128];

	if (pst_pace_wait(&client->pace, waited, clients->writing.after, clients->min_rate)) {
		set_state(client, WAITING);
		return true;
	}
	snprintf(what, sizeof(what),
	    "it takes its answer slower than %" PRIu64 " bytes/s (--min-rate)", clients->min_rate);
	stop_answer(client, what);
	return false;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_client *client = arg;

	(void)fd;
	(void)what;
	if (client->state == WRITING && !answer_keeps_pace(client))
		return;
	if (client->state != CLOSED)
		flush(client);
}

/* --- deadlines --- */

static struct pst_client *
client_of(struct pst_deadline *deadline)
{
	return PST_CONTAINER(deadline, struct pst_client, deadline);
}

static void
late_input(struct pst_client *client, const char *what)
{
	pst_exchange_late_input(client->exchange, what);
	follow(client, 0);
}

static void
head_passed(struct pst_deadline *deadline)
{
	struct pst_client *client = client_of(deadline);
	char what[128];

	if (client->exchange == NULL) { /* it said nothing at all */
		close_now(client, false);
		return;
	}
	snprintf(what, sizeof(what),
	    "its request's head was not complete within %" PRIu64 " s (--client-header-timeout)",
	    client->clients->head.after / 1000);
	late_input(client, what);
}

static void
body_passed(struct pst_deadline *deadline)
{
	struct pst_client *client = client_of(deadline);
	char what[128];

	snprintf(what, sizeof(what),
	    "nothing more of its body came for %" PRIu64 " s (--client-body-timeout)",
	    client->clients->body.after / 1000);
	late_input(client, what);
}

static void
idle_passed(struct pst_deadline *deadline)
{
	close_now(client_of(deadline), false);
}

static void
writing_passed(struct pst_deadline *deadline)
{
	struct pst_client *client = client_of(deadline);
	const struct pst_clients *clients = client->clients;
	int left = unsent(client);
	uint64_t seconds = clients->writing.after / 1000;
	uint64_t taken = left < client->unsent ? (uint64_t)(client->unsent - left) : 0;
	char what[128];

	/* A socket is told to be writable only when a large part of it is free. */
	if (taken > 0 && taken / seconds >= clients->min_rate) {
		client->unsent = left;
		pst_deadline_arm(deadline, &client->clients->writing);
		return;
	}
	snprintf(what, sizeof(what),
	    "it took %" PRIu64 " bytes of its answer in %" PRIu64 " s (--send-timeout, --min-rate)",
	    taken, seconds);
	stop_answer(client, what);
}

static void
probe_passed(struct pst_deadline *deadline)
{
	pst_exchange_probe(client_of(deadline)->exchange);
}

/* --- for its exchange --- */

struct pst_buf *
pst_client_out(struct pst_client *client)
{
	return &client->out;
}

void
pst_client_flush(struct pst_client *client)
{
	pst_loop_defer(client->clients->context->loop, &client->flush);
}

void
pst_client_break(struct pst_client *client)
{
	bool reset = pst_exchange_ends_by_close(client->exchange);

	if (!reset && client->state != WRITING && pst_buf_length(&client->out) > 0)
		(void)!send(client->fd, pst_buf_bytes(&client->out), pst_buf_length(&client->out),
		    MSG_NOSIGNAL);
	close_now(client, reset);
}

const struct pst_peer_address *
pst_client_peer(const struct pst_client *client)
{
	return &client->peer;
}

const struct pst_peer_address *
pst_client_local(const struct pst_client *client)
{
	return &client->local;
}

/* --- life --- */

void
pst_client_new(struct pst_clients *clients, int fd, const struct pst_peer_address *peer,
    const struct pst_peer_address *local)
{
	struct event_base *base = pst_loop_base(clients->context->loop);
	struct pst_client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		close(fd);
		return;
	}
	client->fd = fd;
	client->clients = clients;
	client->peer = *peer;
	client->local = *local;
	pst_task_init(&client->flush, flush, client);
	pst_task_init(&client->burial, bury, client);
	event_assign(&client->read_event, base, fd, EV_READ | EV_CLOSED | EV_PERSIST | EV_ET,
	    on_readable, client);
	event_assign(&client->write_event, base, fd, EV_WRITE | EV_ET, on_writable, client);
	if (event_add(&client->read_event, NULL) == -1) {
		close(fd);
		free(client);
		return;
	}
	TAILQ_INSERT_TAIL(&clients->list, client, link);
	clients->count++;
	/* Nobody connects to say nothing: the time for the first head runs from here. */
	client->state = HEAD;
	set_state(client, HEAD);
}

int
pst_clients_init(struct pst_clients *clients, struct pst_exchange_context *context,
    const struct pst_client_limits *limits, void (*left)(void *arg), void *arg)
{
	const struct {
		struct pst_deadline_list *list;
		uint64_t after;
		pst_deadline_fn *passed;
	} kinds[] = {
	    {&clients->head, limits->head, head_passed},
	    {&clients->body, limits->body, body_passed},
	    {&clients->idle, limits->idle, idle_passed},
	    {&clients->writing, limits->writing, writing_passed},
	    {&clients->linger, LINGER_MS, idle_passed},
	    {&clients->probe, PROBE_MS, probe_passed},
	};

	TAILQ_INIT(&clients->list);
	clients->context = context;
	clients->min_rate = limits->min_rate;
	clients->left = left;
	clients->arg = arg;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (pst_deadline_list_init(
			kinds[i].list, context->loop, kinds[i].after, kinds[i].passed) == -1)
			return -1;
	}
	return 0;
}

void
pst_clients_free(struct pst_clients *clients)
{
	pst_deadline_list_free(&clients->head);
	pst_deadline_list_free(&clients->body);
	pst_deadline_list_free(&clients->idle);
	pst_deadline_list_free(&clients->writing);
	pst_deadline_list_free(&clients->linger);
	pst_deadline_list_free(&clients->probe);
}

/* One that has not begun a request, as far as we know; a last look tells. */
static void
drain(struct pst_client *client)
{
	client->readable = !client->ended;
	read_all(client);
	if (client->exchange == NULL && client->state != LINGERING)
		close_now(client, false);
}

void
pst_clients_drain(struct pst_clients *clients)
{
	struct pst_client *client = TAILQ_FIRST(&clients->list);

	clients->context->draining = true;
	while (client != NULL) {
		struct pst_client *next = TAILQ_NEXT(client, link);

		if (client->exchange == NULL)
			drain(client);
		client = next;
	}
}

size_t
pst_clients_cut(struct pst_clients *clients)
{
	struct pst_client *client;
	size_t requests = 0;

	while ((client = TAILQ_FIRST(&clients->list)) != NULL) {
		if (client->exchange != NULL)
			requests++;
		close_now(client, true);
	}
	return requests;
}
