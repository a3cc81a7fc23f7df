/*
 * How far a text goes on in one manner, 16 bytes at a time: what the parsers of heads spend their
 * time with. Where the compiler has no vectors of that size (SSE2, NEON) it makes them of shorter
 * ones. Bytes at END and behind are not touched.
 */
#ifndef PST_GATEWAY_FRONT_HTTP_SCAN_H
#define PST_GATEWAY_FRONT_HTTP_SCAN_H

#include "gateway/front/http_chars.h"
#include "gateway/front/http_field.h"

#include <endian.h>

#ifdef __GNUC__
typedef unsigned char pst_http_vector __attribute__((vector_size(16)));
typedef uint64_t pst_http_halves __attribute__((vector_size(16)));

/* The place of the first byte of MARKS that is not 0 (but 0xff); 16: there is none. */
#ifdef __SSE2__
static inline size_t
pst_http_first_mark(pst_http_vector marks)
{
	typedef char chars __attribute__((vector_size(16)));

	return (size_t)__builtin_ctz((unsigned)__builtin_ia32_pmovmskb128((chars)marks) | 0x10000);
}
#else
static inline size_t
pst_http_first_in_half(uint64_t half)
{
#if __BYTE_ORDER == __LITTLE_ENDIAN
	return (size_t)__builtin_ctzll(half) / 8;
#else
	return (size_t)__builtin_clzll(half) / 8;
#endif
}

static inline size_t
pst_http_first_mark(pst_http_vector marks)
{
	pst_http_halves halves = (pst_http_halves)marks;

	if (halves[0] != 0)
		return pst_http_first_in_half(halves[0]);
	return halves[1] != 0 ? 8 + pst_http_first_in_half(halves[1]) : 16;
}
#endif
#endif

/* How many letters, digits and '-' are between AT and END until something else comes: most names
 * consist of them. */
static inline size_t
pst_http_plain_run(const char *at, const char *end)
{
	const char *p = at;

#ifdef __GNUC__
	for (; end - p >= 16; p += 16) {
		pst_http_vector v;
		size_t n;

		memcpy(&v, p, sizeof(v));
		n = pst_http_first_mark(
		    (pst_http_vector)(((v | 0x20) - 'a' >= 26) & (v - '0' >= 10) & (v != '-')));
		if (n < 16)
			return (size_t)(p - at) + n;
	}
#endif
	while (p < end && pst_http_is((unsigned char)*p, PST_HTTP_PLAIN))
		p++;
	return (size_t)(p - at);
}

/* The same for what may be in a value: no control character but tab. */
static inline size_t
pst_http_value_run(const char *at, const char *end)
{
	const char *p = at;

#ifdef __GNUC__
	for (; end - p >= 16; p += 16) {
		pst_http_vector v;
		size_t n;

		memcpy(&v, p, sizeof(v));
		n = pst_http_first_mark(
		    (pst_http_vector)(((v < 0x20) & (v != '\t')) | (v == 0x7f)));
		if (n < 16)
			return (size_t)(p - at) + n;
	}
#endif
	while (p < end && pst_http_is((unsigned char)*p, PST_HTTP_VALUE))
		p++;
	return (size_t)(p - at);
}

/*
 * Take a field's line apart that begins at LINE, of what is there until END, as
 * pst_http_field_parse() does: its length with its CRLF; 0: it is not whole, or no ordinary one,
 * such as a name with a rare character makes it. That is told by the other.
 */
static inline size_t
pst_http_field_scan(struct pst_http_field *field, const char *line, const char *end)
{
	size_t name_len = pst_http_plain_run(line, end);
	const char *value = line + name_len, *value_end;

	if (name_len == 0 || value == end || *value != ':')
		return 0;
	value++;
	value_end = value + pst_http_value_run(value, end);
	if (end - value_end < 2 || value_end[0] != '\r' || value_end[1] != '\n')
		return 0;
	field->name = (struct pst_http_text){line, name_len};
	field->value = pst_http_trim((struct pst_http_text){value, (size_t)(value_end - value)});
	pst_http_field_describe(field, true);
	return (size_t)(value_end - line) + 2;
}

#endif
