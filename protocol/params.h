/*
 * Name-value pairs (FastCGI 1.0, section 3.4): lengths of one byte up to 127, of four bytes
 * with the top bit set above that; the pairs of one stream may be cut anywhere by records.
 */
#ifndef PST_PROTOCOL_PARAMS_H
#define PST_PROTOCOL_PARAMS_H

#include "protocol/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* The bytes that a pair takes on the wire. */
size_t pst_params_pair_size(size_t name_len, size_t value_len);

/* Write one length, which is at most 2^31-1, and has 1 or 4 bytes: returns where it ends. */
static inline unsigned char *
pst_params_put_length(unsigned char *to, size_t n)
{
	if (n < 128) {
		*to = (unsigned char)n;
		return to + 1;
	}
	to[0] = (unsigned char)(n >> 24 | 0x80);
	to[1] = (unsigned char)(n >> 16 & 0xff);
	to[2] = (unsigned char)(n >> 8 & 0xff);
	to[3] = (unsigned char)(n & 0xff);
	return to + 4;
}

/* Write the two lengths that a pair begins with, 2 to 8 bytes. */
static inline unsigned char *
pst_params_put_lengths(unsigned char *to, size_t name_len, size_t value_len)
{
	return pst_params_put_length(pst_params_put_length(to, name_len), value_len);
}

/* Append one encoded pair to OUT: 0, PST_ERR_NOMEM, or PST_ERR_LIMIT (a length over 2^31-1). */
int pst_params_append(
    struct pst_buf *out, const char *name, size_t name_len, const char *value, size_t value_len);

/*
 * The incremental decoder. It keeps only the pair that has not arrived whole, and refuses
 * lengths above the limit before it holds a byte of them.
 */
struct pst_params_decoder {
	struct pst_buf partial;
	size_t limit; /* bytes on the wire: an empty pair counts 2, so that pairs are bounded too */
	size_t taken; /* of them, so far */
};

/* A pair as it lies on the wire: VALUE_LEN bytes of value follow the name. No NUL ends either. */
struct pst_pair {
	const char *name;
	size_t name_len;
	size_t value_len;
};

static inline const char *
pst_pair_value(const struct pst_pair *pair)
{
	return pair->name + pair->name_len;
}

/* COUNT pairs, at least one, valid during the call. Nonzero stops the decoder. */
typedef int pst_pairs_fn(void *arg, const struct pst_pair *pairs, size_t count);

/* NAME and VALUE are valid during the call and not NUL-terminated. Nonzero stops the decoder. */
typedef int pst_params_fn(
    void *arg, const char *name, size_t name_len, const char *value, size_t value_len);

void pst_params_decoder_init(struct pst_params_decoder *decoder, size_t limit);
void pst_params_decoder_free(struct pst_params_decoder *decoder);

/*
 * Feed N bytes; FN is called for the pairs that they complete, as many at a time as there are. 0,
 * PST_ERR_LIMIT, PST_ERR_NOMEM, or what FN returned. After an error the decoder takes nothing more.
 */
int pst_params_decode_pairs(
    struct pst_params_decoder *decoder, const void *bytes, size_t n, pst_pairs_fn *fn, void *arg);

/* The same, FN is called for each pair. */
int pst_params_decode(
    struct pst_params_decoder *decoder, const void *bytes, size_t n, pst_params_fn *fn, void *arg);

/* True when no pair is half-received: what the end of the stream must find. */
bool pst_params_complete(const struct pst_params_decoder *decoder);

#endif
