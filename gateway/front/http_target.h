/*
 * The request target (RFC 9112, section 3.2; RFC 3986) and Host (RFC 9110, section 7.2).
 *
 * Refused: any byte outside 0x21-0x7e, '#', userinfo in absolute form, schemes other than http and
 * https, a path with a malformed %XX or with %00. The query is not looked into.
 * Tolerated, because browsers send them: visible characters that RFC 3986 wants encoded, such
 * as '|' and '{'.
 */
#ifndef PST_GATEWAY_FRONT_HTTP_TARGET_H
#define PST_GATEWAY_FRONT_HTTP_TARGET_H

#include "gateway/front/http.h"

enum pst_http_form {
	PST_HTTP_FORM_ORIGIN, /* /path?query */
	PST_HTTP_FORM_ABSOLUTE, /* http://host/path?query */
	PST_HTTP_FORM_ASTERISK, /* OPTIONS * (and OPTIONS http://host, RFC 9112, 3.2.4) */
};

struct pst_http_target {
	enum pst_http_form form;
	struct pst_http_text raw; /* as sent */
	struct pst_http_text scheme; /* absolute form: "http" or "https" as sent; else empty */
	struct pst_http_text authority; /* absolute form: host[:port]; else empty */
	/* Begins with '/' ("/" when the absolute form has none), or is "*". As sent. */
	struct pst_http_text raw_path;
	/*
	 * raw_path with every %XX decoded, %2F too: what CGI calls PATH_INFO. Any byte but NUL.
	 * Dot segments and double slashes are kept: the application sees what the client sent.
	 */
	struct pst_http_text path;
	struct pst_http_text query; /* after the first '?', as sent; empty when there is none */
};

/*
 * Take RAW apart for METHOD. DECODED has room for raw.len bytes and holds the decoded path when
 * it differs from raw_path, and may be NULL when RAW has no '%'; both must outlive TARGET.
 * 0, or PST_ERR_PROTOCOL with *REFUSAL set (CONNECT is 501).
 */
int pst_http_target_parse(struct pst_http_target *target, struct pst_http_text method,
    struct pst_http_text raw, char *decoded, struct pst_http_refusal *refusal);

/* True for uri-host [ ":" port ] with a port of at most 65535, and for nothing at all. */
bool pst_http_host_valid(struct pst_http_text host);

#endif
