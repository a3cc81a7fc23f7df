#include "adapters/async_link.h"

#include "adapters/async_request.h"
#include "adapters/link_values.h"
#include "adapters/log.h"
#include "protocol/descriptor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One wakeup reads so many bytes, or so many requests, and yields. The first read is small: it
 * says whether bodies come, or requests. */
#define READ_FIRST    16384
#define READ_MAX      65536
#define READ_REQUESTS 32

/* How often the dirty requests are gone through in one turn. */
#define ROUNDS 4

/* --- what the session tells --- */

static void
end(struct pst_async_link *link, uint16_t id, enum pst_end how, uint32_t status)
{
	if (pst_session_submit_end(link->session, id, how, status) < 0)
		link->failed = true;
	pst_async_link_attend(link);
}

static struct pst_async_request *
find(const struct pst_async_link *link, uint16_t id)
{
	return pst_session_user(link->session, id);
}

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct pst_async_link *link = arg;
	struct pst_async_request *request;

	(void)keep;
	link->begun++;
	if (role != PST_ROLE_RESPONDER) {
		end(link, id, PST_END_UNKNOWN_ROLE, 0);
		return;
	}
	/* A client that keeps no account gets one request more than the rest leaves. */
	if (!link->penstock && link->count > 0 &&
	    atomic_load(&link->core->open_count) >= link->core->capacity)
		request = NULL;
	else
		request = pst_async_request_new(link->core, link, id);
	if (!request) {
		end(link, id, PST_END_OVERLOADED, 0);
		return;
	}
	pst_session_set_user(link->session, id, request);
}

static int
on_params(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count)
{
	struct pst_async_link *link = arg;
	struct pst_async_request *request = find(link, id);

	if (!request)
		return PST_ERR_STATE;
	if (!link->penstock)
		return pst_request_on_params(&request->base, pairs, count);
	return pst_offer_params(&request->offer, &request->base, pairs, count);
}

static void
on_ready(void *arg, uint16_t id)
{
	struct pst_async_link *link = arg;
	struct pst_async_request *request = find(link, id);

	if (!request)
		return;
	pst_request_on_ready(&request->base);
	if (pst_offer_claim(&request->offer, request->core->page, id))
		pst_async_request_start(request);
	else
		end(link, id, PST_END_OVERLOADED, 0);
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_async_request *request = find(arg, id);

	if (request && stream == PST_STREAM_STDIN)
		pst_async_request_body(request, bytes, n);
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	struct pst_async_link *link = arg;
	struct pst_async_request *request = find(link, id);

	if (request && pst_async_request_abort(request, (enum pst_abort)why))
		end(link, id, PST_END_COMPLETE, 1);
}

/* By what we submitted, or because the connection is lost: it is nothing of this link's now. */
static void
on_end(void *arg, uint16_t id, enum pst_end how, uint32_t app_status)
{
	struct pst_async_request *request = find(arg, id);

	(void)how;
	(void)app_status;
	if (request)
		pst_async_request_lose(request);
}

static void
on_credit(void *arg, uint16_t id)
{
	struct pst_async_link *link = arg;
	struct pst_async_request *request = find(link, id);

	if (request)
		pst_async_link_touch(link, request);
}

static void
on_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	struct pst_async_request *request = find(arg, id);

	if (request)
		pst_async_message_came(request, flags, bytes, n);
}

static void
on_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n)
{
	struct pst_async_request *request = find(arg, id);

	if (request)
		pst_async_message_closed(request, code, reason, n);
}

static void
on_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	struct pst_async_request *request = find(arg, id);

	(void)stream; /* STDIN: there is no other */
	if (request)
		pst_async_request_body_file(request, file);
	else
		close(file->fd);
}

static void
on_get_value(void *arg, const char *name, size_t name_len)
{
	struct pst_async_link *link = arg;
	const struct pst_link_values values = {
	    .connections = link->core->connections,
	    .requests = link->core->capacity,
	    .multiplexes = true,
	    .streams = true,
	    .files = link->files,
	};

	if (pst_link_answer(link->session, &values, name, name_len))
		link->penstock = true;
	pst_async_link_attend(link);
}

static const struct pst_session_callbacks callbacks = {
    .begin = on_begin,
    .params = on_params,
    .ready = on_ready,
    .data = on_data,
    .abort = on_abort,
    .end = on_end,
    .credit = on_credit,
    .message = on_message,
    .closed = on_closed,
    .file = on_file,
    .get_value = on_get_value,
};

/* --- life --- */

struct pst_async_link *
pst_async_link_new(int *fd, struct pst_async_core *core)
{
	struct pst_async_link *link = calloc(1, sizeof(*link));
	struct pst_session_limits limits = PST_SESSION_DEFAULT_LIMITS;

	limits.requests = core->capacity;
	if (link)
		link->session = pst_session_new_server(&callbacks, &limits, link);
	if (!link || !link->session) {
		free(link);
		close(*fd);
		*fd = -1;
		return NULL;
	}
	link->core = core;
	link->fd = *fd;
	link->files = pst_link_is_unix(link->fd);
	*fd = -1;
	TAILQ_INIT(&link->dirty);
	pst_async_link_attend(link);
	return link;
}

/* The only one that asks the loop for this socket. */
static void
watch(struct pst_async_link *link, unsigned events)
{
	struct pst_loop *loop = link->core->loop;

	if (events == link->events)
		return;
	link->events = events;
	if (loop->type->watch(loop, link->fd, events) == 0)
		return;
	pst_log(PST_LOG_ERROR, "the event loop does not take a connection: it is closed");
	link->events = 0;
	link->failed = true;
}

void
pst_async_link_free(struct pst_async_link *link)
{
	if (!link)
		return;
	pst_session_free(link->session);
	pst_share_free(&link->share);
	assert(link->count == 0);
	watch(link, 0);
	if (link->is_attended)
		TAILQ_REMOVE(&link->core->attend, link, attending);
	close(link->fd);
	free(link);
}

/* --- state --- */

/* The only place that changes it: OPEN to LINGER or OVER, LINGER to OVER. */
static void
set_state(struct pst_async_link *link, enum pst_async_link_state state)
{
	assert(state > link->state);
	link->state = state;
	if (state == PST_ASYNC_LINK_LINGER && shutdown(link->fd, SHUT_WR) < 0)
		link->state = PST_ASYNC_LINK_OVER;
	pst_async_link_attend(link);
}

/* The peer closed, or broke the protocol, or reading or writing failed. */
static void
lose(struct pst_async_link *link)
{
	if (link->state == PST_ASYNC_LINK_OVER)
		return;
	set_state(link, PST_ASYNC_LINK_OVER);
	pst_session_close(link->session);
}

/* Once nothing is left to be said in either direction, part with the client. */
static void
settle(struct pst_async_link *link)
{
	if (link->state == PST_ASYNC_LINK_OPEN && link->count == 0 &&
	    !pst_session_want_read(link->session) && !pst_session_want_write(link->session))
		set_state(link, link->heard_all ? PST_ASYNC_LINK_OVER : PST_ASYNC_LINK_LINGER);
}

static bool
wants_read(const struct pst_async_link *link)
{
	if (link->state == PST_ASYNC_LINK_LINGER)
		return true;
	return link->state == PST_ASYNC_LINK_OPEN && !link->cut && link->full == 0 &&
	       pst_session_want_read(link->session) &&
	       pst_session_pending(link->session) < PST_ASYNC_OUT_MAX;
}

bool
pst_async_link_idle(const struct pst_async_link *link)
{
	return link->count == 0 && !pst_session_want_write(link->session);
}

size_t
pst_async_link_room(const struct pst_async_link *link)
{
	size_t pending = pst_session_pending(link->session);

	return pending < PST_ASYNC_OUT_HIGH ? PST_ASYNC_OUT_HIGH - pending : 0;
}

void
pst_async_link_attend(struct pst_async_link *link)
{
	struct pst_async_core *core = link->core;

	if (link->is_attended)
		return;
	link->is_attended = true;
	TAILQ_INSERT_TAIL(&core->attend, link, attending);
	pst_async_core_defer(core);
}

void
pst_async_link_touch(struct pst_async_link *link, struct pst_async_request *request)
{
	if (!request->is_dirty) {
		request->is_dirty = true;
		TAILQ_INSERT_TAIL(&link->dirty, request, dirty);
	}
	pst_async_link_attend(link);
}

/* --- bytes in --- */

/* One recv() of up to N bytes: true when it brought as many, and more is wanted. */
static bool
read_once(struct pst_async_link *link, size_t size)
{
	struct pst_async_core *core = link->core;
	int fd, err = 0;
	ssize_t n = pst_descriptor_recv(link->fd, core->bytes, size, 0, &fd);

	if (fd >= 0)
		err = pst_session_recv_fd(link->session, fd);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		lose(link);
		return false;
	}
	if (link->state == PST_ASYNC_LINK_LINGER)
		return false;
	link->active = pst_async_now();
	if (err == 0)
		err = pst_session_recv(link->session, core->bytes, (size_t)n);
	if (err < 0 && err != PST_ERR_CLOSED)
		pst_log(PST_LOG_ERROR, "a client of the socket was disconnected: %s",
		    pst_session_reason(link->session));
	if (link->failed || (err < 0 && err != PST_ERR_CLOSED))
		lose(link);
	return (size_t)n == size && wants_read(link);
}

static void
read_some(struct pst_async_link *link)
{
	link->begun = 0;
	if (wants_read(link) && read_once(link, READ_FIRST) && link->begun < READ_REQUESTS)
		read_once(link, READ_MAX - READ_FIRST);
	pst_async_link_attend(link);
}

void
pst_async_link_ready(struct pst_async_link *link, unsigned events)
{
	if (events & PST_EVENT_WRITE) {
		link->blocked = false;
		pst_async_link_attend(link);
	}
	if (events & PST_EVENT_READ)
		read_some(link);
}

/* --- bytes out --- */

/* Write until nothing is left or the socket takes no more. */
static void
write_some(struct pst_async_link *link)
{
	const void *bytes;
	ssize_t done;
	size_t n;

	while (link->state == PST_ASYNC_LINK_OPEN && !link->blocked &&
	       (n = pst_session_send(link->session, &bytes)) > 0) {
		done = pst_descriptor_send(
		    link->fd, bytes, n, MSG_NOSIGNAL, pst_session_send_fd(link->session));
		if (done > 0)
			pst_session_sent(link->session, (size_t)done);
		else if (done < 0 && errno == EAGAIN)
			link->blocked = true;
		else if (done < 0 && errno != EINTR)
			lose(link);
	}
}

/* Tell a client that the response is not whole. */
static void
cut_off(struct pst_async_link *link)
{
	if (link->state == PST_ASYNC_LINK_OPEN)
		pst_link_send_no_record(link->fd);
	lose(link);
}

static void
tell_usage(struct pst_async_link *link, const struct pst_async_request *request)
{
	uint64_t late = pst_async_core_late(link->core);
	const struct pst_session_usage usage = {.lag = request->lag > late ? request->lag : late};

	if (pst_session_submit_usage(link->session, request->base.id, &usage) < 0)
		link->failed = true;
}

/* All that REQUEST wrote has left. */
static void
end_request(struct pst_async_link *link, struct pst_async_request *request)
{
	bool broken = request->outcome == PST_OUTCOME_BROKEN || request->base.spoilt;
	uint32_t status = broken || request->outcome == PST_OUTCOME_GONE;
	uint16_t id = request->base.id;

	if (broken && !link->penstock) {
		link->cut = true;
		return;
	}
	if (!broken && !request->ended &&
	    pst_request_submit_trailers(&request->base, link->session) < 0)
		link->failed = true;
	tell_usage(link, request);
	end(link, id, PST_END_COMPLETE, status);
}

/* Pump each request that is dirty now, once. */
static void
pump_dirty(struct pst_async_link *link)
{
	struct pst_async_request *last = TAILQ_LAST(&link->dirty, pst_async_requests);
	struct pst_async_request *request;
	bool more = last != NULL;

	while (more && !link->cut && (request = TAILQ_FIRST(&link->dirty))) {
		enum pst_async_pump pump;
		more = request != last;
		TAILQ_REMOVE(&link->dirty, request, dirty);
		request->is_dirty = false;
		pump = pst_async_request_pump(request);
		if (pump == PST_ASYNC_PUMP_OVER) {
			end_request(link, request);
			continue;
		}
		if (pump == PST_ASYNC_PUMP_MORE)
			pst_async_link_touch(link, request);
		pst_async_request_pumped(request);
	}
}

/* False: there is more. */
static bool
write_all(struct pst_async_link *link)
{
	for (int round = 0; round < ROUNDS; round++) {
		pump_dirty(link);
		write_some(link);
		if (link->blocked || link->state != PST_ASYNC_LINK_OPEN ||
		    TAILQ_EMPTY(&link->dirty))
			return true;
	}
	return false;
}

static unsigned
wanted_events(const struct pst_async_link *link)
{
	return (wants_read(link) ? PST_EVENT_READ : 0u) | (link->blocked ? PST_EVENT_WRITE : 0u);
}

enum pst_async_turn
pst_async_link_turn(struct pst_async_link *link)
{
	bool all = link->state != PST_ASYNC_LINK_OPEN || write_all(link);

	if (link->cut && !link->blocked)
		cut_off(link);
	if (link->failed)
		lose(link);
	settle(link);
	if (link->state != PST_ASYNC_LINK_OVER)
		watch(link, wanted_events(link));
	if (link->failed)
		lose(link);
	if (link->state == PST_ASYNC_LINK_OVER)
		return PST_ASYNC_TURN_OVER;
	return all ? PST_ASYNC_TURN_DONE : PST_ASYNC_TURN_MORE;
}

void
pst_async_link_drain(struct pst_async_link *link)
{
	if (link->penstock && link->state == PST_ASYNC_LINK_OPEN &&
	    pst_session_submit_drain(link->session) < 0)
		link->failed = true;
	pst_async_link_ready(link, PST_EVENT_READ);
}

void
pst_async_link_close(struct pst_async_link *link)
{
	lose(link);
}
