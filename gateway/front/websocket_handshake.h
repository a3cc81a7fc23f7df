/* The opening handshake of a WebSocket, the server's side (RFC 6455, section 4.2). */
#ifndef PST_GATEWAY_FRONT_WEBSOCKET_HANDSHAKE_H
#define PST_GATEWAY_FRONT_WEBSOCKET_HANDSHAKE_H

#include "gateway/front/http_request.h"
#include "gateway/front/websocket_deflate.h"

/* The value of Sec-WebSocket-Accept. */
#define PST_WEBSOCKET_ACCEPT_LEN 28

struct pst_websocket_handshake {
	char accept[PST_WEBSOCKET_ACCEPT_LEN];
	struct pst_websocket_terms terms;
};

/* REQUEST, whose head is complete, asks for a WebSocket: `websocket` is what it would upgrade to.
 */
bool pst_websocket_wanted(const struct pst_http_request *request);

/*
 * Of one that asks for it: what we agree to, compression only if DEFLATE. False when the handshake
 * is not valid: *REFUSAL says why, 400 or 426, with which Sec-WebSocket-Version is due.
 */
bool pst_websocket_handshake(struct pst_websocket_handshake *handshake,
    const struct pst_http_request *request, bool deflate, struct pst_http_refusal *refusal);

/* The client offered PROTOCOL, what the application has chosen for Sec-WebSocket-Protocol. */
bool pst_websocket_offered(const struct pst_http_request *request, struct pst_http_text protocol);

#endif
