#include "adapters/link.h"

#include "adapters/link_internal.h"
#include "adapters/link_values.h"
#include "adapters/log.h"
#include "adapters/piece.h"
#include "protocol/descriptor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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
		link->session = pst_session_new_server(&pst_link_callbacks, &limits, link);
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
	pst_share_free(&link->share);
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
set_state(struct pst_link *link, enum pst_link_state state)
{
	assert(state > link->state);
	link->state = state;
	if (state == PST_LINK_LINGER && shutdown(link->fd, SHUT_WR) < 0)
		link->state = PST_LINK_OVER;
}

void
pst_link_lose(struct pst_link *link)
{
	if (link->state == PST_LINK_OVER)
		return;
	pst_session_close(link->session);
	set_state(link, PST_LINK_OVER);
}

void
pst_link_settle(struct pst_link *link)
{
	if (link->state == PST_LINK_OPEN && !link->running && !pst_link_next_turn(link) &&
	    !pst_session_want_read(link->session) && !pst_session_want_write(link->session))
		set_state(link, link->heard_all ? PST_LINK_OVER : PST_LINK_LINGER);
}

/* A client that knows no credit has one request at a time, whose body it is made to wait with. */
static bool
has_room(const struct pst_link *link)
{
	const struct pst_link_turn *first = TAILQ_FIRST(&link->turns);

	return !first || !first->ready || pst_request_wants_body(first->request);
}

bool
pst_link_wants_read(const struct pst_link *link)
{
	if (link->state == PST_LINK_LINGER)
		return true;
	return link->state == PST_LINK_OPEN && pst_session_want_read(link->session) &&
	       pst_session_pending(link->session) < PST_LINK_OUT_HIGH && has_room(link);
}

short
pst_link_events(const struct pst_link *link)
{
	short events = 0;

	if (pst_link_wants_read(link))
		events |= POLLIN;
	if (link->state == PST_LINK_OPEN && pst_session_want_write(link->session))
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
	return link->state == PST_LINK_LINGER;
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

void
pst_link_read(struct pst_link *link)
{
	struct pst_link_common *common = link->common;
	int fd = -1, err = 0;
	ssize_t n = receive(link, &fd);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		pst_link_lose(link);
		return;
	}
	if (link->state == PST_LINK_LINGER)
		return;
	if (fd >= 0)
		err = pst_session_recv_fd(link->session, fd);
	if (err == 0)
		err = pst_session_recv(link->session, common->bytes, (size_t)n);
	if (err < 0 && err != PST_ERR_CLOSED) {
		pst_log(PST_LOG_ERROR, "a client of the socket was disconnected: %s",
		    pst_session_reason(link->session));
		pst_link_lose(link);
	}
	if (link->failed)
		pst_link_lose(link);
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

void
pst_link_write(struct pst_link *link)
{
	const void *bytes;
	ssize_t done;
	size_t n;

	while (link->state == PST_LINK_OPEN && pst_session_want_write(link->session)) {
		n = pst_session_send(link->session, &bytes);
		if (n > 0)
			done = write_shown(link, bytes, n);
		else
			done = write_external(link, pst_session_external(link->session));
		if (done < 0 && errno == EAGAIN)
			return;
		if (done < 0 && errno != EINTR)
			pst_link_lose(link);
	}
}

void
pst_link_step(struct pst_link *link, short revents)
{
	link->usage_runs = false;
	if ((revents & (POLLIN | POLLHUP | POLLERR)) && pst_link_wants_read(link))
		pst_link_read(link);
	if (link->failed)
		pst_link_lose(link);
	pst_link_write(link);
	pst_link_settle(link);
}
