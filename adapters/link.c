#include "adapters/link.h"

#include "adapters/held.h"
#include "adapters/link_values.h"
#include "adapters/log.h"
#include "adapters/look.h"
#include "adapters/piece.h"
#include "adapters/usage.h"
#include "protocol/descriptor.h"
#include "protocol/session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

/* What one call of submit() hands to the session at a time. */
#define PIECE 65535

enum link_state {
	LINK_OPEN,
	LINK_LINGER, /* closing at once would reset what the client has not read yet */
	LINK_OVER,
};

/* An open request: one is handled, those that a gateway of ours sent ahead wait for their turn. */
struct pst_link_turn {
	TAILQ_ENTRY(pst_link_turn) next;
	struct pst_link_turn *spare; /* the next one that is kept */
	struct pst_request *request;
	bool ready; /* its params are complete */
	bool ticketed; /* it may run only if it can be claimed */
	pst_page_ticket ticket; /* 0: no valid one */
};

struct pst_link {
	int fd;
	enum link_state state;
	struct pst_session *session;
	struct pst_link_common *common;
	TAILQ_HEAD(, pst_link_turn) turns; /* in order of arrival */
	struct pst_link_turn *running; /* the one that is being handled, or NULL */
	struct pst_piece *piece; /* where the session's external bytes are, while there are any */
	struct timespec looked; /* when it was last read while an application wrote */
	bool penstock; /* the client asked for PENSTOCK_VERSION */
	bool is_unix; /* its socket is one that carries descriptors */
	struct pst_usage usage; /* of the request that is being handled */
	bool quick; /* the last one was */
	bool usage_runs; /* it began with the end of the last one: nothing was waited for since */
	unsigned held; /* answers that wait to be written with the next */
	bool given; /* they are, to common->held: the session is not to be touched */
	bool heard_all; /* the last request's body had arrived whole when it ended */
	bool failed; /* END_REQUEST could not be queued: only closing can tell the client */
};

static const struct pst_carrier carrier;

/* --- requests --- */

static void
free_turn(struct pst_link_turn *turn)
{
	pst_request_free(turn->request);
	free(turn);
}

/* One that waits for its request, with a request of no memory or that of an earlier one. */
static struct pst_link_turn *
new_turn(struct pst_link_common *common)
{
	struct pst_link_turn *turn = common->spare;

	if (turn) {
		common->spare = turn->spare;
		common->spares--;
		turn->spare = NULL;
		return turn;
	}
	turn = calloc(1, sizeof(*turn));
	if (turn)
		turn->request = pst_request_new();
	if (turn && !turn->request) {
		free(turn);
		return NULL;
	}
	return turn;
}

static void
give_back(struct pst_buf *buf)
{
	if (buf->size > PST_LINK_KEEP)
		pst_buf_free(buf);
}

/* Keep it for a request to come, with its memory. */
static void
spare_turn(struct pst_link_common *common, struct pst_link_turn *turn)
{
	struct pst_request *request = turn->request;

	if (common->spares > PST_LINK_AHEAD) {
		free_turn(turn);
		return;
	}
	pst_request_reset(request);
	if (common->spares > 0) {
		pst_body_clear(&request->body, PST_LINK_KEEP);
		give_back(&request->gather);
	}
	*turn = (struct pst_link_turn){.request = request, .spare = common->spare};
	common->spare = turn;
	common->spares++;
}

static void
release_turn(struct pst_link *link, struct pst_link_turn *turn)
{
	TAILQ_REMOVE(&link->turns, turn, next);
	spare_turn(link->common, turn);
}

/* A place at the end of the line; NULL when memory is short. */
static struct pst_link_turn *
take_turn(struct pst_link *link)
{
	struct pst_link_turn *turn = new_turn(link->common);

	if (turn)
		TAILQ_INSERT_TAIL(&link->turns, turn, next);
	return turn;
}

void
pst_link_common_clear(struct pst_link_common *common)
{
	struct pst_link_turn *turn;

	while ((turn = common->spare) != NULL) {
		common->spare = turn->spare;
		free_turn(turn);
	}
	common->spares = 0;
}

/* --- what the session tells --- */

static void
refuse(struct pst_link *link, uint16_t id, enum pst_end end)
{
	if (pst_session_submit_end(link->session, id, end, 0) < 0)
		link->failed = true;
}

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn;

	(void)keep;
	if (role != PST_ROLE_RESPONDER) {
		refuse(link, id, PST_END_UNKNOWN_ROLE);
		return;
	}
	if (!link->penstock && !TAILQ_EMPTY(&link->turns)) {
		refuse(link, id, PST_END_CANT_MPX);
		return;
	}
	turn = take_turn(link);
	if (!turn) {
		refuse(link, id, PST_END_OVERLOADED);
		return;
	}
	turn->request->carrier = &carrier;
	turn->request->link = link;
	turn->request->id = id;
	turn->request->penstock = link->penstock;
	turn->request->files =
	    pst_session_files(link->session) && pst_session_credit(link->session, id) != SIZE_MAX;
	pst_session_set_user(link->session, id, turn);
}

/* Between Penstock's own ends a request may carry the ticket by which it is claimed, and that it
 * could be upgraded, which it cannot be here. */
static bool
take_ours(struct pst_link_turn *turn, const struct pst_pair *pair)
{
	if (pair->name_len != strlen(PST_PAGE_PARAM) ||
	    memcmp(pair->name, PST_PAGE_PARAM, pair->name_len) != 0)
		return pst_request_take_upgrade(turn->request, pair);
	turn->ticketed = true;
	turn->ticket = pst_page_parse_ticket(pst_pair_value(pair), pair->value_len);
	return true;
}

static int
on_params(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);
	size_t from = 0; /* the first that was not handed on yet */
	int err = 0;

	if (!turn)
		return PST_ERR_STATE;
	for (size_t i = 0; link->penstock && err == 0 && i < count; i++) {
		if (!pst_request_is_ours(&pairs[i]) || !take_ours(turn, &pairs[i]))
			continue;
		err = pst_request_on_params(turn->request, pairs + from, i - from);
		from = i + 1;
	}
	return err < 0 ? err : pst_request_on_params(turn->request, pairs + from, count - from);
}

static void
on_ready(void *arg, uint16_t id)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	if (!turn)
		return;
	pst_request_on_ready(turn->request);
	turn->ready = true;
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	if (!turn || stream != PST_STREAM_STDIN)
		return;
	if (pst_request_on_body(turn->request, bytes, n) < 0)
		pst_log(PST_LOG_ERROR, "memory is short for a request's body: it is answered "
				       "as if the client had aborted it");
}

static void
on_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	(void)stream; /* STDIN: there is no other */
	if (turn)
		pst_request_on_file(turn->request, file);
	else
		close(file->fd);
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	(void)why; /* sync: the application cannot be told */
	if (!turn)
		return;
	pst_request_on_abort(turn->request);
	if (turn != link->running &&
	    pst_session_submit_end(link->session, id, PST_END_COMPLETE, 1) < 0)
		link->failed = true;
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	(void)end;
	(void)app_status;
	if (!turn)
		return;
	pst_request_on_abort(turn->request); /* nothing can be sent for it any more */
	if (turn != link->running)
		release_turn(link, turn);
}

static void
on_get_value(void *arg, const char *name, size_t name_len)
{
	struct pst_link *link = arg;
	const struct pst_link_values values = {
	    .connections = link->common->connections,
	    .requests = 1,
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

struct pst_link *
pst_link_new(int *fd, struct pst_link_common *common)
{
	struct pst_session_limits limits = PST_SESSION_DEFAULT_LIMITS;
	struct pst_link *link = calloc(1, sizeof(*link));

	limits.requests = 1 + PST_LINK_AHEAD;
	if (link) {
		link->common = common;
		TAILQ_INIT(&link->turns);
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
pst_link_free(struct pst_link *link)
{
	if (!link)
		return;
	assert(!link->running);
	pst_session_free(link->session);
	assert(TAILQ_EMPTY(&link->turns)); /* each has had its end */
	close(link->fd);
	free(link);
}

int
pst_link_fd(const struct pst_link *link)
{
	return link->fd;
}

/* --- state --- */

/* The only place that changes it: OPEN to LINGER or OVER, LINGER to OVER. */
static void
set_state(struct pst_link *link, enum link_state state)
{
	assert(state > link->state);
	link->state = state;
	if (state == LINK_LINGER && shutdown(link->fd, SHUT_WR) < 0)
		link->state = LINK_OVER;
}

/* The peer closed, or broke the protocol, or reading or writing failed. */
static void
lose(struct pst_link *link)
{
	if (link->state == LINK_OVER)
		return;
	pst_session_close(link->session);
	set_state(link, LINK_OVER);
}

/* The request that is to be handled next. */
static struct pst_link_turn *
next_turn(const struct pst_link *link)
{
	struct pst_link_turn *turn;

	TAILQ_FOREACH (turn, &link->turns, next)
		if (turn->ready)
			break;
	return turn;
}

/* Once nothing is left to be said in either direction, part with the client. */
static void
settle(struct pst_link *link)
{
	if (link->state == LINK_OPEN && !link->running && !next_turn(link) &&
	    !pst_session_want_read(link->session) && !pst_session_want_write(link->session))
		set_state(link, link->heard_all ? LINK_OVER : LINK_LINGER);
}

/* A client that knows no credit has one request at a time, whose body it is made to wait with. */
static bool
has_room(const struct pst_link *link)
{
	const struct pst_link_turn *first = TAILQ_FIRST(&link->turns);

	return !first || !first->ready || pst_request_wants_body(first->request);
}

static bool
wants_read(const struct pst_link *link)
{
	if (link->state == LINK_LINGER)
		return true;
	return link->state == LINK_OPEN && pst_session_want_read(link->session) &&
	       pst_session_pending(link->session) < PST_LINK_OUT_HIGH && has_room(link);
}

short
pst_link_events(const struct pst_link *link)
{
	short events = 0;

	if (wants_read(link))
		events |= POLLIN;
	if (link->state == LINK_OPEN && pst_session_want_write(link->session))
		events |= POLLOUT;
	return events;
}

bool
pst_link_idle(const struct pst_link *link)
{
	return TAILQ_EMPTY(&link->turns) && !pst_session_want_write(link->session);
}

bool
pst_link_lingers(const struct pst_link *link)
{
	return link->state == LINK_LINGER;
}

/* --- bytes --- */

/* Like recv(), with the descriptor that came along, if there is one. */
static ssize_t
receive(struct pst_link *link, int *fd)
{
	struct pst_link_common *common = link->common;

	if (!pst_session_files(link->session))
		return recv(link->fd, common->bytes, sizeof(common->bytes), MSG_DONTWAIT);
	return pst_descriptor_recv(
	    link->fd, common->bytes, sizeof(common->bytes), MSG_DONTWAIT, fd);
}

static void
read_some(struct pst_link *link)
{
	struct pst_link_common *common = link->common;
	int fd = -1, err = 0;
	ssize_t n = receive(link, &fd);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(link);
		return;
	}
	if (link->state == LINK_LINGER)
		return;
	if (fd >= 0)
		err = pst_session_recv_fd(link->session, fd);
	if (err == 0)
		err = pst_session_recv(link->session, common->bytes, (size_t)n);
	if (err < 0 && err != PST_ERR_CLOSED) {
		pst_log(PST_LOG_ERROR, "a client of the socket was disconnected: %s",
		    pst_session_reason(link->session));
		lose(link);
	}
	if (link->failed)
		lose(link);
}

/* Write what the session shows; the result of send(). */
static ssize_t
write_shown(struct pst_link *link, const void *bytes, size_t n)
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
write_external(struct pst_link *link, size_t n)
{
	ssize_t done;

	assert(link->piece);
	done = pst_piece_send(link->piece, link->fd, n);
	if (done > 0)
		pst_session_external_sent(link->session, (size_t)done);
	return done;
}

/* Write until nothing is left or the socket takes no more. */
static void
write_some(struct pst_link *link)
{
	const void *bytes;
	ssize_t done;
	size_t n;

	while (link->state == LINK_OPEN && pst_session_want_write(link->session)) {
		n = pst_session_send(link->session, &bytes);
		if (n > 0)
			done = write_shown(link, bytes, n);
		else
			done = write_external(link, pst_session_external(link->session));
		if (done < 0 && errno == EAGAIN)
			return;
		if (done < 0 && errno != EINTR)
			lose(link);
	}
}

void
pst_link_step(struct pst_link *link, short revents)
{
	link->usage_runs = false;
	if ((revents & (POLLIN | POLLHUP | POLLERR)) && wants_read(link))
		read_some(link);
	if (link->failed)
		lose(link);
	write_some(link);
	settle(link);
}

/* --- the carrier: while a request is handled --- */

/* The application wants something, or is done: what was held is the session's again. */
static void
take_held(struct pst_link *link)
{
	size_t sent;

	if (!link->given)
		return;
	link->given = false;
	sent = pst_held_take(link->common->held);
	if (sent > 0)
		pst_session_sent(link->session, sent);
}

/* The same while it runs, and may run on for long. */
static void
release_held(struct pst_link *link)
{
	if (!link->given)
		return;
	take_held(link);
	write_some(link);
}

/* Wait until the socket can be read, or written if there is something to write. */
static void
wait_socket(struct pst_link *link)
{
	struct pollfd pfd = {.fd = link->fd, .events = pst_link_events(link)};

	if (poll(&pfd, 1, -1) < 0)
		return; /* EINTR: the caller looks and comes again */
	if ((pfd.revents & (POLLIN | POLLHUP | POLLERR)) && wants_read(link))
		read_some(link);
}

/*
 * Write until at most KEEP bytes wait. The connection is read as well, so that an ABORT, a lost
 * client, a body and GET_VALUES are seen by an application that only writes.
 */
static int
write_down_to(struct pst_link *link, size_t keep)
{
	const struct pst_request *request = link->running->request;

	write_some(link);
	if (wants_read(link) && pst_look_is_due(&link->looked))
		read_some(link);
	while (!request->gone && pst_session_pending(link->session) > keep) {
		wait_socket(link);
		write_some(link);
	}
	return request->gone ? PST_RESULT_GONE : 0;
}

/* Wait until LEAST bytes of STREAM may be sent: how many may. */
static size_t
await_credit(struct pst_link *link, enum pst_stream stream, size_t least)
{
	const struct pst_request *request = link->running->request;
	size_t credit = SIZE_MAX;

	if (stream == PST_STREAM_STDERR)
		return credit;
	while (
	    (credit = pst_session_credit(link->session, request->id)) < least && !request->gone) {
		write_some(link);
		wait_socket(link);
	}
	return credit;
}

static int
carrier_submit(struct pst_request *request, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_link *link = request->link;
	const char *at = bytes;

	if (request->finishing)
		take_held(link);
	release_held(link);
	while (n > 0) {
		size_t credit = await_credit(link, stream, 1);
		size_t piece = n < PIECE ? n : PIECE;

		if (request->gone)
			return PST_RESULT_GONE;
		if (piece > credit)
			piece = credit;
		if (pst_session_submit_data(link->session, request->id, stream, at, piece) < 0)
			return PST_RESULT_ERROR;
		at += piece;
		n -= piece;
		if (pst_session_pending(link->session) >= PST_LINK_OUT_HIGH &&
		    write_down_to(link, PST_LINK_OUT_HIGH / 2) < 0)
			return PST_RESULT_GONE;
	}
	return 0;
}

/*
 * Send N bytes of PIECE in one record. One that has begun must be completed, also for a client
 * that aborted: the descriptor is not to be had later.
 */
static int
send_record(struct pst_link *link, struct pst_piece *piece, size_t n)
{
	struct pst_request *request = link->running->request;

	if (pst_session_submit_external(link->session, request->id, PST_STREAM_STDOUT, n) < 0)
		return PST_RESULT_ERROR;
	link->piece = piece;
	write_some(link);
	if (wants_read(link))
		read_some(link);
	while (link->state == LINK_OPEN && pst_session_external(link->session) > 0) {
		wait_socket(link);
		write_some(link);
	}
	link->piece = NULL;
	return request->gone ? PST_RESULT_GONE : 0;
}

static int
carrier_send_piece(struct pst_request *request, struct pst_piece *piece, size_t n)
{
	int result = 0;

	release_held(request->link);
	while (result == 0 && n > 0 && !piece->spoilt) {
		size_t credit = await_credit(request->link, PST_STREAM_STDOUT, 1);
		size_t part = n < credit ? n : credit;

		if (request->gone)
			return PST_RESULT_GONE;
		result = send_record(request->link, piece, part);
		n -= part;
	}
	return result;
}

static int
carrier_send_descriptor(struct pst_request *request, int fd, off_t offset, size_t length)
{
	struct pst_link *link = request->link;
	struct pst_session_file file = {.offset = (uint64_t)offset, .length = length};

	release_held(link);
	await_credit(link, PST_STREAM_STDOUT, PST_SESSION_FILE_COST);
	if (request->gone)
		return PST_RESULT_GONE;
	file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (file.fd < 0)
		return PST_RESULT_ERROR;
	if (pst_session_submit_file(link->session, request->id, PST_STREAM_STDOUT, &file) < 0) {
		close(file.fd);
		return PST_RESULT_ERROR;
	}
	write_some(link);
	return request->gone ? PST_RESULT_GONE : 0;
}

static int
carrier_flush(struct pst_request *request)
{
	release_held(request->link);
	return write_down_to(request->link, 0);
}

static int
carrier_fill(struct pst_request *request)
{
	struct pst_link *link = request->link;

	release_held(link);
	write_some(link);
	if (!request->gone)
		wait_socket(link);
	return request->gone ? PST_RESULT_GONE : 0;
}

/* Without memory for it nothing more of the body could come. */
static void
carrier_grant(struct pst_request *request, size_t n)
{
	struct pst_link *link = request->link;

	release_held(link);
	if (pst_session_submit_credit(link->session, request->id, (uint32_t)n) == PST_ERR_NOMEM)
		lose(link);
	write_some(link);
}

static const struct pst_carrier carrier = {
    .submit = carrier_submit,
    .send_piece = carrier_send_piece,
    .send_descriptor = carrier_send_descriptor,
    .flush = carrier_flush,
    .fill = carrier_fill,
    .grant = carrier_grant,
};

/* --- handling --- */

/* False: the gateway has withdrawn it, or is gone and another has come. */
static bool
claim(struct pst_link *link, const struct pst_link_turn *turn)
{
	struct pst_page *page = link->common->page;

	return !turn->ticketed || (page && pst_page_claim(page, turn->request->id, turn->ticket));
}

/* The application has returned. */
static void
tell_done(struct pst_link *link)
{
	const struct pst_link_turn *turn = link->running;

	if (turn->ticketed)
		pst_page_done(link->common->page, turn->request->id, turn->ticket);
}

/* Of those that follow each other, the second is charged with sending what the first said. */
static void
begin_usage(struct pst_link *link)
{
	if (link->penstock && !link->usage_runs)
		pst_usage_begin(&link->usage);
	link->usage_runs = false;
}

/* Wait until all is written, or the client is lost. */
static void
write_rest(struct pst_link *link)
{
	write_some(link);
	while (link->state == LINK_OPEN && pst_session_want_write(link->session)) {
		struct pollfd pfd = {.fd = link->fd, .events = POLLOUT};
		link->usage_runs = false;
		poll(&pfd, 1, -1);
		write_some(link);
	}
}

/* The application is about to run, for nobody knows how long. A descriptor, and what follows it,
 * is not held. */
static void
give_held(struct pst_link *link)
{
	const void *bytes;
	size_t n;

	if (link->held == 0)
		return;
	n = pst_session_send(link->session, &bytes);
	link->given = n > 0 && n == pst_session_pending(link->session) &&
		      pst_session_send_fd(link->session) < 0;
	if (link->given) {
		pst_held_give(link->common->held, link->fd, bytes, n);
	} else {
		link->held = 0;
		write_rest(link);
	}
}

struct pst_request *
pst_link_ready(struct pst_link *link)
{
	struct pst_link_turn *turn;

	while (link->state == LINK_OPEN && (turn = next_turn(link)) != NULL) {
		if (claim(link, turn)) {
			link->running = turn;
			begin_usage(link);
			give_held(link);
			return turn->request;
		}
		link->held = 0;
		refuse(link, turn->request->id, PST_END_OVERLOADED);
		pst_link_step(link, 0);
	}
	return NULL;
}

/* Tell a client that the response is not whole. */
static void
cut_off(struct pst_link *link)
{
	if (link->state == LINK_OPEN)
		pst_link_send_no_record(link->fd);
	lose(link);
}

/* What it cost goes first: the end frees the slot. */
static int
submit_end(struct pst_link *link, uint16_t id, enum pst_outcome outcome)
{
	struct pst_session_usage usage;

	link->quick = false;
	if (link->penstock) {
		usage = pst_usage_end(&link->usage);
		link->usage_runs = true;
		link->quick = usage.cpu + usage.waited <= PST_LINK_QUICK;
		pst_session_submit_usage(link->session, id, &usage); /* else it is not told */
	}
	if (outcome == PST_OUTCOME_WHOLE &&
	    pst_request_submit_trailers(link->running->request, link->session) < 0)
		return -1;
	return pst_session_submit_end(
	    link->session, id, PST_END_COMPLETE, outcome == PST_OUTCOME_WHOLE ? 0 : 1);
}

/*
 * Whether the answer that was queued may leave with that of the next request, which is there. It is
 * one that only a gateway of ours can have sent.
 */
static bool
may_hold(const struct pst_link *link)
{
	const struct pst_link_turn *next = TAILQ_NEXT(link->running, next);

	return link->common->holds && link->quick && link->held < PST_LINK_HELD && next &&
	       next->ready && link->state == LINK_OPEN && !link->failed &&
	       pst_session_pending(link->session) < PST_LINK_OUT_HIGH / 8;
}

/* The watcher must be about first: 0, or -1 when there is none. */
static int
hold(struct pst_link *link)
{
	struct pst_link_common *common = link->common;

	if (!common->held)
		common->held = pst_held_new();
	common->holds = common->held != NULL;
	if (!common->holds)
		return -1;
	pst_held_wake(common->held);
	link->held++;
	return 0;
}

void
pst_link_end(struct pst_link *link, enum pst_outcome outcome)
{
	struct pst_request *request = link->running->request;
	bool cut = outcome == PST_OUTCOME_BROKEN && !link->penstock;

	take_held(link);
	tell_done(link);
	if (link->state == LINK_OPEN && !cut)
		link->failed = submit_end(link, request->id, outcome) < 0;
	if (!may_hold(link) || hold(link) < 0) {
		link->held = 0;
		write_rest(link);
	}
	link->heard_all = request->body_ended;
	if (cut || link->failed)
		cut_off(link);
	release_turn(link, link->running);
	link->running = NULL;
	settle(link);
}
