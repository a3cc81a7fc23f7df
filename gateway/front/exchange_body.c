#include "gateway/front/exchange_internal.h"
#include "gateway/front/upstream.h"
#include "gateway/log.h"

/* A body that is read whole, in memory; what is more goes to a file. */
#define BODY_MEMORY ((size_t)1 << 20)
/* What its file may take; --limit-request-body and the budget are what is meant to limit it. */
#define BODY_FILE ((uint64_t)1 << 40)
/* Where workers stream, a longer one is streamed: what fits there is known to the client to be
 * sent quickly, and a whole one can be given to another worker. */
#define WHOLE_MOST 65536
/* What is held of one that is streamed: as much as a worker may be sent before it asks for more. */
#define STREAM_MEMORY 65536
/* What is read of a body that nobody wants any more, so that the connection can be kept. */
#define UNWANTED_MOST 262144

/* RFC 9110, 9.2.2: to run it twice is meant to have the effect of running it once. */
static bool
is_idempotent(struct pst_http_text method)
{
	static const char *const names[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (method.len == strlen(names[i]) &&
		    memcmp(method.data, names[i], method.len) == 0)
			return true;
	}
	return false;
}

void
pst_exchange_submit(struct pst_exchange *x)
{
	pst_exchange_set_state(x, PST_EXCHANGE_QUEUED);
	x->job.idempotent = is_idempotent(x->request.method);
	if (pst_pool_submit(x->pool, &x->job) == -1)
		pst_exchange_refuse(x, 503, "too many requests are waiting", PST_RETRY_AFTER);
}

/* --- how it goes --- */

static bool
is_streamed(const struct pst_exchange *x)
{
	return pst_pool_streams(x->pool) &&
	       (x->request.body == PST_HTTP_BODY_CHUNKED || x->request.content_length > WHOLE_MOST);
}

/* A body that is known to be large, and to be whole when a worker gets it, is shown to that one
 * rather than sent. */
static bool
is_lent(const struct pst_exchange *x, bool streamed)
{
	return !streamed && pst_pool_sheets(x->pool) != NULL &&
	       x->request.body == PST_HTTP_BODY_LENGTH &&
	       x->request.content_length >= PST_SPOOL_LEAST_LENT;
}

static void
ask_for_body(struct pst_exchange *x)
{
	x->expecting = false;
	(void)pst_http_response_continue(pst_client_out(x->client));
	pst_client_flush(x->client);
}

void
pst_exchange_begin_body(struct pst_exchange *x, bool some_has_come)
{
	bool streamed = is_streamed(x);

	pst_exchange_set_state(x, PST_EXCHANGE_BODY);
	if (pst_http_body_init(
		&x->body, &x->request, pst_pool_settings(x->pool)->limit_request_body) != 0) {
		pst_exchange_refuse_for(x, &x->body.refusal);
		return;
	}
	x->job.body = pst_spool_new(
	    &x->context->budget, PST_SPOOL_KEEP, streamed ? STREAM_MEMORY : BODY_MEMORY, BODY_FILE);
	if (x->job.body == NULL) {
		pst_exchange_refuse(x, 503, "out of memory", PST_RETRY_AFTER);
		return;
	}
	if (is_lent(x, streamed))
		pst_spool_use_sheet(x->job.body, pst_pool_sheets(x->pool));
	x->expecting = x->request.expect_continue && !some_has_come;
	x->job.body_open = streamed;
	if (streamed)
		pst_exchange_submit(x);
	else if (x->expecting)
		ask_for_body(x);
}

void
pst_exchange_expect_body(struct pst_exchange *x)
{
	if (x->expecting)
		ask_for_body(x);
	pst_client_want_body(x->client);
}

/* --- bytes in --- */

bool
pst_exchange_is_receiving(const struct pst_exchange *x)
{
	return x->state > PST_EXCHANGE_HEAD && x->receiving;
}

/* Somebody still has a use for it: the worker, or it is to be read whole first. */
static bool
is_wanted(const struct pst_exchange *x)
{
	return x->state == PST_EXCHANGE_BODY || (x->job.body_open && x->job.state != PST_JOB_IDLE &&
						    x->job.state != PST_JOB_ABORTED);
}

bool
pst_exchange_takes_body(const struct pst_exchange *x)
{
	return pst_exchange_is_receiving(x) && !x->body_failed &&
	       (x->refused == 0 || x->state == PST_EXCHANGE_BODY);
}

uint64_t
pst_exchange_due(const struct pst_exchange *x)
{
	if (!pst_exchange_is_receiving(x))
		return 0;
	return x->body.left + (x->body.kind == PST_HTTP_BODY_CHUNKED);
}

size_t
pst_exchange_wants(const struct pst_exchange *x)
{
	if (!pst_exchange_takes_body(x))
		return 0;
	return x->job.body_open && is_wanted(x) ? pst_spool_memory_room(x->job.body)
						: PST_LOOP_SCRATCH;
}

bool
pst_exchange_is_owed_body(const struct pst_exchange *x)
{
	return !x->expecting && pst_exchange_wants(x) > 0;
}

bool
pst_exchange_forgo_body(struct pst_exchange *x)
{
	bool little = x->body.kind == PST_HTTP_BODY_CHUNKED || x->body.left <= UNWANTED_MOST;

	if (is_wanted(x))
		pst_pool_withdraw(x->pool, &x->job);
	x->job.body_open = false;
	return pst_exchange_takes_body(x) && little && x->unwanted <= UNWANTED_MOST;
}

unsigned
pst_exchange_status_of(int spool_error)
{
	switch (spool_error) {
	case PST_SPOOL_ERR_LIMIT: return 413;
	case PST_SPOOL_ERR_FULL: return 507;
	case PST_SPOOL_ERR_IO: return 500;
	default: return 503;
	}
}

/* It ends with STATUS for REASON, which is the client's fault or a want of ours. A worker that has
 * the request is told to stop. */
static void
stop(struct pst_exchange *x, unsigned status, const char *reason)
{
	x->body_failed = true;
	if (x->state == PST_EXCHANGE_FLUSHING)
		pst_answer_close(&x->answer);
	else if (pst_answer_begun(&x->answer))
		x->broken = true;
	else
		pst_exchange_refuse(x, status, reason, status == 503 ? PST_RETRY_AFTER : 0);
	pst_pool_withdraw(x->pool, &x->job);
	if (x->broken)
		pst_client_break(x->client);
}

/* The same for what the client has sent. */
static void
stop_invalid(struct pst_exchange *x)
{
	const struct pst_http_refusal *refusal = &x->body.refusal;

	if (x->state == PST_EXCHANGE_BODY)
		pst_exchange_log_refused(x, refusal);
	else if (x->state != PST_EXCHANGE_FLUSHING)
		pst_log_info("%.*s: its body, in the middle of which it runs: %s: %s",
		    (int)x->request.line.len, x->request.line.data, refusal->reason,
		    pst_answer_begun(&x->answer) ? "its connection is closed" : "it is aborted");
	stop(x, refusal->status, refusal->reason);
}

void
pst_exchange_late_body(struct pst_exchange *x, const char *what)
{
	bool begun = pst_answer_begun(&x->answer);

	pst_exchange_log_slow(x, what, begun ? "its connection is closed" : "answered 408");
	stop(x, 408, "the request's body did not arrive in time");
}

static void
refuse_body(struct pst_exchange *x, int spool_error)
{
	unsigned status = pst_exchange_status_of(spool_error);

	if (pst_pool_refuses(x->pool, PST_REFUSAL_BODY))
		pst_log_error("%.*s: its body cannot be stored (spool directory %s): %s: answered "
			      "%u",
		    (int)x->request.line.len, x->request.line.data, x->context->budget.directory,
		    pst_spool_error_string(spool_error), status);
	stop(x, status, NULL);
}

static int
store(struct pst_exchange *x, struct pst_http_text piece)
{
	int err;

	if (!is_wanted(x)) {
		x->unwanted += piece.len;
		return 0;
	}
	err = pst_spool_append(x->job.body, piece.data, piece.len);
	if (err == 0)
		pst_upstream_supply(&x->job);
	return err;
}

static void
complete(struct pst_exchange *x)
{
	x->receiving = false;
	if (x->state == PST_EXCHANGE_BODY) {
		pst_exchange_submit(x);
		return;
	}
	if (x->job.body_open && is_wanted(x)) {
		x->job.body_open = false;
		pst_upstream_supply(&x->job);
	}
	pst_client_flush(x->client);
}

size_t
pst_exchange_input_body(struct pst_exchange *x, const void *bytes, size_t n)
{
	struct pst_http_text piece = {NULL, 0};
	size_t used = 0;
	int result = pst_http_body_decode(&x->body, bytes, n, &used, &piece);
	int err = 0;

	x->expecting = false;
	if (result >= 0 && piece.len > 0)
		err = store(x, piece);
	if (err != 0)
		refuse_body(x, err);
	else if (result == 1)
		complete(x);
	else if (result < 0)
		stop_invalid(x);
	return used;
}
