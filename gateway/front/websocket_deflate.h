/*
 * Compression of messages, permessage-deflate (RFC 7692): what is agreed on in the handshake, and
 * the two ways of one WebSocket.
 *
 * Always without context takeover, both ways: so memory is held only while a message is under way,
 * and a WebSocket that is idle has none. What one costs then: to compress, 38 KiB (a window of 4
 * KiB); to decompress, 11 KiB of a client that lets us limit its window, which browsers do, else
 * 40 KiB.
 */
#ifndef PST_GATEWAY_FRONT_WEBSOCKET_DEFLATE_H
#define PST_GATEWAY_FRONT_WEBSOCKET_DEFLATE_H

#include "gateway/front/http.h"
#include "protocol/buf.h"

#include <zlib.h>

/* What was agreed on; zero bytes: no compression. */
struct pst_websocket_terms {
	uint8_t server_bits; /* of our window: 9 to 12; 0: no compression */
	uint8_t client_bits; /* of the client's: 8 to 15 */
	bool asked_server_bits; /* the client limits our window, and is told ours */
	bool asked_client_bits; /* it lets us limit its own */
};

/*
 * OFFERS is the value of one field Sec-WebSocket-Extensions: take the first offer that can be met,
 * unless an earlier field had one. 0, or PST_ERR_PROTOCOL: it breaks the grammar of RFC 6455, 9.1.
 */
int pst_websocket_terms_choose(struct pst_websocket_terms *terms, struct pst_http_text offers);

#define PST_WEBSOCKET_TERMS_MAX 160

/* The value of our own Sec-WebSocket-Extensions into TEXT, PST_WEBSOCKET_TERMS_MAX bytes: its
 * length, 0 when there is no compression. */
size_t pst_websocket_terms_answer(const struct pst_websocket_terms *terms, char *text);

/* --- one message --- */

/* For the next message to or from the client; NULL: memory is short. */
z_stream *pst_websocket_deflate_begin(const struct pst_websocket_terms *terms);
z_stream *pst_websocket_inflate_begin(const struct pst_websocket_terms *terms);

/* Compress N bytes, append what comes of it to OUT; END: of the message. 0, or PST_ERR_NOMEM. */
int pst_websocket_deflate(
    z_stream *stream, const void *bytes, size_t n, bool end, struct pst_buf *out);

/*
 * Decompress from *BYTES, *N of them, which are moved on, into TO, at most ROOM bytes, more than 0:
 * *GOT came out, also before an error: PST_ERR_PROTOCOL, PST_ERR_NOMEM. Without one all that can
 * come has come when it is less than ROOM; then *N is 0.
 */
int pst_websocket_inflate(
    z_stream *stream, const unsigned char **bytes, size_t *n, void *to, size_t room, size_t *got);

/* *STREAM may be NULL, and is NULL afterwards. */
void pst_websocket_deflate_end(z_stream **stream);
void pst_websocket_inflate_end(z_stream **stream);

#endif
