/*
 * Answers in memory that both ends have: MEMORY offers it and answers that, SHARED says where a
 * piece of STDOUT is.
 */
#include "protocol/session_internal.h"

#include <assert.h>
#include <fastcgi.h>
#include <unistd.h>

bool
pst_session_lends(const struct pst_session *session)
{
	return pst_session_files(session) && session->lends;
}

enum pst_session_memory
pst_session_memory(const struct pst_session *session)
{
	return session->memory;
}

/* --- what is received --- */

/* SIZE bytes of it are used, 0: none. */
static int
answer_memory(struct pst_session *session, uint32_t size)
{
	unsigned char body[8];

	session->memory = size > 0 ? PST_SESSION_MEMORY_TAKEN : PST_SESSION_MEMORY_REFUSED;
	if (pst_outbox_reserve(&session->output, 1, sizeof body) < 0)
		return pst_session_fail(
		    session, PST_ERR_NOMEM, "out of memory for a MEMORY record");
	pst_record_memory_encode(size, body);
	pst_outbox_record(
	    &session->output, PST_RECORD_MEMORY, FCGI_NULL_REQUEST_ID, body, sizeof body);
	return 0;
}

/* What a server offers. */
static int
take_offer(struct pst_session *session, uint32_t size)
{
	int fd;

	if (session->memory != PST_SESSION_MEMORY_NONE)
		return pst_session_fail(session, PST_ERR_PROTOCOL, "a second MEMORY record");
	if (session->fds.count == 0)
		return pst_session_fail(
		    session, PST_ERR_PROTOCOL, "MEMORY record came without its descriptor");
	session->memory = PST_SESSION_MEMORY_OFFERED;
	fd = pst_session_fds_take(&session->fds);
	if (session->callbacks.memory == NULL)
		close(fd);
	else
		session->callbacks.memory(session->arg, fd, size);
	if (pst_session_is_over(session))
		return 0;
	return answer_memory(session, session->shared != NULL ? size : 0);
}

/* What the client says to our offer. */
static int
take_answer(struct pst_session *session, uint32_t size)
{
	if (session->memory != PST_SESSION_MEMORY_OFFERED)
		return pst_session_fail(
		    session, PST_ERR_PROTOCOL, "MEMORY record, and no memory waits for an answer");
	if (size > 0 && size != session->shared_size)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "MEMORY record takes %u bytes of %zu", size, session->shared_size);
	session->memory = size > 0 ? PST_SESSION_MEMORY_TAKEN : PST_SESSION_MEMORY_REFUSED;
	return 0;
}

int
pst_recv_memory(struct pst_session *session)
{
	uint32_t size = pst_record_memory_decode(session->input.body);

	if (!pst_session_lends(session))
		return pst_session_fail(
		    session, PST_ERR_PROTOCOL, "MEMORY record, and memory was not agreed on");
	return session->side == PST_SESSION_CLIENT ? take_offer(session, size)
						   : take_answer(session, size);
}

void
pst_session_use_memory(struct pst_session *session, const void *bytes, size_t size)
{
	assert(session->memory == PST_SESSION_MEMORY_OFFERED && bytes != NULL && size > 0);
	session->shared = bytes;
	session->shared_size = size;
}

uint64_t
pst_session_mark(const struct pst_session *session)
{
	return session->mark;
}

static int
check_place(struct pst_session *session, const struct pst_record_shared *place)
{
	uint16_t id = session->input.record.id;

	if (session->shared == NULL)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "SHARED record for request %u, and there is no memory", id);
	if (place->length == 0 || place->offset > session->shared_size ||
	    place->length > session->shared_size - place->offset)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "SHARED record for request %u: %u bytes from %u are not in %zu of memory", id,
		    place->length, place->offset, session->shared_size);
	session->mark = place->mark;
	return 0;
}

int
pst_recv_shared(struct pst_session *session)
{
	struct pst_session_request *request =
	    pst_session_table_find(&session->table, session->input.record.id);
	struct pst_record_shared place;
	int err;

	pst_record_shared_decode(session->input.body, &place);
	err = check_place(session, &place);
	if (err < 0 || request == NULL || request->state == PST_REQUEST_ABORTED)
		return err;
	err = pst_session_check_stream(session, request, PST_STREAM_STDOUT);
	if (err == 0)
		err = pst_session_count_in(session, request, PST_STREAM_STDOUT, place.length);
	if (err < 0)
		return err;
	request->streams[PST_STREAM_STDOUT] = PST_STREAM_USED;
	if (session->callbacks.shared != NULL)
		session->callbacks.shared(
		    session->arg, request->id, session->shared + place.offset, place.length);
	return 0;
}

/* --- what is sent --- */

int
pst_session_submit_memory(struct pst_session *session, int fd, uint32_t size)
{
	unsigned char body[8];

	assert(session->side == PST_SESSION_SERVER && fd >= 0);
	if (pst_session_is_over(session))
		return PST_ERR_CLOSED;
	if (!pst_session_lends(session) || session->memory != PST_SESSION_MEMORY_NONE)
		return PST_ERR_STATE;
	if (pst_outbox_reserve(&session->output, 1, sizeof body) < 0 ||
	    pst_outbox_reserve_file(&session->output) < 0)
		return PST_ERR_NOMEM;
	pst_record_memory_encode(size, body);
	pst_outbox_file(
	    &session->output, PST_RECORD_MEMORY, FCGI_NULL_REQUEST_ID, body, sizeof body, fd);
	session->memory = PST_SESSION_MEMORY_OFFERED;
	session->shared_size = size;
	return 0;
}

bool
pst_session_may_share(const struct pst_session *session, uint16_t id, size_t n)
{
	struct pst_session_request *request;

	return pst_session_find(session, id, &request) == 0 && request->extended &&
	       request->state == PST_REQUEST_ACTIVE && n <= request->credit_out &&
	       pst_session_check_data(session, request, PST_STREAM_STDOUT) == 0;
}

int
pst_session_submit_shared(
    struct pst_session *session, uint16_t id, uint32_t offset, uint32_t n, uint64_t mark)
{
	const struct pst_record_shared place = {.offset = offset, .length = n, .mark = mark};
	unsigned char body[PST_RECORD_SHARED_LEN];
	struct pst_session_request *request;

	assert(session->side == PST_SESSION_SERVER && pst_session_may_share(session, id, n));
	assert(session->memory == PST_SESSION_MEMORY_TAKEN);
	(void)pst_session_find(session, id, &request);
	if (pst_outbox_reserve(&session->output, 1, sizeof body) < 0)
		return PST_ERR_NOMEM;
	pst_record_shared_encode(&place, body);
	pst_outbox_record(&session->output, PST_RECORD_SHARED, id, body, sizeof body);
	pst_session_use_credit(request, PST_STREAM_STDOUT, n);
	request->streams[PST_STREAM_STDOUT] = PST_STREAM_USED;
	return 0;
}
