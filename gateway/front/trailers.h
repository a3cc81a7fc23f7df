/* Fields behind a body (RFC 9110, 6.5): which a worker may send, and to whom. */
#ifndef PST_FRONT_TRAILERS_H
#define PST_FRONT_TRAILERS_H

#include "gateway/front/http_request.h"
#include "protocol/buf.h"

#include <stdbool.h>

/* The client said `TE: trailers`, in HTTP/1.1. */
bool pst_trailers_are_wanted(const struct pst_http_request *request);

/*
 * Append "NAME: VALUE" CRLF: 0; PST_ERR_NOMEM; or PST_ERR_PROTOCOL with a constant *REASON, when it
 * is no field or one that cannot be a trailer (RFC 9110, 6.5.1): of framing, routing,
 * authentication, or one that says what to do with the message or its content.
 */
int pst_trailers_add(struct pst_buf *out, struct pst_http_text name, struct pst_http_text value,
    const char **reason);

#endif
