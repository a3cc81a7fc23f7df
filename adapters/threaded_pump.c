#include "adapters/threaded_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* What one record carries. */
#define PIECE 65535

/* --- from the client to the application --- */

/* So much was taken of the body. Without memory for it nothing more could come. */
static void
grant(struct pst_threaded_stream *stream, size_t n)
{
	struct pst_request *request = stream->request;

	request->body_read += n;
	if (request->body_ended || request->body_read < PST_REQUEST_GRANT)
		return;
	if (pst_session_submit_credit(
		stream->link->session, stream->id, (uint32_t)request->body_read) == PST_ERR_NOMEM)
		pst_threaded_link_lose(stream->link);
	request->body_read = 0;
}

static void
to_application(struct pst_threaded_stream *stream, struct pst_threaded_pump *pump)
{
	struct pst_buf *body = &stream->request->body.bytes; /* an upgrade has no files */

	pst_threaded_stream_pull(stream);
	pump->full = false;
	while (pst_buf_length(body) > 0) {
		ssize_t n = send(pump->fd, pst_buf_bytes(body), pst_buf_length(body),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			pump->full = true;
			return;
		}
		/* An application that does not read any more may still write. */
		if (n < 0)
			n = (ssize_t)pst_buf_length(body);
		pst_buf_consume(body, (size_t)n);
		grant(stream, (size_t)n);
	}
	if (stream->request->body_ended && !pump->told_end) {
		pump->told_end = true;
		shutdown(pump->fd, SHUT_WR);
	}
}

/* --- from the application to the client --- */

/* How much may be sent now. */
static size_t
room_of(const struct pst_threaded_stream *stream)
{
	struct pst_threaded_link *link = stream->link;
	size_t credit;

	if (pst_session_pending(link->session) >= PST_THREADED_OUT_HIGH)
		pst_threaded_link_write(link);
	if (stream->gone || link->state != PST_THREADED_LINK_OPEN ||
	    pst_session_pending(link->session) >= PST_THREADED_OUT_HIGH)
		return 0;
	credit = pst_session_credit(link->session, stream->id);
	return credit < PIECE ? credit : PIECE;
}

static void
to_client(struct pst_threaded_stream *stream, struct pst_threaded_pump *pump)
{
	struct pst_threaded_link *link = stream->link;
	unsigned char *bytes = link->common->bytes;
	size_t room;

	while (!pump->over && (room = room_of(stream)) > 0) {
		ssize_t n = recv(pump->fd, bytes, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			pump->over = true;
		else if (pst_session_submit_data(
			     link->session, stream->id, PST_STREAM_STDOUT, bytes, (size_t)n) < 0)
			pst_threaded_link_lose(link);
	}
}

/* --- both --- */

/* The epoll tells of what is new only: what could be moved was. */
static int
watch(struct pst_threaded_server *server, struct pst_threaded_thread *thread, int operation)
{
	const struct pst_threaded_pump *pump = thread->pump;
	struct epoll_event event = {
	    .events = EPOLLIN | EPOLLET,
	    .data.u64 = (uint64_t)thread->pumps << 32 | PST_THREADED_PUMP_PLACE | thread->number,
	};

	if (pump->full)
		event.events |= EPOLLOUT;
	return epoll_ctl(server->epoll, operation, pump->fd, &event);
}

static void
move(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	struct pst_threaded_stream *stream = thread->stream;
	struct pst_threaded_pump *pump = thread->pump;
	bool was_full = pump->full;

	if (stream->gone || stream->link->state != PST_THREADED_LINK_OPEN)
		return;
	to_application(stream, pump);
	to_client(stream, pump);
	if (pump->full != was_full)
		watch(server, thread, EPOLL_CTL_MOD);
	pst_threaded_link_write(stream->link);
	if (stream->link->blocked)
		pst_threaded_members_arm(server, stream->link);
}

void
pst_threaded_pump_move(struct pst_threaded_server *server, struct pst_threaded_link *link)
{
	struct pst_threaded_thread *thread;

	if (server->pumps == 0)
		return;
	TAILQ_FOREACH (thread, &server->waiting, waiting)
		if (thread->pump && thread->stream->link == link)
			move(server, thread);
}

void
pst_threaded_pump_event(struct pst_threaded_server *server, uint32_t place, uint32_t serial)
{
	struct pst_threaded_thread *thread = &server->threads[place];

	if (thread->pump && thread->pumps == serial)
		pst_threaded_wait_wake(server, thread->stream->link);
}

int
pst_threaded_pump(struct pst_threaded_server *server, struct pst_threaded_thread *thread, int fd)
{
	struct pst_threaded_pump pump = {.fd = fd};

	thread->pump = &pump;
	thread->pumps++;
	if (watch(server, thread, EPOLL_CTL_ADD) < 0) {
		thread->pump = NULL;
		return PST_RESULT_ERROR;
	}
	server->pumps++;
	move(server, thread);
	pst_threaded_wait(server, thread, PST_THREADED_PUMPED, 0);
	server->pumps--;
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, fd, NULL);
	thread->pump = NULL;
	return 0;
}
