#include "gateway/front/websocket_framer.h"

#include "protocol/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Header and mask of a frame. */
#define HEADER_MAX 14
/* So many are kept. */
#define SPARES 8

/* wslay's context knows its argument for life. */
struct pst_websocket_framer {
	struct pst_websocket_ends *ends; /* whose it is; NULL: spare */
	wslay_frame_context_ptr wslay;
	struct pst_websocket_framer *next; /* among the spares */
};

static ssize_t
give_wslay(uint8_t *to, size_t size, int flags, void *arg)
{
	struct pst_websocket_ends *ends = ((struct pst_websocket_framer *)arg)->ends;
	size_t n = ends->n < size ? ends->n : size;

	(void)flags;
	if (n == 0)
		return -1;
	memcpy(to, ends->bytes, n);
	ends->bytes += n;
	ends->n -= n;
	ends->ahead += n;
	return (ssize_t)n;
}

static ssize_t
take_from_wslay(const uint8_t *bytes, size_t n, int flags, void *arg)
{
	struct pst_websocket_ends *ends = ((struct pst_websocket_framer *)arg)->ends;

	(void)flags;
	return pst_buf_append(ends->out, bytes, n) == 0 ? (ssize_t)n : -1;
}

static struct pst_websocket_framer *
make_framer(void)
{
	static const struct wslay_frame_callbacks callbacks = {
	    .send_callback = take_from_wslay,
	    .recv_callback = give_wslay,
	};
	struct pst_websocket_framer *framer = calloc(1, sizeof(*framer));

	if (framer != NULL && wslay_frame_context_init(&framer->wslay, &callbacks, framer) != 0) {
		free(framer);
		framer = NULL;
	}
	return framer;
}

static void
free_framer(struct pst_websocket_framer *framer)
{
	wslay_frame_context_free(framer->wslay);
	free(framer);
}

void
pst_websocket_spares_free(struct pst_websocket_spares *spares)
{
	struct pst_websocket_framer *framer;

	while ((framer = spares->first) != NULL) {
		spares->first = framer->next;
		free_framer(framer);
	}
	spares->count = 0;
}

struct pst_websocket_framer *
pst_websocket_framer_get(struct pst_websocket_spares *spares, struct pst_websocket_ends *ends)
{
	struct pst_websocket_framer *framer;

	if (spares != NULL && spares->first != NULL) {
		framer = spares->first;
		spares->first = framer->next;
		spares->count--;
	} else {
		framer = make_framer();
	}
	if (framer != NULL)
		framer->ends = ends;
	return framer;
}

void
pst_websocket_framer_put(struct pst_websocket_framer *framer, struct pst_websocket_spares *spares)
{
	if (spares == NULL || spares->count == SPARES) {
		free_framer(framer);
		return;
	}
	framer->ends = NULL;
	framer->next = spares->first;
	spares->first = framer;
	spares->count++;
}

ssize_t
pst_websocket_framer_take(struct pst_websocket_framer *framer, struct wslay_frame_iocb *found)
{
	return wslay_frame_recv(framer->wslay, found);
}

int
pst_websocket_framer_send(struct pst_websocket_framer *framer, uint8_t opcode, bool end,
    uint8_t rsv, const void *bytes, size_t n)
{
	struct wslay_frame_iocb frame = {
	    .fin = end,
	    .rsv = rsv,
	    .opcode = opcode,
	    .payload_length = n,
	    .data = bytes,
	    .data_length = n,
	};
	ssize_t sent;

	if (pst_buf_reserve(framer->ends->out, n + HEADER_MAX) == NULL)
		return PST_ERR_NOMEM;
	sent = wslay_frame_send(framer->wslay, &frame);
	assert(sent >= 0 && (size_t)sent == n);
	return 0;
}

/* wslay takes no longer form than is needed. */
unsigned
pst_websocket_header_length(const struct wslay_frame_iocb *frame)
{
	uint64_t n = frame->payload_length;

	return 2u + (n < 126 ? 0u : n <= UINT16_MAX ? 2u : 8u) + (frame->mask ? 4u : 0u);
}
