/* How the request that is handled reaches its client, who waits for nobody else meanwhile. */

#include "adapters/held.h"
#include "adapters/link_internal.h"
#include "adapters/look.h"
#include "adapters/piece.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* What one call of submit() hands to the session at a time. */
#define PIECE 65535

bool
pst_link_can_hold(struct pst_link *link)
{
	struct pst_link_common *common = link->common;

	if (!common->holds)
		return false;
	if (!common->held)
		common->held = pst_held_new();
	common->holds = common->held != NULL;
	if (common->holds)
		pst_held_wake(common->held);
	return common->holds;
}

/* A descriptor, and what follows it, is not held. */
bool
pst_link_give_held(struct pst_link *link)
{
	const void *bytes;
	size_t n = pst_session_send(link->session, &bytes);

	link->given = n > 0 && n == pst_session_pending(link->session) &&
		      pst_session_send_fd(link->session) < 0;
	if (link->given)
		pst_held_give(link->common->held, link->fd, bytes, n);
	return link->given;
}

void
pst_link_take_held(struct pst_link *link)
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
	pst_link_take_held(link);
	pst_link_write(link);
}

/* Wait until the socket can be read, or written if there is something to write. */
static void
wait_socket(struct pst_link *link)
{
	struct pollfd pfd = {.fd = link->fd, .events = pst_link_events(link)};

	if (poll(&pfd, 1, -1) < 0)
		return; /* EINTR: the caller looks and comes again */
	if ((pfd.revents & (POLLIN | POLLHUP | POLLERR)) && pst_link_wants_read(link))
		pst_link_read(link);
}

/*
 * Write until at most KEEP bytes wait. The connection is read as well, so that an ABORT, a lost
 * client, a body and GET_VALUES are seen by an application that only writes.
 */
static int
write_down_to(struct pst_link *link, size_t keep)
{
	const struct pst_request *request = link->running->request;

	pst_link_write(link);
	if (pst_link_wants_read(link) && pst_look_is_due(&link->looked))
		pst_link_read(link);
	while (!request->gone && pst_session_pending(link->session) > keep) {
		wait_socket(link);
		pst_link_write(link);
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
		pst_link_write(link);
		wait_socket(link);
	}
	return credit;
}

static int
submit(
    struct pst_request *request, enum pst_stream stream, bool may_share, const char *at, size_t n)
{
	struct pst_link *link = request->link;

	if (request->finishing)
		pst_link_take_held(link);
	release_held(link);
	while (n > 0) {
		size_t credit = await_credit(link, stream, 1);
		size_t piece = n < PIECE ? n : PIECE;

		if (request->gone)
			return PST_RESULT_GONE;
		if (piece > credit)
			piece = credit;
		if (pst_share_submit(
			&link->share, link->session, request->id, stream, may_share, at, piece) < 0)
			return PST_RESULT_ERROR;
		at += piece;
		n -= piece;
		if (pst_session_pending(link->session) >= PST_LINK_OUT_HIGH &&
		    write_down_to(link, PST_LINK_OUT_HIGH / 2) < 0)
			return PST_RESULT_GONE;
	}
	return 0;
}

static int
carrier_submit(struct pst_request *request, enum pst_stream stream, const void *bytes, size_t n)
{
	return submit(request, stream, false, bytes, n);
}

static int
carrier_share(struct pst_request *request, const void *bytes, size_t n)
{
	return submit(request, PST_STREAM_STDOUT, true, bytes, n);
}

/* What is shared takes little of the socket, so that it hardly ever is full. */
static int
carrier_post(struct pst_request *request, const void *bytes, size_t n)
{
	struct pst_link *link = request->link;
	int shared;

	release_held(link);
	if (pst_session_want_write(link->session))
		return PST_POST_REFUSED;
	shared = pst_share_bytes(&link->share, link->session, request->id, bytes, n);
	if (shared <= 0)
		return shared < 0 ? PST_RESULT_ERROR : PST_POST_REFUSED;
	pst_link_write(link);
	if (pst_link_wants_read(link) && pst_look_is_due(&link->looked))
		pst_link_read(link);
	if (request->gone)
		return PST_RESULT_GONE;
	return pst_session_want_write(link->session) ? PST_POST_TAKEN : PST_POST_SENT;
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
	pst_link_write(link);
	if (pst_link_wants_read(link))
		pst_link_read(link);
	while (link->state == PST_LINK_OPEN && pst_session_external(link->session) > 0) {
		wait_socket(link);
		pst_link_write(link);
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
	pst_link_write(link);
	return request->gone ? PST_RESULT_GONE : 0;
}

static int
carrier_flush(struct pst_request *request)
{
	release_held(request->link);
	return write_down_to(request->link, 0);
}

/* The end of the request is likely to follow at once. */
static int
carrier_flush_soon(struct pst_request *request)
{
	struct pst_link *link = request->link;

	pst_link_take_held(link);
	if (pst_link_can_hold(link) && pst_link_give_held(link))
		return 0;
	return write_down_to(link, 0);
}

static int
carrier_fill(struct pst_request *request)
{
	struct pst_link *link = request->link;

	release_held(link);
	pst_link_write(link);
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
		pst_link_lose(link);
	pst_link_write(link);
}

const struct pst_carrier pst_link_carrier = {
    .submit = carrier_submit,
    .share = carrier_share,
    .post = carrier_post,
    .send_piece = carrier_send_piece,
    .send_descriptor = carrier_send_descriptor,
    .flush = carrier_flush,
    .flush_soon = carrier_flush_soon,
    .fill = carrier_fill,
    .grant = carrier_grant,
};
