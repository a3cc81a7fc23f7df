/* A field of a head or a trailer section (RFC 9110, section 5; RFC 9112, section 5). */
#ifndef PST_GATEWAY_FRONT_HTTP_FIELD_H
#define PST_GATEWAY_FRONT_HTTP_FIELD_H

#include "gateway/front/http.h"

/* Fields that the gateway itself looks at; everything else is OTHER. */
enum pst_http_name {
	PST_HTTP_OTHER,
	PST_HTTP_LOCATION, /* of answers, as the next one: in requests it is another */
	PST_HTTP_STATUS,
	PST_HTTP_CONNECTION,
	PST_HTTP_CONTENT_LENGTH,
	PST_HTTP_CONTENT_TYPE,
	PST_HTTP_DATE,
	PST_HTTP_EXPECT,
	PST_HTTP_HOST,
	PST_HTTP_KEEP_ALIVE,
	PST_HTTP_PROXY,
	PST_HTTP_PROXY_CONNECTION,
	PST_HTTP_SERVER,
	PST_HTTP_TE,
	PST_HTTP_TRAILER,
	PST_HTTP_TRANSFER_ENCODING,
	PST_HTTP_UPGRADE,
};

struct pst_http_field {
	struct pst_http_text name; /* as sent, a token */
	struct pst_http_text
	    value; /* whitespace around it removed; bytes 0x20-0x7e, 0x80-0xff, HT */
	enum pst_http_name id;
	/* Speaks of this connection only: one of the above that does, or named in Connection. */
	bool hop;
	bool plain; /* its name has no '_' */
};

/*
 * Take LINE (without its CRLF) apart; id and hop are set from the name alone. 0, or
 * PST_ERR_PROTOCOL with what is wrong in *REASON.
 */
int pst_http_field_parse(
    struct pst_http_field *field, struct pst_http_text line, const char **reason);

enum pst_http_name pst_http_name_find(struct pst_http_text name);

/* True for the fields that a connection keeps to itself (RFC 9110, 7.6.1). */
static inline bool
pst_http_name_is_hop(enum pst_http_name id)
{
	switch (id) {
	case PST_HTTP_CONNECTION:
	case PST_HTTP_KEEP_ALIVE:
	case PST_HTTP_PROXY_CONNECTION:
	case PST_HTTP_TE:
	case PST_HTTP_TRAILER:
	case PST_HTTP_TRANSFER_ENCODING:
	case PST_HTTP_UPGRADE: return true;
	default: return false;
	}
}

/* Set what the name of FIELD says. PLAIN: it has no '_'. */
static inline void
pst_http_field_describe(struct pst_http_field *field, bool plain)
{
	field->id = pst_http_name_find(field->name);
	field->hop = pst_http_name_is_hop(field->id);
	field->plain = plain;
}

/* True for those that the gateway acts upon in a request. */
static inline bool
pst_http_name_governs(enum pst_http_name id)
{
	return id != PST_HTTP_OTHER && id != PST_HTTP_LOCATION && id != PST_HTTP_STATUS;
}

/* What is wrong with LINE: a bare CR, a NUL, else OTHERWISE. */
const char *pst_http_line_fault(struct pst_http_text line, const char *otherwise);

#endif
