/*
 * A request as CGI/1.1 parameters (RFC 3875, section 4) with what nginx's fastcgi_params adds.
 * Sans I/O: a parsed request and the facts about its connection in, encoded pairs out.
 *
 * Always: GATEWAY_INTERFACE SERVER_SOFTWARE SERVER_PROTOCOL SERVER_NAME SERVER_PORT SERVER_ADDR
 * REMOTE_ADDR REMOTE_PORT REQUEST_METHOD REQUEST_URI REQUEST_SCHEME SCRIPT_NAME PATH_INFO
 * QUERY_STRING (all present even when empty). When so: HTTPS=on, CONTENT_TYPE, CONTENT_LENGTH.
 * For a script: SCRIPT_FILENAME, DOCUMENT_ROOT, DOCUMENT_URI, REDIRECT_STATUS=200 (without which
 * php-cgi serves nobody), and with a PATH_INFO PATH_TRANSLATED.
 * Then a HTTP_NAME for each field name: upper case, "-" as "_"; the values of fields of one name
 * are joined with ", " (Cookie: "; ") where the first stood. Never: Proxy (HTTP_PROXY steers
 * clients), Content-Length, Content-Type, and fields of the hop (Connection and what it names,
 * Transfer-Encoding, TE, Upgrade ...), unless the worker may upgrade. HTTP_HOST is what a trusted
 * proxy says that the client asked for, if it says so: PEP 3333 and the frameworks make URLs of it.
 * Two names that differ only in
 * "-" and "_" (which get here with --header-map dangerous only) are joined like one.
 *
 * For workers that make a list of fields of them again (`separate`) nothing is joined: a parameter
 * for each field, CONTENT_LENGTH and CONTENT_TYPE among them, in the order of the request.
 */
#ifndef PST_GATEWAY_FRONT_CGI_PARAMS_H
#define PST_GATEWAY_FRONT_CGI_PARAMS_H

#include "gateway/front/http_request.h"
#include "gateway/front/peer_address.h"
#include "gateway/front/script.h"
#include "protocol/buf.h"
#include "protocol/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The facts beside the request itself. All texts need only live during pst_cgi_params_make(). */
struct pst_cgi_facts {
	/* CONTENT_LENGTH: the spooled body's when it was chunked; -1: no body, no such parameter.
	 */
	int64_t body_length;
	struct pst_http_text script_name; /* empty, or "/app" */
	struct pst_http_text path_info; /* data NULL: the path of the target without script_name */
	const char *scheme; /* "http", "https" */
	struct pst_http_text host; /* SERVER_NAME: Host's or the proxy's, no port; empty: local's */
	struct pst_http_text authority; /* HTTP_HOST, in place of Host's; empty: as Host says */
	uint16_t port; /* SERVER_PORT; 0: the scheme's, without a host local's */
	const char *client; /* REMOTE_ADDR; "" for unix peers */
	uint16_t client_port; /* 0: REMOTE_PORT is "" */
	const struct pst_peer_address *local; /* the listener's end: SERVER_ADDR */
	const struct pst_script *script; /* in place of script_name and path_info; NULL: none */
	bool separate; /* a parameter for each field, in the order of the request */
	bool upgrade; /* it asks for a WebSocket: HTTP_CONNECTION and HTTP_UPGRADE are there */
};

/* Append every parameter to OUT as protocol/params.h encodes it: 0, or PST_ERR_NOMEM and OUT is as
 * it was. */
int pst_cgi_params_make(
    const struct pst_http_request *request, const struct pst_cgi_facts *facts, struct pst_buf *out);

#endif
