/* What a server says beside an answer: trailers, what the request cost, that it wants to go. */
#include "protocol/session_internal.h"

#include <assert.h>
#include <fastcgi.h>

static struct pst_session_request *
current(const struct pst_session *session)
{
	return pst_session_table_find(&session->table, session->input.record.id);
}

/* --- TRAILERS --- */

static struct pst_session_request *
wanted(const struct pst_session *session)
{
	struct pst_session_request *request = current(session);

	return request == NULL || request->state == PST_REQUEST_ABORTED ? NULL : request;
}

int
pst_recv_trailers_start(struct pst_session *session)
{
	const struct pst_session_request *request = wanted(session);

	return request != NULL ? pst_session_check_stream(session, request, PST_STREAM_STDOUT) : 0;
}

static int
take_trailer(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct pst_session *session = arg;

	if (session->callbacks.trailer != NULL)
		session->callbacks.trailer(
		    session->arg, session->input.record.id, name, name_len, value, value_len);
	return pst_session_is_over(session) || wanted(session) == NULL;
}

int
pst_recv_trailers(struct pst_session *session, const unsigned char *bytes, size_t n)
{
	struct pst_session_request *request = wanted(session);
	uint16_t id = session->input.record.id;

	if (request == NULL)
		return 0;
	switch (pst_params_decode(&request->params, bytes, n, take_trailer, session)) {
	case PST_ERR_NOMEM:
		return pst_session_fail(
		    session, PST_ERR_NOMEM, "out of memory for the trailers of request %u", id);
	case PST_ERR_LIMIT:
		return pst_session_fail(session, PST_ERR_LIMIT,
		    "the trailers of request %u exceed %d bytes", id, PST_SESSION_TRAILERS);
	default: return 0;
	}
}

int
pst_recv_trailers_done(struct pst_session *session)
{
	const struct pst_session_request *request = wanted(session);

	if (request != NULL && !pst_params_complete(&request->params))
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "TRAILERS record for request %u ends within a pair", request->id);
	return 0;
}

int
pst_session_submit_trailer(struct pst_session *session, uint16_t id, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(session->side == PST_SESSION_SERVER);
	if (err == 0)
		err = pst_session_check_data(session, request, PST_STREAM_STDOUT);
	if (err < 0 || !request->extended || request->state == PST_REQUEST_ABORTED)
		return err;
	if (name_len > PST_SESSION_TRAILERS || value_len > PST_SESSION_TRAILERS ||
	    pst_params_pair_size(name_len, value_len) >
		(size_t)PST_SESSION_TRAILERS - request->trailers)
		return PST_ERR_LIMIT;
	err = pst_session_submit_pair(
	    session, PST_RECORD_TRAILERS, id, name, name_len, value, value_len);
	if (err == 0)
		request->trailers += (uint16_t)pst_params_pair_size(name_len, value_len);
	return err;
}

/* --- USAGE --- */

int
pst_recv_usage(struct pst_session *session)
{
	const struct pst_session_request *request = current(session);
	struct pst_record_usage record;
	struct pst_session_usage usage;

	if (request == NULL || session->callbacks.usage == NULL)
		return 0;
	pst_record_usage_decode(session->input.body, &record);
	usage = (struct pst_session_usage){
	    .cpu = record.cpu, .waited = record.waited, .lag = record.lag};
	session->callbacks.usage(session->arg, request->id, &usage);
	return 0;
}

int
pst_session_submit_usage(
    struct pst_session *session, uint16_t id, const struct pst_session_usage *usage)
{
	struct pst_record_usage record = {
	    .cpu = usage->cpu, .waited = usage->waited, .lag = usage->lag};
	unsigned char body[PST_RECORD_USAGE_LEN];
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(session->side == PST_SESSION_SERVER);
	if (err < 0 || !request->extended)
		return err;
	if (pst_outbox_reserve(&session->output, 1, sizeof body) < 0)
		return PST_ERR_NOMEM;
	pst_record_usage_encode(&record, body);
	pst_outbox_record(&session->output, PST_RECORD_USAGE, id, body, sizeof body);
	return 0;
}

/* --- DRAIN --- */

int
pst_recv_drain(struct pst_session *session)
{
	bool known = session->drain;

	session->drain = true;
	if (!known && session->callbacks.drain != NULL)
		session->callbacks.drain(session->arg);
	return 0;
}

int
pst_session_submit_drain(struct pst_session *session)
{
	assert(session->side == PST_SESSION_SERVER);
	if (pst_session_is_over(session))
		return PST_ERR_CLOSED;
	if (!session->extends || session->drain)
		return 0;
	if (pst_outbox_reserve(&session->output, 1, 0) < 0)
		return PST_ERR_NOMEM;
	pst_outbox_empty(&session->output, PST_RECORD_DRAIN, FCGI_NULL_REQUEST_ID);
	session->drain = true;
	return 0;
}
