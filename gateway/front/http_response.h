/*
 * A response on its way to the client (RFC 9112, sections 4, 6 and 7; RFC 9110, section 15).
 *
 * The writer appends to a buffer of the caller's and knows what the body may be: it chooses
 * between Content-Length, chunked and the end of the connection, swallows what must not be sent
 * (HEAD, 204, 205, 304), and refuses what would let a worker write another response (CR, LF, NUL in
 * names, values and reasons).
 *
 *	init -> [start(1xx) field* finish]* -> start field* finish -> [body | chunk]* -> end
 *
 * Every function returns 0 or: PST_ERR_NOMEM; PST_ERR_PROTOCOL, when what it was given is not
 * valid (response->reason says why: answer 502); PST_ERR_STATE, when it does not fit the order.
 * After an error of start, field or finish nothing of that head is left in OUT, so an error
 * answer can follow: init again. From start to finish nothing else may be done to OUT.
 */
#ifndef PST_GATEWAY_FRONT_HTTP_RESPONSE_H
#define PST_GATEWAY_FRONT_HTTP_RESPONSE_H

#include "gateway/front/http_request.h"
#include "protocol/buf.h"

enum pst_http_framing {
	PST_HTTP_FRAMING_NONE, /* no body: HEAD, 204, 205, 304, 1xx */
	PST_HTTP_FRAMING_LENGTH,
	PST_HTTP_FRAMING_CHUNKED, /* HTTP/1.1 clients only */
	PST_HTTP_FRAMING_CLOSE, /* the end of the connection ends the body */
	PST_HTTP_FRAMING_TUNNEL, /* after 101 */
};

struct pst_http_response {
	/* Valid after finish. */
	unsigned status;
	enum pst_http_framing framing;
	bool keep_alive; /* false: close the connection after the response */
	bool content; /* false: body bytes are swallowed, they need not be asked for */
	uint64_t body_sent; /* content bytes, framing not counted: %(b)s */
	const char *reason; /* after PST_ERR_PROTOCOL: "a control character in a field value" */

	/* Private to http_response.c. */
	int state;
	unsigned minor;
	bool head;
	bool upgrade;
	bool silent;
	bool has_length, has_date, has_server;
	uint64_t length;
	uint64_t left;
	size_t head_len;
};

/* For the answer to REQUEST. KEEP_ALIVE: we are willing too (the client's wish is looked up here).
 */
void pst_http_response_init(
    struct pst_http_response *response, const struct pst_http_request *request, bool keep_alive);

/*
 * The status line. STATUS 100 to 599; an empty REASON gives the registered one. 1xx
 * begins an interim response (nothing is sent of it to a 1.0 client); 101 is accepted only when
 * the request asked for an upgrade, and is final.
 */
int pst_http_response_start(struct pst_http_response *response, struct pst_buf *out,
    unsigned status, struct pst_http_text reason);

/*
 * One field. Content-Length is taken as the body's length; `Connection: close` ends keep-alive;
 * fields that are the writer's own affair (Connection, Keep-Alive, Transfer-Encoding,
 * Proxy-Connection, Trailer; Upgrade except with 101) are left out. A second, different
 * Content-Length is refused.
 */
int pst_http_response_field(struct pst_http_response *response, struct pst_buf *out,
    struct pst_http_text name, struct pst_http_text value);

/* The same for a field that is known to be well-formed: NAME is a token, of which ID is known,
 * VALUE is trimmed. */
int pst_http_response_known_field(struct pst_http_response *response, struct pst_buf *out,
    enum pst_http_name id, struct pst_http_text name, struct pst_http_text value);

/* Before finish: the body will have LENGTH bytes. Refused when Content-Length said otherwise. */
int pst_http_response_length(
    struct pst_http_response *response, struct pst_buf *out, uint64_t length);

/*
 * The end of the head: adds Date and Server unless they were given, the framing and Connection.
 * DATE is 29 bytes (http_date.h). After an interim response start may follow again.
 */
int pst_http_response_finish(
    struct pst_http_response *response, struct pst_buf *out, const char *date);

/*
 * N bytes of body, framed; none are appended when response->content is false. More than
 * Content-Length is PST_ERR_PROTOCOL, with the bytes that fit appended: close after them.
 */
int pst_http_response_body(
    struct pst_http_response *response, struct pst_buf *out, const void *bytes, size_t n);

/*
 * The same for N bytes that the caller writes by itself (from a file): open, the bytes, close.
 * Only when response->content is true. open is PST_ERR_PROTOCOL, and appends nothing, when N is
 * more than Content-Length leaves.
 */
int pst_http_response_chunk_open(
    struct pst_http_response *response, struct pst_buf *out, uint64_t n);
int pst_http_response_chunk_close(struct pst_http_response *response, struct pst_buf *out);
/* For who writes what close appends by itself, too: how many *BYTES that are; and they are written.
 */
size_t pst_http_response_chunk_end(const struct pst_http_response *response, const char **bytes);
void pst_http_response_chunk_closed(struct pst_http_response *response);

/* True when the body may end after N bytes more: Content-Length says so, or there is none. */
bool pst_http_response_ends_after(const struct pst_http_response *response, uint64_t n);

/*
 * The body is complete. PST_ERR_PROTOCOL when Content-Length promised more: the connection must be
 * closed so that the client notices. When the worker failed, do not call this: just close.
 */
int pst_http_response_end(struct pst_http_response *response, struct pst_buf *out);
/* The same with fields behind the body: N bytes of whole lines, which are left out unless the body
 * is chunked. */
int pst_http_response_end_with(
    struct pst_http_response *response, struct pst_buf *out, const void *fields, size_t n);

/* What pst_http_response_error() is to say. */
struct pst_http_error {
	unsigned status;
	const char *detail; /* a phrase for the body, or NULL */
	unsigned retry_after; /* seconds, 0: no Retry-After */
	bool head; /* the request was HEAD: no body */
	bool keep_alive; /* false: Connection: close (always so for 400 and the like) */
	unsigned minor; /* of the client's version; it decides how keep-alive is said */
	bool websocket; /* 426: say which WebSocket it may be */
};

/* A whole error answer, text/plain: "503 Service Unavailable: the queue is full". */
int pst_http_response_error(
    struct pst_buf *out, const struct pst_http_error *error, const char *date);

/* "HTTP/1.1 100 Continue": asks for the body of a request with expect_continue. */
int pst_http_response_continue(struct pst_buf *out);

#endif
