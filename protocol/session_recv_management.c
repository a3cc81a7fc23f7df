#include "protocol/session_internal.h"

#include <fastcgi.h>

/* --- GET_VALUES and its result --- */

static int
values_start(struct pst_session *session)
{
	const struct pst_record *record = &session->input.record;

	if (record->content > session->limits.management)
		return pst_session_fail(session, PST_ERR_LIMIT, "%s record of %u bytes, over %zu",
		    pst_record_type_name(record->type), record->content,
		    session->limits.management);
	pst_params_decoder_free(&session->values);
	pst_params_decoder_init(&session->values, session->limits.management);
	return 0;
}

int
pst_recv_get_values_start(struct pst_session *session)
{
	pst_buf_consume(&session->answer, pst_buf_length(&session->answer));
	return values_start(session);
}

int
pst_recv_result_start(struct pst_session *session)
{
	if (session->asked == 0)
		return pst_session_fail(
		    session, PST_ERR_PROTOCOL, "GET_VALUES_RESULT record that was not asked for");
	return values_start(session);
}

static int
take_asked(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct pst_session *session = arg;

	(void)value;
	(void)value_len;
	if (session->callbacks.get_value != NULL) {
		session->in_get_value = true;
		session->callbacks.get_value(session->arg, name, name_len);
		session->in_get_value = false;
	}
	return pst_session_is_over(session);
}

static int
take_result(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct pst_session *session = arg;

	pst_session_take_value(session, name, name_len, value, value_len);
	/* A name of no bytes would look like the end. */
	if (session->callbacks.value != NULL && name_len > 0)
		session->callbacks.value(session->arg, name, name_len, value, value_len);
	return pst_session_is_over(session);
}

/* The body is within the limit, so what fails is memory. */
int
pst_recv_values(struct pst_session *session, const unsigned char *bytes, size_t n)
{
	pst_params_fn *fn = session->side == PST_SESSION_SERVER ? take_asked : take_result;
	const char *name = pst_record_type_name(session->input.record.type);

	switch (pst_params_decode(&session->values, bytes, n, fn, session)) {
	case PST_ERR_NOMEM:
		return pst_session_fail(
		    session, PST_ERR_NOMEM, "out of memory for a %s record", name);
	case PST_ERR_LIMIT:
		return pst_session_fail(
		    session, PST_ERR_PROTOCOL, "%s record ends within a pair", name);
	default: return 0;
	}
}

static int
values_done(struct pst_session *session)
{
	bool complete = pst_params_complete(&session->values);

	pst_params_decoder_free(&session->values);
	if (!complete)
		return pst_session_fail(session, PST_ERR_PROTOCOL, "%s record ends within a pair",
		    pst_record_type_name(session->input.record.type));
	return 0;
}

int
pst_recv_get_values_done(struct pst_session *session)
{
	size_t n = pst_buf_length(&session->answer);
	int err = values_done(session);

	if (err == 0)
		err = pst_session_reserve_answer(session, n);
	if (err < 0)
		return err;
	if (n == 0)
		pst_outbox_empty(&session->output, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID);
	else
		pst_outbox_record(&session->output, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID,
		    pst_buf_bytes(&session->answer), n);
	pst_buf_free(&session->answer);
	return 0;
}

static void
answered(struct pst_session *session)
{
	session->asked--;
	if (session->callbacks.value != NULL)
		session->callbacks.value(session->arg, NULL, 0, NULL, 0);
}

int
pst_recv_result_done(struct pst_session *session)
{
	int err = values_done(session);

	if (err == 0)
		answered(session);
	return err;
}

/* --- UNKNOWN_TYPE --- */

/* Of what we send, only GET_VALUES can be unknown: then nothing was answered. */
int
pst_recv_unknown_type(struct pst_session *session)
{
	if (session->input.body[0] == FCGI_GET_VALUES && session->asked > 0)
		answered(session);
	return 0;
}

int
pst_recv_unknown_management(struct pst_session *session)
{
	unsigned char body[8] = {session->input.record.type};
	int err = pst_session_reserve_answer(session, sizeof body);

	if (err < 0)
		return err;
	pst_outbox_record(
	    &session->output, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, body, sizeof body);
	return 0;
}
