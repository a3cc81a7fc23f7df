#include "gateway/front/upstream_internal.h"

#include "gateway/front/container.h"
#include "gateway/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Bytes of bodies that are queued in a session before more are taken from the spool. */
#define BODY_AHEAD 65536
/* What all jobs of a worker may send ahead beyond their first credit: enough for sixteen. Many more
 * keep each other busy. */
#define WIDE_MOST (16 * (PST_JOB_WINDOW - PST_SESSION_CREDIT))
/* A loop that has not even come round for about as long as the grace will not end anything. */
#define STALLED_MS 900
/* Of them, what is taken at a time: half a record. */
#define BODY_PIECE 32768

/* JOB has something of its body to send: its turn comes after that of others. */
static void
queue_supply(struct pst_upstream *up, struct pst_job *job)
{
	if (job->supplies || (job->body_sent && !job->messages))
		return;
	job->supplies = true;
	TAILQ_INSERT_TAIL(&up->supplies, job, supply);
}

static void
drop_supply(struct pst_upstream *up, struct pst_job *job)
{
	if (job->supplies)
		TAILQ_REMOVE(&up->supplies, job, supply);
	job->supplies = false;
}

/* Its client is what the job waits for: to take the answer, or to send more of the body. */
static bool
waits_for_client(const struct pst_job *job)
{
	return job->paused || (job->body_open && job->body != NULL && !job->body_sent &&
				  !job->supplies && pst_spool_length(job->body) == 0);
}

/* The clock for the next piece of its output runs while the worker is waited for. */
static void
watch(struct pst_upstream *up, struct pst_job *job)
{
	if (job->untimed || waits_for_client(job))
		pst_deadline_cancel(&job->deadline);
	else
		pst_deadline_arm(&job->deadline, &up->deadlines->timeout);
}

/* What is to be sent of JOB's body now, 0 at its end; -1: nothing before its credit or the body
 * itself grows. */
static ssize_t
piece_size(const struct pst_upstream *up, const struct pst_job *job)
{
	size_t credit = pst_session_credit(up->session, job->id);

	if (job->body == NULL || pst_spool_length(job->body) == 0)
		return job->body_open ? -1 : 0;
	if (credit == 0)
		return -1;
	return credit < BODY_PIECE ? (ssize_t)credit : BODY_PIECE;
}

static void
fail_body(struct pst_upstream *up, struct pst_job *job, const char *reason)
{
	char name[256];

	job->callbacks->name(job, name, sizeof(name));
	pst_log_error(
	    "worker %s: %s: %s while its body was sent: it is aborted", up->worker, name, reason);
	pst_upstream_abort(job);
}

/* Show the worker what stands at the front of JOB's body, which is whole: 1 when it was queued. */
static int
lend_piece(struct pst_upstream *up, struct pst_job *job)
{
	struct pst_session_file file;
	struct pst_spool_piece piece;
	int err;

	if (job->body_open || !pst_spool_keeps(job->body) || !pst_session_files(up->session) ||
	    pst_session_credit(up->session, job->id) < PST_SESSION_FILE_COST)
		return 0;
	file.fd = pst_spool_lend(job->body, &piece);
	if (file.fd < 0)
		return 0;
	file.offset = (uint64_t)piece.offset;
	file.length = piece.length;
	err = pst_session_submit_file(up->session, job->id, PST_STREAM_STDIN, &file);
	if (err != PST_OK) {
		close(file.fd);
		return err;
	}
	pst_spool_consume(job->body, piece.length);
	return 1;
}

/* Queue the next piece of JOB's body: false when nothing more can be queued. */
static bool
feed_piece(struct pst_upstream *up, struct pst_job *job)
{
	unsigned char *piece = pst_loop_scratch(up->loop);
	ssize_t n;
	int lent;

	if (job->messages) {
		job->callbacks->taken(job);
		return false;
	}
	n = piece_size(up, job);
	if (n < 0)
		return false;
	if (n > 0 && (lent = lend_piece(up, job)) != 0) {
		if (lent < 0)
			fail_body(up, job, pst_error_string(lent));
		return lent > 0;
	}
	if (n > 0)
		n = pst_spool_read(job->body, piece, (size_t)n);
	if (n < 0) {
		fail_body(up, job, pst_spool_error_string((int)n));
		return false;
	}
	if (pst_session_submit_data(up->session, job->id, PST_STREAM_STDIN, piece, (size_t)n) !=
	    PST_OK) {
		fail_body(up, job, "out of memory");
		return false;
	}
	job->body_sent = n == 0;
	if (n == 0)
		return false;
	pst_spool_consume(job->body, (uint64_t)n);
	if (job->body_open)
		job->callbacks->taken(job);
	return true;
}

void
pst_upstream_feed(struct pst_upstream *up)
{
	struct pst_job *job;

	while ((job = TAILQ_FIRST(&up->supplies)) != NULL &&
	       pst_session_pending(up->session) < BODY_AHEAD) {
		drop_supply(up, job);
		if (feed_piece(up, job))
			queue_supply(up, job);
		else if (job->state != PST_JOB_ABORTED && waits_for_client(job))
			pst_deadline_cancel(&job->deadline);
	}
}

void
pst_upstream_supply(struct pst_job *job)
{
	struct pst_upstream *up = job->upstream;

	if (up == NULL || (job->body_sent && !job->messages))
		return;
	queue_supply(up, job);
	if (!pst_deadline_armed(&job->deadline))
		watch(up, job);
	pst_loop_defer(up->loop, &up->flush);
}

/*
 * What the worker may send without asking is kept, so that another one can be given all of it if
 * this one is lost before it begins. Who asks for more has begun.
 */
void
pst_upstream_on_credit(void *arg, uint16_t id)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job == NULL)
		return;
	if (job->body_open && job->body != NULL && pst_spool_keeps(job->body)) {
		pst_spool_let_go(job->body);
		job->callbacks->taken(job);
	}
	pst_upstream_supply(job);
}

/*
 * Let the worker send as much of JOB's output as was taken, unless nobody takes any. That is said
 * when half of its window was taken: an ordinary answer costs no record. A longer one gets a larger
 * window, so that the worker need not wait after every piece.
 */
static void
grant(struct pst_upstream *up, struct pst_job *job)
{
	uint32_t wider = job->roomy && up->wide < WIDE_MOST ? PST_JOB_WINDOW - job->window : 0;
	char name[256];

	if (!pst_session_extends(up->session) || job->state == PST_JOB_ABORTED || job->paused ||
	    job->taken < job->window / 2)
		return;
	if (pst_session_submit_credit(up->session, job->id, job->taken + wider) == PST_OK) {
		job->taken = 0;
		job->window += wider;
		up->wide += wider;
		pst_loop_defer(up->loop, &up->flush);
		return;
	}
	job->callbacks->name(job, name, sizeof(name));
	pst_log_error("worker %s: %s: out of memory while its answer was taken: it is aborted",
	    up->worker, name);
	pst_upstream_abort(job);
}

void
pst_upstream_mark_started(struct pst_upstream *up)
{
	struct pst_job *job;

	for (job = up->unwritten; job != NULL; job = TAILQ_NEXT(job, link)) {
		if (job->state == PST_JOB_GIVEN && job->ticket == 0)
			pst_job_set_state(job, PST_JOB_STARTED);
	}
	up->unwritten = NULL;
}

/* A worker may speak before it was written to: it will not be asked a second time. */
static void
note_spoken(struct pst_job *job)
{
	if (job->state == PST_JOB_GIVEN)
		pst_job_set_state(job, PST_JOB_STARTED);
}

/* N bytes of output were taken. What it says on STDERR is no progress: nobody waits for that. */
static void
note_taken(struct pst_upstream *up, struct pst_job *job, size_t n)
{
	if (job->state == PST_JOB_STARTED)
		watch(up, job);
	job->taken += (uint32_t)n;
	grant(up, job);
}

void
pst_upstream_on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job == NULL)
		return;
	note_spoken(job);
	if (stream == PST_STREAM_STDERR) {
		if (n > 0)
			job->callbacks->error(job, bytes, n);
		return;
	}
	job->output_ended = n == 0;
	job->callbacks->output(job, bytes, n);
	note_taken(up, job, n);
}

void
pst_upstream_on_shared(void *arg, uint16_t id, const void *bytes, size_t n)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job == NULL)
		return;
	note_spoken(job);
	job->callbacks->shared(job, bytes, n);
	note_taken(up, job, n);
}

void
pst_upstream_on_file(
    void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	(void)stream; /* STDOUT: there is no other */
	if (job == NULL) {
		close(file->fd);
		return;
	}
	note_spoken(job);
	if (job->state == PST_JOB_STARTED)
		watch(up, job);
	job->callbacks->file(job, file);
}

void
pst_upstream_files_done(struct pst_job *job, unsigned count)
{
	if (job->upstream == NULL)
		return;
	job->taken += count * PST_SESSION_FILE_COST;
	grant(job->upstream, job);
}

void
pst_upstream_on_trailer(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job != NULL)
		job->callbacks->trailer(job, (struct pst_http_text){name, name_len},
		    (struct pst_http_text){value, value_len});
}

void
pst_upstream_on_usage(void *arg, uint16_t id, const struct pst_session_usage *usage)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job != NULL)
		job->callbacks->usage(job, usage);
}

/* --- messages --- */

void
pst_upstream_on_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job == NULL)
		return;
	job->callbacks->message(job, flags, bytes, n);
	job->taken += (uint32_t)n;
	grant(up, job);
}

void
pst_upstream_on_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job != NULL)
		job->callbacks->closed(job, code, reason, n);
}

void
pst_upstream_switch(struct pst_job *job, bool messages)
{
	job->untimed = true;
	pst_deadline_cancel(&job->deadline);
	pst_deadline_cancel(&job->limit);
	job->messages = messages;
	if (messages) {
		job->body_open = false;
		job->body_sent = true;
	}
}

/* While much waits to be written to the worker, whichever job it is of, none adds to it. */
size_t
pst_upstream_message_room(struct pst_job *job)
{
	struct pst_upstream *up = job->upstream;

	if (pst_session_pending(up->session) < BODY_AHEAD)
		return pst_session_credit(up->session, job->id);
	queue_supply(up, job);
	return 0;
}

int
pst_upstream_send_message(struct pst_job *job, unsigned flags, const void *bytes, size_t n)
{
	struct pst_upstream *up = job->upstream;

	if (job->state == PST_JOB_ABORTED || up == NULL)
		return 0;
	pst_loop_defer(up->loop, &up->flush);
	return pst_session_submit_message(up->session, job->id, flags, bytes, n);
}

void
pst_upstream_send_close(struct pst_job *job, unsigned code, const char *reason, size_t n)
{
	struct pst_upstream *up = job->upstream;

	if (pst_session_submit_close(up->session, job->id, code, reason, n) == PST_OK)
		pst_loop_defer(up->loop, &up->flush);
	else
		pst_upstream_abort(job);
}

void
pst_upstream_retire(struct pst_upstream *up)
{
	struct pst_job *job;

	up->retiring = true;
	pst_upstream_let_go(up);
	TAILQ_FOREACH (job, &up->jobs, link)
		job->callbacks->retire(job);
}

bool
pst_upstream_is_retiring(const struct pst_job *job)
{
	return job->upstream != NULL && job->upstream->retiring;
}

/* --- what is waited for --- */

/* Without credit the connection is all that can be stopped. */
static void
stop_reading(struct pst_upstream *up)
{
	if (!pst_session_extends(up->session) && up->paused++ == 0)
		event_del(up->readable);
}

static void
go_on_reading(struct pst_upstream *up)
{
	if (pst_session_extends(up->session) || --up->paused > 0)
		return;
	event_add(up->readable, NULL);
	if (up->state == PST_UPSTREAM_LEAVING)
		event_active(up->readable, EV_READ, 0);
}

/* What is to be told is told by the caller. */
void
pst_upstream_detach(struct pst_upstream *up, struct pst_job *job)
{
	pst_deadline_cancel(&job->deadline);
	pst_deadline_cancel(&job->limit);
	up->wide -= job->window - PST_SESSION_CREDIT;
	job->window = PST_SESSION_CREDIT;
	if (job->paused && !pst_session_extends(up->session))
		up->paused--;
	job->paused = false;
	drop_supply(up, job);
	if (up->unwritten == job)
		up->unwritten = TAILQ_NEXT(job, link);
	if (up->first_ahead == job)
		up->first_ahead = TAILQ_NEXT(job, link);
	TAILQ_REMOVE(&up->jobs, job, link);
	job->upstream = NULL;
}

static void
finish(struct pst_upstream *up, struct pst_job *job, enum pst_job_end end, uint32_t app_status,
    const char *reason)
{
	bool stuck = job->stuck;

	pst_job_set_state(job, PST_JOB_IDLE);
	job->callbacks->over(job, end, app_status, reason);
	if (up->state != PST_UPSTREAM_LOST)
		up->callbacks->over(up->arg, stuck);
}

void
pst_upstream_on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);
	char text[sizeof(up->reason)];
	const char *doubt = NULL;
	bool had_turn;

	if (job == NULL) {
		pst_upstream_end_recalled(up, id);
		return;
	}
	had_turn = !job->ahead;
	if (end != PST_END_CONNECTION && job->body != NULL)
		pst_spool_returned(job->body);
	pst_upstream_detach(up, job);
	if (end != PST_END_CONNECTION)
		doubt = pst_upstream_settle(up, job, end);
	if (end != PST_END_CONNECTION && had_turn)
		pst_upstream_next_turn(up);
	if (doubt != NULL) {
		finish(up, job, PST_JOB_LOST, 0, doubt);
	} else if (end == PST_END_CONNECTION && pst_upstream_withdraw(up, job) &&
		   pst_job_is_whole(job)) {
		pst_upstream_log_unseen(up, job);
		pst_job_set_state(job, PST_JOB_QUEUED);
		up->callbacks->unseen(up->arg, job);
	} else if (end == PST_END_CONNECTION) {
		finish(up, job, PST_JOB_LOST, 0,
		    up->reason[0] != '\0'
			? up->reason
			: pst_upstream_session_reason(up, PST_ERR_CLOSED, text, sizeof(text)));
	} else if (end == PST_END_COMPLETE) {
		finish(up, job, PST_JOB_COMPLETE, app_status, "");
	} else {
		finish(up, job, PST_JOB_REFUSED, 0, "it refused the request");
	}
}

/* JOB took too long for REASON: it is aborted, and has a grace to end. */
static void
pass(struct pst_job *job, const char *reason)
{
	struct pst_upstream *up = job->upstream;
	bool aborted = job->state == PST_JOB_ABORTED;
	char text[256];

	job->late = true;
	job->callbacks->late(job, pst_upstream_late_reason(up, job, reason, text, sizeof(text)));
	up->callbacks->late(up->arg);
	pst_upstream_abort(job);
	/* Its client had left, which was no reason to end what runs for it; this is one. */
	if (aborted)
		up->kind->abort(up, job);
	pst_deadline_cancel(&job->limit);
	pst_deadline_arm(&job->deadline, &up->deadlines->grace);
}

void
pst_upstream_timeout_passed(struct pst_deadline *deadline)
{
	struct pst_job *job = PST_CONTAINER(deadline, struct pst_job, deadline);
	char reason[96];

	snprintf(reason, sizeof(reason), "nothing came from it for %" PRIu64 " s (--timeout)",
	    job->upstream->deadlines->timeout.after / 1000);
	pass(job, reason);
}

void
pst_upstream_request_passed(struct pst_deadline *deadline)
{
	struct pst_job *job = PST_CONTAINER(deadline, struct pst_job, limit);
	char reason[96];

	snprintf(reason, sizeof(reason), "it took longer than %" PRIu64 " s (--request-timeout)",
	    job->upstream->deadlines->request.after / 1000);
	pass(job, reason);
}

void
pst_upstream_grace_passed(struct pst_deadline *deadline)
{
	struct pst_job *job = PST_CONTAINER(deadline, struct pst_job, deadline);

	struct pst_upstream *up = job->upstream;

	job->stuck = true;
	up->callbacks->stuck(up->arg, job, pst_upstream_stalled(up) >= STALLED_MS);
}

/* Submit the head of JOB: what a failure leaves behind is cleaned up by an abort. */
static int
submit_head(struct pst_upstream *up, struct pst_job *job)
{
	int err;

	pst_session_set_user(up->session, job->id, job);
	err = pst_upstream_offer(up, job);
	if (err == PST_OK)
		err = job->callbacks->start(job, up->session, job->id, up->worker);
	if (err == PST_OK)
		err = pst_session_submit_params_end(up->session, job->id);
	return err;
}

bool
pst_upstream_begin(struct pst_upstream *up, struct pst_job *job, bool keep)
{
	int err = PST_ERR_NOMEM;

	if (up->session != NULL)
		err = pst_session_submit_begin(up->session, PST_ROLE_RESPONDER, keep, &job->id);
	if (err != PST_OK) {
		pst_upstream_detach(up, job);
		finish(up, job, PST_JOB_REFUSED, 0, pst_error_string(err));
		return false;
	}
	if (submit_head(up, job) != PST_OK) {
		pst_upstream_abort(job);
		return false;
	}
	return true;
}

void
pst_upstream_give_kept(struct pst_upstream *up, struct pst_job *job)
{
	(void)pst_upstream_begin(up, job, true);
	pst_loop_defer(up->loop, &up->flush);
}

void
pst_upstream_take_in(struct pst_upstream *up, struct pst_job *job)
{
	assert(up->state == PST_UPSTREAM_OPEN && job->state == PST_JOB_QUEUED);
	pst_job_set_state(job, PST_JOB_GIVEN);
	job->upstream = up;
	job->ahead = false;
	job->body_sent = false;
	job->messages = false;
	job->taken = 0;
	job->window = PST_SESSION_CREDIT;
	job->streams = up->streams;
	job->untimed = false;
	job->output_ended = false;
	job->late = false;
	job->stuck = false;
	if (job->body != NULL)
		pst_spool_rewind(job->body);
	TAILQ_INSERT_TAIL(&up->jobs, job, link);
	if (up->unwritten == NULL)
		up->unwritten = job;
	queue_supply(up, job);
}

void
pst_upstream_begin_turn(struct pst_upstream *up, struct pst_job *job)
{
	job->given_at = pst_loop_now();
	pst_deadline_arm(&job->deadline, &up->deadlines->timeout);
	pst_deadline_arm(&job->limit, &up->deadlines->request);
}

void
pst_upstream_give(struct pst_upstream *up, struct pst_job *job)
{
	pst_upstream_take_in(up, job);
	pst_upstream_begin_turn(up, job);
	up->kind->give(up, job);
}

void
pst_upstream_abort_kept(struct pst_upstream *up, struct pst_job *job)
{
	enum pst_session_abort why =
	    job->late ? PST_SESSION_ABORT_DEADLINE : PST_SESSION_ABORT_CLIENT;

	if (pst_session_submit_abort(up->session, job->id, why) == PST_OK)
		pst_loop_defer(up->loop, &up->flush);
}

void
pst_upstream_abort(struct pst_job *job)
{
	struct pst_upstream *up = job->upstream;

	if (job->state == PST_JOB_ABORTED)
		return;
	pst_upstream_withdraw(up, job);
	pst_job_set_state(job, PST_JOB_ABORTED);
	pst_upstream_resume(job);
	job->body_sent = true;
	drop_supply(up, job);
	/* It has as long to notice as for anything else, unless it has answered and only has some
	 * work left to do. */
	if (!pst_deadline_armed(&job->deadline) && !job->output_ended)
		pst_deadline_arm(&job->deadline, &up->deadlines->timeout);
	up->kind->abort(up, job);
}

void
pst_upstream_pause(struct pst_job *job)
{
	if (job->paused || job->state == PST_JOB_ABORTED)
		return;
	job->paused = true;
	pst_deadline_cancel(&job->deadline);
	stop_reading(job->upstream);
}

void
pst_upstream_resume(struct pst_job *job)
{
	struct pst_upstream *up = job->upstream;

	if (!job->paused)
		return;
	job->paused = false;
	watch(up, job);
	go_on_reading(up);
	grant(up, job);
}
