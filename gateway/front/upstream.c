#include "gateway/front/upstream_internal.h"

#include "gateway/front/container.h"
#include "gateway/front/remote.h"
#include "gateway/log.h"
#include "protocol/descriptor.h"
#include "protocol/page_map.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HANDSHAKE_MS 10000
#define GRACE_MS     1000
/* What is sent ahead of one worker at most, whatever it says that it bears. */
#define AHEAD_MOST 64

/* --- state --- */

/* From each state, the states that may follow. */
static const unsigned allowed[] = {
    [PST_UPSTREAM_CONNECTED] =
	1u << PST_UPSTREAM_OPEN | 1u << PST_UPSTREAM_LEAVING | 1u << PST_UPSTREAM_LOST,
    [PST_UPSTREAM_OPEN] = 1u << PST_UPSTREAM_LEAVING | 1u << PST_UPSTREAM_LOST,
    [PST_UPSTREAM_LEAVING] = 1u << PST_UPSTREAM_LOST,
    [PST_UPSTREAM_LOST] = 0,
};

void
pst_upstream_set_state(struct pst_upstream *up, enum pst_upstream_state state)
{
	assert(allowed[up->state] & 1u << state);
	up->state = state;
	if (state != PST_UPSTREAM_CONNECTED)
		pst_deadline_cancel(&up->handshake);
}

/* The connection is over. Not within a callback of the session. */
static void
lose(struct pst_upstream *up, const char *reason)
{
	if (up->state == PST_UPSTREAM_LOST)
		return;
	pst_upstream_set_state(up, PST_UPSTREAM_LOST);
	snprintf(up->reason, sizeof(up->reason), "%s", reason);
	event_del(up->readable);
	event_del(up->writable);
	pst_task_cancel(&up->flush);
	pst_session_close(up->session);
	assert(TAILQ_EMPTY(&up->jobs));
	up->callbacks->lost(up->arg, up->reason);
}

static void
lose_errno(struct pst_upstream *up, const char *what)
{
	char reason[128];

	snprintf(reason, sizeof(reason), "%s: %s", what, strerror(errno));
	up->kind->lost(up, reason);
}

const char *
pst_upstream_session_reason(const struct pst_upstream *up, int err, char *text, size_t size)
{
	const char *reason = pst_session_reason(up->session);

	snprintf(text, size, "its FastCGI session failed: %s",
	    *reason != '\0' ? reason : pst_error_string(err));
	return text;
}

static void
lose_session(struct pst_upstream *up, int err)
{
	char reason[sizeof(up->reason)];

	up->kind->lost(up, pst_upstream_session_reason(up, err, reason, sizeof(reason)));
}

/* --- bytes out --- */

void
pst_upstream_flush(struct pst_upstream *up)
{
	const void *bytes;
	size_t length;

	for (;;) {
		pst_upstream_feed(up);
		length = pst_session_send(up->session, &bytes);
		if (length == 0)
			return;
		pst_upstream_note_writing(up);
		ssize_t n = pst_descriptor_send(
		    up->fd, bytes, length, MSG_NOSIGNAL, pst_session_send_fd(up->session));
		if (n < 0) {
			if (errno == EAGAIN)
				event_add(up->writable, NULL);
			else if (errno != EINTR)
				break;
			else
				continue;
			return;
		}
		pst_session_sent(up->session, (size_t)n);
		pst_upstream_mark_started(up);
	}
	/* What the worker wrote before it closed is still to be read; EOF then ends it. */
	if (errno != EPIPE && errno != ECONNRESET)
		lose_errno(up, "writing to it failed");
	else
		event_active(up->readable, EV_READ, 0);
}

static void
on_flush(void *arg)
{
	pst_upstream_flush(arg);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_upstream *up = arg;

	(void)fd;
	(void)what;
	pst_loop_defer(up->loop, &up->flush);
}

/* --- bytes in --- */

static void
on_memory(void *arg, int fd, uint32_t size)
{
	struct pst_upstream *up = arg;

	if (pst_lane_map(&up->lane, fd, size) == 0)
		pst_session_use_memory(up->session, up->lane.bytes, up->lane.size);
	else
		pst_log_warning("worker %s: its memory for answers cannot be used: %s: large "
				"answers come through its socket",
		    up->worker, strerror(errno));
	close(fd);
}

/* All that came was sent on, or kept. */
static void
give_back(struct pst_upstream *up)
{
	if (up->lane.bytes != NULL)
		pst_lane_done(&up->lane, pst_session_mark(up->session));
}

/* Like read(), with the descriptor that came along, if there is one. */
static ssize_t
receive(struct pst_upstream *up, unsigned char *bytes, int *fd)
{
	if (up->session == NULL || !pst_session_files(up->session))
		return read(up->fd, bytes, PST_LOOP_SCRATCH);
	return pst_descriptor_recv(up->fd, bytes, PST_LOOP_SCRATCH, 0, fd);
}

void
pst_upstream_read(struct pst_upstream *up)
{
	unsigned char *bytes = pst_loop_scratch(up->loop);
	int fd = -1;
	ssize_t n;

	if (up->state == PST_UPSTREAM_LOST || up->paused > 0)
		return;
	n = receive(up, bytes, &fd);
	if (n == 0) {
		up->kind->lost(up, up->retiring
				       ? "it had to leave, and ended before it had finished"
				       : "it closed the connection");
	} else if (n > 0) {
		int err = fd == -1 ? PST_OK : pst_session_recv_fd(up->session, fd);

		if (err == PST_OK)
			err = pst_session_recv(up->session, bytes, (size_t)n);
		pst_loop_settle(up->loop);
		give_back(up);
		if (err != PST_OK)
			lose_session(up, err);
		else if (up->state == PST_UPSTREAM_LEAVING)
			event_active(up->readable, EV_READ, 0);
		else if (pst_session_want_write(up->session))
			pst_loop_defer(up->loop, &up->flush);
	} else if (errno == EAGAIN) {
		if (up->state == PST_UPSTREAM_LEAVING)
			up->kind->lost(up, "its process has exited");
	} else if (errno != EINTR) {
		lose_errno(up, "reading from it failed");
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pst_upstream_read(arg);
}

/* --- the handshake --- */

/* A number of GET_VALUES_RESULT: digits only, at most MAX; 0 when it is no such thing. */
static unsigned
parse_number(const char *text, size_t length, unsigned max)
{
	unsigned number = 0;

	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		number = number * 10 + (unsigned)(text[i] - '0');
		if (number > max)
			number = max;
	}
	return number;
}

static bool
is_name(const char *name, size_t length, const char *wanted)
{
	return length == strlen(wanted) && memcmp(name, wanted, length) == 0;
}

static void
on_values_end(struct pst_upstream *up)
{
	if (up->state != PST_UPSTREAM_CONNECTED)
		return;
	if (!up->multiplexes || up->capacity == 0)
		up->capacity = 1;
	pst_upstream_set_state(up, PST_UPSTREAM_OPEN);
	up->streams = up->streams && pst_session_extends(up->session);
	up->callbacks->open(up->arg, up->capacity, up->streams);
}

static void
on_value(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct pst_upstream *up = arg;

	if (name == NULL)
		on_values_end(up);
	else if (is_name(name, name_len, "FCGI_MAX_REQS"))
		up->capacity = parse_number(value, value_len, UINT16_MAX);
	else if (is_name(name, name_len, "FCGI_MPXS_CONNS"))
		up->multiplexes = parse_number(value, value_len, 1) == 1;
	else if (is_name(name, name_len, PST_SESSION_AHEAD_NAME))
		up->ahead = parse_number(value, value_len, AHEAD_MOST);
	else if (is_name(name, name_len, "PENSTOCK_STREAMS"))
		up->streams = parse_number(value, value_len, 1) == 1;
}

static int
ask_values(struct pst_upstream *up)
{
	static const char *const names[] = {"FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS",
	    PST_SESSION_VERSION_NAME, PST_SESSION_FILES_NAME, PST_SESSION_MEMORY_NAME,
	    PST_SESSION_AHEAD_NAME, "PENSTOCK_STREAMS"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int err = pst_session_submit_get_value(up->session, names[i], strlen(names[i]));

		if (err != PST_OK)
			return err;
	}
	return PST_OK;
}

static void
handshake_passed(struct pst_deadline *deadline)
{
	struct pst_upstream *up = PST_CONTAINER(deadline, struct pst_upstream, handshake);

	lose(up, "it did not answer GET_VALUES in time");
}

/* --- life --- */

int
pst_upstream_deadlines_init(struct pst_upstream_deadlines *deadlines, struct pst_loop *loop,
    uint64_t timeout, uint64_t request_timeout)
{
	memset(deadlines, 0, sizeof(*deadlines));
	if (pst_deadline_list_init(&deadlines->handshake, loop, HANDSHAKE_MS, handshake_passed) ==
		0 &&
	    pst_deadline_list_init(
		&deadlines->timeout, loop, timeout, pst_upstream_timeout_passed) == 0 &&
	    pst_deadline_list_init(
		&deadlines->request, loop, request_timeout, pst_upstream_request_passed) == 0 &&
	    pst_deadline_list_init(&deadlines->grace, loop, GRACE_MS, pst_upstream_grace_passed) ==
		0 &&
	    pst_deadline_list_init(
		&deadlines->connect, loop, PST_REMOTE_TRY, pst_foreign_connect_passed) == 0)
		return 0;
	pst_upstream_deadlines_free(deadlines);
	return -1;
}

void
pst_upstream_deadlines_free(struct pst_upstream_deadlines *deadlines)
{
	pst_deadline_list_free(&deadlines->handshake);
	pst_deadline_list_free(&deadlines->timeout);
	pst_deadline_list_free(&deadlines->request);
	pst_deadline_list_free(&deadlines->grace);
	pst_deadline_list_free(&deadlines->connect);
}

/* A connected, non-blocking socket, or -1 with errno set. */
static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

static void
on_drain(void *arg)
{
	struct pst_upstream *up = arg;

	up->callbacks->drain(up->arg);
}

static int
set_up(struct pst_upstream *up)
{
	static const struct pst_session_callbacks callbacks = {
	    .data = pst_upstream_on_data,
	    .end = pst_upstream_on_end,
	    .credit = pst_upstream_on_credit,
	    .file = pst_upstream_on_file,
	    .memory = on_memory,
	    .shared = pst_upstream_on_shared,
	    .trailer = pst_upstream_on_trailer,
	    .usage = pst_upstream_on_usage,
	    .drain = on_drain,
	    .message = pst_upstream_on_message,
	    .closed = pst_upstream_on_closed,
	    .value = on_value,
	};
	struct event_base *base = pst_loop_base(up->loop);
	struct pst_session_limits limits = PST_SESSION_DEFAULT_LIMITS;

	limits.requests = UINT16_MAX;
	up->session = pst_session_new_client(&callbacks, &limits, up);
	up->readable = event_new(base, up->fd, EV_READ | EV_PERSIST, on_readable, up);
	up->writable = event_new(base, up->fd, EV_WRITE, on_writable, up);
	if (up->session == NULL || up->readable == NULL || up->writable == NULL ||
	    ask_values(up) != PST_OK || event_add(up->readable, NULL) == -1) {
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

static void
free_kept(struct pst_upstream *up)
{
	pst_task_cancel(&up->flush);
	pst_session_free(up->session);
	if (up->readable != NULL)
		event_free(up->readable);
	if (up->writable != NULL)
		event_free(up->writable);
	if (up->fd != -1)
		close(up->fd);
	pst_page_unmap(&up->page);
	pst_lane_unmap(&up->lane);
	free(up);
}

static void
leave_kept(struct pst_upstream *up)
{
	event_active(up->readable, EV_READ, 0);
}

void
pst_upstream_init(struct pst_upstream *up, const struct pst_upstream_kind *kind,
    struct pst_loop *loop, struct pst_upstream_deadlines *deadlines, const char *worker,
    const struct pst_upstream_callbacks *callbacks, void *arg)
{
	up->kind = kind;
	up->state = PST_UPSTREAM_CONNECTED;
	up->fd = -1;
	up->loop = loop;
	up->deadlines = deadlines;
	up->callbacks = callbacks;
	up->arg = arg;
	snprintf(up->worker, sizeof(up->worker), "%s", worker);
	TAILQ_INIT(&up->jobs);
	TAILQ_INIT(&up->recalled);
	TAILQ_INIT(&up->supplies);
	pst_task_init(&up->flush, on_flush, up);
}

struct pst_upstream *
pst_upstream_new(struct pst_loop *loop, struct pst_upstream_deadlines *deadlines,
    const char *worker, const char *path, const struct pst_upstream_callbacks *callbacks, void *arg)
{
	static const struct pst_upstream_kind kept = {
	    .give = pst_upstream_give_kept,
	    .abort = pst_upstream_abort_kept,
	    .lost = lose,
	    .leave = leave_kept,
	    .free = free_kept,
	};
	struct pst_upstream *up = calloc(1, sizeof(*up));

	if (up == NULL)
		return NULL;
	pst_upstream_init(up, &kept, loop, deadlines, worker, callbacks, arg);
	up->fd = connect_to(path);
	if (up->fd == -1 || set_up(up) == -1) {
		int err = errno;

		pst_upstream_free(up);
		errno = err;
		return NULL;
	}
	pst_deadline_arm(&up->handshake, &deadlines->handshake);
	pst_loop_defer(loop, &up->flush);
	return up;
}

void
pst_upstream_free(struct pst_upstream *up)
{
	if (up == NULL)
		return;
	/* Nobody is told any more, except the owners of jobs. */
	if (up->state != PST_UPSTREAM_LOST)
		pst_upstream_set_state(up, PST_UPSTREAM_LOST);
	up->kind->free(up);
}

void
pst_upstream_leave(struct pst_upstream *up)
{
	if (up->state == PST_UPSTREAM_LEAVING || up->state == PST_UPSTREAM_LOST)
		return;
	pst_upstream_set_state(up, PST_UPSTREAM_LEAVING);
	up->kind->leave(up);
}

void
pst_upstream_let_go(struct pst_upstream *up)
{
	if (up->kind->let_go != NULL)
		up->kind->let_go(up);
}

struct pst_job *
pst_upstream_job(const struct pst_upstream *up)
{
	return TAILQ_FIRST(&up->jobs);
}

const char *
pst_upstream_worker(const struct pst_upstream *up)
{
	return up->worker;
}
