/* What goes out for a request: see async_request.h. */
#include "adapters/async_link.h"
#include "adapters/async_request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Smaller files are copied. */
#define FILE_WHOLE 32768

/* --- at the end of the turn --- */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t
pst_async_request_allowance(const struct pst_async_request *request)
{
	return least(pst_session_credit(request->link->session, request->base.id),
	    pst_async_link_room(request->link));
}

/* Submit N bytes; without memory the connection cannot go on. */
static void
submit(struct pst_async_request *request, const void *bytes, size_t n)
{
	struct pst_async_link *link = request->link;

	if (pst_session_submit_data(link->session, request->base.id, PST_STREAM_STDOUT, bytes, n) <
	    0)
		link->failed = true;
	pst_async_link_attend(link);
}

/* The same by shared memory, if it takes them. */
static bool
share(struct pst_async_request *request, const void *bytes, size_t n)
{
	struct pst_async_link *link = request->link;
	int shared = pst_share_bytes(&link->share, link->session, request->base.id, bytes, n);

	if (shared < 0)
		link->failed = true;
	pst_async_link_attend(link);
	return shared != 0;
}

/* Hand on what has gathered as far as that goes. */
static void
pass_gathered(struct pst_async_request *request)
{
	struct pst_request *base = &request->base;
	size_t n = least(pst_buf_length(&base->gather), pst_async_request_allowance(request));

	if (n == 0)
		return;
	if (base->state == PST_RESPONSE_GATHERED)
		base->state = PST_RESPONSE_SENT;
	while (n > 0) {
		size_t piece = least(n, PST_SHARE_PIECE);

		if (!request->headed || !share(request, pst_buf_bytes(&base->gather), piece))
			submit(request, pst_buf_bytes(&base->gather), piece);
		pst_buf_consume(&base->gather, piece);
		n -= piece;
	}
	request->headed = base->state == PST_RESPONSE_SENT && !base->upgraded &&
			  pst_buf_length(&base->gather) == 0;
}

static void
fail_file(struct pst_async_request *request, int err)
{
	char text[160];

	snprintf(text, sizeof(text), "%s%s: the client sees the response cut off",
	    err ? "reading the file that is sent: " : "the file became shorter while it was sent",
	    err ? strerror(err) : "");
	pst_request_error(&request->base, text, strlen(text));
	request->base.spoilt = true;
	pst_async_request_close_file(request);
}

/* To a gateway of ours, files that are not small go as descriptors. */
static bool
goes_whole(const struct pst_async_request *request)
{
	return request->file.left >= FILE_WHOLE && pst_session_files(request->link->session);
}

static void
pass_whole_file(struct pst_async_request *request)
{
	struct pst_async_file *file = &request->file;
	const struct pst_session_file whole = {
	    .fd = file->fd, .offset = (uint64_t)file->offset, .length = file->left};

	if (pst_async_request_allowance(request) < PST_SESSION_FILE_COST)
		return;
	if (pst_session_submit_file(
		request->link->session, request->base.id, PST_STREAM_STDOUT, &whole) < 0) {
		request->link->failed = true;
		return;
	}
	file->fd = -1; /* the session's */
	file->left = 0;
	pst_async_link_attend(request->link);
}

/* Hand on a piece of the file. */
static void
pass_file(struct pst_async_request *request)
{
	struct pst_async_file *file = &request->file;
	unsigned char *bytes = request->core->bytes;
	size_t n = least(
	    least(file->left, pst_async_request_allowance(request)), sizeof(request->core->bytes));
	ssize_t got;

	if (n == 0)
		return;
	do
		got = pread(file->fd, bytes, n, file->offset);
	while (got < 0 && errno == EINTR);
	if (got <= 0) {
		fail_file(request, got < 0 ? errno : 0);
		return;
	}
	submit(request, bytes, (size_t)got);
	file->offset += got;
	file->left -= (size_t)got;
	if (file->left == 0)
		pst_async_request_close_file(request);
}

static bool
has_output(const struct pst_async_request *request)
{
	return pst_buf_length(&request->base.gather) > 0 || request->file.left > 0 ||
	       pst_async_message_waits(request);
}

/* The response is complete, long before its request: its client need not wait for that. */
static void
end_output(struct pst_async_request *request)
{
	struct pst_session *session = request->link->session;

	if (request->ended || request->base.spoilt)
		return;
	request->ended = true;
	if (pst_request_submit_trailers(&request->base, session) < 0 ||
	    pst_session_submit_data(session, request->base.id, PST_STREAM_STDOUT, NULL, 0) < 0)
		request->link->failed = true;
}

enum pst_async_pump
pst_async_request_pump(struct pst_async_request *request)
{
	struct pst_async_link *link = request->link;

	if (request->base.gone)
		return request->state == PST_ASYNC_FINISHED ? PST_ASYNC_PUMP_OVER
							    : PST_ASYNC_PUMP_IDLE;
	pass_gathered(request);
	if (pst_buf_length(&request->base.gather) == 0) {
		if (goes_whole(request))
			pass_whole_file(request);
		else if (request->file.left > 0)
			pass_file(request);
		else if (request->messages.upgraded)
			pst_async_message_pass(request);
	}
	if (!has_output(request) && request->state == PST_ASYNC_FINISHED)
		return PST_ASYNC_PUMP_OVER;
	if (!has_output(request) && request->base.complete)
		end_output(request);
	if (has_output(request) && pst_session_credit(link->session, request->base.id) > 0)
		return PST_ASYNC_PUMP_MORE;
	return PST_ASYNC_PUMP_IDLE;
}

void
pst_async_request_pumped(struct pst_async_request *request)
{
	if (!request->wants_write || request->state != PST_ASYNC_RUNNING ||
	    request->file.left > 0 ||
	    pst_buf_length(&request->base.gather) > PST_ASYNC_GATHER_LOW ||
	    pst_buf_length(&request->messages.out) > PST_ASYNC_GATHER_LOW)
		return;
	request->wants_write = false;
	pst_async_request_tell_ready(request);
}

/* --- what the plugin calls --- */

/* What write() and send_file() have in common: 0 when more may be added now. */
static int
check_output(struct pst_async_request *request)
{
	struct pst_request *base = &request->base;

	if (request->state != PST_ASYNC_RUNNING)
		return pst_request_fail(base, PST_RESULT_STATE, "it was finished");
	if (base->state == PST_RESPONSE_NONE)
		return pst_request_fail(base, PST_RESULT_STATE, "a body before its head");
	if (base->gone)
		return pst_request_fail(base, PST_RESULT_GONE, "the client is gone");
	if (request->messages.upgraded)
		return pst_request_fail(base, PST_RESULT_STATE, "it was upgraded to messages");
	if (base->trailers.count > 0)
		return pst_request_fail(base, PST_RESULT_STATE, "a body after its trailers");
	if (base->complete)
		return pst_request_fail(base, PST_RESULT_STATE, "the response is complete");
	if (pst_buf_length(&base->gather) < PST_ASYNC_GATHER && request->file.left == 0)
		return 0;
	request->wants_write = true;
	return pst_request_fail(base, PST_RESULT_AGAIN, "the client's side is behind");
}

/* Nothing of the response waits here, and its head has left: what is added may go by shared memory,
 * where it takes no room of the connection. */
static bool
share_at_once(struct pst_async_request *request, const void *bytes, size_t n)
{
	return request->headed && request->link != NULL &&
	       pst_buf_length(&request->base.gather) == 0 && share(request, bytes, n);
}

/* N bytes would only be copied to wait here for credit: better they wait where they are. With so
 * much credit the gateway might wait, too. */
static bool
is_ahead(const struct pst_async_request *request, size_t n)
{
	size_t credit;

	if (!request->headed || request->link == NULL ||
	    !pst_share_works(&request->link->share, request->link->session) ||
	    n < PST_SHARE_LEAST || pst_buf_length(&request->base.gather) > 0)
		return false;
	credit = pst_session_credit(request->link->session, request->base.id);
	return credit < n && credit < PST_SESSION_CREDIT / 2;
}

/* Large pieces are not copied into gather if they can go at once: true when BYTES went. */
static bool
pass_through(struct pst_async_request *request, const void *bytes, size_t n)
{
	pass_gathered(request);
	if (pst_buf_length(&request->base.gather) > 0 || pst_async_request_allowance(request) < n)
		return false;
	submit(request, bytes, n);
	return true;
}

int
pst_async_request_write(struct pst_request *base, const void *bytes, size_t n)
{
	struct pst_async_request *request = pst_async_request_of(base);
	int result;

	if (n > PST_WRITE_MAX)
		return pst_request_fail(base, PST_RESULT_INVALID,
		    "%zu bytes are more than one write() takes (%d)", n, PST_WRITE_MAX);
	if (base->replaced)
		return base->gone ? pst_request_fail(base, PST_RESULT_GONE, "the client is gone")
				  : 0;
	result = check_output(request);
	if (result < 0 || n == 0)
		return result;
	if (share_at_once(request, bytes, n))
		return 0;
	if (is_ahead(request, n)) {
		request->wants_write = true;
		return pst_request_fail(base, PST_RESULT_AGAIN, "the client's side is behind");
	}
	if (pst_buf_length(&base->gather) + n >= PST_REQUEST_GATHER &&
	    pass_through(request, bytes, n))
		return 0;
	if (pst_buf_append(&base->gather, bytes, n) < 0)
		return pst_request_fail(base, PST_RESULT_ERROR, "memory is short");
	pst_async_request_touch(request);
	return 0;
}

int
pst_async_request_flush(struct pst_request *base)
{
	struct pst_async_request *request = pst_async_request_of(base);

	if (base->gone)
		return pst_request_fail(base, PST_RESULT_GONE, "the client is gone");
	if (has_output(request))
		pst_async_request_touch(request);
	return 0;
}

int
pst_async_request_complete(struct pst_request *base)
{
	struct pst_async_request *request = pst_async_request_of(base);

	if (base->state == PST_RESPONSE_NONE || request->messages.upgraded)
		return pst_request_fail(base, PST_RESULT_STATE, "there is no response");
	if (base->gone)
		return pst_request_fail(base, PST_RESULT_GONE, "the client is gone");
	base->complete = true;
	pst_async_request_touch(request);
	return 0;
}

int
pst_async_request_send_file(struct pst_request *base, int fd, off_t offset, size_t length)
{
	struct pst_async_request *request = pst_async_request_of(base);
	int result = base->replaced ? 0 : check_output(request);

	if (base->replaced)
		return 0;
	if (result == 0)
		result = pst_request_check_file(base, fd, offset, length);
	if (result < 0 || length == 0)
		return result;
	request->file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (request->file.fd < 0)
		return pst_request_fail(
		    base, PST_RESULT_ERROR, "descriptor %d: %s", fd, strerror(errno));
	request->file.offset = offset;
	request->file.left = length;
	pst_async_request_touch(request);
	return 0;
}
