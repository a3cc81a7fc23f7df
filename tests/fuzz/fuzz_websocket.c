/*
 * What a WebSocket's client sends. Byte 0 says whether messages may be compressed and how it is
 * cut, byte 1 how much room a piece has, which changes nothing of what is told and answered. What
 * comes out is what was promised: text is UTF-8, no message is beyond the limit, nothing follows a
 * close.
 */
#include "gateway/front/utf8.h"
#include "gateway/front/websocket.h"
#include "gateway/front/websocket_framer.h"
#include "protocol/error.h"
#include "tests/fuzz/http_check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST      4096
#define FRAGMENTS 32

static struct pst_websocket_spares spares; /* all inputs share it */
static const struct pst_websocket_limits limits = {
    .message = MOST, .fragments = FRAGMENTS, .spares = &spares};

/* What was told: each message whole, when it has ended; then the close. */
struct story {
	struct pst_buf text;
	struct pst_buf message;
	struct pst_buf out;
	struct pst_utf8 utf8;
	int last;
	unsigned code;
};

static void
end_message(struct story *story, bool binary)
{
	size_t n = pst_buf_length(&story->message);

	CHECK(n <= MOST);
	CHECK(binary || pst_utf8_may_end(&story->utf8));
	CHECK(pst_buf_append(&story->text, binary ? "b" : "t", 1) == 0);
	CHECK(pst_buf_append(&story->text, &n, sizeof(n)) == 0);
	if (n > 0)
		CHECK(pst_buf_append(&story->text, pst_buf_bytes(&story->message), n) == 0);
	pst_buf_consume(&story->message, n);
	story->utf8 = (struct pst_utf8){0};
}

static void
on_piece(struct story *story, const struct pst_websocket_piece *piece, size_t room)
{
	CHECK(piece->n <= room);
	CHECK(piece->n > 0 || piece->end);
	CHECK(piece->binary || pst_utf8_take(&story->utf8, piece->bytes, piece->n));
	if (piece->n > 0)
		CHECK(pst_buf_append(&story->message, piece->bytes, piece->n) == 0);
	if (piece->end)
		end_message(story, piece->binary);
}

static void
on_event(struct story *story, int event, const struct pst_websocket_piece *piece, size_t room)
{
	struct pst_utf8 reason = {0};

	CHECK(event >= 0 && event != PST_WEBSOCKET_FULL);
	if (event == PST_WEBSOCKET_MORE)
		return;
	CHECK(story->last == 0);
	if (event == PST_WEBSOCKET_PIECE) {
		on_piece(story, piece, room);
		return;
	}
	story->last = event;
	story->code = piece->code;
	CHECK(pst_utf8_take(&reason, piece->bytes, piece->n) && pst_utf8_may_end(&reason));
	CHECK(piece->code == PST_WEBSOCKET_NO_CODE || pst_websocket_code_valid(piece->code));
}

static void
take(struct pst_websocket *ws, const uint8_t *bytes, size_t n, size_t room, struct story *story)
{
	unsigned char *copy = malloc(n), *memory = malloc(room);
	size_t at = 0, used;
	int event;

	CHECK(copy != NULL && memory != NULL);
	memcpy(copy, bytes, n);
	do {
		struct pst_websocket_piece piece = {0};

		event = pst_websocket_take(
		    ws, copy + at, n - at, &used, memory, room, &piece, &story->out);
		at += used;
		on_event(story, event, &piece, room);
	} while (event != PST_WEBSOCKET_MORE);
	CHECK(at == n);
	free(copy);
	free(memory);
}

static void
tell(const uint8_t *data, size_t size, bool compress, size_t step, size_t room, struct story *story)
{
	const struct pst_websocket_terms terms = {
	    .server_bits = compress ? 12 : 0, .client_bits = compress ? 15 : 0};
	struct pst_websocket *ws = pst_websocket_new(&terms, &limits);

	CHECK(ws != NULL);
	for (size_t at = 0; at < size; at += step)
		take(ws, data + at, size - at < step ? size - at : step, room, story);
	CHECK((pst_websocket_state(ws) == PST_WEBSOCKET_OPEN) == (story->last == 0));
	pst_websocket_free(ws);
}

static bool
same(const struct pst_buf *a, const struct pst_buf *b)
{
	size_t n = pst_buf_length(a);

	return n == pst_buf_length(b) &&
	       (n == 0 || memcmp(pst_buf_bytes(a), pst_buf_bytes(b), n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct story whole = {0}, cut = {0};
	bool compress;

	if (size < 2)
		return 0;
	compress = data[0] >= 128;
	tell(data + 2, size - 2, compress, size, 65536, &whole);
	tell(data + 2, size - 2, compress, 1 + data[0] % 16u, 1 + data[1], &cut);
	CHECK(whole.last == cut.last && whole.code == cut.code);
	CHECK(same(&whole.text, &cut.text));
	CHECK(same(&whole.out, &cut.out));
	pst_buf_free(&whole.text);
	pst_buf_free(&whole.message);
	pst_buf_free(&whole.out);
	pst_buf_free(&cut.text);
	pst_buf_free(&cut.message);
	pst_buf_free(&cut.out);
	return 0;
}
