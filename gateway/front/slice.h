/*
 * Bytes that somebody else owns: a pointer and a length, not NUL-terminated. Whoever returns or
 * stores a slice says how long the bytes stay valid.
 */
#ifndef PST_GATEWAY_FRONT_SLICE_H
#define PST_GATEWAY_FRONT_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct pst_slice {
	const char *at; /* may be NULL when length is 0 */
	size_t length;
};

/* A field of a header section, name and value as they were received, the value trimmed. */
struct pst_field {
	struct pst_slice name;
	struct pst_slice value;
};

/* A slice of a string literal. */
#define PST_SLICE(literal) ((struct pst_slice){(literal), sizeof(literal) - 1})

static inline struct pst_slice
pst_slice_of(const char *text)
{
	return (struct pst_slice){text, text ? strlen(text) : 0};
}

static inline bool
pst_slice_equal(struct pst_slice a, struct pst_slice b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

/* Compares ASCII letters without their case: field names, schemes, hosts. */
static inline bool
pst_slice_equal_nocase(struct pst_slice a, struct pst_slice b)
{
	return a.length == b.length && (a.length == 0 || strncasecmp(a.at, b.at, a.length) == 0);
}

#endif
