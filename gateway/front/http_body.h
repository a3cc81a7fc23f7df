/*
 * The body of a request (RFC 9112, sections 6 and 7.1), decoded in place: no memory is held.
 * Trailer fields are checked, bounded and forgotten: they never become header fields.
 */
#ifndef PST_GATEWAY_FRONT_HTTP_BODY_H
#define PST_GATEWAY_FRONT_HTTP_BODY_H

#include "gateway/front/http_request.h"

struct pst_http_body {
	uint64_t received; /* decoded bytes so far */
	bool done;
	struct pst_http_refusal refusal;

	/* Private to http_body.c. */
	const struct pst_http_limits *limits;
	uint64_t most;
	enum pst_http_body_kind kind;
	int state;
	uint64_t left; /* of the body or the chunk */
	unsigned digits; /* of the chunk size */
	size_t extensions, trailers, trailer_fields, trailer_len;
};

/*
 * For the body that follows REQUEST, which is complete. done is set at once when there is none.
 * MOST is what it may have of decoded bytes, 0: any. 0, or PST_ERR_PROTOCOL when it is known to be
 * longer: see body->refusal.
 */
int pst_http_body_init(
    struct pst_http_body *body, const struct pst_http_request *request, uint64_t most);

/*
 * Look at N bytes that follow the head. *CONSUMED of them are done with; *PIECE is the content
 * found among them, a slice of BYTES, possibly empty. At most one piece comes per call, so call
 * again with the rest until it is used up.
 *
 *	1                   the body is complete; what was not consumed is the next request
 *	0                   go on with the rest, or with more bytes when there is none
 *	PST_ERR_PROTOCOL    refused: see body->refusal; answer if nothing was answered yet, and
 *close
 *
 * With body->done set it returns 1 and consumes nothing.
 */
int pst_http_body_decode(struct pst_http_body *body, const void *bytes, size_t n, size_t *consumed,
    struct pst_http_text *piece);

#endif
