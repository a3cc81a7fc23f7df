#include "gateway/front/exchange_internal.h"
#include "gateway/front/upstream.h"
#include "gateway/log.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define TO(state) (1u << PST_EXCHANGE_##state)

static const unsigned allowed[] = {
    [PST_EXCHANGE_HEAD] = TO(BODY) | TO(QUEUED) | TO(FLUSHING) | TO(ENDED),
    [PST_EXCHANGE_BODY] = TO(QUEUED) | TO(FLUSHING) | TO(ENDED),
    [PST_EXCHANGE_QUEUED] = TO(RUNNING) | TO(FLUSHING) | TO(ENDED),
    [PST_EXCHANGE_RUNNING] = TO(RUNNING) | TO(ANSWERING) | TO(OPEN) | TO(FLUSHING) | TO(ENDED),
    [PST_EXCHANGE_OPEN] = TO(FLUSHING) | TO(ENDED),
    [PST_EXCHANGE_ANSWERING] = TO(FLUSHING) | TO(ENDED),
    [PST_EXCHANGE_FLUSHING] = TO(FLUSHING) | TO(ENDED),
    [PST_EXCHANGE_ENDED] = 0,
};

void
pst_exchange_set_state(struct pst_exchange *x, enum pst_exchange_state state)
{
	assert(allowed[x->state] & 1u << state);
	pst_leaving_remove(&x->context->leaving, &x->leaver);
	if (x->state == PST_EXCHANGE_OPEN)
		pst_tunnel_shut(x);
	x->state = state;
	if (state == PST_EXCHANGE_QUEUED)
		x->queued_us = pst_loop_now_us();
	else if (state == PST_EXCHANGE_RUNNING)
		x->given_us = pst_loop_now_us();
}

const char *
pst_exchange_date(struct pst_exchange *x)
{
	return pst_http_date_at(&x->context->date, pst_loop_wall().tv_sec);
}

/* So many exchanges are kept, none of them with more memory for a head than this. */
#define SPARES      64
#define KEPT_BYTES  8192
#define KEPT_FIELDS 64

/* --- life --- */

static void
free_one(struct pst_exchange *x)
{
	pst_answer_free(&x->answer);
	pst_http_request_free(&x->request);
	free(x);
}

/* Keep it for a request to come, with the memory that every request needs. */
static void
spare_one(struct pst_exchange *x)
{
	struct pst_exchange_context *context = x->context;

	if (context->spares == SPARES) {
		free_one(x);
		return;
	}
	pst_answer_clear(&x->answer);
	if (x->request.size > KEPT_BYTES || x->request.table_size > KEPT_FIELDS ||
	    x->request.decoded_size > KEPT_BYTES)
		pst_http_request_release(&x->request);
	else
		pst_http_request_reset(&x->request);
	memset(&x->state, 0,
	    offsetof(struct pst_exchange, answer) - offsetof(struct pst_exchange, state));
	x->spare = context->spare;
	context->spare = x;
	context->spares++;
}

static struct pst_exchange *
take_spare(struct pst_exchange_context *context)
{
	struct pst_exchange *x = context->spare;

	if (x == NULL)
		return NULL;
	context->spare = x->spare;
	context->spares--;
	x->spare = NULL;
	return x;
}

void
pst_exchange_context_clear(struct pst_exchange_context *context)
{
	struct pst_exchange *x;

	while ((x = take_spare(context)) != NULL)
		free_one(x);
}

static void
bury(void *arg)
{
	struct pst_exchange *x = arg;

	assert(x->state == PST_EXCHANGE_ENDED && x->job.state == PST_JOB_IDLE);
	pst_spool_free(x->job.body);
	free(x->normal_path);
	free(x->full_script_name);
	pst_script_free(&x->script);
	free(x->handshake);
	free(x->tunnel);
	spare_one(x);
}

struct pst_exchange *
pst_exchange_new(struct pst_exchange_context *context, struct pst_client *client)
{
	struct pst_exchange *x = take_spare(context);

	if (x == NULL) {
		x = calloc(1, sizeof(*x));
		if (x == NULL)
			return NULL;
		pst_http_request_init(&x->request, &context->limits);
	}
	x->state = PST_EXCHANGE_HEAD;
	x->context = context;
	x->client = client;
	x->job.callbacks = &pst_exchange_job_callbacks;
	pst_task_init(&x->burial, bury, x);
	pst_task_init(&x->settle, pst_exchange_settle, x);
	x->began = pst_loop_wall();
	x->began_us = pst_loop_now_us();
	return x;
}

enum pst_exchange_state
pst_exchange_state(const struct pst_exchange *x)
{
	return x->state;
}

void
pst_exchange_end(struct pst_exchange **exchange)
{
	struct pst_exchange *x = *exchange;
	bool answered = x->state == PST_EXCHANGE_FLUSHING && !x->job.body_open;

	*exchange = NULL;
	pst_task_cancel(&x->settle);
	answered |= pst_tunnel_end(x);
	if (x->request.stage != PST_HTTP_STAGE_IDLE) {
		pst_exchange_log(x);
		pst_exchange_count_end(x);
	}
	pst_exchange_set_state(x, PST_EXCHANGE_ENDED);
	x->client = NULL;
	/* A worker that has answered whole may finish what it does after that. */
	if (!answered && x->pool != NULL)
		pst_pool_withdraw(x->pool, &x->job);
	else if (x->job.state != PST_JOB_IDLE)
		pst_upstream_resume(&x->job);
	if (x->job.state == PST_JOB_IDLE)
		pst_loop_bury(x->context->loop, &x->burial);
}

bool
pst_exchange_keeps_alive(const struct pst_exchange *x)
{
	return x->context->keep_alive && !x->context->draining;
}

/* --- answers of our own --- */

void
pst_exchange_refuse(
    struct pst_exchange *x, unsigned status, const char *detail, unsigned retry_after)
{
	const struct pst_http_text *method = &x->request.method;
	/* Before, the rest of the request may still be on its way. */
	bool read_whole = pst_exchange_took_request(x);
	struct pst_http_error error = {
	    .status = status,
	    .detail = detail,
	    .retry_after = retry_after,
	    .head = method->len == 4 && memcmp(method->data, "HEAD", 4) == 0,
	    .keep_alive = read_whole && x->request.keep_alive && pst_exchange_keeps_alive(x),
	    .minor = x->request.minor,
	    .websocket = status == 426,
	};

	x->refused = status;
	x->keep_alive = error.keep_alive;
	pst_exchange_set_state(x, PST_EXCHANGE_FLUSHING);
	if (pst_http_response_error(pst_client_out(x->client), &error, pst_exchange_date(x)) != 0)
		x->keep_alive = false; /* no memory: the connection is closed without a word */
	pst_client_flush(x->client);
}

void
pst_exchange_refuse_for(struct pst_exchange *x, const struct pst_http_refusal *refusal)
{
	pst_exchange_log_refused(x, refusal);
	pst_exchange_refuse(x, refusal->status, refusal->reason, 0);
}

void
pst_exchange_late_input(struct pst_exchange *x, const char *what)
{
	if (x->state != PST_EXCHANGE_HEAD) {
		pst_exchange_late_body(x, what);
		return;
	}
	pst_exchange_log_slow(x, what, "answered 408");
	pst_exchange_refuse(x, 408, "the request's head did not arrive in time", 0);
}

/* --- the request --- */

/* The worker that gets it says whether there is a WebSocket; until then it is sent no body, which
 * does not end either. */
static void
begin_upgrade(struct pst_exchange *x)
{
	struct pst_http_refusal refusal;

	if (pst_pool_kind(x->pool) != PST_POOL_APP) {
		pst_exchange_refuse(x, 501, "there are no WebSockets here", 0);
		return;
	}
	x->handshake = malloc(sizeof(*x->handshake));
	if (x->handshake == NULL) {
		pst_exchange_refuse(x, 503, "out of memory", PST_RETRY_AFTER);
	} else if (!pst_websocket_handshake(
		       x->handshake, &x->request, x->context->tunnels.deflate, &refusal)) {
		pst_exchange_refuse_for(x, &refusal);
	} else {
		x->answer.handshake = x->handshake;
		x->job.body_open = true;
		pst_exchange_submit(x);
	}
}

/* Who asks, and what for, is settled. */
static void
go(struct pst_exchange *x, bool more)
{
	int routed;

	if (pst_exchange_asks_health(x)) {
		pst_exchange_tell_health(x);
		return;
	}
	routed = pst_exchange_route(x);
	if (routed < 0) {
		pst_exchange_refuse(x, 503, "out of memory", PST_RETRY_AFTER);
	} else if (routed == 0) {
		pst_exchange_log_no_route(x);
		pst_exchange_refuse(x, 404, NULL, 0);
	} else if (pst_websocket_wanted(&x->request)) {
		begin_upgrade(x);
	} else if (x->request.body == PST_HTTP_BODY_NONE) {
		pst_exchange_submit(x);
	} else {
		pst_exchange_begin_body(x, more);
	}
}

static void
on_head(struct pst_exchange *x, bool more)
{
	const struct pst_peer_address *peer = pst_client_peer(x->client);

	x->receiving = x->request.body != PST_HTTP_BODY_NONE;
	pst_exchange_split_host(x);
	pst_answer_init(&x->answer, &x->request, pst_exchange_keeps_alive(x), &x->context->budget);
	if (pst_forwarded_resolve(x->context->trust, peer, x->request.fields,
		x->request.field_count, &x->from) != PST_FORWARDED_OK) {
		pst_log_warning("%.*s: the trusted proxy %s sent %s: answered 400",
		    (int)x->request.line.len, x->request.line.data,
		    peer->local ? "on a unix socket" : peer->host, x->from.reason);
		pst_exchange_refuse(x, 400, x->from.reason, 0);
	} else {
		go(x, more);
	}
}

static size_t
input_head(struct pst_exchange *x, const char *bytes, size_t n)
{
	size_t used = 0;
	int result = pst_http_request_parse(&x->request, bytes, n, &used);

	if (result == 1) {
		on_head(x, used < n);
	} else if (result == PST_ERR_NOMEM) {
		pst_exchange_refuse(x, 503, "out of memory", PST_RETRY_AFTER);
	} else if (result < 0) {
		pst_exchange_refuse_for(x, &x->request.refusal);
	}
	return used;
}

size_t
pst_exchange_input(struct pst_exchange *x, const void *bytes, size_t n)
{
	const char *at = bytes;
	size_t left = n;

	while (left > 0) {
		size_t used;

		if (x->state == PST_EXCHANGE_HEAD)
			used = input_head(x, at, left);
		else if (pst_exchange_takes_body(x))
			used = pst_exchange_input_body(x, at, left);
		else if (pst_tunnel_is_open(x))
			used = pst_tunnel_input(x, at, left);
		else
			break;
		if (used == 0)
			break;
		at += used;
		left -= used;
	}
	return n - left;
}

void
pst_exchange_probe(struct pst_exchange *x)
{
	bool silent = x->state == PST_EXCHANGE_QUEUED ||
		      (x->state == PST_EXCHANGE_RUNNING && x->answer.state == PST_ANSWER_HEAD);

	if (x->state == PST_EXCHANGE_ANSWERING) {
		if (pst_answer_probe(&x->answer, pst_client_out(x->client)))
			pst_client_flush(x->client);
		return;
	}
	if (!silent || x->request.minor == 0)
		return;
	(void)pst_http_response_continue(pst_client_out(x->client));
	pst_client_flush(x->client);
}

/* --- the answer --- */

int
pst_exchange_refill(struct pst_exchange *x)
{
	int err;

	if (x->refused != 0 || x->state < PST_EXCHANGE_RUNNING)
		return 0;
	if (x->state == PST_EXCHANGE_OPEN && x->answer.switches == PST_ANSWER_TO_MESSAGES) {
		pst_tunnel_refill(x);
		return 0;
	}
	if (x->context->draining)
		pst_answer_close(&x->answer);
	err = pst_answer_refill(&x->answer, pst_client_out(x->client), pst_exchange_date(x));
	pst_exchange_files_done(x);
	if (err != 0) {
		pst_exchange_reject(x, err);
		return x->state == PST_EXCHANGE_ENDED ? -1 : 0;
	}
	if (x->state != PST_EXCHANGE_FLUSHING && !pst_answer_full(&x->answer))
		pst_upstream_resume(&x->job);
	return 0;
}

bool
pst_exchange_file(const struct pst_exchange *x, struct pst_spool_piece *piece)
{
	return x->refused == 0 && pst_answer_file(&x->answer, piece);
}

int
pst_exchange_file_sent(struct pst_exchange *x, uint64_t n)
{
	int err = pst_answer_file_sent(&x->answer, pst_client_out(x->client), n);

	pst_exchange_files_done(x);
	return err == 0 ? 0 : -1;
}

bool
pst_exchange_is_lent(const struct pst_exchange *x)
{
	return x->refused == 0 && pst_answer_is_lent(&x->answer);
}

int
pst_exchange_frame(struct pst_exchange *x, struct iovec *pieces)
{
	return pst_answer_frame(&x->answer, pst_client_out(x->client), pieces);
}

int
pst_exchange_frame_sent(struct pst_exchange *x, size_t n)
{
	return pst_answer_frame_sent(&x->answer, pst_client_out(x->client), n) == 0 ? 0 : -1;
}

bool
pst_exchange_took_request(const struct pst_exchange *x)
{
	return x->request.stage == PST_HTTP_STAGE_DONE && !x->receiving;
}

bool
pst_exchange_is_whole(const struct pst_exchange *x)
{
	return x->state == PST_EXCHANGE_FLUSHING &&
	       (x->refused != 0 || x->answer.state == PST_ANSWER_WHOLE);
}

bool
pst_exchange_keep_alive(const struct pst_exchange *x)
{
	return x->refused != 0 ? x->keep_alive : x->answer.http.keep_alive;
}

bool
pst_exchange_ends_by_close(const struct pst_exchange *x)
{
	return x->refused == 0 && pst_answer_begun(&x->answer) &&
	       x->answer.http.framing == PST_HTTP_FRAMING_CLOSE;
}
