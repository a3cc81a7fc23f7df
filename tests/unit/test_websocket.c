/*
 * Frames and messages (RFC 6455, sections 5 and 7; RFC 7692), in the order of the Autobahn test
 * suite where it has the case. Each is taken whole, byte by byte, cut everywhere, and with room for
 * one byte at a time: what comes of it is the same.
 */
#include "gateway/front/websocket.h"
#include "gateway/front/websocket_framer.h"

#include "protocol/error.h"
#include "tests/unit/runner.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIN   0x80
#define RSV1  0x40
#define CONT  0
#define TEXT  1
#define BIN   2
#define CLOSE 8
#define PING  9
#define PONG  10

#define BYTES(literal) (literal), sizeof(literal) - 1

struct frame {
	unsigned first; /* the first byte */
	const char *payload;
	size_t n;
	bool bare; /* without a mask */
};

struct ws_case {
	const char *name;
	struct frame frames[6];
	const char *expect;
};

/* All tests share it: what one leaves must not be seen by the next. */
static struct pst_websocket_spares spares;
static const struct pst_websocket_limits limits = {
    .message = 1000, .fragments = 5, .spares = &spares};
static const struct pst_websocket_terms terms = {.server_bits = 12, .client_bits = 15};

static const struct ws_case cases[] = {
    {"1.1 empty text", {{FIN | TEXT, "", 0, 0}}, "text()"},
    {"1.1 text", {{FIN | TEXT, BYTES("hello"), 0}}, "text(hello)"},
    {"1.2 binary", {{FIN | BIN, BYTES("\xff\0\xfe"), 0}}, "binary(ff00fe)"},
    {"2 ping", {{FIN | PING, BYTES("are you"), 0}}, "pong(are you)"},
    {"2 empty ping", {{FIN | PING, "", 0, 0}}, "pong()"},
    {"2.7 a pong that nobody asked for",
	{{FIN | PONG, BYTES("yes"), 0}, {FIN | TEXT, BYTES("a"), 0}}, "text(a)"},
    {"3.1 RSV3", {{FIN | 0x10 | TEXT, BYTES("a"), 0}, {FIN | TEXT, BYTES("b"), 0}},
	"close 1002 broken 1002"},
    {"3.2 RSV2 after a message", {{FIN | TEXT, BYTES("a"), 0}, {FIN | 0x20 | TEXT, BYTES("b"), 0}},
	"text(a) close 1002 broken 1002"},
    {"3.4 RSV1 of a ping", {{FIN | RSV1 | PING, BYTES("a"), 0}}, "close 1002 broken 1002"},
    {"3.5 RSV1 of a continuation", {{TEXT, BYTES("a"), 0}, {FIN | RSV1 | CONT, BYTES("b"), 0}},
	"close 1002 broken 1002"},
    {"4.1 opcode 3", {{FIN | 3, "", 0, 0}}, "close 1002 broken 1002"},
    {"4.1 opcode 7", {{FIN | 7, BYTES("a"), 0}}, "close 1002 broken 1002"},
    {"4.2 opcode 11", {{FIN | 11, "", 0, 0}}, "close 1002 broken 1002"},
    {"4.2 opcode 15", {{FIN | 15, BYTES("a"), 0}}, "close 1002 broken 1002"},
    {"5.1 no mask", {{FIN | TEXT, BYTES("a"), 1}}, "close 1002 broken 1002"},
    {"5.1 fragmented ping", {{PING, BYTES("a"), 0}, {FIN | CONT, BYTES("b"), 0}},
	"close 1002 broken 1002"},
    {"5.3 fragments", {{TEXT, BYTES("one "), 0}, {FIN | CONT, BYTES("two"), 0}}, "text(one two)"},
    {"5.4 empty fragments",
	{{TEXT, "", 0, 0}, {CONT, BYTES("a"), 0}, {CONT, "", 0, 0}, {FIN | CONT, "", 0, 0}},
	"text(a)"},
    {"5.6 a ping between fragments",
	{{BIN, BYTES("a"), 0}, {FIN | PING, BYTES("p"), 0}, {FIN | CONT, BYTES("b"), 0}},
	"pong(p) binary(6162)"},
    {"5.9 continuation of nothing", {{FIN | CONT, BYTES("a"), 0}}, "close 1002 broken 1002"},
    {"5.12 continuation of nothing, not the last", {{CONT, "", 0, 0}}, "close 1002 broken 1002"},
    {"5.15 message after a whole one's continuation",
	{{TEXT, BYTES("a"), 0}, {FIN | CONT, BYTES("b"), 0}, {CONT, BYTES("c"), 0}},
	"text(ab) close 1002 broken 1002"},
    {"5.18 a message within a message", {{TEXT, BYTES("a"), 0}, {FIN | TEXT, BYTES("b"), 0}},
	"close 1002 broken 1002"},
    {"6.2 a character cut by frames", {{TEXT, BYTES("\xc3"), 0}, {FIN | CONT, BYTES("\xa9"), 0}},
	"text(\xc3\xa9)"},
    {"6.3 not UTF-8", {{FIN | TEXT, BYTES("\xce\xba\xed\xa0\x80"), 0}}, "close 1007 broken 1007"},
    {"6.4 not UTF-8 fails before the message ends", {{TEXT, BYTES("\xf4\x90"), 0}},
	"close 1007 broken 1007"},
    {"6.6 a character that does not end", {{FIN | TEXT, BYTES("\xe2\x82"), 0}},
	"close 1007 broken 1007"},
    {"7.1 messages after the close",
	{{FIN | CLOSE, BYTES("\x03\xe8"), 0}, {FIN | TEXT, BYTES("a"), 0}, {FIN | PING, "", 0, 0}},
	"close 1000 left 1000()"},
    {"7.3 no code", {{FIN | CLOSE, "", 0, 0}}, "close - left 1005()"},
    {"7.3 one byte", {{FIN | CLOSE, BYTES("\x03"), 0}}, "close 1002 broken 1002"},
    {"7.3 reason", {{FIN | CLOSE, BYTES("\x03\xe9why"), 0}}, "close 1001 left 1001(why)"},
    {"7.5 reason is not UTF-8", {{FIN | CLOSE, BYTES("\x03\xe8\xff"), 0}},
	"close 1007 broken 1007"},
    {"7.7 1014", {{FIN | CLOSE, BYTES("\x03\xf6"), 0}}, "close 1014 left 1014()"},
    {"7.7 3000", {{FIN | CLOSE, BYTES("\x0b\xb8"), 0}}, "close 3000 left 3000()"},
    {"7.7 4999", {{FIN | CLOSE, BYTES("\x13\x87"), 0}}, "close 4999 left 4999()"},
    {"7.9 0", {{FIN | CLOSE, BYTES("\0\0"), 0}}, "close 1002 broken 1002"},
    {"7.9 999", {{FIN | CLOSE, BYTES("\x03\xe7"), 0}}, "close 1002 broken 1002"},
    {"7.9 1004", {{FIN | CLOSE, BYTES("\x03\xec"), 0}}, "close 1002 broken 1002"},
    {"7.9 1005", {{FIN | CLOSE, BYTES("\x03\xed"), 0}}, "close 1002 broken 1002"},
    {"7.9 1006", {{FIN | CLOSE, BYTES("\x03\xee"), 0}}, "close 1002 broken 1002"},
    {"7.9 1015", {{FIN | CLOSE, BYTES("\x03\xf7"), 0}}, "close 1002 broken 1002"},
    {"7.9 2999", {{FIN | CLOSE, BYTES("\x0b\xb7"), 0}}, "close 1002 broken 1002"},
    {"7.13 5000", {{FIN | CLOSE, BYTES("\x13\x88"), 0}}, "close 1002 broken 1002"},
    {"too many fragments",
	{{BIN, "", 0, 0}, {CONT, "", 0, 0}, {CONT, "", 0, 0}, {CONT, "", 0, 0}, {CONT, "", 0, 0},
	    {CONT, "", 0, 0}},
	"close 1009 broken 1009"},
    {"12 compressed", {{FIN | RSV1 | TEXT, BYTES("\xf2\x48\xcd\xc9\xc9\x07\0"), 0}}, "text(Hello)"},
    {"12 compressed, in fragments",
	{{RSV1 | TEXT, BYTES("\xf2\x48\xcd"), 0}, {FIN | CONT, BYTES("\xc9\xc9\x07\0"), 0}},
	"text(Hello)"},
    {"12 a stored block", {{FIN | RSV1 | TEXT, BYTES("\0\5\0\xfa\xffHello\0"), 0}}, "text(Hello)"},
    {"12 a block that says it is the last",
	{{FIN | RSV1 | TEXT, BYTES("\xf3\x48\xcd\xc9\xc9\x07\0\0"), 0}}, "text(Hello)"},
    {"12 empty", {{FIN | RSV1 | TEXT, BYTES("\x02\0"), 0}}, "text()"},
    {"12 two, and one that is not",
	{{FIN | RSV1 | TEXT, BYTES("\xf2\x48\xcd\xc9\xc9\x07\0"), 0},
	    {FIN | TEXT, BYTES("plain"), 0},
	    {FIN | RSV1 | TEXT, BYTES("\xf2\x48\xcd\xc9\xc9\x07\0"), 0}},
	"text(Hello) text(plain) text(Hello)"},
    {"12 malformed", {{FIN | RSV1 | BIN, BYTES("\xff\xff\xff\xff"), 0}}, "close 1007 broken 1007"},
};

/* --- what is sent and what comes of it --- */

static size_t
put_frame(unsigned char *to, const struct frame *frame)
{
	static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	unsigned char *at = to;

	*at++ = (unsigned char)frame->first;
	*at++ = (unsigned char)(frame->n | (frame->bare ? 0 : 0x80));
	if (!frame->bare) {
		memcpy(at, mask, 4);
		at += 4;
	}
	for (size_t i = 0; i < frame->n; i++)
		*at++ = (unsigned char)frame->payload[i] ^ (frame->bare ? 0 : mask[i % 4]);
	return (size_t)(at - to);
}

struct run {
	struct pst_websocket *ws;
	struct pst_buf message, out;
	char trace[8192];
	size_t room;
};

static void
note(struct run *run, const char *format, ...)
{
	size_t used = strlen(run->trace);
	va_list args;

	if (used > 0)
		strcpy(run->trace + used++, " ");
	va_start(args, format);
	vsnprintf(run->trace + used, sizeof(run->trace) - used, format, args);
	va_end(args);
}

static void
note_message(struct run *run, const struct pst_websocket_piece *piece)
{
	char text[4096] = "";
	size_t n = pst_buf_length(&run->message);

	ck_assert_uint_lt(n, 2000);
	for (size_t i = 0; i < n; i++)
		sprintf(text + strlen(text), piece->binary ? "%02x" : "%c",
		    pst_buf_bytes(&run->message)[i]);
	note(run, piece->binary ? "binary(%s)" : "text(%s)", text);
	pst_buf_consume(&run->message, n);
}

/* The frames that we sent, which are short. */
static void
note_out(struct run *run)
{
	while (pst_buf_length(&run->out) > 0) {
		const unsigned char *p = pst_buf_bytes(&run->out);
		size_t n = p[1];

		ck_assert_uint_ge(pst_buf_length(&run->out), 2 + n);
		if (p[0] == (FIN | PONG))
			note(run, "pong(%.*s)", (int)n, p + 2);
		else if (p[0] == (FIN | CLOSE) && n == 0)
			note(run, "close -");
		else if (p[0] == (FIN | CLOSE))
			note(run, "close %d", p[2] << 8 | p[3]);
		else
			ck_abort_msg("frame %02x", p[0]);
		pst_buf_consume(&run->out, 2 + n);
	}
}

static void
on_event(struct run *run, int event, const struct pst_websocket_piece *piece)
{
	note_out(run);
	if (event == PST_WEBSOCKET_PIECE) {
		ck_assert_int_eq(pst_buf_append(&run->message, piece->bytes, piece->n), 0);
		if (piece->end)
			note_message(run, piece);
	} else if (event == PST_WEBSOCKET_LEFT) {
		note(run, "left %u(%.*s)", piece->code, (int)piece->n, (const char *)piece->bytes);
	} else if (event == PST_WEBSOCKET_BROKEN) {
		note(run, "broken %u", piece->code);
	}
}

static void
feed(struct run *run, const unsigned char *bytes, size_t n)
{
	unsigned char *copy = malloc(n + 1), memory[64];
	size_t at = 0;
	int event;

	memcpy(copy, bytes, n);
	do {
		struct pst_websocket_piece piece = {0};
		size_t used;

		event = pst_websocket_take(
		    run->ws, copy + at, n - at, &used, memory, run->room, &piece, &run->out);
		ck_assert_uint_le(used, n - at);
		ck_assert_uint_le(piece.n, event == PST_WEBSOCKET_PIECE ? run->room : 200);
		at += used;
		on_event(run, event, &piece);
	} while (event != PST_WEBSOCKET_MORE);
	ck_assert_uint_eq(at, n);
	free(copy);
}

/* In pieces of STEP, or in two, cut at CUT. */
static void
check_cut(const struct ws_case *c, const unsigned char *bytes, size_t n, size_t step, size_t cut,
    size_t room, char *trace)
{
	struct run run = {.room = room, .ws = pst_websocket_new(&terms, &limits)};

	ck_assert_ptr_nonnull(run.ws);
	for (size_t at = 0; at < n;) {
		size_t length = step < n - at ? step : n - at;

		if (at < cut && at + length > cut)
			length = cut - at;
		feed(&run, bytes + at, length);
		at += length;
	}
	if (*trace == '\0')
		strcpy(trace, run.trace);
	ck_assert_msg(strcmp(run.trace, trace) == 0,
	    "%s: step %zu, cut %zu, room %zu: \"%s\" is not \"%s\"", c->name, step, cut, room,
	    run.trace, trace);
	pst_websocket_free(run.ws);
	pst_buf_free(&run.message);
	pst_buf_free(&run.out);
}

START_TEST(frames)
{
	const struct ws_case *c = &cases[_i];
	unsigned char bytes[2048];
	char trace[8192] = "";
	size_t n = 0;

	for (size_t i = 0; i < 6 && c->frames[i].payload != NULL; i++)
		n += put_frame(bytes + n, &c->frames[i]);
	check_cut(c, bytes, n, n, n, 64, trace);
	ck_assert_msg(strcmp(trace, c->expect) == 0, "%s: \"%s\"", c->name, trace);
	check_cut(c, bytes, n, 1, n, 64, trace);
	check_cut(c, bytes, n, n, n, 1, trace);
	check_cut(c, bytes, n, 1, n, 1, trace);
	for (size_t cut = 1; cut < n; cut++)
		check_cut(c, bytes, n, n, cut, 64, trace);
}
END_TEST

/* --- sizes --- */

/* A masked frame of N bytes 'x', in as long a form as its length takes. */
static unsigned char *
make_frame(unsigned first, size_t n, size_t *length)
{
	unsigned char *bytes = malloc(n + 14), *at = bytes;
	unsigned wide = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8;

	*at++ = (unsigned char)first;
	*at++ = (unsigned char)(0x80 | (wide == 0 ? n : wide == 2 ? 126 : 127));
	for (unsigned i = wide; i > 0; i--)
		*at++ = (unsigned char)((uint64_t)n >> 8 * (i - 1));
	memset(at, 0, 4);
	memset(at + 4, 'x', n);
	*length = (size_t)(at + 4 - bytes) + n;
	return bytes;
}

struct tally {
	size_t bytes;
	unsigned messages;
	int last;
	unsigned code;
};

/* Take N bytes, STEP at a time. */
static struct tally
take_all(struct pst_websocket *ws, const unsigned char *bytes, size_t n, size_t step,
    struct pst_buf *out)
{
	static unsigned char memory[65536];
	struct tally tally = {0};

	for (size_t at = 0, used; at < n; at += step) {
		size_t length = n - at < step ? n - at : step, done = 0;
		struct pst_websocket_piece piece;
		int event;

		do {
			event = pst_websocket_take(ws, bytes + at + done, length - done, &used,
			    memory, sizeof(memory), &piece, out);
			done += used;
			if (event == PST_WEBSOCKET_PIECE) {
				tally.bytes += piece.n;
				tally.messages += piece.end;
			} else if (event != PST_WEBSOCKET_MORE) {
				tally.last = event;
				tally.code = piece.code;
			}
		} while (event != PST_WEBSOCKET_MORE);
	}
	return tally;
}

static const size_t sizes[] = {
    0, 1, 125, 126, 127, 128, 4081, 4082, 4083, 4095, 4096, 4097, 65535, 65536, 65537, 300000};

START_TEST(lengths)
{
	static const struct pst_websocket_limits any = {0};
	static const size_t steps[] = {1, 3, 4096, 4097, 1000000};
	struct pst_websocket *ws = pst_websocket_new(&terms, &any);
	struct pst_buf out = {0};
	size_t n;
	unsigned char *bytes = make_frame(FIN | TEXT, sizes[_i], &n);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct tally tally = take_all(ws, bytes, n, steps[i], &out);

		ck_assert_uint_eq(tally.bytes, sizes[_i]);
		ck_assert_uint_eq(tally.messages, 1);
		ck_assert_int_eq(tally.last, 0);
	}
	ck_assert_uint_eq(pst_buf_length(&out), 0);
	pst_websocket_free(ws);
	pst_buf_free(&out);
	free(bytes);
}
END_TEST

START_TEST(limit)
{
	struct pst_buf out = {0};

	for (size_t size = 999; size <= 1001; size++) {
		struct pst_websocket *ws = pst_websocket_new(&terms, &limits);
		size_t n;
		unsigned char *bytes = make_frame(FIN | BIN, size, &n);
		struct tally tally = take_all(ws, bytes, n, 7, &out);

		ck_assert_uint_eq(tally.code, size > 1000 ? PST_WEBSOCKET_TOO_BIG : 0);
		pst_websocket_free(ws);
		free(bytes);
	}
	pst_buf_free(&out);
}
END_TEST

/* A length in a longer form than it takes (5.2), and one of 64 bits whose first is set. */
START_TEST(long_forms)
{
	static const unsigned char forms[][10] = {
	    {FIN | BIN, 0xfe, 0, 125},
	    {FIN | BIN, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
	    {FIN | BIN, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0},
	    {FIN | PING, 0xfe, 0, 126},
	};
	struct pst_buf out = {0};

	for (size_t i = 0; i < 4; i++) {
		struct pst_websocket *ws = pst_websocket_new(&terms, &limits);
		struct tally tally = take_all(ws, forms[i], 10, 1, &out);

		ck_assert_int_eq(tally.last, PST_WEBSOCKET_BROKEN);
		ck_assert_uint_eq(tally.code, PST_WEBSOCKET_PROTOCOL_ERROR);
		pst_websocket_free(ws);
	}
	pst_buf_free(&out);
}
END_TEST

/* Little is sent and much comes of it: told in pieces, and only to the limit. */
START_TEST(bomb)
{
	struct pst_websocket *ws = pst_websocket_new(&terms, &limits);
	struct pst_buf plain = {0}, packed = {0}, out = {0};
	z_stream *stream = pst_websocket_deflate_begin(&terms);
	unsigned char wire[200];
	struct frame frame = {.first = FIN | RSV1 | BIN};
	struct tally tally;

	memset(pst_buf_reserve(&plain, 20000), 0, 20000);
	ck_assert_int_eq(
	    pst_websocket_deflate(stream, pst_buf_bytes(&plain), 20000, true, &packed), 0);
	frame.payload = (const char *)pst_buf_bytes(&packed);
	frame.n = pst_buf_length(&packed);
	ck_assert_uint_lt(frame.n, 126);
	tally = take_all(ws, wire, put_frame(wire, &frame), 1, &out);
	ck_assert_uint_eq(tally.code, PST_WEBSOCKET_TOO_BIG);
	ck_assert_uint_le(tally.bytes, 1000);
	pst_websocket_deflate_end(&stream);
	pst_websocket_free(ws);
	pst_buf_free(&plain);
	pst_buf_free(&packed);
	pst_buf_free(&out);
}
END_TEST

/* --- what is sent --- */

struct sending {
	struct pst_websocket *ws;
	struct pst_buf out;
};

static void
begin_sending(struct sending *s, const struct pst_websocket_terms *t)
{
	*s = (struct sending){.ws = pst_websocket_new(t, &limits)};
	ck_assert_ptr_nonnull(s->ws);
}

static void
end_sending(struct sending *s)
{
	pst_websocket_free(s->ws);
	pst_buf_free(&s->out);
}

/* The next frame of OUT is like this. */
static void
expect(struct sending *s, unsigned first, const char *payload, size_t n)
{
	const unsigned char *p = pst_buf_bytes(&s->out);

	ck_assert_uint_ge(pst_buf_length(&s->out), 2 + n);
	ck_assert_uint_eq(p[0], first);
	ck_assert_uint_eq(p[1], n);
	ck_assert_mem_eq(p + 2, payload, n);
	pst_buf_consume(&s->out, 2 + n);
}

static const struct pst_websocket_terms none = {0};

START_TEST(sends)
{
	struct sending s;

	begin_sending(&s, &none);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, false, true, "hello", 5), 0);
	expect(&s, FIN | TEXT, "hello", 5);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, true, true, "", 0), 0);
	expect(&s, FIN | BIN, "", 0);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, false, false, "", 0), 0);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, false, false, "\xc3", 1), 0);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, false, false, "\xa9", 1), 0);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, false, true, "", 0), 0);
	expect(&s, TEXT, "\xc3", 1);
	expect(&s, CONT, "\xa9", 1);
	expect(&s, FIN | CONT, "", 0);
	ck_assert_int_eq(pst_websocket_ping(s.ws, &s.out), 0);
	expect(&s, FIN | PING, "", 0);
	end_sending(&s);
}
END_TEST

START_TEST(sends_no_other)
{
	struct sending s;

	begin_sending(&s, &none);
	ck_assert_int_eq(
	    pst_websocket_send(s.ws, &s.out, false, true, "\xff", 1), PST_ERR_PROTOCOL);
	end_sending(&s);
	begin_sending(&s, &none);
	ck_assert_int_eq(
	    pst_websocket_send(s.ws, &s.out, false, true, "\xc3", 1), PST_ERR_PROTOCOL);
	end_sending(&s);
	begin_sending(&s, &none);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, false, false, "a", 1), 0);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, true, true, "b", 1), PST_ERR_PROTOCOL);
	end_sending(&s);
}
END_TEST

START_TEST(closes)
{
	char reason[200];
	struct sending s;

	begin_sending(&s, &none);
	ck_assert_int_eq(pst_websocket_close(s.ws, &s.out, 1011, "why", 3), 0);
	expect(&s, FIN | CLOSE, "\x03\xf3why", 5);
	ck_assert_int_eq(pst_websocket_state(s.ws), PST_WEBSOCKET_CLOSING);
	ck_assert_int_eq(pst_websocket_close(s.ws, &s.out, 1000, "", 0), PST_ERR_STATE);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, true, true, "", 0), PST_ERR_STATE);
	ck_assert_int_eq(pst_websocket_ping(s.ws, &s.out), PST_ERR_STATE);
	ck_assert_uint_eq(pst_buf_length(&s.out), 0);
	end_sending(&s);

	begin_sending(&s, &none);
	ck_assert_int_eq(pst_websocket_close(s.ws, &s.out, PST_WEBSOCKET_NO_CODE, "why", 3), 0);
	expect(&s, FIN | CLOSE, "", 0);
	end_sending(&s);

	/* Its 123rd byte is within a character. */
	memset(reason, 'r', sizeof(reason));
	memcpy(reason + 121, "\xe2\x82\xac", 3);
	begin_sending(&s, &none);
	ck_assert_int_eq(pst_websocket_close(s.ws, &s.out, 4000, reason, sizeof(reason)), 0);
	ck_assert_uint_eq(pst_buf_bytes(&s.out)[1], 2 + 121);
	end_sending(&s);
}
END_TEST

/* We close: messages under way are dropped, its close ends it. */
START_TEST(is_answered)
{
	static const struct frame rest[] = {{CONT, BYTES("b"), 0}, {FIN | RSV1 | CONT, "", 0, 0}};
	static const struct frame late[] = {{FIN | CONT, BYTES("\xff"), 0},
	    {FIN | TEXT, BYTES("c"), 0}, {FIN | PING, "", 0, 0},
	    {FIN | CLOSE, BYTES("\x03\xe8"), 0}};
	static const struct frame first = {TEXT, BYTES("a"), 0};
	struct sending s;
	struct tally tally;
	unsigned char bytes[64];

	begin_sending(&s, &terms);
	tally = take_all(s.ws, bytes, put_frame(bytes, &first), 1, &s.out);
	ck_assert_uint_eq(tally.bytes, 1);
	ck_assert_int_eq(pst_websocket_close(s.ws, &s.out, 1001, "", 0), 0);
	expect(&s, FIN | CLOSE, "\x03\xe9", 2);
	for (size_t i = 0; i < 4; i++) {
		tally = take_all(s.ws, bytes, put_frame(bytes, &late[i]), 1, &s.out);
		ck_assert_uint_eq(tally.bytes, 0);
		ck_assert_int_eq(tally.last, i == 3 ? PST_WEBSOCKET_LEFT : 0);
	}
	ck_assert_uint_eq(tally.code, 1000);
	ck_assert_int_eq(pst_websocket_state(s.ws), PST_WEBSOCKET_CLOSED);
	ck_assert_uint_eq(pst_buf_length(&s.out), 0);
	end_sending(&s);

	begin_sending(&s, &terms);
	(void)take_all(s.ws, bytes, put_frame(bytes, &first), 1, &s.out);
	ck_assert_int_eq(pst_websocket_close(s.ws, &s.out, 1001, "", 0), 0);
	(void)take_all(s.ws, bytes, put_frame(bytes, &rest[0]), 1, &s.out);
	tally = take_all(s.ws, bytes, put_frame(bytes, &rest[1]), 1, &s.out);
	ck_assert_int_eq(tally.last, PST_WEBSOCKET_BROKEN);
	end_sending(&s);
}
END_TEST

/* The payloads of OUT's frames, from which RSV1 of the first says whether they are compressed. */
static bool
payloads(struct sending *s, struct pst_buf *payload)
{
	bool compressed = (pst_buf_bytes(&s->out)[0] & RSV1) != 0;

	while (pst_buf_length(&s->out) > 0) {
		const unsigned char *p = pst_buf_bytes(&s->out);
		size_t n = p[1], head = 2;

		if (n == 126) {
			n = (size_t)p[2] << 8 | p[3];
			head = 4;
		}
		ck_assert_int_eq(pst_buf_append(payload, p + head, n), 0);
		pst_buf_consume(&s->out, head + n);
	}
	return compressed;
}

static void
check_compressed(struct sending *s, const char *text, size_t n, size_t step)
{
	static const unsigned char tail[4] = {0, 0, 0xff, 0xff};
	struct pst_buf payload = {0};
	z_stream *stream = pst_websocket_inflate_begin(&terms);
	char *plain = malloc(n + 1);
	const unsigned char *at;
	size_t left, got;

	for (size_t from = 0; from < n; from += step) {
		size_t length = n - from < step ? n - from : step;

		ck_assert_int_eq(pst_websocket_send(s->ws, &s->out, false, from + length == n,
				     text + from, length),
		    0);
	}
	ck_assert(payloads(s, &payload));
	ck_assert_uint_lt(pst_buf_length(&payload), n);
	ck_assert_int_eq(pst_buf_append(&payload, tail, 4), 0);
	at = pst_buf_bytes(&payload);
	left = pst_buf_length(&payload);
	ck_assert_int_eq(pst_websocket_inflate(stream, &at, &left, plain, n + 1, &got), 0);
	ck_assert_uint_eq(got, n);
	ck_assert_mem_eq(plain, text, n);
	pst_websocket_inflate_end(&stream);
	pst_buf_free(&payload);
	free(plain);
}

START_TEST(compresses)
{
	static char text[60000];
	struct sending s;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23 + (i / 100) % 3);
	begin_sending(&s, &terms);
	check_compressed(&s, text, 256, 256);
	check_compressed(&s, text, 300, 1);
	check_compressed(&s, text, sizeof(text), sizeof(text));
	check_compressed(&s, text, sizeof(text), 1000);
	ck_assert_int_eq(pst_websocket_send(s.ws, &s.out, false, true, text, 100), 0);
	expect(&s, FIN | TEXT, text, 100);
	end_sending(&s);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("websocket");

	tcase_add_loop_test(tcase, frames, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tcase, lengths, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tcase, limit);
	tcase_add_test(tcase, long_forms);
	tcase_add_test(tcase, bomb);
	tcase_add_test(tcase, sends);
	tcase_add_test(tcase, sends_no_other);
	tcase_add_test(tcase, closes);
	tcase_add_test(tcase, is_answered);
	tcase_add_test(tcase, compresses);
	return run_case("websocket", tcase);
}
