/*
 * Flow control: what each end of an extended request may send before the other says that it takes
 * more. A record is counted when its header is there, so that it makes no difference in which
 * pieces it comes.
 */
#include "protocol/session_internal.h"

#include <assert.h>
#include <string.h>

/* --- agreeing on extensions --- */

static bool
is_name(const char *name, size_t n, const char *other)
{
	return n == strlen(other) && memcmp(name, other, n) == 0;
}

void
pst_session_note_asked(struct pst_session *session, const char *name, size_t name_len)
{
	if (is_name(name, name_len, PST_SESSION_VERSION_NAME))
		session->asked_version = true;
	if (is_name(name, name_len, PST_SESSION_FILES_NAME))
		session->asked_files = true;
	if (is_name(name, name_len, PST_SESSION_MEMORY_NAME))
		session->asked_memory = true;
}

/* A decimal number from 1: later versions know all that this one does. */
static bool
is_version(const char *value, size_t n)
{
	if (n == 0 || value[0] == '0')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (value[i] < '0' || value[i] > '9')
			return false;
	}
	return true;
}

/* A server answers only what it was asked; what a client is told unasked is not believed. */
void
pst_session_take_value(struct pst_session *session, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	bool is_server = session->side == PST_SESSION_SERVER;

	if ((is_server || session->asked_version) &&
	    is_name(name, name_len, PST_SESSION_VERSION_NAME) && is_version(value, value_len))
		session->extends = true;
	if ((is_server || session->asked_files) &&
	    is_name(name, name_len, PST_SESSION_FILES_NAME) &&
	    is_name(value, value_len, PST_SESSION_FILES_VALUE))
		session->files = true;
	if ((is_server || session->asked_memory) &&
	    is_name(name, name_len, PST_SESSION_MEMORY_NAME) &&
	    is_name(value, value_len, PST_SESSION_MEMORY_VALUE))
		session->lends = true;
}

bool
pst_session_extends(const struct pst_session *session)
{
	return session->extends;
}

/* --- what is sent --- */

/* STDERR is what somebody is to be told in any case, and is never held. */
static bool
is_counted(const struct pst_session_request *request, enum pst_stream stream)
{
	return request->extended && stream != PST_STREAM_STDERR;
}

bool
pst_session_may_submit(const struct pst_session_request *request, enum pst_stream stream, size_t n)
{
	return !is_counted(request, stream) || n <= request->credit_out;
}

void
pst_session_use_credit(struct pst_session_request *request, enum pst_stream stream, size_t n)
{
	if (!is_counted(request, stream))
		return;
	assert(n <= request->credit_out);
	request->credit_out -= (uint32_t)n;
}

size_t
pst_session_credit(const struct pst_session *session, uint16_t id)
{
	const struct pst_session_request *request = pst_session_table_find(&session->table, id);

	if (request == NULL)
		return 0;
	if (!request->extended || request->state == PST_REQUEST_ABORTED)
		return SIZE_MAX;
	return request->credit_out;
}

int
pst_recv_credit(struct pst_session *session)
{
	uint32_t granted = pst_record_credit_decode(session->input.body);
	uint16_t id = session->input.record.id;
	struct pst_session_request *request = pst_session_table_find(&session->table, id);

	/* Within the record's bytes the owner may have ended the request. */
	if (request == NULL)
		return 0;
	if (granted == 0 || granted > PST_SESSION_CREDIT_MAX - request->credit_out)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "CREDIT record for request %u grants %u bytes beside %u", id, granted,
		    request->credit_out);
	request->credit_out += granted;
	if (session->callbacks.credit != NULL && request->state != PST_REQUEST_ABORTED)
		session->callbacks.credit(session->arg, id);
	return 0;
}

/* --- what is received --- */

/* Nobody holds what comes for an aborted request, and nothing is granted for it. */
int
pst_session_count_in(struct pst_session *session, struct pst_session_request *request,
    enum pst_stream stream, size_t n)
{
	if (!is_counted(request, stream) || request->state == PST_REQUEST_ABORTED)
		return 0;
	if (n > request->credit_in)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "%s record for request %u has %zu bytes, and its credit is %u",
		    pst_record_type_name(session->input.record.type), request->id, n,
		    request->credit_in);
	request->credit_in -= (uint32_t)n;
	return 0;
}

int
pst_session_submit_credit(struct pst_session *session, uint16_t id, uint32_t n)
{
	struct pst_session_request *request;
	unsigned char body[8];

	assert(n > 0);
	if (pst_session_is_over(session))
		return PST_ERR_CLOSED;
	request = pst_session_table_find(&session->table, id);
	if (request == NULL)
		return PST_ERR_STATE;
	if (!request->extended || request->state == PST_REQUEST_ABORTED)
		return 0;
	if (n > PST_SESSION_CREDIT_MAX - request->credit_in)
		return PST_ERR_LIMIT;
	if (pst_outbox_reserve(&session->output, 1, sizeof body) < 0)
		return PST_ERR_NOMEM;
	pst_record_credit_encode(n, body);
	pst_outbox_record(&session->output, PST_RECORD_CREDIT, id, body, sizeof body);
	request->credit_in += n;
	return 0;
}
