/*
 * The head of a CGI response (RFC 3875, section 6), as it comes in pieces from a worker's
 * STDOUT. What a worker sends is input: everything malformed is an error with a constant reason,
 * and no more is held than the limits allow. Sans I/O.
 *
 *	start → head → done          done: *TAKEN says where the body begins
 *	          ↓ ↖ interim        a 1xx block; read it, then go on for the final one
 *	        failed
 *
 * Lines end in CRLF or LF. A first line "HTTP/1.1 200 OK" (what non-parsed-header programs print)
 * is taken for Status. Without a status it is 302 when there is a Location, else 200. Fields of the
 * worker's own connection (Connection, Keep-Alive, Proxy-Connection, TE, Trailer,
 * Transfer-Encoding) are left out of what is returned; so are Status and a Content-Length that
 * repeats the first. All others are kept, in order, duplicates too. An empty block, a field
 * without a colon, a folded line are errors.
 */
#ifndef PST_GATEWAY_FRONT_CGI_RESPONSE_H
#define PST_GATEWAY_FRONT_CGI_RESPONSE_H

#include "gateway/front/http_field.h"
#include "protocol/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_cgi_response_limits {
	size_t head; /* bytes of one header block with its line ends */
	unsigned fields; /* lines in it */
	unsigned interim; /* 1xx blocks before the final one */
};

/* 64 KiB, 256 fields, 16 interim blocks. */
extern const struct pst_cgi_response_limits PST_CGI_RESPONSE_DEFAULT_LIMITS;

struct pst_cgi_field {
	struct pst_http_text name; /* as sent, a token */
	struct pst_http_text value; /* trimmed; no control character but tab */
	enum pst_http_name id; /* of the name */
};

struct pst_cgi_response;

/* NULL: no memory. LIMITS are copied; NULL: the defaults. */
struct pst_cgi_response *pst_cgi_response_new(const struct pst_cgi_response_limits *limits);
void pst_cgi_response_free(struct pst_cgi_response *response);
/* As new, for the next request; memory for an ordinary head is kept. */
void pst_cgi_response_reset(struct pst_cgi_response *response);

enum pst_cgi_response_event {
	PST_CGI_RESPONSE_MORE = 0, /* all N bytes were taken; the block is not complete */
	PST_CGI_RESPONSE_INTERIM = 1, /* a 1xx block is complete: read it before the next feed */
	PST_CGI_RESPONSE_HEAD = 2, /* the final block is complete; the rest is body */
};

/*
 * Feed N bytes. *TAKEN is how many of them belong to the head: with INTERIM feed the rest
 * again, with HEAD the rest (and all that follows) is the body. Returns an event, or
 * PST_ERR_PROTOCOL, PST_ERR_LIMIT, PST_ERR_NOMEM: then pst_cgi_response_reason() says why and the
 * response takes nothing more. Not to be called after HEAD.
 */
int pst_cgi_response_feed(
    struct pst_cgi_response *response, const void *bytes, size_t n, size_t *taken);

/* STDOUT ended before HEAD: always an error, PST_ERR_PROTOCOL, with its reason. */
int pst_cgi_response_end(struct pst_cgi_response *response);

/* --- after INTERIM or HEAD, until the next feed, reset or free --- */

/* 100 to 599; 101 comes as HEAD (it is final, an upgrade). */
unsigned pst_cgi_response_status(const struct pst_cgi_response *response);
/* What stood after the number, possibly empty; no control character but tab. */
struct pst_http_text pst_cgi_response_phrase(const struct pst_cgi_response *response);
/* The fields in order; *COUNT is set. */
const struct pst_cgi_field *pst_cgi_response_fields(
    const struct pst_cgi_response *response, size_t *count);
/* The first field called NAME (in lower case); NULL: none. */
const struct pst_cgi_field *pst_cgi_response_find(
    const struct pst_cgi_response *response, const char *name);
/* What Content-Length says; -1 when there is none. (It is among the fields, too.) */
int64_t pst_cgi_response_content_length(const struct pst_cgi_response *response);
/* True when a field of the worker's own connection was left out: for a debug line. */
bool pst_cgi_response_dropped_fields(const struct pst_cgi_response *response);

/* After an error: a constant phrase such as "a header name with a space"; "" before. */
const char *pst_cgi_response_reason(const struct pst_cgi_response *response);

#endif
