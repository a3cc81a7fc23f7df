/*
 * Files: records that stand for a part of a file, whose descriptor travels beside the bytes. It
 * comes no later than the record's first byte, so that descriptors and records pair up in order.
 */
#include "protocol/session_internal.h"

#include <assert.h>
#include <fastcgi.h>
#include <string.h>
#include <unistd.h>

bool
pst_session_files(const struct pst_session *session)
{
	return session->extends && session->files;
}

/* --- what is received --- */

void
pst_session_fds_free(struct pst_session_fds *fds)
{
	while (fds->count > 0)
		close(fds->fd[--fds->count]);
}

int
pst_session_fds_take(struct pst_session_fds *fds)
{
	int fd = fds->fd[0];

	fds->count--;
	memmove(fds->fd, fds->fd + 1, fds->count * sizeof fds->fd[0]);
	return fd;
}

static int
add_fd(struct pst_session *session, int fd)
{
	if (!pst_session_files(session))
		return pst_session_fail(
		    session, PST_ERR_PROTOCOL, "a descriptor came, and files were not agreed on");
	if (session->fds.count == PST_SESSION_FDS)
		return pst_session_fail(session, PST_ERR_LIMIT,
		    "more than %d descriptors came that belong to no record", PST_SESSION_FDS);
	session->fds.fd[session->fds.count++] = fd;
	return 0;
}

int
pst_session_recv_fd(struct pst_session *session, int fd)
{
	int err = PST_ERR_CLOSED;

	assert(session->depth == 0 && fd >= 0);
	if (!pst_session_is_over(session)) {
		pst_session_enter(session);
		err = add_fd(session, fd);
		pst_session_leave(session);
	}
	if (err < 0)
		close(fd);
	return err;
}

static bool
is_part(const struct pst_record_file *record)
{
	return record->length > 0 && record->offset <= INT64_MAX &&
	       record->length <= INT64_MAX - record->offset;
}

static int
check_record(struct pst_session *session, const struct pst_record_file *record)
{
	uint16_t id = session->input.record.id;

	if (!pst_session_files(session))
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "FILE record for request %u, and files were not agreed on", id);
	if (record->kind != PST_RECORD_FILE_DESCRIPTOR)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "FILE record for request %u is of kind %u", id, record->kind);
	if (record->stream != (session->side == PST_SESSION_SERVER ? FCGI_STDIN : FCGI_STDOUT))
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "FILE record for request %u in a stream of type %u", id, record->stream);
	if (!is_part(record))
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "FILE record for request %u: %llu bytes from %llu are no part of a file", id,
		    (unsigned long long)record->length, (unsigned long long)record->offset);
	if (session->fds.count == 0)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "FILE record for request %u came without its descriptor", id);
	return 0;
}

int
pst_recv_file(struct pst_session *session)
{
	enum pst_stream stream =
	    session->side == PST_SESSION_SERVER ? PST_STREAM_STDIN : PST_STREAM_STDOUT;
	struct pst_session_request *request =
	    pst_session_table_find(&session->table, session->input.record.id);
	struct pst_session_file file;
	struct pst_record_file record;
	int err;

	pst_record_file_decode(session->input.body, &record);
	err = check_record(session, &record);
	if (request != NULL && request->state == PST_REQUEST_ABORTED)
		request = NULL;
	if (err == 0 && request != NULL)
		err = pst_session_check_stream(session, request, stream);
	if (err == 0 && request != NULL)
		err = pst_session_count_in(session, request, stream, PST_SESSION_FILE_COST);
	if (err < 0)
		return err;
	file = (struct pst_session_file){.fd = pst_session_fds_take(&session->fds),
	    .offset = record.offset,
	    .length = record.length};
	if (request != NULL)
		request->streams[stream] = PST_STREAM_USED;
	if (request == NULL || session->callbacks.file == NULL)
		close(file.fd);
	else
		session->callbacks.file(session->arg, request->id, stream, &file);
	return 0;
}

/* --- what is sent --- */

static int
check_file(const struct pst_session *session, const struct pst_session_request *request,
    enum pst_stream stream)
{
	if (!request->extended || !pst_session_files(session))
		return PST_ERR_STATE;
	return pst_session_check_data(session, request, stream);
}

int
pst_session_submit_file(struct pst_session *session, uint16_t id, enum pst_stream stream,
    const struct pst_session_file *file)
{
	struct pst_record_file record = {.stream = pst_session_type_of(stream),
	    .kind = PST_RECORD_FILE_DESCRIPTOR,
	    .offset = file->offset,
	    .length = file->length};
	unsigned char body[PST_RECORD_FILE_LEN];
	struct pst_session_request *request;
	int err = pst_session_find(session, id, &request);

	assert(file->fd >= 0 && is_part(&record));
	assert(
	    stream == (session->side == PST_SESSION_SERVER ? PST_STREAM_STDOUT : PST_STREAM_STDIN));
	if (err == 0)
		err = check_file(session, request, stream);
	if (err < 0)
		return err;
	if (request->state == PST_REQUEST_ABORTED) {
		close(file->fd);
		return 0;
	}
	if (!pst_session_may_submit(request, stream, PST_SESSION_FILE_COST))
		return PST_ERR_LIMIT;
	if (pst_outbox_reserve(&session->output, 1, sizeof body) < 0 ||
	    pst_outbox_reserve_file(&session->output) < 0)
		return PST_ERR_NOMEM;
	pst_record_file_encode(&record, body);
	pst_outbox_file(&session->output, PST_RECORD_FILE, id, body, sizeof body, file->fd);
	pst_session_use_credit(request, stream, PST_SESSION_FILE_COST);
	request->streams[stream] = PST_STREAM_USED;
	return 0;
}
