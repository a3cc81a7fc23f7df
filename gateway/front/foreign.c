#include "gateway/front/foreign.h"

#include "gateway/front/container.h"
#include "gateway/front/upstream_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

/* Header and body of BEGIN_REQUEST (FastCGI 1.0, 5.1). */
#define BEGIN_LENGTH 16
/* A job that so many connections were closed on, unread, fails. */
#define UNTAKEN_MAX 3

enum phase {
	CLOSED,
	CONNECTING,
	OFFERED,
	OPEN,
	KEPT,
};

struct foreign {
	struct pst_upstream up;
	enum phase phase;
	struct pst_remote_address address;
	struct event *progress; /* while CONNECTING and OFFERED, edge-triggered */
	bool keeps; /* a connection is kept after its job */
	bool clean; /* the last job has left nothing behind on it */
	struct pst_task hang_up;
};

static struct foreign *
foreign_of(struct pst_upstream *up)
{
	return PST_CONTAINER(up, struct foreign, up);
}

/* From each phase, the phases that may follow. */
static const unsigned allowed[] = {
    [CLOSED] = 1u << CONNECTING,
    [CONNECTING] = 1u << OFFERED | 1u << CLOSED,
    [OFFERED] = 1u << OPEN | 1u << CLOSED,
    [OPEN] = 1u << KEPT | 1u << CLOSED,
    [KEPT] = 1u << OPEN | 1u << OFFERED | 1u << CLOSED,
};

static void
set_phase(struct foreign *f, enum phase phase)
{
	assert(allowed[f->phase] & 1u << phase);
	f->phase = phase;
	if (phase != CONNECTING)
		pst_deadline_cancel(&f->up.handshake);
}

/* --- the end of a connection --- */

static void
free_event(struct event **event)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
}

/* Free all of the connection. Not within a callback of the session. */
static void
drop_connection(struct foreign *f)
{
	struct pst_upstream *up = &f->up;

	pst_task_cancel(&f->hang_up);
	pst_task_cancel(&up->flush);
	free_event(&f->progress);
	free_event(&up->readable);
	free_event(&up->writable);
	pst_session_free(up->session);
	up->session = NULL;
	if (up->fd != -1)
		close(up->fd);
	up->fd = -1;
	up->reason[0] = '\0';
	up->repeats = false;
	f->clean = false;
	set_phase(f, CLOSED);
}

/* The same, and it has no job any more. */
static void
close_connection(struct foreign *f)
{
	struct pst_upstream *up = &f->up;

	assert(TAILQ_EMPTY(&up->jobs));
	drop_connection(f);
	if (up->state == PST_UPSTREAM_LEAVING) {
		pst_upstream_set_state(up, PST_UPSTREAM_LOST);
		up->callbacks->lost(up->arg, "its process has exited");
	}
}

/* The connection is over for REASON: its job is lost, or unseen. */
static void
end_connection(struct pst_upstream *up, const char *reason)
{
	struct foreign *f = foreign_of(up);
	struct pst_job *job = TAILQ_FIRST(&up->jobs);

	if (reason != up->reason)
		snprintf(up->reason, sizeof(up->reason), "%s", reason);
	/* Nobody read it; but who goes on closing connections is not asked for ever. */
	if (f->phase != CONNECTING && job != NULL && job->state == PST_JOB_GIVEN &&
	    ++job->untaken >= UNTAKEN_MAX)
		pst_job_set_state(job, PST_JOB_STARTED);
	pst_session_close(up->session);
	close_connection(f);
}

static void
on_hang_up(void *arg)
{
	struct foreign *f = arg;

	end_connection(&f->up, "it was aborted");
}

/* --- a connection that is open --- */

/* What is left of a body that the server did not wait for would come before the next request. */
static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pst_upstream *up = arg;
	const struct pst_job *job = TAILQ_FIRST(&up->jobs);

	foreign_of(up)->clean = end == PST_END_COMPLETE && job != NULL && job->body_sent &&
				job->state != PST_JOB_ABORTED;
	pst_upstream_on_end(arg, id, end, app_status);
}

/* Its job is over. */
static void
settle(struct foreign *f)
{
	struct pst_upstream *up = &f->up;

	if (!f->keeps || !f->clean || up->state != PST_UPSTREAM_OPEN ||
	    pst_session_want_write(up->session) ||
	    (!event_pending(up->readable, EV_READ, NULL) && event_add(up->readable, NULL) == -1)) {
		close_connection(f);
		return;
	}
	up->repeats = false;
	f->clean = false;
	set_phase(f, KEPT);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct foreign *f = arg;

	(void)fd;
	(void)what;
	if (f->phase == KEPT) {
		/* The server has closed it, or says what nobody has asked for. */
		close_connection(f);
		return;
	}
	if (f->phase != OPEN)
		return;
	pst_upstream_read(&f->up);
	if (f->phase == OPEN && TAILQ_EMPTY(&f->up.jobs))
		settle(f);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct foreign *f = arg;

	(void)fd;
	(void)what;
	pst_loop_defer(f->up.loop, &f->up.flush);
}

/* The server has taken the connection: all that there is to send may be sent. */
static void
open_connection(struct foreign *f)
{
	struct pst_upstream *up = &f->up;
	struct event_base *base = pst_loop_base(up->loop);

	free_event(&f->progress);
	up->readable = event_new(base, up->fd, EV_READ | EV_PERSIST, on_readable, f);
	up->writable = event_new(base, up->fd, EV_WRITE, on_writable, f);
	if (up->readable == NULL || up->writable == NULL || event_add(up->readable, NULL) == -1) {
		end_connection(up, "memory is short");
		return;
	}
	set_phase(f, OPEN);
	pst_loop_defer(up->loop, &up->flush);
}

/* --- until then --- */

/*
 * True when the peer has read all that was sent. Unread bytes count with what the kernel needs to
 * keep them, hundreds; 1 is left for a moment while the last are given back.
 */
static bool
was_read(const struct foreign *f)
{
	int unread;

	if (f->address.socket.ss_family != AF_UNIX)
		return true;
	return ioctl(f->up.fd, SIOCOUTQ, &unread) == -1 || unread <= 1;
}

/* The peer will write nothing more; then it is not going to read either. */
static bool
has_ended(const struct foreign *f)
{
	char byte;
	ssize_t n = recv(f->up.fd, &byte, 1, MSG_PEEK);

	return n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
}

static void
offer(struct foreign *f)
{
	struct pst_upstream *up = &f->up;
	const void *bytes;
	ssize_t n;

	up->callbacks->reached(up->arg);
	set_phase(f, OFFERED);
	if (pst_session_send(up->session, &bytes) >= BEGIN_LENGTH) {
		/* An error is seen again when more is sent. */
		n = send(up->fd, bytes, BEGIN_LENGTH, MSG_NOSIGNAL);
		if (n > 0)
			pst_session_sent(up->session, (size_t)n);
	}
	if (was_read(f))
		open_connection(f);
}

static void
fail_to_connect(struct foreign *f, int err)
{
	struct pst_upstream *up = &f->up;
	/* EAGAIN: of a unix socket, the backlog. What else is a want of ours passes, too. */
	bool full = err == EAGAIN || err == EADDRNOTAVAIL || err == EMFILE || err == ENFILE ||
		    err == ENOBUFS || err == ENOMEM;

	end_connection(up, "it cannot be connected to");
	up->callbacks->unreachable(
	    up->arg, full, err == EAGAIN ? "its backlog is full" : strerror(err));
}

static void
on_progress(evutil_socket_t fd, short what, void *arg)
{
	struct foreign *f = arg;
	int err = 0;
	socklen_t length = sizeof(err);

	if (f->phase == OFFERED) {
		if (was_read(f))
			open_connection(f);
		else if (what & EV_READ && has_ended(f))
			end_connection(&f->up, "it closed the connection without reading from it");
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length) == -1)
		err = errno;
	if (err != 0)
		fail_to_connect(f, err);
	else
		offer(f);
}

void
pst_foreign_connect_passed(struct pst_deadline *deadline)
{
	struct pst_upstream *up = PST_CONTAINER(deadline, struct pst_upstream, handshake);

	fail_to_connect(foreign_of(up), ETIMEDOUT);
}

/* --- a job --- */

/* Watch how far it has come: 0, or -1 without memory. */
static int
watch_progress(struct foreign *f)
{
	f->progress = event_new(pst_loop_base(f->up.loop), f->up.fd,
	    EV_READ | EV_WRITE | EV_ET | EV_PERSIST, on_progress, f);
	return f->progress == NULL || event_add(f->progress, NULL) == -1 ? -1 : 0;
}

/* 0, EINPROGRESS, or why not. */
static int
start_connecting(struct foreign *f)
{
	struct pst_upstream *up = &f->up;
	int family = f->address.socket.ss_family;
	int on = 1;

	up->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (up->fd == -1)
		return errno;
	if (family != AF_UNIX)
		(void)setsockopt(up->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(up->fd, (struct sockaddr *)&f->address.socket, f->address.length) == -1 &&
	    errno != EINPROGRESS)
		return errno;
	if (watch_progress(f) == -1)
		return ENOMEM;
	return family == AF_UNIX ? 0 : EINPROGRESS;
}

static void
connect_to(struct foreign *f)
{
	struct pst_upstream *up = &f->up;
	int err = start_connecting(f);

	if (err == 0)
		offer(f);
	else if (err == EINPROGRESS)
		pst_deadline_arm(&up->handshake, &up->deadlines->connect);
	else
		fail_to_connect(f, err);
}

static void
give_fresh(struct foreign *f, struct pst_job *job)
{
	static const struct pst_session_callbacks callbacks = {
	    .data = pst_upstream_on_data, .end = on_end};
	struct pst_upstream *up = &f->up;

	set_phase(f, CONNECTING);
	up->session = pst_session_new_client(&callbacks, NULL, up);
	if (pst_upstream_begin(up, job, f->keeps))
		connect_to(f);
	else if (TAILQ_EMPTY(&up->jobs))
		close_connection(f);
}

/* All is sent at once: if the server closes before it answers, the job is given again. */
static void
give_repeatable(struct foreign *f, struct pst_job *job)
{
	struct pst_upstream *up = &f->up;

	set_phase(f, OPEN);
	up->repeats = true;
	if (pst_upstream_begin(up, job, true)) {
		up->unwritten = NULL;
		pst_loop_defer(up->loop, &up->flush);
	} else if (TAILQ_EMPTY(&up->jobs)) {
		close_connection(f);
	}
}

/* As on a connection that is new: the server may have closed it, or be about to. */
static void
give_carefully(struct foreign *f, struct pst_job *job)
{
	struct pst_upstream *up = &f->up;

	free_event(&up->readable);
	free_event(&up->writable);
	if (!pst_upstream_begin(up, job, true)) {
		if (TAILQ_EMPTY(&up->jobs))
			close_connection(f);
	} else if (watch_progress(f) == 0) {
		offer(f);
	} else {
		end_connection(up, "memory is short");
	}
}

/* One that was sent in vain gets a connection of its own, as does one of which nobody tells over
 * TCP whether it was read, and that must not be run twice. */
static bool
suits(const struct foreign *f, const struct pst_job *job)
{
	return job->untaken == 0 && (job->idempotent || f->address.socket.ss_family == AF_UNIX);
}

static void
give(struct pst_upstream *up, struct pst_job *job)
{
	struct foreign *f = foreign_of(up);

	if (f->phase == KEPT && !suits(f, job))
		drop_connection(f);
	if (f->phase != KEPT)
		give_fresh(f, job);
	else if (job->idempotent)
		give_repeatable(f, job);
	else
		give_carefully(f, job);
}

static void
abort_job(struct pst_upstream *up, struct pst_job *job)
{
	(void)job;
	pst_loop_defer(up->loop, &foreign_of(up)->hang_up);
}

/* --- life --- */

static void
leave(struct pst_upstream *up)
{
	struct foreign *f = foreign_of(up);

	switch (f->phase) {
	case CLOSED:
		pst_upstream_set_state(up, PST_UPSTREAM_LOST);
		up->callbacks->lost(up->arg, "its process has exited");
		break;
	case CONNECTING:
	case OFFERED: end_connection(up, "its process has exited"); break;
	case OPEN: event_active(up->readable, EV_READ, 0); break;
	case KEPT: close_connection(f); break;
	}
}

static void
let_go(struct pst_upstream *up)
{
	struct foreign *f = foreign_of(up);

	f->keeps = false;
	if (f->phase == KEPT)
		close_connection(f);
}

static void
free_foreign(struct pst_upstream *up)
{
	struct foreign *f = foreign_of(up);

	if (f->phase != CLOSED) {
		pst_session_close(up->session);
		close_connection(f);
	}
	free(f);
}

struct pst_upstream *
pst_foreign_new(struct pst_loop *loop, struct pst_upstream_deadlines *deadlines, const char *worker,
    const struct pst_remote_address *address, bool keeps,
    const struct pst_upstream_callbacks *callbacks, void *arg)
{
	static const struct pst_upstream_kind kind = {
	    .give = give,
	    .abort = abort_job,
	    .lost = end_connection,
	    .leave = leave,
	    .let_go = let_go,
	    .free = free_foreign,
	};
	struct foreign *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	pst_upstream_init(&f->up, &kind, loop, deadlines, worker, callbacks, arg);
	pst_upstream_set_state(&f->up, PST_UPSTREAM_OPEN);
	f->address = *address;
	f->keeps = keeps;
	pst_task_init(&f->hang_up, on_hang_up, f);
	return &f->up;
}
