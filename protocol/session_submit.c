#include "protocol/session_internal.h"

#include <assert.h>
#include <fastcgi.h>

int
pst_session_find(
    const struct pst_session *session, uint16_t id, struct pst_session_request **request)
{
	*request = NULL;
	if (pst_session_is_over(session))
		return PST_ERR_CLOSED;
	*request = pst_session_table_find(&session->table, id);
	return *request != NULL ? 0 : PST_ERR_STATE;
}

/* --- the client side --- */

int
pst_session_submit_begin(struct pst_session *session, enum pst_role role, bool keep, uint16_t *id)
{
	struct pst_record_begin begin = {
	    .role = (uint16_t)role, .flags = keep ? FCGI_KEEP_CONN : 0};
	unsigned char body[8];
	uint16_t free_id;

	assert(session->side == PST_SESSION_CLIENT);
	if (session->state != PST_SESSION_OPEN)
		return PST_ERR_CLOSED;
	if (session->table.count >= session->limits.requests)
		return PST_ERR_STATE;
	if (pst_outbox_reserve(&session->output, 1, sizeof body) < 0)
		return PST_ERR_NOMEM;
	free_id = pst_session_table_free_id(&session->table);
	if (pst_session_begin(session, free_id, role, keep, session->extends) == NULL)
		return PST_ERR_NOMEM;
	if (session->extends)
		begin.flags |= PST_RECORD_EXTENDED;
	pst_record_begin_encode(&begin, body);
	pst_outbox_record(&session->output, FCGI_BEGIN_REQUEST, free_id, body, sizeof body);
	*id = free_id;
	return 0;
}

/*
 * Add a pair to the open record of TYPE and ID, or to a new one if it does not fit there whole:
 * php-fpm takes pairs apart record by record. Only a pair that fits no record is cut.
 */
static void
add_pair(struct pst_outbox *outbox, uint8_t type, uint16_t id, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	unsigned char lengths[8];
	size_t n = (size_t)(pst_params_put_lengths(lengths, name_len, value_len) - lengths);

	if (!pst_outbox_continues(outbox, type, id, n + name_len + value_len))
		pst_outbox_close(outbox);
	pst_outbox_add(outbox, type, id, lengths, n);
	pst_outbox_add(outbox, type, id, name, name_len);
	pst_outbox_add(outbox, type, id, value, value_len);
}

int
pst_session_submit_pair(struct pst_session *session, uint8_t type, uint16_t id, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	if (name_len > INT32_MAX || value_len > INT32_MAX)
		return PST_ERR_LIMIT;
	if (pst_outbox_reserve(&session->output, 1, pst_params_pair_size(name_len, value_len)) < 0)
		return PST_ERR_NOMEM;
	add_pair(&session->output, type, id, name, name_len, value, value_len);
	return 0;
}

int
pst_session_submit_param(struct pst_session *session, uint16_t id, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(session->side == PST_SESSION_CLIENT);
	if (err == 0 && request->state != PST_REQUEST_PARAMS)
		err = PST_ERR_STATE;
	if (err == 0)
		err = pst_session_submit_pair(
		    session, FCGI_PARAMS, id, name, name_len, value, value_len);
	return err;
}

/* For whom pairs are decoded. */
struct pair_target {
	struct pst_outbox *outbox;
	uint16_t id;
};

/* A pst_params_fn; the room is reserved. */
static int
add_decoded(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	const struct pair_target *to = arg;

	add_pair(to->outbox, FCGI_PARAMS, to->id, name, name_len, value, value_len);
	return 0;
}

/* More than a record holds: they are taken apart, so that only a pair that fits none is cut. */
static int
submit_long_params(struct pst_session *session, uint16_t id, const void *pairs, size_t n)
{
	struct pair_target to = {&session->output, id};
	struct pst_params_decoder decoder;
	int err;

	/* Of two records in a row at least one is more than half full. */
	if (pst_outbox_reserve(&session->output, 2 * (n / PST_OUTBOX_CONTENT + 1), n) < 0)
		return PST_ERR_NOMEM;
	pst_params_decoder_init(&decoder, n);
	err = pst_params_decode(&decoder, pairs, n, add_decoded, &to);
	assert(err == 0 && pst_params_complete(&decoder));
	pst_params_decoder_free(&decoder);
	return err;
}

int
pst_session_submit_params(struct pst_session *session, uint16_t id, const void *pairs, size_t n)
{
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(session->side == PST_SESSION_CLIENT);
	if (err == 0 && request->state != PST_REQUEST_PARAMS)
		err = PST_ERR_STATE;
	if (err == 0 && n <= PST_OUTBOX_CONTENT)
		err = pst_outbox_reserve(&session->output, 1, n);
	if (err < 0)
		return err;
	if (n > PST_OUTBOX_CONTENT)
		return submit_long_params(session, id, pairs, n);
	if (!pst_outbox_continues(&session->output, FCGI_PARAMS, id, n))
		pst_outbox_close(&session->output);
	pst_outbox_add(&session->output, FCGI_PARAMS, id, pairs, n);
	return 0;
}

int
pst_session_submit_params_end(struct pst_session *session, uint16_t id)
{
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(session->side == PST_SESSION_CLIENT);
	if (err == 0 && request->state != PST_REQUEST_PARAMS)
		err = PST_ERR_STATE;
	if (err == 0)
		err = pst_outbox_reserve(&session->output, 1, 0);
	if (err < 0)
		return err;
	pst_outbox_empty(&session->output, FCGI_PARAMS, id);
	pst_session_change(session, request, PST_REQUEST_ACTIVE);
	return 0;
}

int
pst_session_submit_abort(struct pst_session *session, uint16_t id, enum pst_session_abort why)
{
	const unsigned char body[8] = {(unsigned char)why};
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(session->side == PST_SESSION_CLIENT);
	if (err < 0 || !pst_session_is_news(request, why))
		return err;
	err = pst_outbox_reserve(&session->output, 1, sizeof body);
	if (err < 0)
		return err;
	pst_outbox_record(
	    &session->output, FCGI_ABORT_REQUEST, id, body, request->extended ? sizeof body : 0);
	pst_session_abort(session, request, why);
	return 0;
}

int
pst_session_submit_get_value(struct pst_session *session, const char *name, size_t name_len)
{
	bool continues;
	int err;

	assert(session->side == PST_SESSION_CLIENT);
	if (session->state != PST_SESSION_OPEN)
		return PST_ERR_CLOSED;
	if (pst_params_pair_size(name_len, 0) > PST_OUTBOX_CONTENT)
		return PST_ERR_LIMIT;
	continues = pst_outbox_continues(&session->output, FCGI_GET_VALUES, FCGI_NULL_REQUEST_ID,
	    pst_params_pair_size(name_len, 0));
	err = pst_session_submit_pair(
	    session, FCGI_GET_VALUES, FCGI_NULL_REQUEST_ID, name, name_len, NULL, 0);
	if (err == 0 && !continues)
		session->asked++;
	if (err == 0)
		pst_session_note_asked(session, name, name_len);
	return err;
}

/* --- the server side --- */

int
pst_session_submit_value(struct pst_session *session, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	size_t used = pst_buf_length(&session->answer);
	int err;

	assert(session->side == PST_SESSION_SERVER && session->in_get_value);
	if (pst_session_is_over(session))
		return PST_ERR_CLOSED;
	if (name_len > PST_OUTBOX_CONTENT || value_len > PST_OUTBOX_CONTENT ||
	    pst_params_pair_size(name_len, value_len) > PST_OUTBOX_CONTENT - used)
		return PST_ERR_LIMIT;
	err = pst_params_append(&session->answer, name, name_len, value, value_len);
	if (err == 0)
		pst_session_take_value(session, name, name_len, value, value_len);
	return err;
}

/*
 * STDOUT has at least its end when the request is complete (section 5.3), STDERR and refused
 * requests only when bytes were sent. Nobody waits for the streams of an aborted one. An
 * application that failed has not ended STDOUT: its end would tell the client that all is there.
 */
static bool
needs_end(const struct pst_session_request *request, enum pst_stream stream, enum pst_end end,
    uint32_t app_status)
{
	if (stream == PST_STREAM_STDOUT && app_status != 0)
		return false;
	if (request->streams[stream] == PST_STREAM_UNUSED)
		return stream == PST_STREAM_STDOUT && end == PST_END_COMPLETE &&
		       request->state != PST_REQUEST_ABORTED;
	return request->streams[stream] == PST_STREAM_USED;
}

int
pst_session_submit_end(
    struct pst_session *session, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pst_record_end body = {.app_status = end == PST_END_COMPLETE ? app_status : 0,
	    .protocol_status = (uint8_t)end};
	struct pst_session_request *request;
	unsigned char bytes[8];
	int err = pst_session_find(session, id, &request);

	assert(session->side == PST_SESSION_SERVER && end >= 0);
	if (err == 0)
		err = pst_outbox_reserve(&session->output, 3, sizeof bytes);
	if (err < 0)
		return err;
	if (needs_end(request, PST_STREAM_STDOUT, end, app_status))
		pst_outbox_empty(&session->output, FCGI_STDOUT, id);
	if (needs_end(request, PST_STREAM_STDERR, end, app_status))
		pst_outbox_empty(&session->output, FCGI_STDERR, id);
	pst_record_end_encode(&body, bytes);
	pst_outbox_record(&session->output, FCGI_END_REQUEST, id, bytes, sizeof bytes);
	pst_session_end(session, request, end, app_status);
	return 0;
}

/* --- both --- */

uint8_t
pst_session_type_of(enum pst_stream stream)
{
	switch (stream) {
	case PST_STREAM_STDIN: return FCGI_STDIN;
	case PST_STREAM_DATA: return FCGI_DATA;
	case PST_STREAM_STDOUT: return FCGI_STDOUT;
	default: return FCGI_STDERR;
	}
}

bool
pst_session_flows_out(const struct pst_session *session, enum pst_stream stream)
{
	bool from_client = stream == PST_STREAM_STDIN || stream == PST_STREAM_DATA;

	return from_client == (session->side == PST_SESSION_CLIENT);
}

int
pst_session_check_data(const struct pst_session *session, const struct pst_session_request *request,
    enum pst_stream stream)
{
	if (request->streams[stream] == PST_STREAM_NONE ||
	    request->streams[stream] == PST_STREAM_ENDED)
		return PST_ERR_STATE;
	if (session->side == PST_SESSION_CLIENT && request->state != PST_REQUEST_ACTIVE)
		return PST_ERR_STATE;
	return 0;
}

/* STDOUT of a request that was aborted: nobody wants it. */
static bool
is_dropped(const struct pst_session_request *request, enum pst_stream stream)
{
	return request->state == PST_REQUEST_ABORTED && stream == PST_STREAM_STDOUT;
}

int
pst_session_submit_data(
    struct pst_session *session, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(pst_session_flows_out(session, stream));
	if (err == 0)
		err = pst_session_check_data(session, request, stream);
	if (err < 0)
		return err;
	if (is_dropped(request, stream))
		return 0;
	if (!pst_session_may_submit(request, stream, n))
		return PST_ERR_LIMIT;
	if (pst_outbox_reserve(&session->output, 1, n) < 0)
		return PST_ERR_NOMEM;
	if (n == 0) {
		pst_outbox_empty(&session->output, pst_session_type_of(stream), id);
		request->streams[stream] = PST_STREAM_ENDED;
		return 0;
	}
	pst_outbox_add(&session->output, pst_session_type_of(stream), id, bytes, n);
	pst_session_use_credit(request, stream, n);
	request->streams[stream] = PST_STREAM_USED;
	return 0;
}

int
pst_session_submit_external(
    struct pst_session *session, uint16_t id, enum pst_stream stream, size_t n)
{
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(pst_session_flows_out(session, stream) && n > 0 && n <= PST_SESSION_EXTERNAL_MAX);
	if (err == 0)
		err = pst_session_check_data(session, request, stream);
	if (err < 0)
		return err;
	if (session->output.external > 0)
		return PST_ERR_STATE;
	if (is_dropped(request, stream))
		return 0;
	if (!pst_session_may_submit(request, stream, n))
		return PST_ERR_LIMIT;
	if (pst_outbox_reserve(&session->output, 1, 0) < 0)
		return PST_ERR_NOMEM;
	pst_outbox_external(&session->output, pst_session_type_of(stream), id, n);
	pst_session_use_credit(request, stream, n);
	request->streams[stream] = PST_STREAM_USED;
	return 0;
}
