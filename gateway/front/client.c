#include "gateway/front/client_internal.h"

#include "gateway/front/container.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* nginx's lingering_time, and its lingering_timeout. */
#define LINGER_MS  30000
#define SILENCE_MS 5000
/* What a client that keeps its connection has for its next request when the gateway drains: only
 * an answer can tell it to connect elsewhere, and closing would lose what is on its way. */
#define GRACE_MS 1000
/* Of requests that are cut off at the end; the others are counted. */
#define CUT_NAMED 8
/* Until a client that has shut down its sending side is asked whether it is there. */
#define PROBE_MS 100

/* --- state --- */

#define TO(state) (1u << (state))
#define ANY       (TO(PST_CLIENT_LINGERING) | TO(PST_CLIENT_CLOSED))

static const unsigned allowed[] = {
    [PST_CLIENT_IDLE] = TO(PST_CLIENT_HEAD) | ANY,
    [PST_CLIENT_HEAD] = TO(PST_CLIENT_HEAD) | TO(PST_CLIENT_BODY) | TO(PST_CLIENT_WAITING) | ANY,
    [PST_CLIENT_BODY] = TO(PST_CLIENT_BODY) | TO(PST_CLIENT_WAITING) | ANY,
    [PST_CLIENT_WAITING] = TO(PST_CLIENT_IDLE) | TO(PST_CLIENT_HEAD) | TO(PST_CLIENT_WRITING) | ANY,
    [PST_CLIENT_WRITING] = TO(PST_CLIENT_WRITING) | TO(PST_CLIENT_WAITING) | ANY,
    [PST_CLIENT_LINGERING] = TO(PST_CLIENT_CLOSED),
    [PST_CLIENT_CLOSED] = 0,
};

/* How long a client may stay in a state without doing what is expected of it. */
static struct pst_deadline_list *
deadlines_of(struct pst_clients *clients, enum pst_client_state state)
{
	switch (state) {
	case PST_CLIENT_IDLE: return clients->context->draining ? &clients->grace : &clients->idle;
	case PST_CLIENT_HEAD: return &clients->head;
	case PST_CLIENT_BODY: return &clients->body;
	case PST_CLIENT_WRITING: return &clients->writing;
	case PST_CLIENT_LINGERING: return &clients->linger;
	case PST_CLIENT_WAITING:
	case PST_CLIENT_CLOSED: return NULL;
	}
	abort();
}

void
pst_client_set_state(struct pst_client *client, enum pst_client_state state)
{
	struct pst_deadline_list *deadlines = deadlines_of(client->clients, state);

	assert(allowed[client->state] & TO(state));
	client->state = state;
	if (deadlines != NULL)
		pst_deadline_arm(&client->deadline, deadlines);
	else
		pst_deadline_cancel(&client->deadline);
	if (state == PST_CLIENT_LINGERING)
		pst_deadline_arm(&client->silence, &client->clients->silence);
	else
		pst_deadline_cancel(&client->silence);
}

static void
bury(void *arg)
{
	struct pst_client *client = arg;

	pst_buf_free(&client->in);
	pst_buf_free(&client->out);
	free(client);
}

void
pst_client_close(struct pst_client *client, bool reset)
{
	struct pst_clients *clients = client->clients;
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (client->state == PST_CLIENT_CLOSED)
		return;
	pst_client_set_state(client, PST_CLIENT_CLOSED);
	if (client->exchange != NULL)
		pst_exchange_end(&client->exchange);
	event_del(&client->read_event);
	event_del(&client->write_event);
	pst_task_cancel(&client->flush);
	pst_task_cancel(&client->intake);
	pst_deadline_cancel(&client->upload);
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
void
pst_client_close_politely(struct pst_client *client)
{
	bool all_read = !client->readable && pst_buf_length(&client->in) == 0 &&
			client->exchange != NULL && pst_exchange_took_request(client->exchange);

	if (client->exchange != NULL)
		pst_exchange_end(&client->exchange);
	if (client->ended || all_read || shutdown(client->fd, SHUT_WR) == -1) {
		pst_client_close(client, false);
		return;
	}
	pst_buf_free(&client->in);
	pst_client_set_state(client, PST_CLIENT_LINGERING);
	client->readable = true;
	event_active(&client->read_event, EV_READ, 0);
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
	pst_client_follow(client, 0);
}

static void
head_passed(struct pst_deadline *deadline)
{
	struct pst_client *client = client_of(deadline);
	char what[128];

	if (client->exchange == NULL) { /* it said nothing at all */
		pst_client_close(client, false);
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
upload_passed(struct pst_deadline *deadline)
{
	struct pst_client *client = PST_CONTAINER(deadline, struct pst_client, upload);
	char what[128];

	snprintf(what, sizeof(what),
	    "nothing more of its body came for %" PRIu64 " s (--client-body-timeout)",
	    client->clients->body.after / 1000);
	pst_exchange_late_input(client->exchange, what);
}

static void
idle_passed(struct pst_deadline *deadline)
{
	pst_client_close(client_of(deadline), false);
}

static void
silence_passed(struct pst_deadline *deadline)
{
	pst_client_close(PST_CONTAINER(deadline, struct pst_client, silence), false);
}

static void
writing_passed(struct pst_deadline *deadline)
{
	struct pst_client *client = client_of(deadline);
	const struct pst_clients *clients = client->clients;
	int left = pst_client_unsent(client);
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
	pst_client_stop_answer(client, what);
}

static void
probe_passed(struct pst_deadline *deadline)
{
	pst_exchange_probe(client_of(deadline)->exchange);
}

/* --- for its exchange --- */

/* An idle client has no buffer; for the next answer there is one that another left. */
struct pst_buf *
pst_client_out(struct pst_client *client)
{
	struct pst_clients *clients = client->clients;

	if (client->out.data == NULL && clients->spare_count > 0)
		client->out = clients->spares[--clients->spare_count];
	return &client->out;
}

void
pst_client_leave_buffer(struct pst_client *client)
{
	struct pst_clients *clients = client->clients;
	struct pst_buf *out = &client->out;

	if (out->size == 0 || out->size > PST_CLIENTS_KEPT || pst_buf_length(out) > 0 ||
	    clients->spare_count == PST_CLIENTS_SPARES) {
		pst_buf_free(out);
		return;
	}
	clients->spares[clients->spare_count++] = *out;
	*out = (struct pst_buf){0};
}

void
pst_client_flush(struct pst_client *client)
{
	pst_loop_defer(client->clients->context->loop, &client->flush);
}

bool
pst_client_takes(const struct pst_client *client)
{
	return client->state == PST_CLIENT_WAITING;
}

void
pst_client_want_body(struct pst_client *client)
{
	pst_loop_defer(client->clients->context->loop, &client->intake);
}

void
pst_client_break(struct pst_client *client)
{
	bool reset = pst_exchange_ends_by_close(client->exchange);

	if (!reset && client->state != PST_CLIENT_WRITING && pst_buf_length(&client->out) > 0)
		(void)!send(client->fd, pst_buf_bytes(&client->out), pst_buf_length(&client->out),
		    MSG_NOSIGNAL);
	pst_client_close(client, reset);
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
	pst_task_init(&client->flush, pst_client_write, client);
	pst_task_init(&client->intake, pst_client_intake, client);
	pst_task_init(&client->burial, bury, client);
	event_assign(&client->read_event, base, fd, EV_READ | EV_CLOSED | EV_PERSIST | EV_ET,
	    pst_client_on_readable, client);
	event_assign(
	    &client->write_event, base, fd, EV_WRITE | EV_ET, pst_client_on_writable, client);
	if (event_add(&client->read_event, NULL) == -1) {
		close(fd);
		free(client);
		return;
	}
	TAILQ_INSERT_TAIL(&clients->list, client, link);
	clients->count++;
	/* Nobody connects to say nothing: the time for the first head runs from here. */
	client->state = PST_CLIENT_HEAD;
	pst_client_set_state(client, PST_CLIENT_HEAD);
	if (clients->context->draining)
		pst_deadline_arm(&client->deadline, &clients->grace);
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
	    {&clients->upload, limits->body, upload_passed},
	    {&clients->idle, limits->idle, idle_passed},
	    {&clients->grace, GRACE_MS, idle_passed},
	    {&clients->writing, limits->writing, writing_passed},
	    {&clients->linger, LINGER_MS, idle_passed},
	    {&clients->silence, SILENCE_MS, silence_passed},
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
	while (clients->spare_count > 0)
		pst_buf_free(&clients->spares[--clients->spare_count]);
	pst_deadline_list_free(&clients->head);
	pst_deadline_list_free(&clients->body);
	pst_deadline_list_free(&clients->upload);
	pst_deadline_list_free(&clients->idle);
	pst_deadline_list_free(&clients->grace);
	pst_deadline_list_free(&clients->writing);
	pst_deadline_list_free(&clients->linger);
	pst_deadline_list_free(&clients->silence);
	pst_deadline_list_free(&clients->probe);
}

/* One that has not begun a request, as far as we know; a last look tells. */
static void
drain(struct pst_client *client)
{
	client->readable = !client->ended;
	pst_client_read(client);
	if (client->exchange == NULL &&
	    (client->state == PST_CLIENT_IDLE || client->state == PST_CLIENT_HEAD))
		pst_deadline_arm(&client->deadline, &client->clients->grace);
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
		else
			pst_exchange_leave(client->exchange);
		client = next;
	}
}

size_t
pst_clients_cut(struct pst_clients *clients)
{
	struct pst_client *client;
	size_t requests = 0;

	while ((client = TAILQ_FIRST(&clients->list)) != NULL) {
		if (client->exchange != NULL && requests++ < CUT_NAMED)
			pst_exchange_log_cut(client->exchange);
		pst_client_close(client, true);
	}
	return requests;
}
