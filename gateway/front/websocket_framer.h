/*
 * What makes frames of a WebSocket's bytes, and bytes of frames (RFC 6455, 5.2): libwslay's context
 * with the memory it reads into, 4 KiB. A WebSocket has one while a frame is under way, and gives
 * it back to the spares between two.
 */
#ifndef PST_GATEWAY_FRONT_WEBSOCKET_FRAMER_H
#define PST_GATEWAY_FRONT_WEBSOCKET_FRAMER_H

#include "protocol/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wslay/wslay.h>

/* Framers that no WebSocket has just now: it costs less to keep some than to make each anew. Zeroed
 * at first; used on one thread. */
struct pst_websocket_spares {
	struct pst_websocket_framer *first;
	unsigned count;
};

/* Those that share it are gone. */
void pst_websocket_spares_free(struct pst_websocket_spares *spares);

/* Where a framer's bytes come from and go to. */
struct pst_websocket_ends {
	const unsigned char *bytes; /* of the client's: N of them are to be taken */
	size_t n;
	uint64_t ahead; /* taken, but of no frame that the owner has counted off */
	struct pst_buf *out;
};

/* One for ENDS, which stay the owner's; from SPARES (may be NULL), or a new one. NULL when memory
 * is short. */
struct pst_websocket_framer *pst_websocket_framer_get(
    struct pst_websocket_spares *spares, struct pst_websocket_ends *ends);
/* Give it back; freed if SPARES is NULL, as it must be for one that was left within a frame. */
void pst_websocket_framer_put(
    struct pst_websocket_framer *framer, struct pst_websocket_spares *spares);

/* As wslay_frame_recv(): what it finds is valid until the next call. */
ssize_t pst_websocket_framer_take(
    struct pst_websocket_framer *framer, struct wslay_frame_iocb *found);
/* Append a frame with N bytes to the ends' OUT, or nothing: PST_ERR_NOMEM. */
int pst_websocket_framer_send(struct pst_websocket_framer *framer, uint8_t opcode, bool end,
    uint8_t rsv, const void *bytes, size_t n);

/* Bytes in front of the payload of a frame that has come. */
unsigned pst_websocket_header_length(const struct wslay_frame_iocb *frame);

#endif
