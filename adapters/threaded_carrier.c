/* How the requests of a threaded adapter reach their clients. Each function takes the lock. */

#include "adapters/look.h"
#include "adapters/piece.h"
#include "adapters/threaded_internal.h"

#include <fcntl.h>
#include <unistd.h>

/* What one call of submit() hands to the session at a time. */
#define PIECE 65535

/* What a carrier function works with, from enter() to leave(). */
struct passage {
	struct pst_threaded_server *server;
	struct pst_threaded_thread *thread;
	struct pst_threaded_stream *stream;
	struct pst_threaded_link *link;
};

static struct passage
enter(struct pst_request *request)
{
	struct pst_threaded_stream *stream = request->link;
	struct pst_threaded_thread *thread = stream->thread;

	pthread_mutex_lock(&thread->server->lock);
	pst_threaded_held_write(thread->server);
	return (struct passage){thread->server, thread, stream, stream->link};
}

/* RESULT, or that the request is gone. */
static int
leave(const struct passage *passage, int result)
{
	unsigned full = passage->link->full;

	pst_threaded_stream_pull(passage->stream);
	if (passage->link->full < full && !passage->link->owner)
		pst_threaded_members_arm(passage->server, passage->link);
	if (passage->stream->request->gone)
		result = PST_RESULT_GONE;
	pthread_mutex_unlock(&passage->server->lock);
	return result;
}

static void
wait_for(const struct passage *passage, enum pst_threaded_need need, uint64_t amount)
{
	pst_threaded_wait(passage->server, passage->thread, need, amount);
}

static bool
is_gone(const struct passage *passage)
{
	return passage->stream->gone || passage->link->state != PST_THREADED_LINK_OPEN;
}

/* Write what goes, and let the epoll watch for the rest. */
static void
write_some(const struct passage *passage)
{
	pst_threaded_link_write(passage->link);
	pst_threaded_wait_wake(passage->server, passage->link);
	if (passage->link->blocked)
		pst_threaded_members_arm(passage->server, passage->link);
}

/* Wait until LEAST bytes of WHICH may be sent: how many may. */
static size_t
await_credit(const struct passage *passage, enum pst_stream which, size_t least)
{
	size_t credit;

	if (which == PST_STREAM_STDERR)
		return SIZE_MAX;
	credit = pst_session_credit(passage->link->session, passage->stream->id);
	if (credit >= least || is_gone(passage))
		return credit;
	write_some(passage);
	wait_for(passage, PST_THREADED_CREDIT, least);
	return pst_session_credit(passage->link->session, passage->stream->id);
}

static int
submit(
    const struct passage *passage, enum pst_stream which, bool may_share, const char *at, size_t n)
{
	struct pst_session *session = passage->link->session;

	while (n > 0) {
		size_t credit = await_credit(passage, which, 1);
		size_t piece = n < PIECE ? n : PIECE;

		if (is_gone(passage))
			return PST_RESULT_GONE;
		if (piece > credit)
			piece = credit;
		if (pst_share_submit(&passage->link->share, session, passage->stream->id, which,
			may_share, at, piece) < 0)
			return PST_RESULT_ERROR;
		at += piece;
		n -= piece;
		if (pst_session_pending(session) < PST_THREADED_OUT_HIGH)
			continue;
		write_some(passage);
		wait_for(passage, PST_THREADED_ROOM, PST_THREADED_OUT_HIGH / 2);
	}
	return 0;
}

static int
carrier_submit(struct pst_request *request, enum pst_stream which, const void *bytes, size_t n)
{
	struct passage passage = enter(request);

	return leave(&passage, submit(&passage, which, false, bytes, n));
}

static int
carrier_share(struct pst_request *request, const void *bytes, size_t n)
{
	struct passage passage = enter(request);

	return leave(&passage, submit(&passage, PST_STREAM_STDOUT, true, bytes, n));
}

/* What is shared takes little of the socket, so that it hardly ever is full. */
static int
post(const struct passage *passage, const void *bytes, size_t n)
{
	struct pst_threaded_link *link = passage->link;
	int shared;

	if (is_gone(passage) || link->writing || pst_session_want_write(link->session))
		return PST_POST_REFUSED;
	shared = pst_share_bytes(&link->share, link->session, passage->stream->id, bytes, n);
	if (shared <= 0)
		return shared < 0 ? PST_RESULT_ERROR : PST_POST_REFUSED;
	/* Whom that wakes may take the processor at once: not with the lock, that others want. */
	pst_threaded_link_write_out(link, &passage->server->lock);
	pst_threaded_wait_wake(passage->server, link);
	if (link->blocked)
		pst_threaded_members_arm(passage->server, link);
	if (is_gone(passage))
		return PST_RESULT_GONE;
	if (pst_look_is_due(&link->looked) && pst_threaded_link_read(link))
		pst_threaded_wait_wake(passage->server, link);
	pst_threaded_ring(passage->server);
	return pst_session_want_write(link->session) ? PST_POST_TAKEN : PST_POST_SENT;
}

static int
carrier_post(struct pst_request *request, const void *bytes, size_t n)
{
	struct passage passage = enter(request);

	return leave(&passage, post(&passage, bytes, n));
}

/* Send N bytes of PIECE in one record, when no other thread does. */
static int
send_record(const struct passage *passage, struct pst_piece *piece, size_t n)
{
	struct pst_threaded_link *link = passage->link;

	if (pst_session_submit_external(link->session, passage->stream->id, PST_STREAM_STDOUT, n) <
	    0)
		return PST_RESULT_ERROR;
	link->piece = piece;
	write_some(passage);
	wait_for(passage, PST_THREADED_PIECE_SENT, 0);
	link->piece = NULL;
	pst_threaded_wait_wake(passage->server, link);
	return 0;
}

static int
send_piece(const struct passage *passage, struct pst_piece *piece, size_t n)
{
	int result = 0;

	while (result == 0 && n > 0 && !piece->spoilt) {
		size_t credit;

		wait_for(passage, PST_THREADED_PIECE, 0);
		credit = await_credit(passage, PST_STREAM_STDOUT, 1);
		if (is_gone(passage))
			return PST_RESULT_GONE;
		if (passage->link->piece)
			continue; /* another came first while this one waited for credit */
		if (credit > n)
			credit = n;
		result = send_record(passage, piece, credit);
		n -= credit;
	}
	return result;
}

static int
carrier_send_piece(struct pst_request *request, struct pst_piece *piece, size_t n)
{
	struct passage passage;

	/* What is not in memory is read here rather than under the lock. */
	(void)readahead(piece->fd, piece->offset, n);
	passage = enter(request);
	return leave(&passage, send_piece(&passage, piece, n));
}

/* The session takes the descriptor over when this returns 0. */
static int
send_descriptor(const struct passage *passage, struct pst_session_file *file)
{
	await_credit(passage, PST_STREAM_STDOUT, PST_SESSION_FILE_COST);
	if (is_gone(passage))
		return PST_RESULT_GONE;
	if (pst_session_submit_file(
		passage->link->session, passage->stream->id, PST_STREAM_STDOUT, file) < 0)
		return PST_RESULT_ERROR;
	write_some(passage);
	return 0;
}

static int
carrier_send_descriptor(struct pst_request *request, int fd, off_t offset, size_t length)
{
	struct pst_session_file file = {.offset = (uint64_t)offset, .length = length};
	struct passage passage;
	int result;

	file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (file.fd < 0)
		return PST_RESULT_ERROR;
	passage = enter(request);
	result = send_descriptor(&passage, &file);
	if (result < 0)
		close(file.fd);
	return leave(&passage, result);
}

static int
carrier_flush(struct pst_request *request)
{
	struct passage passage = enter(request);
	struct pst_threaded_link *link = passage.link;
	uint64_t all = link->sent + pst_session_pending(link->session);

	write_some(&passage);
	/* So that an ABORT and a lost client are seen by an application that only writes. */
	if (pst_look_is_due(&link->looked) && pst_threaded_link_read(link))
		pst_threaded_wait_wake(passage.server, link);
	pst_threaded_ring(passage.server);
	wait_for(&passage, PST_THREADED_WRITTEN, all);
	return leave(&passage, 0);
}

static int
carrier_fill(struct pst_request *request)
{
	struct passage passage = enter(request);

	write_some(&passage);
	if (pst_threaded_link_read(passage.link)) {
		pst_threaded_wait_wake(passage.server, passage.link);
		pst_threaded_ring(passage.server);
	}
	wait_for(&passage, PST_THREADED_BODY, 0);
	return leave(&passage, 0);
}

/* Without memory for it nothing more of the body could come. */
static void
carrier_grant(struct pst_request *request, size_t n)
{
	struct passage passage = enter(request);

	if (pst_session_submit_credit(passage.link->session, passage.stream->id, (uint32_t)n) ==
	    PST_ERR_NOMEM)
		pst_threaded_link_lose(passage.link);
	write_some(&passage);
	leave(&passage, 0);
}

static int
carrier_pump(struct pst_request *request, int fd)
{
	struct passage passage = enter(request);

	return leave(&passage, pst_threaded_pump(passage.server, passage.thread, fd));
}

enum pst_outcome
pst_threaded_finish(struct pst_threaded_server *server, struct pst_threaded_thread *thread,
    enum pst_outcome outcome)
{
	struct pst_threaded_stream *stream = thread->stream;
	struct passage passage = {server, thread, stream, stream->link};
	struct pst_request *request = stream->request;
	size_t n = pst_buf_length(&request->gather);
	int result = 0;

	if (outcome != PST_OUTCOME_WHOLE)
		return outcome;
	if (n > 0)
		result = submit(&passage, PST_STREAM_STDOUT, false,
		    (const char *)pst_buf_bytes(&request->gather), n);
	if (result == PST_RESULT_ERROR)
		return PST_OUTCOME_BROKEN;
	return result < 0 || is_gone(&passage) ? PST_OUTCOME_GONE : PST_OUTCOME_WHOLE;
}

const struct pst_carrier pst_threaded_carrier = {
    .submit = carrier_submit,
    .share = carrier_share,
    .post = carrier_post,
    .send_piece = carrier_send_piece,
    .send_descriptor = carrier_send_descriptor,
    .flush = carrier_flush,
    .fill = carrier_fill,
    .grant = carrier_grant,
    .pump = carrier_pump,
    .finishes = true,
};
