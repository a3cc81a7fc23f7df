/*
 * What the files of HTTP/1.1 share: slices of text, refusals and limits. The sources are
 * RFC 9110 (semantics) and RFC 9112 (HTTP/1.1); docs/http.md lists what is refused and why.
 *
 * None of it does I/O, reads a clock or keeps globals: bytes in, structs out, bytes out.
 */
#ifndef PST_GATEWAY_FRONT_HTTP_H
#define PST_GATEWAY_FRONT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A slice of somebody else's bytes, not NUL-terminated. data may be NULL only when len is 0. */
struct pst_http_text {
	const char *data;
	size_t len;
};

/* Why a request is not served. status 0: it was not refused. */
struct pst_http_refusal {
	unsigned status; /* 400, 413, 414, 417, 431, 501 or 505 */
	const char *reason; /* a constant phrase for the log and the answer: "bare LF in a line" */
};

/* What becomes of a field whose name has an underscore (it would pose as another in CGI). */
enum pst_http_map {
	PST_HTTP_MAP_DROP, /* left out of the table (the default) */
	PST_HTTP_MAP_REFUSE, /* 400 */
	PST_HTTP_MAP_DANGEROUS, /* kept */
};

/* What a client may make us hold. Lengths are in bytes and without the CRLF of the line. */
struct pst_http_limits {
	size_t line; /* request line: 414; 0: only `head` limits it */
	size_t field; /* one field line: 431; 0: only `head` limits it */
	size_t fields; /* number of field lines: 431; 0: PST_HTTP_FIELDS_CAP */
	size_t head; /* request line and fields with their CRLFs: 431; 0: PST_HTTP_HEAD_CAP */
	size_t extensions; /* chunk extensions of one body together: 400 */
	size_t trailers; /* trailer section of one body: 431 */
	enum pst_http_map map;
};

#define PST_HTTP_HEAD_CAP   1048576
#define PST_HTTP_FIELDS_CAP 32768
#define PST_HTTP_METHOD_MAX 32 /* a longer method is 501 */

/* 4094, 8190, 100 (as gunicorn), 64 KiB of head, 16 KiB, 8 KiB, drop. */
extern const struct pst_http_limits PST_HTTP_DEFAULT_LIMITS;

/* As memcpy(), N may be 0; returns where the copy ends. Inline: most texts are shorter than 16
 * bytes.
 */
static inline void *
pst_http_copy(void *to, const char *from, size_t n)
{
	unsigned char *at = to;
	uint64_t first, last;
	uint32_t first4, last4;

	if (n > 16) {
		memcpy(at, from, n);
	} else if (n >= 8) {
		memcpy(&first, from, 8);
		memcpy(&last, from + n - 8, 8);
		memcpy(at, &first, 8);
		memcpy(at + n - 8, &last, 8);
	} else if (n >= 4) {
		memcpy(&first4, from, 4);
		memcpy(&last4, from + n - 4, 4);
		memcpy(at, &first4, 4);
		memcpy(at + n - 4, &last4, 4);
	} else if (n > 0) {
		at[0] = (unsigned char)from[0];
		at[n / 2] = (unsigned char)from[n / 2];
		at[n - 1] = (unsigned char)from[n - 1];
	}
	return at + n;
}

#ifdef __GNUC__
#define PST_HTTP_ALWAYS_INLINE __attribute__((always_inline))
#else
#define PST_HTTP_ALWAYS_INLINE
#endif

static inline char
pst_http_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* The same for 8 bytes, each in its place. */
static inline uint64_t
pst_http_lower_8(uint64_t bytes)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	uint64_t low = bytes & ~tops;
	uint64_t from_a = low + (0x80 - 'A') * ones, above_z = low + (0x7f - 'Z') * ones;

	return bytes | (((from_a ^ above_z) & ~bytes & tops) >> 2);
}

static inline bool
pst_http_same_8(const char *text, const char *word)
{
	uint64_t a, b;

	memcpy(&a, text, 8);
	memcpy(&b, word, 8);
	return pst_http_lower_8(a) == b;
}

static inline bool
pst_http_same_4(const char *text, const char *word)
{
	uint32_t a, b;

	memcpy(&a, text, 4);
	memcpy(&b, word, 4);
	return pst_http_lower_8(a) == b;
}

/* True when the N bytes of TEXT are those of WORD (in lower case) but for the case of ASCII
 * letters. Inline in any case, as of a constant word the compiler knows what is to be done. */
static inline PST_HTTP_ALWAYS_INLINE bool
pst_http_same_letters(const char *text, const char *word, size_t n)
{
	if (n >= 8) {
		for (size_t i = 0; i + 8 < n; i += 8)
			if (!pst_http_same_8(text + i, word + i))
				return false;
		return pst_http_same_8(&text[n - 8], &word[n - 8]);
	}
	if (n >= 4)
		return pst_http_same_4(text, word) && pst_http_same_4(text + n - 4, word + n - 4);
	for (size_t i = 0; i < n; i++)
		if (pst_http_lower(text[i]) != word[i])
			return false;
	return true;
}

/* True when TEXT is WORD (in lower case) without regard to the case of ASCII letters. Inline: most
 * texts are told from a constant by their length. */
static inline PST_HTTP_ALWAYS_INLINE bool
pst_http_text_is(struct pst_http_text text, const char *word)
{
	return text.len == strlen(word) && pst_http_same_letters(text.data, word, text.len);
}

#endif
