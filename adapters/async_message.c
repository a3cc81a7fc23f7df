#include "adapters/async_message.h"

#include "adapters/async_link.h"
#include "adapters/async_request.h"
#include "adapters/head.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/*
 *	| length | flags | bytes ... | length | flags | bytes ...
 *	^ start of the buffer
 */
struct piece {
	uint32_t n;
	uint32_t flags;
};

/* --- the buffers --- */

void
pst_async_messages_clear(struct pst_async_messages *messages)
{
	pst_buf_free(&messages->in);
	pst_buf_free(&messages->out);
	memset(messages, 0, sizeof(*messages));
}

static int
add_piece(struct pst_buf *buf, unsigned flags, const void *bytes, size_t n)
{
	struct piece piece = {.n = (uint32_t)n, .flags = flags};
	unsigned char *to = pst_buf_reserve(buf, sizeof(piece) + n);

	if (!to)
		return -1;
	memcpy(to, &piece, sizeof(piece));
	if (n > 0)
		memcpy(to + sizeof(piece), bytes, n);
	pst_buf_commit(buf, sizeof(piece) + n);
	return 0;
}

/* The piece in front: its bytes follow it. False: there is none. */
static bool
first_piece(const struct pst_buf *buf, struct piece *piece, const unsigned char **bytes)
{
	if (pst_buf_length(buf) == 0)
		return false;
	memcpy(piece, pst_buf_bytes(buf), sizeof(*piece));
	*bytes = pst_buf_bytes(buf) + sizeof(*piece);
	return true;
}

/* N bytes of PIECE, which is in front, are done; what remains of it stands in front then. True:
 * nothing does. */
static bool
take_bytes(struct pst_buf *buf, const struct piece *piece, size_t n)
{
	struct piece rest = {.n = piece->n - (uint32_t)n, .flags = piece->flags};

	if (rest.n == 0) {
		pst_buf_consume(buf, sizeof(rest) + n);
		return true;
	}
	pst_buf_consume(buf, n);
	memcpy(pst_buf_bytes(buf), &rest, sizeof(rest));
	return false;
}

static void
set_close(struct pst_async_close *close, unsigned code, const char *reason, size_t n)
{
	assert(n <= PST_ASYNC_REASON);
	close->is_set = true;
	close->code = code;
	close->n = n;
	if (n > 0)
		memcpy(close->reason, reason, n);
	close->reason[n] = '\0';
}

/* --- what comes in --- */

/* The plugin has it, and wants messages. */
static bool
takes_messages(const struct pst_async_request *request)
{
	return request->state == PST_ASYNC_RUNNING && !request->base.gone;
}

static void
give_up(struct pst_async_request *request, const char *why)
{
	pst_async_request_log(request, why);
	pst_async_request_abort(request, PST_ABORT_CLIENT);
}

void
pst_async_message_came(
    struct pst_async_request *request, unsigned flags, const void *bytes, size_t n)
{
	struct pst_async_messages *messages = &request->messages;

	if (!takes_messages(request))
		return;
	if (++messages->pieces > PST_ASYNC_PIECES) {
		give_up(request, "too many messages wait to be read by the application");
		return;
	}
	if (add_piece(&messages->in, flags, bytes, n) < 0) {
		give_up(request, "memory is short for a message");
		return;
	}
	pst_async_request_arrived(request);
}

void
pst_async_message_closed(
    struct pst_async_request *request, unsigned code, const char *reason, size_t n)
{
	if (!takes_messages(request))
		return;
	set_close(&request->messages.closed, code, reason, n);
	pst_async_request_arrived(request);
}

/* --- what goes out --- */

bool
pst_async_message_waits(const struct pst_async_request *request)
{
	const struct pst_async_messages *messages = &request->messages;

	return pst_buf_length(&messages->out) > 0 ||
	       (messages->closing.is_set && !messages->close_sent);
}

/* N bytes of PIECE go to the session; without memory the connection cannot go on. */
static void
submit(struct pst_async_request *request, unsigned flags, const void *bytes, size_t n)
{
	struct pst_async_link *link = request->link;

	if (pst_session_submit_message(link->session, request->base.id, flags, bytes, n) < 0)
		link->failed = true;
	pst_async_link_attend(link);
}

/* False: no more of what waits can go now. */
static bool
pass_piece(struct pst_async_request *request)
{
	struct pst_buf *out = &request->messages.out;
	size_t allowed = pst_async_request_allowance(request);
	const unsigned char *bytes;
	struct piece piece;
	unsigned flags;

	if (!first_piece(out, &piece, &bytes) || (piece.n > 0 && allowed == 0))
		return false;
	flags = piece.n > allowed ? piece.flags & ~(unsigned)PST_MESSAGE_END : piece.flags;
	if (allowed > piece.n)
		allowed = piece.n;
	submit(request, flags, bytes, allowed);
	take_bytes(out, &piece, allowed);
	return true;
}

void
pst_async_message_pass(struct pst_async_request *request)
{
	struct pst_async_messages *messages = &request->messages;
	struct pst_async_link *link = request->link;
	const struct pst_async_close *closing = &messages->closing;

	while (pass_piece(request))
		;
	if (!closing->is_set || messages->close_sent || pst_buf_length(&messages->out) > 0)
		return;
	messages->close_sent = true;
	if (pst_session_submit_close(
		link->session, request->base.id, closing->code, closing->reason, closing->n) < 0)
		link->failed = true;
	pst_async_link_attend(link);
}

/* --- what the plugin calls --- */

int
pst_async_message_upgrade(struct pst_request *base, const struct pst_field *fields, size_t count)
{
	struct pst_async_request *request = pst_async_request_of(base);
	int result = pst_request_check_upgrade(base);

	if (result < 0)
		return result;
	result = pst_head_append_upgrade(
	    &base->gather, "messages", fields, count, base->reason, sizeof(base->reason));
	if (result < 0)
		return result;
	base->state = PST_RESPONSE_GATHERED;
	request->messages.upgraded = true;
	pst_async_request_touch(request);
	return 0;
}

/* What read_message(), send_message() and close() have in common. */
static int
check_upgraded(struct pst_async_request *request)
{
	struct pst_request *base = &request->base;

	if (!request->messages.upgraded)
		return pst_request_fail(base, PST_RESULT_STATE, "it was not upgraded");
	if (base->gone)
		return pst_request_fail(base, PST_RESULT_GONE, "the client is gone");
	return 0;
}

static int
check_open(struct pst_async_request *request)
{
	int result = check_upgraded(request);

	if (result == 0 && request->messages.closing.is_set)
		return pst_request_fail(&request->base, PST_RESULT_STATE, "it was closed");
	return result;
}

ssize_t
pst_async_message_read(struct pst_request *base, void *bytes, size_t n, unsigned *flags)
{
	struct pst_async_request *request = pst_async_request_of(base);
	struct pst_async_messages *messages = &request->messages;
	int result = check_upgraded(request);
	const unsigned char *from;
	struct piece piece;

	*flags = 0;
	if (result < 0)
		return result;
	if (!first_piece(&messages->in, &piece, &from)) {
		if (messages->closed.is_set) {
			*flags = PST_MESSAGE_CLOSED;
			return 0;
		}
		request->wants_read = true;
		return pst_request_fail(base, PST_RESULT_AGAIN, "nothing has come yet");
	}
	if (n > piece.n)
		n = piece.n;
	if (n > 0)
		memcpy(bytes, from, n);
	*flags = piece.flags;
	if (n < piece.n)
		*flags &= ~(unsigned)PST_MESSAGE_END;
	if (take_bytes(&messages->in, &piece, n))
		messages->pieces--;
	pst_async_request_was_read(request, n);
	return (ssize_t)n;
}

int
pst_async_message_send(struct pst_request *base, unsigned flags, const void *bytes, size_t n)
{
	struct pst_async_request *request = pst_async_request_of(base);
	struct pst_async_messages *messages = &request->messages;
	unsigned kind = flags & PST_MESSAGE_BINARY;
	int result = check_open(request);

	if (result < 0)
		return result;
	if (n > PST_WRITE_MAX || (flags & ~(unsigned)(PST_MESSAGE_BINARY | PST_MESSAGE_END)))
		return pst_request_fail(base, PST_RESULT_INVALID,
		    "%zu bytes with flags %u: at most %d, and BINARY and END", n, flags,
		    PST_WRITE_MAX);
	if (messages->within && kind != messages->kind)
		return pst_request_fail(
		    base, PST_RESULT_INVALID, "a piece of another kind than its message");
	if (pst_buf_length(&messages->out) >= PST_ASYNC_GATHER) {
		request->wants_write = true;
		return pst_request_fail(base, PST_RESULT_AGAIN, "the client's side is behind");
	}
	if (n == 0 && !(flags & PST_MESSAGE_END))
		return 0;
	if (add_piece(&messages->out, flags, bytes, n) < 0)
		return pst_request_fail(base, PST_RESULT_ERROR, "memory is short");
	messages->within = !(flags & PST_MESSAGE_END);
	messages->kind = kind;
	pst_async_request_touch(request);
	return 0;
}

unsigned
pst_async_message_close_code(struct pst_request *base, const char **reason, size_t *n)
{
	const struct pst_async_close *closed = &pst_async_request_of(base)->messages.closed;

	*reason = closed->reason;
	*n = closed->n;
	return closed->is_set ? closed->code : 1006;
}

/* RFC 6455, 7.4: those that may be sent; 1005 is how to send none. */
static bool
is_code(unsigned code)
{
	return code >= 1000 && code <= 4999 && code != 1004 && code != 1006 && code != 1015;
}

int
pst_async_message_close(struct pst_request *base, unsigned code, const char *reason, size_t n)
{
	struct pst_async_request *request = pst_async_request_of(base);
	int result = check_open(request);

	if (result < 0)
		return result;
	if (!is_code(code))
		return pst_request_fail(
		    base, PST_RESULT_INVALID, "%u cannot be a close's code", code);
	if (n > PST_ASYNC_REASON)
		return pst_request_fail(base, PST_RESULT_INVALID,
		    "a close's reason has %d bytes at most, not %zu", PST_ASYNC_REASON, n);
	set_close(&request->messages.closing, code, reason, n);
	pst_async_request_touch(request);
	return 0;
}
