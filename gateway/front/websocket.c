#include "gateway/front/websocket.h"

#include "gateway/front/utf8.h"
#include "gateway/front/websocket_framer.h"
#include "protocol/error.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A control frame's payload (RFC 6455, 5.5). */
#define CONTROL_MAX 125
/* A message that is shorter is not compressed. */
#define COMPRESS_MIN 256

/* A message that is under way, in one direction. */
struct message {
	bool open; /* it has begun, and not ended */
	bool binary;
	struct pst_utf8 text;
	uint64_t length; /* bytes so far */
	z_stream *stream; /* it is compressed */
};

struct pst_websocket {
	enum pst_websocket_state state;
	bool broken; /* by the client: nothing of it is looked at */
	struct pst_websocket_terms terms;
	const struct pst_websocket_limits *limits;

	struct pst_websocket_framer *framer; /* NULL between frames */
	bool spoilt; /* it was left in the middle of what came */
	struct pst_websocket_ends ends; /* what frames are taken from, and put to */

	struct wslay_frame_iocb frame; /* the one that is coming */
	bool in_frame;
	uint64_t frame_left;
	const unsigned char *chunk; /* of its payload, in wslay's memory */
	size_t chunk_len;
	bool at_end; /* the end of the message is still to be told */
	bool tail_taken; /* what a compressed one ends with */
	bool more; /* zlib may have some left */

	struct message in;
	uint64_t wire; /* bytes of IN before they were decompressed */
	unsigned fragments;
	struct message sent;

	unsigned char control[CONTROL_MAX];
	uint8_t control_len;
};

/* What a compressed message ends with, before it is taken off (RFC 7692, 7.2.2). */
static const unsigned char deflate_tail[] = {0x00, 0x00, 0xff, 0xff};

/* A framer is 4 KiB: it is there while there are frames. */
static int
wake(struct pst_websocket *ws)
{
	if (ws->framer == NULL)
		ws->framer = pst_websocket_framer_get(ws->limits->spares, &ws->ends);
	return ws->framer == NULL ? PST_ERR_NOMEM : 0;
}

/* Between frames its state is that of a new one. */
static void
rest(struct pst_websocket *ws)
{
	if (ws->framer == NULL || ws->in_frame || ws->ends.ahead > 0 || ws->chunk_len > 0)
		return;
	pst_websocket_framer_put(ws->framer, ws->spoilt ? NULL : ws->limits->spares);
	ws->framer = NULL;
}

/* Append a frame to OUT, or nothing. */
static int
put_frame(struct pst_websocket *ws, struct pst_buf *out, uint8_t opcode, bool end, uint8_t rsv,
    const void *bytes, size_t n)
{
	int err;

	if (wake(ws) != 0)
		return PST_ERR_NOMEM;
	ws->ends.out = out;
	err = pst_websocket_framer_send(ws->framer, opcode, end, rsv, bytes, n);
	rest(ws);
	return err;
}

/* --- life --- */

struct pst_websocket *
pst_websocket_new(
    const struct pst_websocket_terms *terms, const struct pst_websocket_limits *limits)
{
	struct pst_websocket *ws = calloc(1, sizeof(*ws));

	if (ws == NULL)
		return NULL;
	ws->terms = *terms;
	ws->limits = limits;
	return ws;
}

void
pst_websocket_free(struct pst_websocket *ws)
{
	if (ws == NULL)
		return;
	if (ws->framer != NULL)
		pst_websocket_framer_put(ws->framer, NULL);
	pst_websocket_inflate_end(&ws->in.stream);
	pst_websocket_deflate_end(&ws->sent.stream);
	free(ws);
}

enum pst_websocket_state
pst_websocket_state(const struct pst_websocket *ws)
{
	return ws->state;
}

/* --- closing --- */

bool
pst_websocket_code_valid(unsigned code)
{
	if (code >= 3000 && code <= 4999)
		return true;
	return code >= 1000 && code <= 1014 && code != 1004 && code != PST_WEBSOCKET_NO_CODE &&
	       code != PST_WEBSOCKET_NO_CLOSE;
}

/* How much of N bytes of REASON goes into a close frame: whole characters. */
static size_t
reason_length(const char *reason, size_t n)
{
	if (n <= PST_WEBSOCKET_REASON_MAX)
		return n;
	n = PST_WEBSOCKET_REASON_MAX;
	while (n > 0 && ((unsigned char)reason[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static int
put_close(
    struct pst_websocket *ws, struct pst_buf *out, unsigned code, const char *reason, size_t n)
{
	unsigned char payload[CONTROL_MAX] = {(unsigned char)(code >> 8), (unsigned char)code};
	size_t length = 0;

	if (code != PST_WEBSOCKET_NO_CODE) {
		n = reason_length(reason, n);
		if (n > 0)
			memcpy(payload + 2, reason, n);
		length = 2 + n;
	}
	return put_frame(ws, out, WSLAY_CONNECTION_CLOSE, true, WSLAY_RSV_NONE, payload, length);
}

/* Nothing more is sent: what a message holds meanwhile is given back. */
static void
set_state(struct pst_websocket *ws, enum pst_websocket_state state)
{
	assert(state > ws->state);
	ws->state = state;
	pst_websocket_deflate_end(&ws->sent.stream);
}

/* Of the message that is coming nothing more is told. */
static void
drop_piece(struct pst_websocket *ws)
{
	if (ws->at_end)
		ws->in.open = false;
	ws->chunk_len = 0;
	ws->at_end = false;
	ws->more = false;
	pst_websocket_inflate_end(&ws->in.stream);
}

/* Nothing more is taken of the client. */
static void
let_go(struct pst_websocket *ws)
{
	drop_piece(ws);
	ws->spoilt = true;
	ws->ends.n = 0;
	ws->ends.ahead = 0;
	ws->in_frame = false;
}

/* The client broke the protocol, REASON says how (RFC 6455, 7.1.7). */
static int
fail(struct pst_websocket *ws, unsigned code, const char *reason, struct pst_websocket_piece *piece,
    struct pst_buf *out)
{
	ws->broken = true;
	let_go(ws);
	*piece = (struct pst_websocket_piece){.bytes = reason, .n = strlen(reason), .code = code};
	if (ws->state == PST_WEBSOCKET_OPEN) {
		if (put_close(ws, out, code, reason, piece->n) != 0)
			return PST_ERR_NOMEM;
		set_state(ws, PST_WEBSOCKET_CLOSING);
	}
	return PST_WEBSOCKET_BROKEN;
}

/* --- control frames --- */

static const char *
close_fault(const struct pst_websocket *ws, unsigned *fault_code)
{
	const unsigned char *control = ws->control;
	struct pst_utf8 text = {0};

	*fault_code = PST_WEBSOCKET_PROTOCOL_ERROR;
	if (ws->control_len == 0)
		return NULL;
	if (ws->control_len == 1)
		return "close frame of one byte";
	if (!pst_websocket_code_valid((unsigned)control[0] << 8 | control[1]))
		return "invalid close code";
	*fault_code = PST_WEBSOCKET_BAD_DATA;
	if (!pst_utf8_take(&text, control + 2, ws->control_len - 2u) || !pst_utf8_may_end(&text))
		return "the reason of the close is not UTF-8";
	return NULL;
}

static int
take_close(struct pst_websocket *ws, struct pst_websocket_piece *piece, struct pst_buf *out)
{
	unsigned code = PST_WEBSOCKET_NO_CODE, fault_code;
	const char *fault = close_fault(ws, &fault_code);

	if (fault != NULL)
		return fail(ws, fault_code, fault, piece, out);
	*piece = (struct pst_websocket_piece){0};
	if (ws->control_len >= 2) {
		code = (unsigned)ws->control[0] << 8 | ws->control[1];
		piece->bytes = ws->control + 2;
		piece->n = ws->control_len - 2u;
	}
	piece->code = code;
	let_go(ws);
	if (ws->state == PST_WEBSOCKET_OPEN && put_close(ws, out, code, NULL, 0) != 0)
		return PST_ERR_NOMEM;
	set_state(ws, PST_WEBSOCKET_CLOSED);
	return PST_WEBSOCKET_LEFT;
}

static int
end_control(struct pst_websocket *ws, struct pst_websocket_piece *piece, struct pst_buf *out)
{
	switch (ws->frame.opcode) {
	case WSLAY_CONNECTION_CLOSE: return take_close(ws, piece, out);
	case WSLAY_PING:
		if (ws->state != PST_WEBSOCKET_OPEN)
			return PST_WEBSOCKET_MORE;
		return put_frame(
		    ws, out, WSLAY_PONG, true, WSLAY_RSV_NONE, ws->control, ws->control_len);
	default: return PST_WEBSOCKET_MORE; /* a pong: bytes have come, that is what it says */
	}
}

/* --- frames --- */

static int
begin_message(struct pst_websocket *ws, struct wslay_frame_iocb *frame)
{
	struct message *in = &ws->in;

	*in = (struct message){.open = true, .binary = frame->opcode == WSLAY_BINARY_FRAME};
	ws->wire = 0;
	ws->fragments = 0;
	ws->tail_taken = false;
	if (!wslay_get_rsv1(frame->rsv) || ws->state != PST_WEBSOCKET_OPEN)
		return 0;
	in->stream = pst_websocket_inflate_begin(&ws->terms);
	return in->stream == NULL ? PST_ERR_NOMEM : 0;
}

/* Whether the frame may stand here (RFC 6455, 5.2 and 5.4): what is wrong with it. */
static const char *
frame_fault(const struct pst_websocket *ws, const struct wslay_frame_iocb *frame)
{
	bool first = frame->opcode == WSLAY_TEXT_FRAME || frame->opcode == WSLAY_BINARY_FRAME;
	bool may_compress = first && ws->terms.server_bits > 0;

	if (!frame->mask)
		return "frame without a mask";
	if (!first && frame->opcode != WSLAY_CONTINUATION_FRAME &&
	    (frame->opcode < WSLAY_CONNECTION_CLOSE || frame->opcode > WSLAY_PONG))
		return "reserved opcode";
	if ((frame->rsv & ~WSLAY_RSV1_BIT) != 0 || (wslay_get_rsv1(frame->rsv) && !may_compress))
		return "reserved bit is set";
	if (first && ws->in.open)
		return "message within a message";
	if (frame->opcode == WSLAY_CONTINUATION_FRAME && !ws->in.open)
		return "continuation of no message";
	return NULL;
}

/* Compressed, a message can be somewhat larger than it is. */
static bool
is_too_big(const struct pst_websocket *ws, uint64_t payload)
{
	uint64_t most = ws->limits->message;

	if (ws->in.stream != NULL)
		most += most / 8 + 1024;
	return ws->limits->message > 0 && (ws->wire > most || payload > most - ws->wire);
}

static int
begin_frame(struct pst_websocket *ws, struct pst_websocket_piece *piece, struct pst_buf *out)
{
	struct wslay_frame_iocb *frame = &ws->frame;
	const char *fault = frame_fault(ws, frame);

	if (fault != NULL)
		return fail(ws, PST_WEBSOCKET_PROTOCOL_ERROR, fault, piece, out);
	ws->in_frame = true;
	ws->frame_left = frame->payload_length;
	ws->ends.ahead -= pst_websocket_header_length(frame);
	ws->control_len = 0;
	if (wslay_is_ctrl_frame(frame->opcode))
		return 0;
	if (frame->opcode != WSLAY_CONTINUATION_FRAME && begin_message(ws, frame) != 0)
		return PST_ERR_NOMEM;
	if (is_too_big(ws, frame->payload_length))
		return fail(
		    ws, PST_WEBSOCKET_TOO_BIG, "message is larger than the limit", piece, out);
	ws->wire += frame->payload_length;
	if (++ws->fragments > ws->limits->fragments && ws->limits->fragments > 0)
		return fail(
		    ws, PST_WEBSOCKET_TOO_BIG, "message has too many fragments", piece, out);
	return 0;
}

/* wslay has found N bytes of a frame's payload, which may be its end, and all of it. */
static int
take_chunk(struct pst_websocket *ws, const struct wslay_frame_iocb *found,
    struct pst_websocket_piece *piece, struct pst_buf *out)
{
	int result = 0;

	if (!ws->in_frame) {
		ws->frame = *found;
		result = begin_frame(ws, piece, out);
		if (result != 0)
			return result;
	}
	ws->frame_left -= found->data_length;
	ws->ends.ahead -= found->data_length;
	ws->in_frame = ws->frame_left > 0;
	if (wslay_is_ctrl_frame(ws->frame.opcode)) {
		memcpy(ws->control + ws->control_len, found->data, found->data_length);
		ws->control_len = (uint8_t)(ws->control_len + found->data_length);
		return ws->in_frame ? 0 : end_control(ws, piece, out);
	}
	ws->at_end = !ws->in_frame && ws->frame.fin;
	/* We have closed: what it had still to say nobody hears. */
	if (ws->state != PST_WEBSOCKET_OPEN) {
		drop_piece(ws);
		return 0;
	}
	ws->chunk = found->data;
	ws->chunk_len = found->data_length;
	return 0;
}

/* --- pieces of messages --- */

/* PIECE has N bytes more of the message, and is its end if that has come. */
static int
tell(struct pst_websocket *ws, const void *bytes, size_t n, bool end,
    struct pst_websocket_piece *piece, struct pst_buf *out)
{
	struct message *in = &ws->in;
	uint64_t most = ws->limits->message;
	size_t fits = most > 0 && n > most - in->length ? (size_t)(most - in->length) : n;

	in->length += fits;
	if (!in->binary && (!pst_utf8_take(&in->text, bytes, fits) ||
			       (end && fits == n && !pst_utf8_may_end(&in->text))))
		return fail(ws, PST_WEBSOCKET_BAD_DATA, "text is not UTF-8", piece, out);
	if (fits < n)
		return fail(
		    ws, PST_WEBSOCKET_TOO_BIG, "message is larger than the limit", piece, out);
	*piece =
	    (struct pst_websocket_piece){.bytes = bytes, .n = n, .binary = in->binary, .end = end};
	if (end) {
		ws->at_end = false;
		in->open = false;
		pst_websocket_inflate_end(&in->stream);
	}
	return n > 0 || end ? PST_WEBSOCKET_PIECE : PST_WEBSOCKET_MORE;
}

static int
tell_plain(
    struct pst_websocket *ws, size_t room, struct pst_websocket_piece *piece, struct pst_buf *out)
{
	const unsigned char *bytes = ws->chunk;
	size_t n = ws->chunk_len < room ? ws->chunk_len : room;

	if (n == 0 && ws->chunk_len > 0)
		return PST_WEBSOCKET_FULL;
	ws->chunk += n;
	ws->chunk_len -= n;
	return tell(ws, bytes, n, ws->at_end && ws->chunk_len == 0, piece, out);
}

/* After the last chunk comes the tail, once. */
static bool
next_is_tail(struct pst_websocket *ws)
{
	if (!ws->at_end || ws->tail_taken)
		return false;
	ws->chunk = deflate_tail;
	ws->chunk_len = sizeof(deflate_tail);
	ws->tail_taken = true;
	return true;
}

static int
tell_inflated(struct pst_websocket *ws, void *memory, size_t room,
    struct pst_websocket_piece *piece, struct pst_buf *out)
{
	size_t got = 0, n;
	int err;

	if (room == 0)
		return PST_WEBSOCKET_FULL;
	do {
		err = pst_websocket_inflate(ws->in.stream, &ws->chunk, &ws->chunk_len,
		    (char *)memory + got, room - got, &n);
		got += n;
	} while (err == 0 && got < room && next_is_tail(ws));
	if (err == PST_ERR_NOMEM)
		return err;
	/* What came before the fault is looked at first: it may have one of its own. */
	if (err != 0 && got == 0)
		return fail(ws, PST_WEBSOCKET_BAD_DATA, "compressed data is malformed", piece, out);
	/* zlib may have kept some. */
	ws->more = err != 0 || got == room;
	return tell(ws, memory, got, ws->at_end && !ws->more, piece, out);
}

/* --- bytes in --- */

/* Nothing comes of what was read, besides MORE. */
#define ENOUGH 100

static int
next_chunk(struct pst_websocket *ws, struct pst_websocket_piece *piece, struct pst_buf *out)
{
	struct wslay_frame_iocb found;
	ssize_t n;

	if (ws->framer == NULL && ws->ends.n == 0)
		return ENOUGH;
	if (wake(ws) != 0)
		return PST_ERR_NOMEM;
	n = pst_websocket_framer_take(ws->framer, &found);
	if (n >= 0)
		return take_chunk(ws, &found, piece, out);
	if (n == WSLAY_ERR_PROTO)
		return fail(ws, PST_WEBSOCKET_PROTOCOL_ERROR, "malformed frame header", piece, out);
	return ws->ends.n > 0 ? PST_WEBSOCKET_MORE : ENOUGH;
}

static bool
has_piece(const struct pst_websocket *ws)
{
	return ws->chunk_len > 0 || ws->at_end || ws->more;
}

static int
run(struct pst_websocket *ws, void *memory, size_t room, struct pst_websocket_piece *piece,
    struct pst_buf *out)
{
	int result = PST_WEBSOCKET_MORE;

	while (result == PST_WEBSOCKET_MORE) {
		if (ws->broken || ws->state == PST_WEBSOCKET_CLOSED)
			return ENOUGH;
		if (!has_piece(ws))
			result = next_chunk(ws, piece, out);
		else if (ws->in.stream != NULL)
			result = tell_inflated(ws, memory, room, piece, out);
		else
			result = tell_plain(ws, room, piece, out);
	}
	return result;
}

int
pst_websocket_take(struct pst_websocket *ws, const void *bytes, size_t n, size_t *consumed,
    void *memory, size_t room, struct pst_websocket_piece *piece, struct pst_buf *out)
{
	int result;

	ws->ends.bytes = bytes;
	ws->ends.n = n;
	result = run(ws, memory, room, piece, out);
	if (result == ENOUGH) {
		ws->ends.n = 0;
		rest(ws);
		result = PST_WEBSOCKET_MORE;
	}
	*consumed = n - ws->ends.n;
	ws->ends.n = 0;
	return result;
}

/* --- bytes out --- */

static int
begin_sent(struct pst_websocket *ws, bool binary, bool whole, size_t n)
{
	struct message *sent = &ws->sent;

	*sent = (struct message){.open = true, .binary = binary};
	if (ws->terms.server_bits == 0 || (whole && n < COMPRESS_MIN))
		return 0;
	sent->stream = pst_websocket_deflate_begin(&ws->terms);
	return sent->stream == NULL ? PST_ERR_NOMEM : 0;
}

static int
put_piece(struct pst_websocket *ws, struct pst_buf *out, bool end, const void *bytes, size_t n)
{
	struct message *sent = &ws->sent;
	bool first = sent->length == 0;
	uint8_t opcode = !first         ? WSLAY_CONTINUATION_FRAME
			 : sent->binary ? WSLAY_BINARY_FRAME
					: WSLAY_TEXT_FRAME;

	sent->length += n;
	return put_frame(ws, out, opcode, end,
	    first && sent->stream != NULL ? WSLAY_RSV1_BIT : WSLAY_RSV_NONE, bytes, n);
}

static int
put_compressed(struct pst_websocket *ws, struct pst_buf *out, bool end, const void *bytes, size_t n)
{
	struct pst_buf frame = {0};
	int err = pst_websocket_deflate(ws->sent.stream, bytes, n, end, &frame);

	/* zlib may keep all of it for later. */
	if (err == 0 && (end || pst_buf_length(&frame) > 0))
		err = put_piece(ws, out, end, pst_buf_bytes(&frame), pst_buf_length(&frame));
	pst_buf_free(&frame);
	return err;
}

int
pst_websocket_send(struct pst_websocket *ws, struct pst_buf *out, bool binary, bool end,
    const void *bytes, size_t n)
{
	struct message *sent = &ws->sent;
	int err = 0;

	if (ws->state != PST_WEBSOCKET_OPEN)
		return PST_ERR_STATE;
	if (n == 0 && !end)
		return 0;
	if (!sent->open)
		err = begin_sent(ws, binary, end, n);
	if (err != 0)
		return err;
	if (binary != sent->binary)
		return PST_ERR_PROTOCOL;
	if (!binary &&
	    (!pst_utf8_take(&sent->text, bytes, n) || (end && !pst_utf8_may_end(&sent->text))))
		return PST_ERR_PROTOCOL;
	err = sent->stream != NULL ? put_compressed(ws, out, end, bytes, n)
				   : put_piece(ws, out, end, bytes, n);
	if (end) {
		sent->open = false;
		pst_websocket_deflate_end(&sent->stream);
	}
	return err;
}

int
pst_websocket_ping(struct pst_websocket *ws, struct pst_buf *out)
{
	if (ws->state != PST_WEBSOCKET_OPEN)
		return PST_ERR_STATE;
	return put_frame(ws, out, WSLAY_PING, true, WSLAY_RSV_NONE, NULL, 0);
}

int
pst_websocket_close(
    struct pst_websocket *ws, struct pst_buf *out, unsigned code, const char *reason, size_t n)
{
	int err;

	if (ws->state != PST_WEBSOCKET_OPEN)
		return PST_ERR_STATE;
	drop_piece(ws);
	err = put_close(ws, out, code, reason, n);
	if (err == 0)
		set_state(ws, PST_WEBSOCKET_CLOSING);
	return err;
}
