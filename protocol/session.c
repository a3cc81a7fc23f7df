#include "protocol/session_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWERS_MAX 65536

const struct pst_session_limits PST_SESSION_DEFAULT_LIMITS = {
    .requests = 1,
    .params = 262144,
    .management = 4096,
};

/* --- life --- */

static struct pst_session *
session_new(enum pst_session_side side, const struct pst_session_callbacks *callbacks,
    const struct pst_session_limits *limits, void *arg)
{
	struct pst_session *session = calloc(1, sizeof *session);

	if (session == NULL)
		return NULL;
	session->side = side;
	session->callbacks = *callbacks;
	session->limits = limits != NULL ? *limits : PST_SESSION_DEFAULT_LIMITS;
	if (session->limits.requests > UINT16_MAX)
		session->limits.requests = UINT16_MAX;
	session->arg = arg;
	pst_session_table_init(&session->table);
	pst_params_decoder_init(&session->values, session->limits.management);
	return session;
}

struct pst_session *
pst_session_new_client(const struct pst_session_callbacks *callbacks,
    const struct pst_session_limits *limits, void *arg)
{
	return session_new(PST_SESSION_CLIENT, callbacks, limits, arg);
}

struct pst_session *
pst_session_new_server(const struct pst_session_callbacks *callbacks,
    const struct pst_session_limits *limits, void *arg)
{
	return session_new(PST_SESSION_SERVER, callbacks, limits, arg);
}

static void
free_list(struct pst_session_request **list)
{
	struct pst_session_request *request;

	while ((request = *list) != NULL) {
		*list = request->next;
		pst_params_decoder_free(&request->params);
		free(request);
	}
}

static void
end_all(struct pst_session *session)
{
	struct pst_session_request *request;

	assert(pst_session_is_over(session));
	while ((request = pst_session_table_any(&session->table)) != NULL)
		pst_session_end(session, request, PST_END_CONNECTION, 0);
}

/* Depth keeps calls that `end` makes from getting here again. */
static void
destroy(struct pst_session *session)
{
	session->depth++;
	end_all(session);
	free_list(&session->ended);
	free_list(&session->spare);
	pst_session_table_free(&session->table);
	pst_params_decoder_free(&session->values);
	pst_buf_free(&session->answer);
	pst_outbox_free(&session->output);
	pst_session_fds_free(&session->fds);
	free(session);
}

void
pst_session_free(struct pst_session *session)
{
	if (session == NULL || session->state == PST_SESSION_FREED)
		return;
	session->state = PST_SESSION_FREED;
	if (session->depth == 0)
		destroy(session);
}

void
pst_session_trim(struct pst_session *session)
{
	pst_outbox_trim(&session->output);
	if (pst_buf_length(&session->answer) == 0) /* else GET_VALUES is being answered */
		pst_buf_free(&session->answer);
	free_list(&session->spare);
	if (session->table.count == 0)
		pst_session_table_free(&session->table);
}

void
pst_session_enter(struct pst_session *session)
{
	session->depth++;
}

static void
recycle(struct pst_session *session)
{
	struct pst_session_request *request;

	while ((request = session->ended) != NULL) {
		session->ended = request->next;
		pst_params_decoder_free(&request->params);
		request->next = session->spare;
		session->spare = request;
	}
}

void
pst_session_leave(struct pst_session *session)
{
	assert(session->depth > 0);
	session->depth--;
	if (session->depth > 0)
		return;
	if (session->state == PST_SESSION_FREED)
		destroy(session);
	else
		recycle(session);
}

static void
session_over(struct pst_session *session)
{
	if (!pst_session_is_over(session))
		session->state = PST_SESSION_OVER;
	pst_session_fds_free(&session->fds);
	pst_session_enter(session);
	end_all(session);
	pst_session_leave(session);
}

/* What is queued for a peer that broke the protocol is not worth the wait for it to read. */
int
pst_session_fail(struct pst_session *session, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(session->reason, sizeof session->reason, format, args);
	va_end(args);
	pst_outbox_free(&session->output);
	session_over(session);
	return err;
}

void
pst_session_close(struct pst_session *session)
{
	assert(session->depth == 0);
	if (pst_session_is_over(session))
		return;
	snprintf(session->reason, sizeof session->reason, "the connection was closed");
	session_over(session);
}

/* --- requests --- */

static struct pst_session_request *
request_new(struct pst_session *session)
{
	struct pst_session_request *request = session->spare;

	if (request == NULL)
		return calloc(1, sizeof *request);
	session->spare = request->next;
	memset(request, 0, sizeof *request);
	return request;
}

struct pst_session_request *
pst_session_begin(
    struct pst_session *session, uint16_t id, enum pst_role role, bool keep, bool extended)
{
	struct pst_session_request *request = request_new(session);

	if (request == NULL)
		return NULL;
	request->id = id;
	request->keep = keep;
	request->extended = extended;
	request->credit_in = PST_SESSION_CREDIT;
	request->credit_out = PST_SESSION_CREDIT;
	request->state = PST_REQUEST_PARAMS;
	pst_params_decoder_init(&request->params,
	    session->side == PST_SESSION_SERVER ? session->limits.params : PST_SESSION_TRAILERS);
	for (unsigned i = 0; i < PST_STREAMS; i++)
		request->streams[i] = PST_STREAM_UNUSED;
	if (role != PST_ROLE_FILTER)
		request->streams[PST_STREAM_DATA] = PST_STREAM_NONE;
	pst_session_table_add(&session->table, request);
	return request;
}

void
pst_session_change(
    struct pst_session *session, struct pst_session_request *request, enum pst_request_state to)
{
	static const bool allowed[PST_REQUEST_STATES][PST_REQUEST_STATES] = {
	    [PST_REQUEST_PARAMS] = {[PST_REQUEST_ACTIVE] = true,
		[PST_REQUEST_ABORTED] = true,
		[PST_REQUEST_ENDED] = true},
	    [PST_REQUEST_ACTIVE] = {[PST_REQUEST_ABORTED] = true, [PST_REQUEST_ENDED] = true},
	    [PST_REQUEST_ABORTED] = {[PST_REQUEST_ENDED] = true},
	};

	assert(allowed[request->state][to]);
	request->state = to;
	if (to != PST_REQUEST_ENDED)
		return;
	pst_session_table_remove(&session->table, request);
	request->next = session->ended;
	session->ended = request;
	if (!request->keep)
		pst_session_not_kept(session);
}

bool
pst_session_is_news(const struct pst_session_request *request, enum pst_session_abort why)
{
	if (request->state != PST_REQUEST_ABORTED)
		return true;
	return request->extended && why == PST_SESSION_ABORT_DEADLINE && !request->told_late;
}

void
pst_session_abort(
    struct pst_session *session, struct pst_session_request *request, enum pst_session_abort why)
{
	request->told_late = why == PST_SESSION_ABORT_DEADLINE;
	if (request->state != PST_REQUEST_ABORTED)
		pst_session_change(session, request, PST_REQUEST_ABORTED);
}

/* The id is free before `end` is called, so that it may submit the next request. */
void
pst_session_end(struct pst_session *session, struct pst_session_request *request, enum pst_end end,
    uint32_t app_status)
{
	struct pst_session_request *outer = session->ending;

	pst_session_enter(session);
	pst_session_change(session, request, PST_REQUEST_ENDED);
	session->ending = request;
	if (session->callbacks.end != NULL)
		session->callbacks.end(
		    session->arg, request->id, end, end == PST_END_COMPLETE ? app_status : 0);
	session->ending = outer;
	pst_session_leave(session);
}

void
pst_session_not_kept(struct pst_session *session)
{
	if (session->state == PST_SESSION_OPEN)
		session->state = PST_SESSION_LAST;
}

/* --- bytes out --- */

int
pst_session_reserve_answer(struct pst_session *session, size_t n)
{
	session->answers += PST_RECORD_HEADER_LEN + n;
	if (session->answers > ANSWERS_MAX)
		return pst_session_fail(session, PST_ERR_LIMIT,
		    "the peer caused %zu bytes of answers without reading them", session->answers);
	if (pst_outbox_reserve(&session->output, 1, n) < 0)
		return pst_session_fail(session, PST_ERR_NOMEM, "out of memory for an answer");
	return 0;
}

size_t
pst_session_send(struct pst_session *session, const void **bytes)
{
	return pst_outbox_show(&session->output, bytes);
}

void
pst_session_sent(struct pst_session *session, size_t n)
{
	session->answers -= session->answers < n ? session->answers : n;
	pst_outbox_drop(&session->output, n);
}

int
pst_session_send_fd(const struct pst_session *session)
{
	return pst_outbox_fd(&session->output);
}

size_t
pst_session_external(const struct pst_session *session)
{
	return session->output.external;
}

void
pst_session_external_sent(struct pst_session *session, size_t n)
{
	pst_outbox_external_written(&session->output, n);
}

size_t
pst_session_pending(const struct pst_session *session)
{
	return pst_buf_length(&session->output.buf) + session->output.external;
}

/* --- what to do next --- */

bool
pst_session_want_read(const struct pst_session *session)
{
	return session->state == PST_SESSION_OPEN ||
	       (session->state == PST_SESSION_LAST && session->table.count > 0);
}

bool
pst_session_want_write(const struct pst_session *session)
{
	return pst_session_pending(session) > 0;
}

const char *
pst_session_reason(const struct pst_session *session)
{
	return session->reason;
}

/* An open request, or the one whose `end` is being called. */
static struct pst_session_request *
named(const struct pst_session *session, uint16_t id)
{
	struct pst_session_request *request = pst_session_table_find(&session->table, id);

	if (request == NULL && session->ending != NULL && session->ending->id == id)
		request = session->ending;
	return request;
}

void
pst_session_set_user(struct pst_session *session, uint16_t id, void *user)
{
	struct pst_session_request *request = named(session, id);

	if (request != NULL)
		request->user = user;
}

void *
pst_session_user(const struct pst_session *session, uint16_t id)
{
	struct pst_session_request *request = named(session, id);

	return request != NULL ? request->user : NULL;
}
