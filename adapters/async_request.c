#include "adapters/async_request.h"

#include "adapters/async_link.h"
#include "adapters/log.h"
#include "adapters/serve.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one call hands to the session at a time. */
#define PIECE 65535

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

void
pst_async_request_close_file(struct pst_async_request *request)
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

	pst_async_request_close_file(request);
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

void
pst_async_request_tell_ready(struct pst_async_request *request)
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
	pst_async_request_tell_ready(request);
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
	pst_async_request_close_file(request);
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
		size_t piece = n < PIECE ? n : PIECE;
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
		pst_async_request_close_file(request);
	if (request->outcome != PST_OUTCOME_BROKEN)
		return;
	pst_buf_consume(&base->gather, pst_buf_length(&base->gather));
	pst_async_request_close_file(request);
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
