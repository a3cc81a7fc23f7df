/* Classes of bytes in HTTP (RFC 9110, sections 5.5 and 5.6; RFC 3986, appendix A). */
#ifndef PST_GATEWAY_FRONT_HTTP_CHARS_H
#define PST_GATEWAY_FRONT_HTTP_CHARS_H

#include "gateway/front/http.h"

enum pst_http_class {
	PST_HTTP_TCHAR = 1, /* token characters */
	PST_HTTP_VALUE = 2, /* field values: HT, 0x20-0x7e, 0x80-0xff */
	PST_HTTP_TARGET = 4, /* request targets: 0x21-0x7e without '#' */
	PST_HTTP_REGNAME = 8, /* reg-name without pct-encoded: unreserved and sub-delims */
	PST_HTTP_DIGIT = 16,
	PST_HTTP_HEX = 32,
	PST_HTTP_QDTEXT = 64, /* inside a quoted-string, backslash and quote excluded */
	PST_HTTP_PLAIN = 128, /* token characters but '_' */
};

extern const unsigned char pst_http_classes[256];

static inline bool
pst_http_is(unsigned char byte, enum pst_http_class class)
{
	return (pst_http_classes[byte] & class) != 0;
}

/* The classes that every byte of TEXT is in; all of them when it is empty. */
unsigned pst_http_common(struct pst_http_text text);

/* True when every byte of TEXT is in CLASS (also when it is empty). */
static inline bool
pst_http_all(struct pst_http_text text, enum pst_http_class class)
{
	return (pst_http_common(text) & class) != 0;
}

/*
 * The same for PST_HTTP_VALUE, which every field value is looked at for: 16 bytes at a time where
 * the compiler has vectors of that size (SSE2, NEON), which it makes of shorter ones elsewhere.
 */
bool pst_http_is_value(struct pst_http_text text);

/* The value of a hexadecimal digit, which BYTE must be. */
unsigned pst_http_hex(unsigned char byte);

/* Drop SP and HT around TEXT. */
static inline struct pst_http_text
pst_http_trim(struct pst_http_text text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.len--;
	}
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/*
 * Iterate over a comma-separated list (RFC 9110, 5.6.1): take the next element from *REST, trimmed,
 * into *ELEMENT; false at the end. Empty elements are passed on as empty texts.
 */
bool pst_http_list_next(struct pst_http_text *rest, struct pst_http_text *element);

/* A decimal number of digits only: 0, or PST_ERR_PROTOCOL (syntax), PST_ERR_LIMIT (above 2^63-1).
 */
int pst_http_number(struct pst_http_text text, uint64_t *number);

#endif
