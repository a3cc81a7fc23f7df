#include "gateway/front/upstream.h"

#include "gateway/front/container.h"
#include "gateway/log.h"

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

/* Bytes of bodies that are queued in a session before more are taken from the spool. */
#define BODY_AHEAD 65536
/* Of them, what is taken at a time: half a record. */
#define BODY_PIECE 32768

enum state {
	CONNECTED,
	OPEN,
	LEAVING,
	LOST,
};

struct pst_upstream {
	enum state state;
	int fd;
	struct pst_loop *loop;
	struct pst_session *session;
	struct event *readable;
	struct event *writable; /* pending only while the socket is full */
	struct pst_task flush;
	struct pst_upstream_deadlines *deadlines;
	struct pst_deadline handshake;
	struct pst_job_list jobs;
	unsigned capacity; /* of the answer to GET_VALUES */
	bool multiplexes; /* FCGI_MPXS_CONNS */
	unsigned paused; /* jobs that take no output */
	char reason[160]; /* why it was lost */
	char worker[32];
	const struct pst_upstream_callbacks *callbacks;
	void *arg;
};

/* --- state --- */

/* From each state, the states that may follow. */
static const unsigned allowed[] = {
    [CONNECTED] = 1u << OPEN | 1u << LEAVING | 1u << LOST,
    [OPEN] = 1u << LEAVING | 1u << LOST,
    [LEAVING] = 1u << LOST,
    [LOST] = 0,
};

static void
set_state(struct pst_upstream *up, enum state state)
{
	assert(allowed[up->state] & 1u << state);
	up->state = state;
	if (state != CONNECTED)
		pst_deadline_cancel(&up->handshake);
}

/* The connection is over. Not within a callback of the session. */
static void
lose(struct pst_upstream *up, const char *reason)
{
	if (up->state == LOST)
		return;
	set_state(up, LOST);
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
	lose(up, reason);
}

static void
lose_session(struct pst_upstream *up, int err)
{
	const char *reason = pst_session_reason(up->session);

	lose(up, *reason != '\0' ? reason : pst_error_string(err));
}

/* --- bytes out --- */

/* Queue the next piece of JOB's body: false when the body is sent. */
static bool
feed_piece(struct pst_upstream *up, struct pst_job *job)
{
	unsigned char *piece = pst_loop_scratch(up->loop);
	ssize_t n = 0;

	if (job->body != NULL)
		n = pst_spool_read(job->body, piece, BODY_PIECE);
	if (n < 0 || pst_session_submit_data(
			 up->session, job->id, PST_STREAM_STDIN, piece, (size_t)n) != PST_OK) {
		pst_log_error("worker %s: %s while a request's body was sent: it is aborted",
		    up->worker, n < 0 ? pst_spool_error_string((int)n) : "no memory");
		job->body_sent = true;
		pst_upstream_abort(job);
		return false;
	}
	if (n > 0)
		pst_spool_consume(job->body, (uint64_t)n);
	else
		job->body_sent = true;
	return n > 0;
}

/* Keep the session supplied with bodies; each piece is sent before the next is taken. */
static void
feed(struct pst_upstream *up)
{
	struct pst_job *job;

	TAILQ_FOREACH(job, &up->jobs, link)
	{
		while (!job->body_sent && pst_session_pending(up->session) < BODY_AHEAD)
			feed_piece(up, job);
	}
}

/* Bytes went out: from now on the worker may have seen every job. */
static void
mark_started(struct pst_upstream *up)
{
	struct pst_job *job;

	TAILQ_FOREACH(job, &up->jobs, link)
	{
		if (job->state == PST_JOB_GIVEN)
			pst_job_set_state(job, PST_JOB_STARTED);
	}
}

static void
flush(void *arg)
{
	struct pst_upstream *up = arg;
	const void *bytes;
	size_t length;

	for (;;) {
		feed(up);
		length = pst_session_send(up->session, &bytes);
		if (length == 0)
			return;
		ssize_t n = send(up->fd, bytes, length, MSG_NOSIGNAL);
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
		mark_started(up);
	}
	/* What the worker wrote before it closed is still to be read; EOF then ends it. */
	if (errno != EPIPE && errno != ECONNRESET)
		lose_errno(up, "writing to it failed");
	else
		event_active(up->readable, EV_READ, 0);
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
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_upstream *up = arg;
	unsigned char *bytes = pst_loop_scratch(up->loop);
	ssize_t n;

	(void)what;
	if (up->state == LOST || up->paused > 0)
		return;
	n = read(fd, bytes, PST_LOOP_SCRATCH);
	if (n == 0) {
		lose(up, "it closed the connection");
	} else if (n > 0) {
		int err = pst_session_recv(up->session, bytes, (size_t)n);

		if (err != PST_OK)
			lose_session(up, err);
		else if (up->state == LEAVING)
			event_active(up->readable, EV_READ, 0);
		else if (pst_session_want_write(up->session))
			pst_loop_defer(up->loop, &up->flush);
	} else if (errno == EAGAIN) {
		if (up->state == LEAVING)
			lose(up, "its process has exited");
	} else if (errno != EINTR) {
		lose_errno(up, "reading from it failed");
	}
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
	if (up->state != CONNECTED)
		return;
	if (!up->multiplexes || up->capacity == 0)
		up->capacity = 1;
	set_state(up, OPEN);
	up->callbacks->open(up->arg, up->capacity);
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
}

static int
ask_values(struct pst_upstream *up)
{
	static const char *const names[] = {
	    "FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "PENSTOCK_VERSION"};

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

/* --- jobs --- */

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job == NULL)
		return;
	if (job->state == PST_JOB_STARTED && !job->paused)
		pst_deadline_arm(&job->deadline, &up->deadlines->timeout);
	if (stream == PST_STREAM_STDOUT)
		job->callbacks->output(job, bytes, n);
	else if (n > 0)
		job->callbacks->error(job, bytes, n);
}

/* The job has left the upstream's list; what is to be told is told by the caller. */
static void
detach(struct pst_upstream *up, struct pst_job *job)
{
	pst_deadline_cancel(&job->deadline);
	if (job->paused) {
		job->paused = false;
		up->paused--;
	}
	TAILQ_REMOVE(&up->jobs, job, link);
	job->upstream = NULL;
}

static void
finish(struct pst_upstream *up, struct pst_job *job, enum pst_job_end end, uint32_t app_status,
    const char *reason)
{
	pst_job_set_state(job, PST_JOB_IDLE);
	job->callbacks->over(job, end, app_status, reason);
	if (up->state != LOST)
		up->callbacks->over(up->arg);
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pst_upstream *up = arg;
	struct pst_job *job = pst_session_user(up->session, id);

	if (job == NULL)
		return;
	detach(up, job);
	if (end == PST_END_CONNECTION && job->state == PST_JOB_GIVEN) {
		pst_job_set_state(job, PST_JOB_QUEUED);
		up->callbacks->unseen(up->arg, job);
	} else if (end == PST_END_CONNECTION) {
		finish(up, job, PST_JOB_LOST, 0,
		    up->state == LOST ? up->reason : pst_session_reason(up->session));
	} else if (end == PST_END_COMPLETE) {
		finish(up, job, PST_JOB_COMPLETE, app_status, "");
	} else {
		finish(up, job, PST_JOB_REFUSED, 0, "it refused the request");
	}
}

static void
timeout_passed(struct pst_deadline *deadline)
{
	struct pst_job *job = PST_CONTAINER(deadline, struct pst_job, deadline);
	struct pst_upstream *up = job->upstream;

	job->callbacks->late(job, up->deadlines->timeout.after);
	up->callbacks->late(up->arg);
	if (job->state != PST_JOB_ABORTED)
		pst_upstream_abort(job);
	pst_deadline_arm(deadline, &up->deadlines->grace);
}

static void
grace_passed(struct pst_deadline *deadline)
{
	struct pst_job *job = PST_CONTAINER(deadline, struct pst_job, deadline);

	job->upstream->callbacks->stuck(job->upstream->arg, job);
}

/* Submit the head of JOB: what a failure leaves behind is cleaned up by an abort. */
static int
submit_head(struct pst_upstream *up, struct pst_job *job)
{
	int err;

	pst_session_set_user(up->session, job->id, job);
	err = job->callbacks->start(job, up->session, job->id, up->worker);
	if (err == PST_OK)
		err = pst_session_submit_params_end(up->session, job->id);
	return err;
}

void
pst_upstream_give(struct pst_upstream *up, struct pst_job *job)
{
	int err;

	assert(up->state == OPEN && job->state == PST_JOB_QUEUED);
	pst_job_set_state(job, PST_JOB_GIVEN);
	job->upstream = up;
	job->body_sent = false;
	if (job->body != NULL)
		pst_spool_rewind(job->body);
	TAILQ_INSERT_TAIL(&up->jobs, job, link);
	pst_deadline_arm(&job->deadline, &up->deadlines->timeout);
	err = pst_session_submit_begin(up->session, PST_ROLE_RESPONDER, true, &job->id);
	if (err != PST_OK) {
		detach(up, job);
		finish(up, job, PST_JOB_REFUSED, 0, pst_error_string(err));
		return;
	}
	if (submit_head(up, job) != PST_OK)
		pst_upstream_abort(job);
	pst_loop_defer(up->loop, &up->flush);
}

void
pst_upstream_abort(struct pst_job *job)
{
	struct pst_upstream *up = job->upstream;

	if (job->state == PST_JOB_ABORTED)
		return;
	pst_job_set_state(job, PST_JOB_ABORTED);
	pst_upstream_resume(job);
	job->body_sent = true;
	if (pst_session_submit_abort(up->session, job->id) == PST_OK)
		pst_loop_defer(up->loop, &up->flush);
}

void
pst_upstream_pause(struct pst_job *job)
{
	if (job->paused || job->state == PST_JOB_ABORTED)
		return;
	job->paused = true;
	pst_deadline_cancel(&job->deadline);
	if (job->upstream->paused++ == 0)
		event_del(job->upstream->readable);
}

void
pst_upstream_resume(struct pst_job *job)
{
	struct pst_upstream *up = job->upstream;

	if (!job->paused)
		return;
	job->paused = false;
	pst_deadline_arm(&job->deadline, &up->deadlines->timeout);
	if (--up->paused > 0)
		return;
	event_add(up->readable, NULL);
	if (up->state == LEAVING)
		event_active(up->readable, EV_READ, 0);
}

/* --- life --- */

int
pst_upstream_deadlines_init(
    struct pst_upstream_deadlines *deadlines, struct pst_loop *loop, uint64_t timeout)
{
	memset(deadlines, 0, sizeof(*deadlines));
	if (pst_deadline_list_init(&deadlines->handshake, loop, HANDSHAKE_MS, handshake_passed) ==
		0 &&
	    pst_deadline_list_init(&deadlines->timeout, loop, timeout, timeout_passed) == 0 &&
	    pst_deadline_list_init(&deadlines->grace, loop, GRACE_MS, grace_passed) == 0)
		return 0;
	pst_upstream_deadlines_free(deadlines);
	return -1;
}

void
pst_upstream_deadlines_free(struct pst_upstream_deadlines *deadlines)
{
	pst_deadline_list_free(&deadlines->handshake);
	pst_deadline_list_free(&deadlines->timeout);
	pst_deadline_list_free(&deadlines->grace);
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

static int
set_up(struct pst_upstream *up)
{
	static const struct pst_session_callbacks callbacks = {
	    .data = on_data, .end = on_end, .value = on_value};
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

struct pst_upstream *
pst_upstream_new(struct pst_loop *loop, struct pst_upstream_deadlines *deadlines,
    const char *worker, const char *path, const struct pst_upstream_callbacks *callbacks, void *arg)
{
	struct pst_upstream *up = calloc(1, sizeof(*up));

	if (up == NULL)
		return NULL;
	up->state = CONNECTED;
	up->loop = loop;
	up->deadlines = deadlines;
	up->callbacks = callbacks;
	up->arg = arg;
	snprintf(up->worker, sizeof(up->worker), "%s", worker);
	TAILQ_INIT(&up->jobs);
	pst_task_init(&up->flush, flush, up);
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
	pst_deadline_cancel(&up->handshake);
	pst_task_cancel(&up->flush);
	pst_session_free(up->session);
	if (up->readable != NULL)
		event_free(up->readable);
	if (up->writable != NULL)
		event_free(up->writable);
	if (up->fd != -1)
		close(up->fd);
	free(up);
}

void
pst_upstream_leave(struct pst_upstream *up)
{
	if (up->state == LEAVING || up->state == LOST)
		return;
	set_state(up, LEAVING);
	event_active(up->readable, EV_READ, 0);
}

const char *
pst_upstream_worker(const struct pst_upstream *up)
{
	return up->worker;
}
