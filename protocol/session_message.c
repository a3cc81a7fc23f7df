/*
 * Messages and closes of extended requests. A message's payload counts like the bytes of the stream
 * that flows the same way, STDIN or STDOUT.
 */
#include "protocol/session_internal.h"

#include <assert.h>
#include <string.h>

#define FLAGS       (PST_SESSION_MESSAGE_BINARY | PST_SESSION_MESSAGE_END)
#define PAYLOAD_MAX (PST_OUTBOX_CONTENT - PST_RECORD_MESSAGE_HEAD)

static enum pst_message_state
kind_of(unsigned flags)
{
	return (flags & PST_SESSION_MESSAGE_BINARY) != 0 ? PST_MESSAGE_IN_BINARY
							 : PST_MESSAGE_IN_TEXT;
}

/* --- what is received --- */

/* The request that the record is for; NULL when nobody wants what the record says. */
static struct pst_session_request *
wanted(const struct pst_session *session)
{
	struct pst_session_request *request =
	    pst_session_table_find(&session->table, session->input.record.id);

	return request == NULL || request->state == PST_REQUEST_ABORTED ? NULL : request;
}

static int
check(struct pst_session *session, const struct pst_session_request *request)
{
	const char *name = pst_record_type_name(session->input.record.type);

	if (session->side == PST_SESSION_SERVER && request->state == PST_REQUEST_PARAMS)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "%s record for request %u before the end of its parameters", name, request->id);
	if (request->closed_in)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "%s record for request %u after CLOSE", name, request->id);
	return 0;
}

int
pst_recv_message_start(struct pst_session *session)
{
	const struct pst_record *record = &session->input.record;
	struct pst_session_request *request = wanted(session);

	if (record->content < PST_RECORD_MESSAGE_HEAD)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "MESSAGE record for request %u has %u bytes, not 4 or more", record->id,
		    record->content);
	if (request == NULL)
		return 0;
	return pst_session_count_in(session, request,
	    session->side == PST_SESSION_SERVER ? PST_STREAM_STDIN : PST_STREAM_STDOUT,
	    record->content - (size_t)PST_RECORD_MESSAGE_HEAD);
}

static int
take_head(struct pst_session *session)
{
	struct pst_session_request *request = wanted(session);
	unsigned flags = session->input.body[0];
	int err;

	session->input.flags = flags;
	if (request == NULL)
		return 0;
	err = check(session, request);
	if (err < 0)
		return err;
	if ((flags & ~(unsigned)FLAGS) != 0)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "MESSAGE record for request %u has flags %u", request->id, flags);
	if (request->message_in != PST_MESSAGE_NONE && request->message_in != kind_of(flags))
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "MESSAGE record for request %u has flags %u within a message of the other kind",
		    request->id, flags);
	request->message_in = (unsigned char)kind_of(flags);
	return 0;
}

/* N bytes of the payload; LAST: the record has no more. */
static void
pass(struct pst_session *session, const unsigned char *bytes, size_t n, bool last)
{
	struct pst_session_request *request = wanted(session);
	unsigned flags = session->input.flags;

	if (request == NULL)
		return;
	if (!last)
		flags &= ~(unsigned)PST_SESSION_MESSAGE_END;
	if ((flags & PST_SESSION_MESSAGE_END) != 0)
		request->message_in = PST_MESSAGE_NONE;
	if (session->callbacks.message != NULL)
		session->callbacks.message(session->arg, request->id, flags, bytes, n);
}

int
pst_recv_message(struct pst_session *session, const unsigned char *bytes, size_t n)
{
	struct pst_session_input *input = &session->input;
	size_t at = input->record.content - input->left, head = 0;
	int err;

	if (at < PST_RECORD_MESSAGE_HEAD) {
		head = PST_RECORD_MESSAGE_HEAD - at;
		if (head > n)
			head = n;
		memcpy(input->body + at, bytes, head);
		if (at + head < PST_RECORD_MESSAGE_HEAD)
			return 0;
		err = take_head(session);
		if (err < 0)
			return err;
	}
	if (n > head)
		pass(session, bytes + head, n - head, input->left == n);
	return 0;
}

/* A record without payload matters only as the end of a message. */
int
pst_recv_message_done(struct pst_session *session)
{
	if (session->input.record.content == PST_RECORD_MESSAGE_HEAD &&
	    (session->input.flags & PST_SESSION_MESSAGE_END) != 0)
		pass(session, NULL, 0, true);
	return 0;
}

int
pst_recv_close(struct pst_session *session)
{
	struct pst_session_request *request = wanted(session);
	const unsigned char *body = session->input.body;
	int err;

	if (request == NULL)
		return 0;
	err = check(session, request);
	if (err < 0)
		return err;
	request->closed_in = true;
	if (session->callbacks.closed != NULL)
		session->callbacks.closed(session->arg, request->id, pst_record_close_decode(body),
		    (const char *)body + PST_RECORD_CLOSE_HEAD,
		    session->input.record.content - (size_t)PST_RECORD_CLOSE_HEAD);
	return 0;
}

/* --- what is sent --- */

/* The request for which a message or a close may be queued now. */
static int
find_open(const struct pst_session *session, uint16_t id, struct pst_session_request **request)
{
	int err = pst_session_find(session, id, request);

	if (err < 0)
		return err;
	if (!(*request)->extended || (*request)->closed_out)
		return PST_ERR_STATE;
	if (session->side == PST_SESSION_CLIENT && (*request)->state != PST_REQUEST_ACTIVE)
		return PST_ERR_STATE;
	return 0;
}

/* Records with N bytes of payload in all, at least one; the last one alone may end the message. */
static void
add_records(
    struct pst_outbox *outbox, uint16_t id, unsigned flags, const unsigned char *p, size_t n)
{
	unsigned char head[PST_RECORD_MESSAGE_HEAD] = {0};
	size_t piece;

	do {
		piece = n < PAYLOAD_MAX ? n : PAYLOAD_MAX;
		n -= piece;
		head[0] = (unsigned char)(n > 0 ? flags & PST_SESSION_MESSAGE_BINARY : flags);
		pst_outbox_close(outbox);
		pst_outbox_add(outbox, PST_RECORD_MESSAGE, id, head, sizeof head);
		pst_outbox_add(outbox, PST_RECORD_MESSAGE, id, p, piece);
		pst_outbox_close(outbox);
		p = piece > 0 ? p + piece : p;
	} while (n > 0);
}

int
pst_session_submit_message(
    struct pst_session *session, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	struct pst_session_request *request;
	bool ends = (flags & PST_SESSION_MESSAGE_END) != 0;
	size_t records = n / PAYLOAD_MAX + 1;
	int err = find_open(session, id, &request);

	assert((flags & ~(unsigned)FLAGS) == 0);
	if (err < 0)
		return err;
	if (request->message_out != PST_MESSAGE_NONE && request->message_out != kind_of(flags))
		return PST_ERR_STATE;
	if (request->state == PST_REQUEST_ABORTED || (n == 0 && !ends))
		return 0;
	if (n > request->credit_out)
		return PST_ERR_LIMIT;
	if (pst_outbox_reserve(&session->output, records, n + records * PST_RECORD_MESSAGE_HEAD) <
	    0)
		return PST_ERR_NOMEM;
	add_records(&session->output, id, flags, bytes, n);
	request->credit_out -= (uint32_t)n;
	request->message_out = (unsigned char)(ends ? PST_MESSAGE_NONE : kind_of(flags));
	return 0;
}

int
pst_session_submit_close(
    struct pst_session *session, uint16_t id, unsigned code, const char *reason, size_t n)
{
	struct pst_session_request *request;
	unsigned char body[PST_RECORD_CLOSE_HEAD + PST_RECORD_CLOSE_REASON];
	int err = find_open(session, id, &request);

	assert(code <= UINT16_MAX);
	if (err < 0)
		return err;
	if (n > PST_RECORD_CLOSE_REASON)
		return PST_ERR_LIMIT;
	pst_record_close_encode(code, body);
	if (n > 0)
		memcpy(body + PST_RECORD_CLOSE_HEAD, reason, n);
	n += PST_RECORD_CLOSE_HEAD;
	if (pst_outbox_reserve(&session->output, 1, n) < 0)
		return PST_ERR_NOMEM;
	if (request->state != PST_REQUEST_ABORTED)
		pst_outbox_record(&session->output, PST_RECORD_CLOSE, id, body, n);
	request->closed_out = true;
	return 0;
}
