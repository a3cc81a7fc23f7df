#include "adapters/threaded_link.h"

#include "adapters/link_values.h"
#include "adapters/log.h"
#include "adapters/piece.h"
#include "protocol/descriptor.h"
#include "protocol/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A body larger than this is not kept as memory for the next. */
#define KEEP (2 * PST_REQUEST_BODY_HIGH)
/* Output up to this is copied, so that it can be written without the lock. */
#define COPY 8192

/* --- streams --- */

static struct pst_threaded_stream *
stream_new(struct pst_threaded_common *common)
{
	struct pst_threaded_stream *stream = TAILQ_FIRST(&common->spare);

	if (stream) {
		TAILQ_REMOVE(&common->spare, stream, entry);
		common->spares--;
		return stream;
	}
	stream = calloc(1, sizeof(*stream));
	if (stream)
		stream->request = pst_request_new();
	if (stream && !stream->request) {
		free(stream);
		return NULL;
	}
	return stream;
}

static void
stream_free(struct pst_threaded_stream *stream)
{
	pst_request_free(stream->request);
	pst_body_free(&stream->body);
	free(stream);
}

/* Keep it for another request, with its memory. */
static void
stream_spare(struct pst_threaded_common *common, struct pst_threaded_stream *stream)
{
	struct pst_body body;

	if (common->spares >= common->requests + PST_LINK_AHEAD) {
		stream_free(stream);
		return;
	}
	pst_request_reset(stream->request);
	pst_body_clear(&stream->body, KEEP);
	body = stream->body;
	*stream = (struct pst_threaded_stream){.request = stream->request, .body = body};
	TAILQ_INSERT_HEAD(&common->spare, stream, entry);
	common->spares++;
}

void
pst_threaded_common_free(struct pst_threaded_common *common)
{
	struct pst_threaded_stream *stream;

	while ((stream = TAILQ_FIRST(&common->spare)) != NULL) {
		TAILQ_REMOVE(&common->spare, stream, entry);
		stream_free(stream);
	}
	common->spares = 0;
}

/* Of a client that knows no credit the connection is not read while much of a body waits. */
static bool
is_full(const struct pst_threaded_stream *stream)
{
	return !stream->extended && pst_buf_length(&stream->body.bytes) > PST_REQUEST_BODY_HIGH;
}

/* --- its states --- */

/* Its link forgets it. */
static void
detach(struct pst_threaded_stream *stream)
{
	struct pst_threaded_link *link = stream->link;

	link->full -= is_full(stream);
	link->open--;
	if (stream->state == PST_THREADED_READY)
		TAILQ_REMOVE(&link->common->ready, stream, entry);
	else if (stream->state == PST_THREADED_RUNNING)
		link->running--;
	stream_spare(link->common, stream);
}

static void
refuse(struct pst_threaded_link *link, uint16_t id, enum pst_end end, uint32_t status)
{
	if (pst_session_submit_end(link->session, id, end, status) < 0)
		link->failed = true;
}

struct pst_threaded_stream *
pst_threaded_stream_take(struct pst_threaded_common *common)
{
	struct pst_threaded_stream *stream;

	while ((stream = TAILQ_FIRST(&common->ready)) != NULL) {
		if (pst_offer_claim(&stream->offer, common->page, stream->id)) {
			TAILQ_REMOVE(&common->ready, stream, entry);
			stream->state = PST_THREADED_RUNNING;
			stream->link->running++;
			pst_threaded_stream_pull(stream);
			return stream;
		}
		struct pst_threaded_link *link = stream->link;
		refuse(link, stream->id, PST_END_OVERLOADED, 0); /* on_end() detaches it */
		if (link->failed)
			pst_threaded_link_lose(link);
		pst_threaded_link_write(link);
	}
	return NULL;
}

void
pst_threaded_stream_pull(struct pst_threaded_stream *stream)
{
	struct pst_request *request = stream->request;

	stream->link->full -= is_full(stream);
	if (!pst_body_is_empty(&stream->body)) {
		if (pst_body_move(&request->body, &stream->body) < 0)
			stream->gone = true;
		pst_body_clear(&stream->body, KEEP);
	}
	if (stream->body_ended)
		request->body_ended = true;
	if (stream->gone)
		pst_request_on_abort(request);
}

void
pst_threaded_stream_end(struct pst_threaded_stream *stream, enum pst_outcome outcome)
{
	struct pst_threaded_link *link = stream->link;
	uint32_t status = outcome == PST_OUTCOME_WHOLE ? 0 : 1;
	bool open = pst_session_user(link->session, stream->id) == stream;
	uint16_t id = stream->id;

	pst_offer_done(&stream->offer, link->common->page, id);
	if (open)
		pst_session_set_user(link->session, id, NULL);
	if (open &&
	    link->penstock) /* the end frees the slot, so it is told before; or not at all */
		pst_session_submit_usage(link->session, id, &stream->cost);
	if (open && outcome == PST_OUTCOME_WHOLE &&
	    pst_request_submit_trailers(stream->request, link->session) < 0)
		link->failed = true;
	link->heard_all = stream->body_ended;
	detach(stream);
	if (open && outcome == PST_OUTCOME_BROKEN && !link->penstock)
		link->cut = true;
	else if (open)
		refuse(link, id, PST_END_COMPLETE, status);
	link->cut |= link->failed;
}

/* --- what the session tells --- */

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct pst_threaded_link *link = arg;
	struct pst_threaded_stream *stream;

	(void)keep;
	if (role != PST_ROLE_RESPONDER) {
		refuse(link, id, PST_END_UNKNOWN_ROLE, 0);
		return;
	}
	/* Only a gateway of ours knows what it may send ahead, and calls it back. */
	stream =
	    link->penstock || link->open < link->common->requests ? stream_new(link->common) : NULL;
	if (!stream) {
		refuse(link, id, PST_END_OVERLOADED, 0);
		return;
	}
	stream->link = link;
	stream->id = id;
	stream->state = PST_THREADED_ARRIVING;
	stream->extended = pst_session_credit(link->session, id) != SIZE_MAX;
	stream->request->carrier = link->common->carrier;
	stream->request->link = stream;
	stream->request->id = id;
	stream->request->penstock = link->penstock;
	stream->request->files = stream->extended && pst_session_files(link->session);
	link->open++;
	pst_session_set_user(link->session, id, stream);
}

static int
on_params(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count)
{
	struct pst_threaded_link *link = arg;
	struct pst_threaded_stream *stream = pst_session_user(link->session, id);

	if (!stream)
		return PST_ERR_STATE;
	if (!link->penstock)
		return pst_request_on_params(stream->request, pairs, count);
	return pst_offer_params(&stream->offer, stream->request, pairs, count);
}

static void
on_ready(void *arg, uint16_t id)
{
	struct pst_threaded_link *link = arg;
	struct pst_threaded_stream *stream = pst_session_user(link->session, id);

	if (!stream)
		return;
	pst_request_on_ready(stream->request);
	stream->state = PST_THREADED_READY;
	TAILQ_INSERT_TAIL(&link->common->ready, stream, entry);
}

static void
on_data(void *arg, uint16_t id, enum pst_stream which, const void *bytes, size_t n)
{
	struct pst_threaded_link *link = arg;
	struct pst_threaded_stream *stream = pst_session_user(link->session, id);

	if (!stream || which != PST_STREAM_STDIN)
		return;
	if (n == 0) {
		stream->body_ended = true;
		return;
	}
	link->full -= is_full(stream);
	if (pst_body_add(&stream->body, bytes, n) < 0) {
		stream->gone = true;
		pst_log(PST_LOG_ERROR, "memory is short for a request's body: it is answered "
				       "as if the client had aborted it");
	}
	link->full += is_full(stream);
}

static void
on_file(void *arg, uint16_t id, enum pst_stream which, const struct pst_session_file *file)
{
	struct pst_threaded_link *link = arg;
	struct pst_threaded_stream *stream = pst_session_user(link->session, id);

	(void)which; /* STDIN: there is no other */
	if (!stream) {
		close(file->fd);
		return;
	}
	if (pst_body_add_file(&stream->body, file) == 0)
		return;
	stream->gone = true;
	pst_log(PST_LOG_ERROR, "a request's body came as a file that is no regular one, or too "
			       "short: it is answered as if the client had aborted it");
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	struct pst_threaded_link *link = arg;
	struct pst_threaded_stream *stream = pst_session_user(link->session, id);

	(void)why;
	if (!stream)
		return;
	stream->gone = true;
	if (stream->state != PST_THREADED_RUNNING)
		refuse(link, id, PST_END_COMPLETE, 1);
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pst_threaded_link *link = arg;
	struct pst_threaded_stream *stream = pst_session_user(link->session, id);

	(void)end;
	(void)app_status;
	if (!stream)
		return;
	stream->gone = true; /* nothing can be sent for it any more */
	pst_session_set_user(link->session, id, NULL);
	if (stream->state != PST_THREADED_RUNNING)
		detach(stream);
}

static void
on_get_value(void *arg, const char *name, size_t name_len)
{
	struct pst_threaded_link *link = arg;
	const struct pst_link_values values = {
	    .connections = link->common->connections,
	    .requests = link->common->requests,
	    .multiplexes = true,
	    .ahead = PST_LINK_AHEAD,
	    .files = link->is_unix,
	};

	if (pst_link_answer(link->session, &values, name, name_len))
		link->penstock = true;
}

static const struct pst_session_callbacks callbacks = {
    .begin = on_begin,
    .params = on_params,
    .ready = on_ready,
    .data = on_data,
    .file = on_file,
    .abort = on_abort,
    .end = on_end,
    .get_value = on_get_value,
};

/* --- life --- */

struct pst_threaded_link *
pst_threaded_link_new(int *fd, struct pst_threaded_common *common)
{
	struct pst_threaded_link *link = calloc(1, sizeof(*link));
	struct pst_session_limits limits = PST_SESSION_DEFAULT_LIMITS;

	limits.requests = common->requests + PST_LINK_AHEAD;
	if (link) {
		link->common = common;
		link->session = pst_session_new_server(&callbacks, &limits, link);
	}
	if (!link || !link->session) {
		free(link);
		close(*fd);
		*fd = -1;
		return NULL;
	}
	link->fd = *fd;
	link->is_unix = pst_link_is_unix(*fd);
	*fd = -1;
	return link;
}

void
pst_threaded_link_free(struct pst_threaded_link *link)
{
	assert(link->running == 0);
	pst_session_free(link->session);
	pst_share_free(&link->share);
	assert(link->open == 0);
	close(link->fd);
	free(link);
}

/* --- state --- */

/* The only place that changes it: OPEN to LINGER or OVER, LINGER to OVER. */
static void
set_state(struct pst_threaded_link *link, enum pst_threaded_link_state state)
{
	assert(state > link->state);
	link->state = state;
	if (state == PST_THREADED_LINK_LINGER && shutdown(link->fd, SHUT_WR) < 0)
		link->state = PST_THREADED_LINK_OVER;
}

void
pst_threaded_link_lose(struct pst_threaded_link *link)
{
	if (link->state == PST_THREADED_LINK_OVER)
		return;
	set_state(link, PST_THREADED_LINK_OVER);
	pst_session_close(link->session);
}

void
pst_threaded_link_settle(struct pst_threaded_link *link)
{
	if (link->state == PST_THREADED_LINK_OPEN && link->open == 0 &&
	    !pst_session_want_read(link->session) && !pst_session_want_write(link->session))
		set_state(
		    link, link->heard_all ? PST_THREADED_LINK_OVER : PST_THREADED_LINK_LINGER);
}

bool
pst_threaded_link_wants_read(const struct pst_threaded_link *link)
{
	if (link->state == PST_THREADED_LINK_LINGER)
		return true;
	return link->state == PST_THREADED_LINK_OPEN && pst_session_want_read(link->session) &&
	       pst_session_pending(link->session) < PST_THREADED_OUT_HIGH && link->full == 0;
}

bool
pst_threaded_link_wants_write(const struct pst_threaded_link *link)
{
	return link->state == PST_THREADED_LINK_OPEN && !link->writing && link->held == 0 &&
	       pst_session_want_write(link->session);
}

bool
pst_threaded_link_over(const struct pst_threaded_link *link)
{
	return link->state == PST_THREADED_LINK_OVER && link->running == 0 && !link->writing;
}

bool
pst_threaded_link_idle(const struct pst_threaded_link *link)
{
	return link->open == 0 && !pst_session_want_write(link->session);
}

/* --- bytes --- */

/* Like recv(), with the descriptor that came along, if there is one. */
static ssize_t
receive(struct pst_threaded_link *link, int *fd)
{
	struct pst_threaded_common *common = link->common;

	if (!pst_session_files(link->session))
		return recv(link->fd, common->bytes, sizeof(common->bytes), MSG_DONTWAIT);
	return pst_descriptor_recv(
	    link->fd, common->bytes, sizeof(common->bytes), MSG_DONTWAIT, fd);
}

bool
pst_threaded_link_read(struct pst_threaded_link *link)
{
	struct pst_threaded_common *common = link->common;
	int fd = -1, err = 0;
	ssize_t n;

	if (!pst_threaded_link_wants_read(link))
		return false;
	n = receive(link, &fd);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		pst_threaded_link_lose(link);
		return true;
	}
	if (link->state == PST_THREADED_LINK_LINGER)
		return true;
	if (fd >= 0)
		err = pst_session_recv_fd(link->session, fd);
	if (err == 0)
		err = pst_session_recv(link->session, common->bytes, (size_t)n);
	if (err < 0 && err != PST_ERR_CLOSED) {
		pst_log(PST_LOG_ERROR, "a client of the socket was disconnected: %s",
		    pst_session_reason(link->session));
		pst_threaded_link_lose(link);
	}
	if (link->failed)
		pst_threaded_link_lose(link);
	return true;
}

/* Write what the session shows; the result of send(). */
static ssize_t
write_shown(struct pst_threaded_link *link, const void *bytes, size_t n)
{
	int more = pst_session_external(link->session) > 0 ? MSG_MORE : 0;
	ssize_t done = pst_descriptor_send(link->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL | more,
	    pst_session_send_fd(link->session));

	if (done > 0)
		pst_session_sent(link->session, (size_t)done);
	return done;
}

/* Write N bytes of the file that is being sent. */
static ssize_t
write_external(struct pst_threaded_link *link, size_t n)
{
	ssize_t done;

	assert(link->piece);
	done = pst_piece_send(link->piece, link->fd, n);
	if (done > 0)
		pst_session_external_sent(link->session, (size_t)done);
	return done;
}

/* Tell a client that the response is not whole. */
static void
cut_off(struct pst_threaded_link *link)
{
	if (link->state == PST_THREADED_LINK_OPEN)
		pst_link_send_no_record(link->fd);
	pst_threaded_link_lose(link);
}

/* DONE bytes were written, or none and ERR says why: true to go on. */
static bool
note_written(struct pst_threaded_link *link, ssize_t done, int err)
{
	if (done > 0)
		link->sent += (uint64_t)done;
	if (done < 0 && err == EAGAIN)
		link->blocked = true;
	else if (done < 0 && err != EINTR)
		pst_threaded_link_lose(link);
	return !link->blocked;
}

static bool
has_output(const struct pst_threaded_link *link)
{
	return link->state == PST_THREADED_LINK_OPEN && pst_session_want_write(link->session);
}

void
pst_threaded_link_write(struct pst_threaded_link *link)
{
	const void *bytes;
	ssize_t done;
	size_t n;

	if (link->writing)
		return;
	link->held = 0;
	link->blocked = false;
	while (has_output(link)) {
		n = pst_session_send(link->session, &bytes);
		if (n > 0)
			done = write_shown(link, bytes, n);
		else
			done = write_external(link, pst_session_external(link->session));
		if (!note_written(link, done, errno))
			break;
	}
	if (link->cut)
		cut_off(link);
}

/* Write N bytes without LOCK: false when that is all that goes. */
static bool
write_unlocked(
    struct pst_threaded_link *link, pthread_mutex_t *lock, const unsigned char *bytes, size_t n)
{
	ssize_t done;
	int err;

	link->writing = true;
	pthread_mutex_unlock(lock);
	done = send(link->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	err = errno;
	pthread_mutex_lock(lock);
	link->writing = false;
	if (link->state != PST_THREADED_LINK_OPEN)
		return false;
	if (done > 0)
		pst_session_sent(link->session, (size_t)done);
	return note_written(link, done, err);
}

void
pst_threaded_link_write_out(struct pst_threaded_link *link, pthread_mutex_t *lock)
{
	unsigned char copy[COPY];

	if (link->writing)
		return;
	link->held = 0;
	link->blocked = false;
	while (has_output(link)) {
		const void *bytes;
		size_t n = pst_session_send(link->session, &bytes);

		/* What is large, external or has a descriptor is rare. */
		if (n == 0 || n > sizeof(copy) || pst_session_external(link->session) > 0 ||
		    pst_session_send_fd(link->session) >= 0)
			break;
		memcpy(copy, bytes, n);
		if (!write_unlocked(link, lock, copy, n))
			break;
	}
	if (!link->blocked)
		pst_threaded_link_write(link);
	else if (link->cut)
		cut_off(link);
}
