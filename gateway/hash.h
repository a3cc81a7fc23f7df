/* FNV-1a of 64 bits: for tables and sums of what nobody hostile chooses. */
#ifndef PST_GATEWAY_HASH_H
#define PST_GATEWAY_HASH_H

#include <stddef.h>
#include <stdint.h>

/* What the first call of pst_hash() goes on from. */
#define PST_HASH_BEGIN 0xcbf29ce484222325u

/* HASH gone on with N BYTES. */
static inline uint64_t
pst_hash(uint64_t hash, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ at[i]) * 0x100000001b3u;
	return hash;
}

#endif
