#include "adapters/async_request.h"

#include "adapters/async_link.h"
#include "adapters/log.h"
#include "adapters/serve.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one call hands to the session at a time. */
#define PIECE 65535

/* Smaller files are copied. */
#define FILE_WHOLE 32768

/* Requests that are kept for further ones, with their memory. */
#define SPARE_MAX 256
#define KEPT      16384

static const struct pst_carrier carrier;

/* --- life --- */

/* The only place that changes it, and the counts that follow from it. */
static void
set_state(struct pst_async_request *request, enum pst_async_state state)
{
	struct pst_async_core *core = request->core;

	assert(state > request->state);
	if (request->state == PST_ASYNC_RUNNING) {
		TAILQ_REMOVE(&core->open, request, list);
		atomic_fetch_sub(&core->open_count, 1);
	}
	request->state = state;
	if (state == PST_ASYNC_RUNNING) {
		TAILQ_INSERT_TAIL(&core->open, request, list);
		atomic_fetch_add(&core->open_count, 1);
	}
	if (state != PST_ASYNC_ENDED)
		return;
	TAILQ_INSERT_TAIL(&core->buried, request, list);
	pst_async_core_defer(core);
}

static struct pst_async_request *
take_spare(struct pst_async_core *core)
{
	struct pst_async_request *request = TAILQ_FIRST(&core->spare);

	if (!request)
		return calloc(1, sizeof(*request));
	TAILQ_REMOVE(&core->spare, request, list);
	core->spare_count--;
	return request;
}

struct pst_async_request *
pst_async_request_new(struct pst_async_core *core, struct pst_async_link *link, uint16_t id)
{
	struct pst_async_request *request = take_spare(core);

	if (!request)
		return NULL;
	request->core = core;
	request->link = link;
	request->state = PST_ASYNC_ARRIVING;
	request->file.fd = -1;
	request->base.carrier = &carrier;
	request->base.link = link;
	request->base.id = id;
	request->base.penstock = link->penstock;
	link->count++;
	return request;
}

static void
close_file(struct pst_async_request *request)
{
	if (request->file.fd >= 0)
		close(request->file.fd);
	request->file.fd = -1;
	request->file.left = 0;
}

/* A spare request keeps what one of ordinary size needs. */
static void
give_back(struct pst_buf *buf)
{
	if (buf->size > KEPT)
		pst_buf_free(buf);
}

static void
release(struct pst_async_core *core, struct pst_async_request *request)
{
	struct pst_request base;

	close_file(request);
	pst_async_messages_clear(&request->messages);
	if (core->spare_count == SPARE_MAX) {
		pst_request_clear(&request->base);
		free(request);
		return;
	}
	pst_request_reset(&request->base);
	pst_body_clear(&request->base.body, KEPT);
	give_back(&request->base.gather);
	base = request->base;
	memset(request, 0, sizeof(*request));
	request->base = base;
	TAILQ_INSERT_HEAD(&core->spare, request, list);
	core->spare_count++;
}

void
pst_async_request_bury_all(struct pst_async_core *core)
{
	struct pst_async_request *request;

	while ((request = TAILQ_FIRST(&core->buried))) {
		TAILQ_REMOVE(&core->buried, request, list);
		release(core, request);
	}
}

void
pst_async_request_trim(struct pst_async_core *core, unsigned keep)
{
	struct pst_async_request *request;

	while (core->spare_count > keep && (request = TAILQ_FIRST(&core->spare))) {
		TAILQ_REMOVE(&core->spare, request, list);
		core->spare_count--;
		pst_request_clear(&request->base);
		free(request);
	}
}

/* Its connection has nothing to do with it any more. */
static void
detach(struct pst_async_request *request)
{
	struct pst_async_link *link = request->link;

	if (!link)
		return;
	if (request->is_dirty)
		TAILQ_REMOVE(&link->dirty, request, dirty);
	request->is_dirty = false;
	if (request->full)
		link->full--;
	request->full = false;
	link->count--;
	link->heard_all = request->base.body_ended;
	request->link = NULL;
	request->base.link = NULL;
	pst_async_link_attend(link);
}

void
pst_async_request_touch(struct pst_async_request *request)
{
	if (request->link)
		pst_async_link_touch(request->link, request);
}

/* --- what comes in --- */

void
pst_async_request_start(struct pst_async_request *request)
{
	struct pst_async_core *core = request->core;

	pst_request_line(&request->base, &request->line);
	set_state(request, PST_ASYNC_RUNNING);
	if (!request->base.invalid) {
		core->plugin->on_request(core->app, &request->base);
		return;
	}
	pst_serve_refuse(&request->base);
	pst_async_request_finish(&request->base, 0);
}

/* Tell the plugin that it may go on. The request may be over when this returns. */
static void
tell_ready(struct pst_async_request *request)
{
	request->core->plugin->on_ready(request->core->app, &request->base);
}

/* How much of the body waits has changed. */
static void
weigh_body(struct pst_async_request *request)
{
	struct pst_async_link *link = request->link;
	bool full = !pst_request_wants_body(&request->base);

	if (full == request->full || !link)
		return;
	request->full = full;
	link->full += full ? 1 : -1u;
	pst_async_link_attend(link);
}

void
pst_async_request_body(struct pst_async_request *request, const void *bytes, size_t n)
{
	if (request->state > PST_ASYNC_RUNNING || request->base.gone)
		return;
	if (pst_request_on_body(&request->base, bytes, n) < 0) {
		pst_log(PST_LOG_ERROR, "memory is short for a request's body: it is answered as "
				       "if the client had aborted it");
		pst_async_request_abort(request, PST_ABORT_CLIENT);
		return;
	}
	weigh_body(request);
	pst_async_request_arrived(request);
}

void
pst_async_request_body_file(struct pst_async_request *request, const struct pst_session_file *file)
{
	if (request->state > PST_ASYNC_RUNNING || request->base.gone)
		close(file->fd);
	else if (pst_request_on_file(&request->base, file) < 0)
		pst_async_request_abort(request, PST_ABORT_CLIENT);
	else
		pst_async_request_arrived(request);
}

void
pst_async_request_arrived(struct pst_async_request *request)
{
	if (!request->wants_read)
		return;
	request->wants_read = false;
	tell_ready(request);
}

void
pst_async_request_was_read(struct pst_async_request *request, size_t n)
{
	request->base.body_read += n;
	if (request->base.body_read < PST_REQUEST_GRANT)
		return;
	request->base.carrier->grant(&request->base, request->base.body_read);
	request->base.body_read = 0;
}

bool
pst_async_request_abort(struct pst_async_request *request, enum pst_abort why)
{
	bool told = request->told_abort && (why != PST_ABORT_DEADLINE || request->told_late);

	pst_request_on_abort(&request->base);
	request->told_abort = true;
	request->told_late = request->told_late || why == PST_ABORT_DEADLINE;
	if (request->state != PST_ASYNC_RUNNING)
		return true;
	close_file(request);
	if (!told)
		request->core->plugin->on_abort(request->core->app, &request->base, why);
	return false;
}

void
pst_async_request_log(const struct pst_async_request *request, const char *what)
{
	char title[256];

	pst_log_titled(PST_LOG_ERROR, pst_request_title(&request->base, title, sizeof(title)), what,
	    strlen(what));
}

void
pst_async_request_lose(struct pst_async_request *request)
{
	detach(request);
	if (pst_async_request_abort(request, PST_ABORT_CLIENT) && request->state != PST_ASYNC_ENDED)
		set_state(request, PST_ASYNC_ENDED);
}

void
pst_async_request_end(struct pst_async_request *request)
{
	detach(request);
	set_state(request, PST_ASYNC_ENDED);
}

/* --- what goes out --- */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many bytes of the response may be submitted now. */
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
	submit(request, pst_buf_bytes(&base->gather), n);
	pst_buf_consume(&base->gather, n);
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
	close_file(request);
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
		close_file(request);
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
	tell_ready(request);
}

/* --- the carrier --- */

/* STDERR only: it is not held back, but neither may it fill the memory. */
static int
carrier_submit(struct pst_request *base, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_async_link *link = base->link;
	const char *at = bytes;

	assert(stream == PST_STREAM_STDERR);
	if (!link)
		return PST_RESULT_GONE;
	if (n > PST_ASYNC_OUT_HIGH || pst_session_pending(link->session) + n > PST_ASYNC_OUT_MAX)
		return PST_RESULT_ERROR;
	while (n > 0) {
		size_t piece = least(n, PIECE);
		if (pst_session_submit_data(link->session, base->id, stream, at, piece) < 0)
			return PST_RESULT_ERROR;
		at += piece;
		n -= piece;
	}
	pst_async_link_attend(link);
	return 0;
}

static int
carrier_fill(struct pst_request *base)
{
	pst_async_request_of(base)->wants_read = true;
	return PST_RESULT_AGAIN;
}

static void
carrier_grant(struct pst_request *base, size_t n)
{
	struct pst_async_link *link = base->link;

	if (!link)
		return;
	if (pst_session_submit_credit(link->session, base->id, (uint32_t)n) < 0)
		link->failed = true;
	pst_async_link_attend(link);
}

static const struct pst_carrier carrier = {
    .submit = carrier_submit,
    .fill = carrier_fill,
    .grant = carrier_grant,
};

/* --- what the plugin calls --- */

ssize_t
pst_async_request_read(struct pst_request *base, void *bytes, size_t n)
{
	ssize_t got = pst_request_read(base, bytes, n);

	if (got > 0)
		weigh_body(pst_async_request_of(base));
	return got;
}

int
pst_async_request_respond(struct pst_request *base, int status, const char *reason,
    const struct pst_field *fields, size_t count)
{
	struct pst_async_request *request = pst_async_request_of(base);
	int result = pst_request_respond(base, status, reason, fields, count);
	struct pst_sendfile file;

	if (result != PST_RESULT_REPLACED || !pst_request_take_file(base, &file))
		return result;
	request->file.fd = file.fd;
	request->file.offset = file.offset;
	request->file.left = file.length;
	pst_async_request_touch(request);
	return result;
}

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

void
pst_async_request_set_user(struct pst_request *request, void *user)
{
	pst_async_request_of(request)->user = user;
}

void *
pst_async_request_user(const struct pst_request *request)
{
	return ((const struct pst_async_request *)request)->user;
}

/* The plugin has returned: what becomes of the response. */
static void
settle(struct pst_async_request *request, int result)
{
	struct pst_request *base = &request->base;

	bool replaced = base->replaced;

	pst_serve_explain(base, result);
	request->outcome = pst_request_settle(base, result);
	if (replaced && !base->replaced) /* the head was taken back */
		close_file(request);
	if (request->outcome != PST_OUTCOME_BROKEN)
		return;
	pst_buf_consume(&base->gather, pst_buf_length(&base->gather));
	close_file(request);
}

void
pst_async_request_finish(struct pst_request *base, int result)
{
	struct pst_async_request *request = pst_async_request_of(base);

	if (request->state != PST_ASYNC_RUNNING) {
		pst_async_request_log(request, "the plugin finished it a second time: ignored");
		return;
	}
	pst_offer_done(&request->offer, request->core->page, base->id);
	set_state(request, PST_ASYNC_FINISHED);
	request->user = NULL;
	if (!request->link) {
		set_state(request, PST_ASYNC_ENDED);
		return;
	}
	if (base->gone)
		request->outcome = PST_OUTCOME_GONE;
	else
		settle(request, result);
	pst_async_request_touch(request);
}

size_t
pst_async_request_held(const struct pst_async_request *request)
{
	return pst_buf_length(&request->base.body.bytes) + pst_buf_length(&request->base.gather) +
	       pst_buf_length(&request->messages.in) + pst_buf_length(&request->messages.out);
}
