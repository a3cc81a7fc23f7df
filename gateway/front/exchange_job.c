#include "gateway/front/container.h"
#include "gateway/front/exchange_internal.h"
#include "gateway/front/upstream.h"
#include "gateway/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct pst_exchange *
exchange_of(struct pst_job *job)
{
	return PST_CONTAINER(job, struct pst_exchange, job);
}

/* --- failure --- */

static void
log_failure(const struct pst_exchange *x, unsigned status, const char *reason)
{
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	if (pst_answer_begun(&x->answer))
		pst_log_error("worker %s: %s: %s: its client's connection is closed in the middle "
			      "of the answer",
		    x->worker, name, reason);
	else
		pst_log_error("worker %s: %s: %s: answered %u", x->worker, name, reason, status);
}

static void
break_off(struct pst_exchange *x, unsigned status)
{
	if (pst_answer_begun(&x->answer)) {
		x->broken = true;
		pst_client_break(x->client);
	} else {
		pst_exchange_refuse(x, status, NULL, 0);
	}
	/* Nothing more of it is wanted. */
	pst_pool_withdraw(x->pool, &x->job);
}

void
pst_exchange_fail(struct pst_exchange *x, unsigned status, const char *reason)
{
	log_failure(x, status, reason);
	break_off(x, status);
}

/* Room for it is short. */
static void
fail_to_store(struct pst_exchange *x, int err)
{
	unsigned status = pst_exchange_status_of(err);
	char text[512];

	snprintf(text, sizeof(text), "its answer cannot be stored (spool directory %s): %s",
	    x->context->budget.directory, x->answer.reason);
	if (pst_pool_refuses(x->pool, PST_REFUSAL_ANSWER))
		log_failure(x, status, text);
	break_off(x, status);
}

void
pst_exchange_reject(struct pst_exchange *x, int err)
{
	char text[512];

	if (err != PST_ERR_PROTOCOL && err != PST_ERR_LIMIT) {
		fail_to_store(x, err);
		return;
	}
	snprintf(text, sizeof(text), "it sent no valid response: %s", x->answer.reason);
	pst_exchange_fail(x, 502, text);
}

/* --- the job's callbacks --- */

static int
submit_upgrade(struct pst_exchange *x, struct pst_session *session, uint16_t id)
{
	static const char name[] = "PENSTOCK_UPGRADE", value[] = "websocket";

	if (!pst_session_extends(session)) {
		pst_exchange_refuse(x, 501, "there are no WebSockets here", 0);
		return PST_ERR_STATE;
	}
	x->answer.handshake = x->handshake;
	return pst_session_submit_param(
	    session, id, name, sizeof(name) - 1, value, sizeof(value) - 1);
}

static int
on_start(struct pst_job *job, struct pst_session *session, uint16_t id, const char *worker)
{
	struct pst_exchange *x = exchange_of(job);
	const struct pst_buf *params;
	int err;

	pst_exchange_set_state(x, PST_EXCHANGE_RUNNING);
	if (!job->ahead)
		pst_exchange_count_wait(x);
	memcpy(x->worker, worker, strnlen(worker, sizeof(x->worker) - 1) + 1);
	x->answer.streams = job->streams;
	if (job->body_open)
		pst_exchange_expect_body(x);
	err = pst_exchange_params(x, &params);
	if (err == 0 && x->handshake != NULL)
		err = submit_upgrade(x, session, id);
	if (err == 0)
		err = pst_session_submit_params(
		    session, id, pst_buf_bytes(params), pst_buf_length(params));
	if (err != 0 && x->state == PST_EXCHANGE_RUNNING)
		pst_exchange_fail(x, 503, pst_error_string(err));
	return err;
}

static void
on_turn(struct pst_job *job)
{
	struct pst_exchange *x = exchange_of(job);

	x->given_us = pst_loop_now_us();
	pst_exchange_count_wait(x);
}

static bool
wants_output(const struct pst_exchange *x)
{
	return x->state == PST_EXCHANGE_RUNNING || x->state == PST_EXCHANGE_ANSWERING ||
	       (x->state == PST_EXCHANGE_OPEN && x->answer.switches == PST_ANSWER_TO_STREAM);
}

/* The worker has written its whole answer. */
static void
end_answer(struct pst_exchange *x)
{
	int err = pst_answer_end(&x->answer);

	if (err != 0) {
		pst_exchange_reject(x, err);
		return;
	}
	pst_exchange_set_state(x, PST_EXCHANGE_FLUSHING);
	/* END_REQUEST need not wait for the client: it brings nothing to store. */
	pst_upstream_resume(&x->job);
	pst_client_flush(x->client);
}

/* The worker will not end the answer, for REASON. One that has its Content-Length needs no end. */
static void
give_up_answer(struct pst_exchange *x, unsigned status, const char *reason)
{
	char name[256];

	if (!pst_answer_is_complete(&x->answer)) {
		pst_exchange_fail(x, status, reason);
		return;
	}
	pst_exchange_name(x, name, sizeof(name));
	pst_log_error("worker %s: %s: %s; its client gets the answer, which had come whole",
	    x->worker, name, reason);
	end_answer(x);
	pst_pool_withdraw(x->pool, &x->job);
}

static void
warn_of_cut(struct pst_exchange *x)
{
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	pst_log_warning("worker %s: %s: it sent more than its Content-Length: the rest is dropped",
	    x->worker, name);
}

/* The worker's head was taken. Of a request for a WebSocket it says what becomes of that. */
static void
begin_answer(struct pst_exchange *x)
{
	if (x->answer.switches != PST_ANSWER_STAYS) {
		pst_tunnel_open(x);
		return;
	}
	pst_exchange_set_state(x, PST_EXCHANGE_ANSWERING);
	if (x->handshake == NULL)
		return;
	x->job.body_open = false;
	pst_upstream_supply(&x->job);
}

static bool
streams_events(const struct pst_exchange *x)
{
	return x->state == PST_EXCHANGE_ANSWERING && pst_answer_is_events(&x->answer);
}

/*
 * An answer of events ends here, as it may anywhere, since its client connects again (HTML,
 * "Server-sent events"). To the worker that client has left.
 */
void
pst_exchange_on_leave(struct pst_leaver *leaver)
{
	struct pst_exchange *x = PST_CONTAINER(leaver, struct pst_exchange, leaver);

	if (pst_tunnel_may_leave(x)) {
		pst_tunnel_leave(x);
	} else if (streams_events(x)) {
		end_answer(x);
		pst_pool_withdraw(x->pool, &x->job);
	}
}

void
pst_exchange_leave(struct pst_exchange *x)
{
	if (pst_tunnel_may_leave(x) || streams_events(x))
		pst_leaving_add(&x->context->leaving, &x->leaver);
}

/* Let the worker wait if the answer can take no more. */
static void
pause_if_full(struct pst_exchange *x)
{
	if (pst_answer_full(&x->answer))
		pst_upstream_pause(&x->job);
}

void
pst_exchange_settle(void *arg)
{
	struct pst_exchange *x = arg;
	struct pst_client *client = x->client;
	int err;

	if (x->refused == 0)
		pst_client_write_lent(client);
	if (x->refused != 0)
		pst_answer_drop_lent(&x->answer);
	if (x->client == NULL || x->answer.lent.count == 0)
		return;
	err = pst_answer_keep_lent(&x->answer, pst_client_out(client));
	if (err != 0)
		pst_exchange_reject(x, err);
	else if (x->state == PST_EXCHANGE_ANSWERING)
		pause_if_full(x);
}

static void
take_output(struct pst_exchange *x, const void *bytes, size_t n)
{
	bool was_cut = x->answer.cut;
	int err;

	if (x->context->draining)
		pst_answer_close(&x->answer);
	x->answer.lends = x->handshake == NULL && pst_client_takes(x->client);
	err =
	    pst_answer_take(&x->answer, pst_client_out(x->client), bytes, n, pst_exchange_date(x));
	if (err != 0) {
		pst_exchange_reject(x, err);
		return;
	}
	if (x->answer.lent.count > 0)
		pst_loop_prompt(x->context->loop, &x->settle);
	if (x->answer.cut && !was_cut)
		warn_of_cut(x);
	if (x->state == PST_EXCHANGE_RUNNING && x->answer.state != PST_ANSWER_HEAD)
		begin_answer(x);
	if (x->state == PST_EXCHANGE_ENDED)
		return;
	x->job.roomy = pst_answer_roomy(&x->answer);
	/* A stream of events is silent for as long as there are none. */
	x->job.untimed |= x->job.streams && x->answer.state != PST_ANSWER_HEAD;
	pause_if_full(x);
	if (x->context->draining || pst_upstream_is_retiring(&x->job))
		pst_exchange_leave(x);
	pst_client_flush(x->client);
}

static void
on_output(struct pst_job *job, const void *bytes, size_t n)
{
	struct pst_exchange *x = exchange_of(job);

	if (!wants_output(x))
		return;
	if (n == 0)
		end_answer(x);
	else
		take_output(x, bytes, n);
}

/* What may change while it is read is not taken apart: it can only be body. */
static void
on_shared(struct pst_job *job, const void *bytes, size_t n)
{
	struct pst_exchange *x = exchange_of(job);

	if (!wants_output(x))
		return;
	if (x->answer.state != PST_ANSWER_HEAD) {
		take_output(x, bytes, n);
		return;
	}
	x->answer.reason = "bytes in shared memory before its head";
	pst_exchange_reject(x, PST_ERR_PROTOCOL);
}

void
pst_exchange_files_done(struct pst_exchange *x)
{
	unsigned done = x->answer.files.done;

	x->answer.files.done = 0;
	if (done > 0)
		pst_upstream_files_done(&x->job, done);
}

static void
take_file(struct pst_exchange *x, const struct pst_session_file *file)
{
	int err = pst_answer_take_file(&x->answer, file);

	if (err != 0) {
		pst_exchange_reject(x, err);
		return;
	}
	pause_if_full(x);
	pst_exchange_files_done(x);
	pst_client_flush(x->client);
}

static void
refuse_file(struct pst_exchange *x, const struct pst_session_file *file)
{
	pst_answer_files_refuse(&x->answer.files, file);
	pst_exchange_files_done(x);
}

static void
on_file(struct pst_job *job, const struct pst_session_file *file)
{
	struct pst_exchange *x = exchange_of(job);

	/* What was lent stands before it. */
	if (wants_output(x) && x->answer.lent.count > 0)
		pst_exchange_settle(x);
	if (wants_output(x))
		take_file(x, file);
	else
		refuse_file(x, file);
}

static void
on_trailer(struct pst_job *job, struct pst_http_text field, struct pst_http_text value)
{
	struct pst_exchange *x = exchange_of(job);
	char name[256];

	if (!wants_output(x) || pst_answer_take_trailer(&x->answer, field, value) == 0)
		return;
	pst_exchange_name(x, name, sizeof(name));
	pst_log_warning("worker %s: %s: its trailer \"%.*s\" is left out: %s", x->worker, name,
	    field.len < 64 ? (int)field.len : 64, field.data, x->answer.reason);
}

static void
on_usage(struct pst_job *job, const struct pst_session_usage *usage)
{
	struct pst_exchange *x = exchange_of(job);

	x->usage = *usage;
	x->has_usage = true;
	pst_figures_usage(pst_pool_figures(x->pool), usage->cpu, usage->waited, usage->lag);
}

static void
on_message(struct pst_job *job, unsigned flags, const void *bytes, size_t n)
{
	pst_tunnel_on_message(exchange_of(job), flags, bytes, n);
}

static void
on_closed(struct pst_job *job, unsigned code, const char *reason, size_t n)
{
	pst_tunnel_on_closed(exchange_of(job), code, reason, n);
}

static void
on_retire(struct pst_job *job)
{
	pst_exchange_leave(exchange_of(job));
}

static void
on_error(struct pst_job *job, const void *bytes, size_t n)
{
	struct pst_exchange *x = exchange_of(job);
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	pst_worker_lines_take(&x->lines, x->worker, name, bytes, n);
}

static void
on_late(struct pst_job *job, const char *reason)
{
	struct pst_exchange *x = exchange_of(job);
	char name[256];

	if (wants_output(x)) {
		give_up_answer(x, 504, reason);
		return;
	}
	pst_exchange_name(x, name, sizeof(name));
	pst_log_warning("worker %s: %s: nobody waits for its answer any more, but it does not end "
			"the request: %s",
	    x->worker, name, reason);
}

static void
on_expired(struct pst_job *job)
{
	pst_exchange_refuse(
	    exchange_of(job), 503, "no worker was free for too long", PST_RETRY_AFTER);
}

/* END_REQUEST came. Without the end of STDOUT before it the answer is whole only if the application
 * says that it did not fail. */
static void
on_complete(struct pst_exchange *x, uint32_t app_status)
{
	char reason[64];

	if (!wants_output(x))
		return;
	if (app_status == 0) {
		end_answer(x);
		return;
	}
	snprintf(reason, sizeof(reason), "it failed, with application status %" PRIu32, app_status);
	give_up_answer(x, 502, reason);
}

/* A worker would not serve it and has run nothing (FastCGI 1.0, 5.5): another one may, once. */
static bool
is_given_again(struct pst_exchange *x, const char *reason)
{
	char name[256];

	if (x->state != PST_EXCHANGE_RUNNING || x->answer.head != NULL || x->refused_once ||
	    !pst_job_is_whole(&x->job))
		return false;
	x->refused_once = true;
	pst_exchange_name(x, name, sizeof(name));
	pst_log_warning(
	    "worker %s: %s: %s: it is given to the next free worker", x->worker, name, reason);
	pst_pool_resubmit(x->pool, &x->job);
	return true;
}

/* Its worker was lost, and may have run it. With --retry another one runs it again, once, if the
 * client has seen nothing of an answer. */
static bool
is_run_again(struct pst_exchange *x, const char *reason)
{
	char name[256];

	if (pst_pool_settings(x->pool)->retry != PST_RETRY_IDEMPOTENT || x->retried ||
	    x->state != PST_EXCHANGE_RUNNING || x->answer.interim || !pst_job_is_whole(&x->job) ||
	    !x->job.idempotent)
		return false;
	x->retried = true;
	pst_pool_figures(x->pool)->run_again++;
	pst_exchange_name(x, name, sizeof(name));
	pst_log_warning("worker %s: %s: %s: it is run again by the next free worker (--retry)",
	    x->worker, name, reason);
	pst_answer_clear(&x->answer);
	pst_answer_init(&x->answer, &x->request, pst_exchange_keeps_alive(x), &x->context->budget);
	pst_pool_resubmit(x->pool, &x->job);
	return true;
}

/* It did not even come to a worker, for REASON: memory is short. */
static void
turn_away(struct pst_exchange *x, const char *reason)
{
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	if (pst_pool_refuses(x->pool, PST_REFUSAL_MEMORY))
		pst_log_error("pool %s: %s: it could not be given to a worker: %s: answered 503",
		    pst_pool_name(x->pool), name, reason);
	pst_exchange_refuse(x, 503, reason, PST_RETRY_AFTER);
}

/* One line for each would be one for each request as long as the server is down. */
static void
refuse_unreachable(struct pst_exchange *x, const char *reason)
{
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	pst_log_debug("pool %s: %s: %s: answered 502", pst_pool_name(x->pool), name, reason);
	pst_exchange_refuse(x, 502, NULL, 0);
}

static void
on_over(struct pst_job *job, enum pst_job_end end, uint32_t app_status, const char *reason)
{
	struct pst_exchange *x = exchange_of(job);

	if (x->lines.logged > 0 || pst_buf_length(&x->lines.partial) > 0) {
		char name[256];

		pst_exchange_name(x, name, sizeof(name));
		pst_worker_lines_end(&x->lines, x->worker, name);
	}
	pst_tunnel_on_over(x, end, app_status, reason);
	if (end == PST_JOB_REFUSED && is_given_again(x, reason))
		return;
	if (end == PST_JOB_LOST && is_run_again(x, reason))
		return;
	if (end == PST_JOB_COMPLETE)
		on_complete(x, app_status);
	else if (end == PST_JOB_UNREACHABLE)
		refuse_unreachable(x, reason);
	else if (x->state == PST_EXCHANGE_QUEUED)
		turn_away(x, reason);
	else if (wants_output(x))
		give_up_answer(x, 502, reason);
	if (x->client != NULL && (x->receiving || pst_tunnel_is_open(x)))
		pst_client_want_body(x->client);
	if (x->state == PST_EXCHANGE_ENDED && x->burial.list == NULL)
		pst_loop_bury(x->context->loop, &x->burial);
}

static void
on_taken(struct pst_job *job)
{
	struct pst_exchange *x = exchange_of(job);

	if (x->client != NULL)
		pst_client_want_body(x->client);
}

static void
on_name(struct pst_job *job, char *text, size_t size)
{
	pst_exchange_name(exchange_of(job), text, size);
}

const struct pst_job_callbacks pst_exchange_job_callbacks = {
    .start = on_start,
    .turn = on_turn,
    .output = on_output,
    .shared = on_shared,
    .file = on_file,
    .trailer = on_trailer,
    .usage = on_usage,
    .message = on_message,
    .closed = on_closed,
    .retire = on_retire,
    .error = on_error,
    .late = on_late,
    .expired = on_expired,
    .over = on_over,
    .taken = on_taken,
    .name = on_name,
};
