/*
 * A request as CGI/1.1 parameters (RFC 3875, section 4) with what nginx's fastcgi_params adds.
 * Sans I/O: a parsed request and the facts about its connection in, parameters out by callback.
 *
 * Always: GATEWAY_INTERFACE SERVER_SOFTWARE SERVER_PROTOCOL SERVER_NAME SERVER_PORT SERVER_ADDR
 * REMOTE_ADDR REMOTE_PORT REQUEST_METHOD REQUEST_URI REQUEST_SCHEME SCRIPT_NAME PATH_INFO
 * QUERY_STRING (all present even when empty). When so: HTTPS=on, CONTENT_TYPE, CONTENT_LENGTH.
 * Then a HTTP_NAME for each field name: upper case, "-" as "_"; the values of fields of one name are
 * joined with ", " (Cookie: "; ") where the first stood. Never: Proxy (HTTP_PROXY steers
 * clients), Content-Length, Content-Type, Transfer-Encoding, Connection and what it names,
 * Keep-Alive, Proxy-Connection, TE, Trailer, Upgrade.
 * Field names with "_" must have been dropped before, as --header-map says.
 */
#ifndef PST_GATEWAY_FRONT_CGI_PARAMS_H
#define PST_GATEWAY_FRONT_CGI_PARAMS_H

#include "gateway/front/peer_address.h"
#include "gateway/front/slice.h"
#include "protocol/error.h"

#include <stdint.h>

/* What is to be said. All slices need only live during pst_cgi_params_make(). */
struct pst_cgi_request {
	struct pst_slice method;
	struct pst_slice target;   /* origin-form as received, "/a%20b?c=d"; "*" for OPTIONS * */
	struct pst_slice path;     /* of it, not decoded: "/a%20b" */
	struct pst_slice query;    /* without the ?; may be empty */
	struct pst_slice protocol; /* "HTTP/1.1" */
	const struct pst_field *fields;
	size_t field_count;
	int64_t body_length; /* -1: no body, no CONTENT_LENGTH; a chunked body's spooled length */
	struct pst_slice script_name; /* --root-path: what PATH_INFO begins behind; "" or "/app" */

	struct pst_slice scheme; /* "http", "https" */
	struct pst_slice host;   /* SERVER_NAME: without port, as Host or the proxy said; empty: local's */
	uint16_t port;           /* SERVER_PORT; 0: the scheme's default if host is set, else local's */
	struct pst_slice client; /* REMOTE_ADDR; "" for unix peers */
	uint16_t client_port;    /* 0: REMOTE_PORT is "" */
	const struct pst_peer_address *local;
};

/* One parameter; the bytes are valid during the call. Nonzero stops and is returned. */
typedef int pst_cgi_params_fn(
    void *arg, const char *name, size_t name_len, const char *value, size_t value_len);

/*
 * Call FN for every parameter: 0, what FN returned, or PST_ERR_NOMEM. PST_ERR_PROTOCOL when PATH_INFO
 * would hold a NUL (%00) or has a % without two hex digits: answer 400.
 */
int pst_cgi_params_make(const struct pst_cgi_request *request, pst_cgi_params_fn *fn, void *arg);

#endif
