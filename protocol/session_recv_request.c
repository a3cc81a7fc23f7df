#include "protocol/session_internal.h"

#include <fastcgi.h>

static struct pst_session_request *
current(const struct pst_session *session)
{
	return pst_session_table_find(&session->table, session->input.record.id);
}

/* --- BEGIN_REQUEST --- */

static int
refuse(struct pst_session *session, bool keep, enum pst_end end)
{
	struct pst_record_end body = {.protocol_status = (uint8_t)end};
	unsigned char bytes[8];
	int err = pst_session_reserve_answer(session, sizeof bytes);

	if (err < 0)
		return err;
	pst_record_end_encode(&body, bytes);
	pst_outbox_record(
	    &session->output, FCGI_END_REQUEST, session->input.record.id, bytes, sizeof bytes);
	if (!keep)
		pst_session_not_kept(session);
	return 0;
}

static enum pst_end
begin_verdict(const struct pst_session *session, uint16_t role)
{
	if (session->table.count >= session->limits.requests)
		return session->limits.requests == 1 ? PST_END_CANT_MPX : PST_END_OVERLOADED;
	if (session->state == PST_SESSION_LAST)
		return PST_END_OVERLOADED;
	if (role < PST_ROLE_RESPONDER || role > PST_ROLE_FILTER)
		return PST_END_UNKNOWN_ROLE;
	return PST_END_COMPLETE;
}

int
pst_recv_begin(struct pst_session *session)
{
	struct pst_record_begin begin;
	uint16_t id = session->input.record.id;
	enum pst_end verdict;
	bool keep, extended;

	if (current(session) != NULL)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "BEGIN_REQUEST record for request %u, which is open", id);
	pst_record_begin_decode(session->input.body, &begin);
	keep = begin.flags & FCGI_KEEP_CONN;
	extended = session->extends && (begin.flags & PST_RECORD_EXTENDED);
	verdict = begin_verdict(session, begin.role);
	if (verdict != PST_END_COMPLETE)
		return refuse(session, keep, verdict);
	if (pst_session_begin(session, id, (enum pst_role)begin.role, keep, extended) == NULL)
		return pst_session_fail(session, PST_ERR_NOMEM, "out of memory for request %u", id);
	if (session->callbacks.begin != NULL)
		session->callbacks.begin(session->arg, id, (enum pst_role)begin.role, keep);
	return 0;
}

/* --- ABORT_REQUEST, END_REQUEST --- */

int
pst_recv_abort_start(struct pst_session *session)
{
	session->input.body[0] = PST_SESSION_ABORT_CLIENT;
	return 0;
}

/* The first byte says why, the rest nothing. */
int
pst_recv_abort_why(struct pst_session *session, const unsigned char *bytes, size_t n)
{
	(void)n;
	if (session->input.left == session->input.record.content)
		session->input.body[0] = bytes[0];
	return 0;
}

int
pst_recv_abort(struct pst_session *session)
{
	struct pst_session_request *request = current(session);
	enum pst_session_abort why = PST_SESSION_ABORT_CLIENT;

	if (request == NULL)
		return 0;
	if (request->extended && session->input.body[0] == PST_SESSION_ABORT_DEADLINE)
		why = PST_SESSION_ABORT_DEADLINE;
	if (!pst_session_is_news(request, why))
		return 0;
	pst_session_abort(session, request, why);
	if (session->callbacks.abort != NULL)
		session->callbacks.abort(session->arg, request->id, why);
	return 0;
}

static void
end_of_stream(struct pst_session *session, uint16_t id, enum pst_stream stream)
{
	struct pst_session_request *request = pst_session_table_find(&session->table, id);
	bool unwanted;

	if (request == NULL || request->streams[stream] == PST_STREAM_ENDED)
		return;
	unwanted = request->state == PST_REQUEST_ABORTED && stream != PST_STREAM_STDERR;
	request->streams[stream] = PST_STREAM_ENDED;
	if (session->callbacks.data != NULL && !unwanted)
		session->callbacks.data(session->arg, id, stream, NULL, 0);
}

/* php-fpm and others leave out the ends of streams: END_REQUEST implies them. */
int
pst_recv_end(struct pst_session *session)
{
	uint16_t id = session->input.record.id;
	struct pst_session_request *request;
	struct pst_record_end end;

	pst_record_end_decode(session->input.body, &end);
	if (end.protocol_status > FCGI_UNKNOWN_ROLE)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "END_REQUEST record for request %u has protocol status %u", id,
		    end.protocol_status);
	if (end.protocol_status == FCGI_REQUEST_COMPLETE) {
		if (end.app_status == 0)
			end_of_stream(session, id, PST_STREAM_STDOUT);
		end_of_stream(session, id, PST_STREAM_STDERR);
	}
	request = current(session);
	if (request != NULL && !pst_session_is_over(session))
		pst_session_end(
		    session, request, (enum pst_end)end.protocol_status, end.app_status);
	return 0;
}

/* --- PARAMS --- */

enum { PARAMS_REFUSED = 1, PARAMS_GONE };

static int
take_params(void *arg, const struct pst_pair *pairs, size_t count)
{
	struct pst_session *session = arg;
	uint16_t id = session->input.record.id;

	if (session->callbacks.params != NULL &&
	    session->callbacks.params(session->arg, id, pairs, count) != 0)
		return PARAMS_REFUSED;
	return pst_session_is_over(session) || current(session) == NULL ? PARAMS_GONE : 0;
}

/* The request was too much for us or for the callback; others go on. */
static int
refuse_params(struct pst_session *session, uint16_t id)
{
	if (current(session) == NULL || pst_session_is_over(session))
		return 0;
	if (pst_session_submit_end(session, id, PST_END_OVERLOADED, 0) < 0)
		return pst_session_fail(
		    session, PST_ERR_NOMEM, "out of memory to refuse request %u", id);
	return 0;
}

int
pst_recv_params(struct pst_session *session, const unsigned char *bytes, size_t n)
{
	struct pst_session_request *request = current(session);
	uint16_t id = session->input.record.id;

	if (request == NULL || request->state == PST_REQUEST_ABORTED)
		return 0;
	if (request->state != PST_REQUEST_PARAMS)
		return pst_session_fail(
		    session, PST_ERR_PROTOCOL, "PARAMS record for request %u after their end", id);
	switch (pst_params_decode_pairs(&request->params, bytes, n, take_params, session)) {
	case PST_ERR_NOMEM:
		return pst_session_fail(
		    session, PST_ERR_NOMEM, "out of memory for the parameters of request %u", id);
	case PST_ERR_LIMIT:
	case PARAMS_REFUSED: return refuse_params(session, id);
	default: return 0;
	}
}

int
pst_recv_params_done(struct pst_session *session)
{
	struct pst_session_request *request = current(session);

	if (session->input.record.content > 0 || request == NULL ||
	    request->state != PST_REQUEST_PARAMS)
		return 0;
	if (!pst_params_complete(&request->params))
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "the parameters of request %u end within a pair", request->id);
	pst_params_decoder_free(&request->params);
	pst_session_change(session, request, PST_REQUEST_ACTIVE);
	if (session->callbacks.ready != NULL)
		session->callbacks.ready(session->arg, request->id);
	return 0;
}

/* --- STDIN, DATA, STDOUT, STDERR --- */

static enum pst_stream
stream_of(uint8_t type)
{
	switch (type) {
	case FCGI_STDIN: return PST_STREAM_STDIN;
	case FCGI_DATA: return PST_STREAM_DATA;
	case FCGI_STDOUT: return PST_STREAM_STDOUT;
	default: return PST_STREAM_STDERR;
	}
}

static int
fail_stream(struct pst_session *session, const struct pst_session_request *request, const char *why)
{
	return pst_session_fail(session, PST_ERR_PROTOCOL, "%s record for request %u%s",
	    pst_record_type_name(session->input.record.type), request->id, why);
}

int
pst_session_check_stream(
    struct pst_session *session, const struct pst_session_request *request, enum pst_stream stream)
{
	if (session->side == PST_SESSION_SERVER && request->state == PST_REQUEST_PARAMS)
		return fail_stream(session, request, " before the end of its parameters");
	if (request->streams[stream] == PST_STREAM_NONE)
		return fail_stream(session, request, ", whose role has no such stream");
	if (request->streams[stream] == PST_STREAM_ENDED)
		return fail_stream(session, request, " after the end of that stream");
	return 0;
}

int
pst_recv_stream_start(struct pst_session *session)
{
	struct pst_session_request *request = current(session);
	const struct pst_record *record = &session->input.record;

	return pst_session_count_in(session, request, stream_of(record->type), record->content);
}

/* On the server nothing is wanted for an aborted request, on the client STDERR still is. */
int
pst_recv_stream(struct pst_session *session, const unsigned char *bytes, size_t n)
{
	struct pst_session_request *request = current(session);
	enum pst_stream stream = stream_of(session->input.record.type);
	int err;

	if (request == NULL)
		return 0;
	if (request->state == PST_REQUEST_ABORTED && stream != PST_STREAM_STDERR)
		return 0;
	err = pst_session_check_stream(session, request, stream);
	if (err < 0)
		return err;
	request->streams[stream] = PST_STREAM_USED;
	if (session->callbacks.data != NULL)
		session->callbacks.data(session->arg, request->id, stream, bytes, n);
	return 0;
}

/* An empty record ends the stream. A second one says nothing new and is let pass. */
int
pst_recv_stream_done(struct pst_session *session)
{
	struct pst_session_request *request = current(session);
	enum pst_stream stream = stream_of(session->input.record.type);
	int err;

	if (session->input.record.content > 0 || request == NULL ||
	    request->streams[stream] == PST_STREAM_ENDED)
		return 0;
	if (request->state != PST_REQUEST_ABORTED) {
		err = pst_session_check_stream(session, request, stream);
		if (err < 0)
			return err;
	}
	end_of_stream(session, request->id, stream);
	return 0;
}
