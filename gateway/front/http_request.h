/*
 * The head of a request (RFC 9112, sections 2 to 6), parsed as its bytes arrive.
 *
 * A struct pst_http_request belongs to a connection and serves its requests one after another:
 * init once, parse until 1, use it, reset, parse again; free at the end (or release() when the
 * connection goes idle: it holds no memory then). It copies the head into a buffer of its own,
 * so the texts below stay valid until reset, release or free, whatever becomes of the
 * connection's buffer.
 *
 * The time taken is linear in the bytes however they are cut, and the result is the same.
 */
#ifndef PST_GATEWAY_FRONT_HTTP_REQUEST_H
#define PST_GATEWAY_FRONT_HTTP_REQUEST_H

#include "gateway/front/http_field.h"
#include "gateway/front/http_target.h"

enum pst_http_body_kind {
	PST_HTTP_BODY_NONE,
	PST_HTTP_BODY_LENGTH, /* content_length bytes, more than 0 */
	PST_HTTP_BODY_CHUNKED,
};

/* Where the parser stands; also what a timeout should be called. */
enum pst_http_stage {
	PST_HTTP_STAGE_IDLE, /* nothing of the request has come (an empty line may have) */
	PST_HTTP_STAGE_LINE, /* within the request line */
	PST_HTTP_STAGE_FIELDS, /* within the fields */
	PST_HTTP_STAGE_DONE, /* pst_http_request_parse() returned 1 */
	PST_HTTP_STAGE_REFUSED,
};

struct pst_http_request {
	/* Read these after pst_http_request_parse() returned 1. */
	struct pst_http_text method;
	struct pst_http_target target; /* see http_target.h */
	/* The host[:port] asked for: of the target in absolute form, else of Host; may be empty. */
	struct pst_http_text host;
	unsigned minor; /* 0 or 1: HTTP/1.2 and above are served as 1.1 (RFC 9110, 2.5) */
	/* In the order of arrival; no `Proxy`, and names with an underscore as limits.map says. At
	 * any time: what has come so far. */
	/* In absolute form the value of Host is that of the target (RFC 9112, 3.2.2). */
	const struct pst_http_field *fields;
	size_t field_count;
	size_t dropped; /* fields left out by limits.map, for the log */
	enum pst_http_body_kind body;
	uint64_t content_length; /* PST_HTTP_BODY_LENGTH */
	bool keep_alive; /* the client is willing: its version and Connection say so */
	bool expect_continue; /* a 1.1 client waits for 100 (Continue) before it sends the body */
	/* The value of Upgrade, when a 1.1 client listed `upgrade` in Connection, else empty. */
	struct pst_http_text upgrade;

	/* Valid at any time. */
	enum pst_http_stage stage;
	struct pst_http_refusal refusal;
	/* The request line as sent, without CRLF; what has come of it when it was refused. For
	 * logs only: it may hold any byte. */
	struct pst_http_text line;

	/* Private to http_request.c. */
	const struct pst_http_limits *limits;
	char *bytes;
	size_t used, size;
	size_t head_start; /* where the head begins: behind an empty line */
	size_t line_start; /* ... and the line that is arriving */
	char *decoded; /* memory for target.path */
	size_t decoded_size;
	size_t field_lines;
	struct pst_http_field *table;
	size_t table_size;
	bool empty_line_seen;
};

/* LIMITS is borrowed and must outlive the request. Allocates nothing. */
void pst_http_request_init(struct pst_http_request *request, const struct pst_http_limits *limits);
/* Be ready for the next request; the memory is kept. */
void pst_http_request_reset(struct pst_http_request *request);
/* The same, and give the memory back. */
void pst_http_request_release(struct pst_http_request *request);
void pst_http_request_free(struct pst_http_request *request);

/*
 * Take N more bytes; *CONSUMED says how many belonged to the head (all of them unless 1 is
 * returned: then the rest is body or the next request).
 *
 *	1                   the head is complete
 *	0                   more bytes are wanted
 *	PST_ERR_PROTOCOL    refused: see request->refusal; answer and close, nothing more is parsed
 *	PST_ERR_NOMEM       answer 503 or close
 *
 * Must not be called again after anything but 0 until reset.
 */
int pst_http_request_parse(
    struct pst_http_request *request, const void *bytes, size_t n, size_t *consumed);

/* The first field called NAME (in lower case), or NULL. */
const struct pst_http_field *pst_http_request_field(
    const struct pst_http_request *request, const char *name);

/* True when Connection lists OPTION (in lower case). */
bool pst_http_request_connection_has(const struct pst_http_request *request, const char *option);

#endif
