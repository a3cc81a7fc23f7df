#include "gateway/front/tunnel.h"

#include "gateway/front/container.h"
#include "gateway/front/exchange_internal.h"
#include "gateway/front/upstream.h"
#include "gateway/front/utf8.h"
#include "gateway/log.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Frames of one message: they cost no memory, but time. */
#define FRAGMENTS_MOST 131072
/* What a client has to answer our close. */
#define CLOSING_MS 10000
/* Bytes for the client above which the worker waits, and below which it goes on. */
#define OUT_ENOUGH 65536
#define OUT_LITTLE 32768
/* A piece of a message that was decompressed. */
#define PIECE 16384
/* What is held of a stream until its worker takes it. */
#define STREAM_MEMORY 65536
#define STREAM_FILE   ((uint64_t)1 << 30)

struct pst_tunnel {
	struct pst_exchange *exchange;
	struct pst_websocket *websocket; /* NULL: a stream */
	struct pst_deadline deadline;
	int unsent; /* bytes that the client had not acknowledged at the last ping */
	bool full; /* what has come waits for room */
	bool told; /* the worker, how the client closed */
};

static struct pst_tunnels *
tunnels_of(const struct pst_exchange *x)
{
	return &x->context->tunnels;
}

static struct pst_buf *
out_of(const struct pst_exchange *x)
{
	return pst_client_out(x->client);
}

bool
pst_tunnel_is_open(const struct pst_exchange *x)
{
	return x->state == PST_EXCHANGE_OPEN;
}

/* Messages go through it, in both directions. */
static bool
is_open_websocket(const struct pst_exchange *x)
{
	return x->state == PST_EXCHANGE_OPEN && x->tunnel->websocket != NULL &&
	       pst_websocket_state(x->tunnel->websocket) == PST_WEBSOCKET_OPEN;
}

/* Bytes of the client go through it. */
static bool
is_open_stream(const struct pst_exchange *x)
{
	return x->state == PST_EXCHANGE_OPEN && x->tunnel->websocket == NULL && x->job.body_open;
}

/* The worker has it still, and is to hear of it. */
static bool
has_worker(const struct pst_exchange *x)
{
	return x->job.state == PST_JOB_GIVEN || x->job.state == PST_JOB_STARTED;
}

/* --- the end --- */

/* Tell the worker how the client closed, once. */
static void
tell_worker(struct pst_exchange *x, unsigned code, const char *reason, size_t n)
{
	if (x->tunnel->told)
		return;
	x->tunnel->told = true;
	if (has_worker(x))
		pst_upstream_send_close(&x->job, code, reason, n);
}

void
pst_tunnel_shut(struct pst_exchange *x)
{
	pst_deadline_cancel(&x->tunnel->deadline);
	pst_websocket_free(x->tunnel->websocket);
	x->tunnel->websocket = NULL;
	tunnels_of(x)->count--;
	pst_pool_figures(x->pool)->open--;
}

/* Both have closed, or no more can be done: what is in OUT is the last that the client gets. */
static void
finish(struct pst_exchange *x)
{
	x->answer.state = PST_ANSWER_WHOLE;
	pst_exchange_set_state(x, PST_EXCHANGE_FLUSHING);
	pst_upstream_resume(&x->job);
	pst_client_flush(x->client);
}

/* Close with CODE: the client has a while to answer. */
static void
close_websocket(struct pst_exchange *x, unsigned code, const char *reason, size_t n)
{
	pst_leaving_remove(&x->context->leaving, &x->leaver);
	if (pst_websocket_close(x->tunnel->websocket, out_of(x), code, reason, n) != 0) {
		pst_client_break(x->client);
		return;
	}
	pst_deadline_arm(&x->tunnel->deadline, &tunnels_of(x)->closing);
	/* Whatever it sends now is dropped. */
	x->tunnel->full = false;
	pst_upstream_resume(&x->job);
	pst_client_want_body(x->client);
	pst_client_flush(x->client);
}

/* The worker failed for REASON, which is told to the log and not to the client. */
static void
fail(struct pst_exchange *x, const char *reason)
{
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	pst_log_error(
	    "worker %s: %s: %s: its WebSocket is closed with 1011", x->worker, name, reason);
	x->broken = true;
	tell_worker(x, PST_WEBSOCKET_SERVER_ERROR, NULL, 0);
	close_websocket(x, PST_WEBSOCKET_SERVER_ERROR, NULL, 0);
}

bool
pst_tunnel_end(struct pst_exchange *x)
{
	if (x->answer.switches != PST_ANSWER_TO_MESSAGES || x->tunnel == NULL)
		return false;
	tell_worker(x, PST_WEBSOCKET_NO_CLOSE, NULL, 0);
	return true;
}

/* --- its life --- */

static int
make(struct pst_exchange *x)
{
	struct pst_tunnel *tunnel = calloc(1, sizeof(*tunnel));

	if (tunnel == NULL)
		return PST_ERR_NOMEM;
	x->tunnel = tunnel;
	tunnel->exchange = x;
	if (x->answer.switches == PST_ANSWER_TO_MESSAGES) {
		tunnel->websocket = pst_websocket_new(&x->handshake->terms, &tunnels_of(x)->limits);
		return tunnel->websocket == NULL ? PST_ERR_NOMEM : 0;
	}
	x->job.body =
	    pst_spool_new(&x->context->budget, PST_SPOOL_QUEUE, STREAM_MEMORY, STREAM_FILE);
	return x->job.body == NULL ? PST_ERR_NOMEM : 0;
}

void
pst_tunnel_open(struct pst_exchange *x)
{
	bool messages = x->answer.switches == PST_ANSWER_TO_MESSAGES;

	if (make(x) != 0) {
		pst_exchange_fail(x, 503, pst_error_string(PST_ERR_NOMEM));
		return;
	}
	pst_exchange_set_state(x, PST_EXCHANGE_OPEN);
	tunnels_of(x)->count++;
	pst_pool_figures(x->pool)->open++;
	pst_upstream_switch(&x->job, messages);
	x->answer.streams = true;
	if (messages)
		pst_deadline_arm(&x->tunnel->deadline, &tunnels_of(x)->quiet);
	if (x->context->draining || pst_upstream_is_retiring(&x->job))
		pst_exchange_leave(x);
	pst_client_want_body(x->client);
	pst_client_flush(x->client);
}

/* --- from the client --- */

bool
pst_tunnel_wants(const struct pst_exchange *x)
{
	/* What comes after its end is dropped. */
	if (x->tunnel->websocket == NULL)
		return !x->job.body_open || pst_spool_memory_room(x->job.body) > 0;
	return !x->tunnel->full;
}

/* What the client did, CODE is what it is closed with. */
static void
log_broken(const struct pst_exchange *x, const struct pst_websocket_piece *piece)
{
	char name[256];

	if (!pst_tally_one(&x->context->tunnels.broken))
		return;
	pst_exchange_name(x, name, sizeof(name));
	pst_log_info("client %s: %s: its WebSocket is closed with %u: %.*s", x->from.client, name,
	    piece->code, (int)piece->n, (const char *)piece->bytes);
}

static void
on_event(struct pst_exchange *x, int event, const struct pst_websocket_piece *piece)
{
	switch (event) {
	case PST_WEBSOCKET_MORE:
	case PST_WEBSOCKET_FULL: break;
	case PST_WEBSOCKET_PIECE:
		if (pst_upstream_send_message(&x->job,
			(piece->binary ? PST_SESSION_MESSAGE_BINARY : 0u) |
			    (piece->end ? PST_SESSION_MESSAGE_END : 0u),
			piece->bytes, piece->n) != 0)
			pst_client_break(x->client);
		break;
	case PST_WEBSOCKET_BROKEN:
	case PST_WEBSOCKET_LEFT:
		if (event == PST_WEBSOCKET_BROKEN)
			log_broken(x, piece);
		tell_worker(x, piece->code, piece->bytes, piece->n);
		finish(x);
		break;
	default: pst_client_break(x->client); break;
	}
}

/* How large a piece of a message the worker takes. */
static size_t
room_of(struct pst_exchange *x)
{
	size_t room = has_worker(x) ? pst_upstream_message_room(&x->job) : PIECE;

	return room < PIECE ? room : PIECE;
}

static size_t
take_frames(struct pst_exchange *x, const unsigned char *bytes, size_t n)
{
	unsigned char memory[PIECE];
	size_t taken = 0, used;
	int event = PST_WEBSOCKET_PIECE;

	while (event == PST_WEBSOCKET_PIECE && x->state == PST_EXCHANGE_OPEN) {
		struct pst_websocket_piece piece;

		x->tunnel->full = pst_buf_length(out_of(x)) > OUT_ENOUGH;
		if (x->tunnel->full)
			break;
		event = pst_websocket_take(x->tunnel->websocket, bytes + taken, n - taken, &used,
		    memory, room_of(x), &piece, out_of(x));
		taken += used;
		x->tunnel->full = event == PST_WEBSOCKET_FULL;
		on_event(x, event, &piece);
	}
	if (x->client != NULL)
		pst_client_flush(x->client);
	return taken;
}

static size_t
take_stream(struct pst_exchange *x, const void *bytes, size_t n)
{
	size_t room = pst_spool_memory_room(x->job.body);

	/* The worker is through: nobody wants it. */
	if (!has_worker(x) || !x->job.body_open)
		return n;
	n = n < room ? n : room;
	if (n > 0 && pst_spool_append(x->job.body, bytes, n) != 0) {
		pst_client_break(x->client);
		return n;
	}
	pst_upstream_supply(&x->job);
	return n;
}

size_t
pst_tunnel_input(struct pst_exchange *x, const void *bytes, size_t n)
{
	struct pst_tunnel *tunnel = x->tunnel;

	if (tunnel->websocket == NULL)
		return take_stream(x, bytes, n);
	if (n > 0 && tunnel->deadline.list != &tunnels_of(x)->closing)
		pst_deadline_arm(&tunnel->deadline, &tunnels_of(x)->quiet);
	return take_frames(x, bytes, n);
}

/* The worker finds its end behind what it was given. */
static void
end_stream(struct pst_exchange *x)
{
	x->job.body_open = false;
	pst_upstream_supply(&x->job);
}

bool
pst_tunnel_end_input(struct pst_exchange *x)
{
	if (x->tunnel->websocket != NULL)
		return x->tunnel->full;
	end_stream(x);
	return true;
}

void
pst_tunnel_refill(struct pst_exchange *x)
{
	if (pst_buf_length(out_of(x)) >= OUT_LITTLE)
		return;
	pst_upstream_resume(&x->job);
	if (x->tunnel->full)
		pst_client_want_body(x->client);
}

/* --- from the worker --- */

void
pst_tunnel_on_message(struct pst_exchange *x, unsigned flags, const void *bytes, size_t n)
{
	int err;

	if (x->state == PST_EXCHANGE_RUNNING) {
		pst_exchange_fail(x, 502, "it sent a message before it accepted the WebSocket");
		return;
	}
	if (!is_open_websocket(x))
		return;
	err = pst_websocket_send(x->tunnel->websocket, out_of(x),
	    (flags & PST_SESSION_MESSAGE_BINARY) != 0, (flags & PST_SESSION_MESSAGE_END) != 0,
	    bytes, n);
	if (err == PST_ERR_PROTOCOL) {
		fail(x, "it sent text that is not UTF-8");
	} else if (err != 0) {
		pst_client_break(x->client);
	} else {
		x->answer.http.body_sent += n;
		if (pst_buf_length(out_of(x)) > OUT_ENOUGH)
			pst_upstream_pause(&x->job);
		pst_client_flush(x->client);
	}
}

void
pst_tunnel_on_closed(struct pst_exchange *x, unsigned code, const char *reason, size_t n)
{
	struct pst_utf8 text = {0};
	char why[64];

	if (!is_open_websocket(x))
		return;
	if (code != PST_WEBSOCKET_NO_CODE && !pst_websocket_code_valid(code)) {
		snprintf(why, sizeof(why), "it closed with %u, which is no code to be sent", code);
		fail(x, why);
		return;
	}
	if (!pst_utf8_take(&text, reason, n) || !pst_utf8_may_end(&text))
		n = 0;
	close_websocket(x, code, reason, n);
}

void
pst_tunnel_on_over(
    struct pst_exchange *x, enum pst_job_end end, uint32_t app_status, const char *reason)
{
	char why[64];

	if (!is_open_websocket(x))
		return;
	x->tunnel->told = true;
	if (end == PST_JOB_COMPLETE && app_status == 0) {
		close_websocket(x, PST_WEBSOCKET_NORMAL, NULL, 0);
	} else if (end == PST_JOB_COMPLETE) {
		snprintf(
		    why, sizeof(why), "it failed, with application status %" PRIu32, app_status);
		fail(x, why);
	} else {
		fail(x, reason);
	}
}

/* --- all of them --- */

static struct pst_exchange *
exchange_of(struct pst_deadline *deadline)
{
	return PST_CONTAINER(deadline, struct pst_tunnel, deadline)->exchange;
}

/* As long as we do not read, a pong could not be heard. */
static void
quiet_passed(struct pst_deadline *deadline)
{
	struct pst_exchange *x = exchange_of(deadline);
	struct pst_tunnels *tunnels = tunnels_of(x);

	if (x->tunnel->full) {
		pst_deadline_arm(deadline, &tunnels->quiet);
	} else if (pst_websocket_ping(x->tunnel->websocket, out_of(x)) != 0) {
		pst_client_break(x->client);
	} else {
		x->tunnel->unsent = INT_MAX;
		pst_deadline_arm(deadline, &tunnels->pong);
		pst_client_flush(x->client);
	}
}

/* The client takes what stands before the ping. How slow that may be --send-timeout says. */
static bool
is_still_taking(struct pst_exchange *x)
{
	int unsent = pst_client_unsent(x->client);
	bool fewer = unsent > 0 && unsent < x->tunnel->unsent;

	x->tunnel->unsent = unsent;
	return fewer || pst_buf_length(out_of(x)) > 0;
}

static void
pong_passed(struct pst_deadline *deadline)
{
	struct pst_exchange *x = exchange_of(deadline);
	char what[128];

	if (x->tunnel->full || is_still_taking(x)) {
		pst_deadline_arm(
		    deadline, x->tunnel->full ? &tunnels_of(x)->quiet : &tunnels_of(x)->pong);
		return;
	}
	snprintf(what, sizeof(what),
	    "it did not answer a ping for %" PRIu64 " s (--websocket-ping-interval)",
	    tunnels_of(x)->pong.after / 1000);
	pst_exchange_log_slow(x, what, "its WebSocket is lost");
	pst_client_break(x->client);
}

static void
closing_passed(struct pst_deadline *deadline)
{
	struct pst_exchange *x = exchange_of(deadline);

	tell_worker(x, PST_WEBSOCKET_NO_CLOSE, NULL, 0);
	finish(x);
}

bool
pst_tunnel_may_leave(const struct pst_exchange *x)
{
	return is_open_websocket(x) || is_open_stream(x);
}

void
pst_tunnel_leave(struct pst_exchange *x)
{
	if (is_open_stream(x)) {
		end_stream(x);
		return;
	}
	tell_worker(x, PST_WEBSOCKET_RESTART, NULL, 0);
	close_websocket(x, PST_WEBSOCKET_RESTART, NULL, 0);
}

static void
tell_broken(void *arg, uint64_t more)
{
	(void)arg;
	pst_log_info("%" PRIu64 " more WebSockets were closed within a second as their clients "
		     "broke the protocol",
	    more);
}

int
pst_tunnels_init(struct pst_tunnels *tunnels, struct pst_loop *loop, uint64_t message_most,
    uint64_t ping_interval, bool deflate)
{
	tunnels->limits = (struct pst_websocket_limits){
	    .message = message_most, .fragments = FRAGMENTS_MOST, .spares = &tunnels->spares};
	tunnels->deflate = deflate;
	if (pst_deadline_list_init(&tunnels->quiet, loop, ping_interval, quiet_passed) == -1 ||
	    pst_deadline_list_init(&tunnels->pong, loop, ping_interval, pong_passed) == -1 ||
	    pst_deadline_list_init(&tunnels->closing, loop, CLOSING_MS, closing_passed) == -1 ||
	    pst_tally_init(&tunnels->broken, loop, tell_broken, tunnels) == -1)
		return -1;
	return 0;
}

void
pst_tunnels_free(struct pst_tunnels *tunnels)
{
	pst_deadline_list_free(&tunnels->quiet);
	pst_deadline_list_free(&tunnels->pong);
	pst_deadline_list_free(&tunnels->closing);
	pst_tally_free(&tunnels->broken);
	pst_websocket_spares_free(&tunnels->spares);
}
