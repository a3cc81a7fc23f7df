/*
 * An open WebSocket, the server's side (RFC 6455): the bytes of its client go in, pieces of
 * messages come out, and the other way. No I/O, no clock. Frames are libwslay's
 *(websocket_framer.h), compression is zlib's (websocket_deflate.h); the handshake is in
 *websocket_handshake.h.
 *
 *	          we close, or the client broke the protocol        its close has come
 *	  OPEN ──────────────────────────────────────────► CLOSING ──────┐
 *	    │ its close has come: it is answered                         ▼
 *	    └─────────────────────────────────────────────────────────► CLOSED
 *
 * Pings are answered as they are met, in OUT: who reads for a client that does not take its bytes
 * should stop. Between two frames it holds nothing but this struct (some 300 bytes); a frame that
 * is under way costs 4 KiB, and a compressed message what websocket_deflate.h says.
 */
#ifndef PST_GATEWAY_FRONT_WEBSOCKET_H
#define PST_GATEWAY_FRONT_WEBSOCKET_H

#include "gateway/front/websocket_deflate.h"
#include "protocol/buf.h"

/* Close codes (RFC 6455, 7.4.1, and IANA's registry). */
enum pst_websocket_code {
	PST_WEBSOCKET_NORMAL = 1000,
	PST_WEBSOCKET_GOING_AWAY = 1001,
	PST_WEBSOCKET_PROTOCOL_ERROR = 1002,
	PST_WEBSOCKET_NO_CODE = 1005, /* never sent: its close frame has none */
	PST_WEBSOCKET_NO_CLOSE = 1006, /* never sent: there was no close frame */
	PST_WEBSOCKET_BAD_DATA = 1007,
	PST_WEBSOCKET_TOO_BIG = 1009,
	PST_WEBSOCKET_SERVER_ERROR = 1011,
	PST_WEBSOCKET_RESTART = 1012,
};

/* The most of a close's reason, in bytes. */
#define PST_WEBSOCKET_REASON_MAX 123

enum pst_websocket_state {
	PST_WEBSOCKET_OPEN,
	PST_WEBSOCKET_CLOSING,
	PST_WEBSOCKET_CLOSED,
};

enum pst_websocket_event {
	PST_WEBSOCKET_MORE = 0, /* all was taken: more bytes are wanted */
	PST_WEBSOCKET_PIECE, /* of a message: see struct pst_websocket_piece */
	PST_WEBSOCKET_FULL, /* a piece waits for room */
	PST_WEBSOCKET_LEFT, /* the client closes: see the code and reason of the piece */
	/* It broke the protocol: the same; we have closed. Nothing more is taken from it. */
	PST_WEBSOCKET_BROKEN,
};

/* What an event brings; valid until the next call. */
struct pst_websocket_piece {
	const void *bytes; /* of the message, or of the close's reason (UTF-8) */
	size_t n;
	bool binary; /* else it is text, in UTF-8 */
	bool end; /* the message's last; it may have no bytes */
	unsigned code; /* of the close: 1005 if it has none, ours if it broke the protocol */
};

struct pst_websocket_limits {
	uint64_t message; /* bytes of one from the client, decompressed; 0: any */
	unsigned fragments; /* frames of one; 0: any */
	/* Framers that are shared on one thread (websocket_framer.h); NULL: none are kept. */
	struct pst_websocket_spares *spares;
};

struct pst_websocket;

/* NULL when memory is short. TERMS are copied, LIMITS must outlive it. */
struct pst_websocket *pst_websocket_new(
    const struct pst_websocket_terms *terms, const struct pst_websocket_limits *limits);
/* NULL is allowed. */
void pst_websocket_free(struct pst_websocket *websocket);

enum pst_websocket_state pst_websocket_state(const struct pst_websocket *websocket);

/*
 * Take N bytes of the client's, *CONSUMED of them now, until there is an event, which is returned;
 * or PST_ERR_NOMEM: cut it off. Call again with the rest, and until it is MORE, also with none:
 * bytes that were consumed may still be to be told of. A piece has at most ROOM bytes; some of it
 * may stand in MEMORY, which has so many. Without room, whatever else has come is done with. What
 * follows a close is dropped. Control frames are answered in OUT.
 */
int pst_websocket_take(struct pst_websocket *websocket, const void *bytes, size_t n,
    size_t *consumed, void *memory, size_t room, struct pst_websocket_piece *piece,
    struct pst_buf *out);

/* What each of these appends to OUT is whole frames, or nothing: PST_ERR_NOMEM. PST_ERR_STATE when
 * it is not open any more. */

/*
 * Add N bytes to the message that is being sent; the first piece says of what kind it is. Text is
 * not sent when it is not UTF-8, PST_ERR_PROTOCOL, nor is a piece of another kind.
 */
int pst_websocket_send(struct pst_websocket *websocket, struct pst_buf *out, bool binary, bool end,
    const void *bytes, size_t n);
int pst_websocket_ping(struct pst_websocket *websocket, struct pst_buf *out);
/* With CODE, which may be told to a client, or 1005; and N bytes of REASON, UTF-8, cut where there
 * is no room for more. */
int pst_websocket_close(struct pst_websocket *websocket, struct pst_buf *out, unsigned code,
    const char *reason, size_t n);

/* CODE may stand in a close frame (RFC 6455, 7.4). */
bool pst_websocket_code_valid(unsigned code);

#endif
