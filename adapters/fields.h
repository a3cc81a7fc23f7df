/*
 * The parameters of one request, kept for the plugin: every string NUL-terminated, all of them
 * in one block of memory that the next request uses again.
 *
 *	bytes:  n a m e 0 v a l u e 0 n a m e 0 v a l u e 0 ...
 *
 * While they arrive the block may move, so pointers are set by pst_fields_seal(), if it has. A
 * struct of zero bytes is valid and empty.
 *
 * Requests resemble each other: what the last one left in the block stays there until something
 * else is to stand in its place, so a parameter that is the same again is not copied. What came is
 * kept beside it as it was on the wire: where that is the same again but for a few values of the
 * same length, such as REMOTE_PORT, all the rest is compared at once.
 */
#ifndef PST_ADAPTERS_FIELDS_H
#define PST_ADAPTERS_FIELDS_H

#include "protocol/buf.h"
#include "protocol/params.h"

#include <penstock/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More parameters than this are refused: the session's limit counts bytes, and empty pairs have
 * none. Web servers send some 30 and a hundred or so header fields. */
#define PST_FIELDS_MAX 4096

/* Memory beyond this is given back by pst_fields_clear(). */
#define PST_FIELDS_KEEP 65536

/* The pairs that were added first, and alone, as they came: from the first's name on. */
struct pst_fields_wire {
	struct pst_buf bytes; /* empty: they are not kept */
	size_t count;
	uint64_t varying; /* a bit for each of them whose value has been another one before */
};

struct pst_fields {
	struct pst_buf bytes;
	struct pst_field *items;
	size_t count;
	size_t size; /* of items */
	size_t old; /* items of the request before that still stand in their place: see below */
	bool pointing; /* the pointers of all of them are set: bytes have not moved yet */
	struct pst_fields_wire wire;
};

void pst_fields_free(struct pst_fields *fields);
/* Empty it, keeping its memory for the next request. */
void pst_fields_clear(struct pst_fields *fields);

/* Append a copy: 0, PST_ERR_NOMEM, PST_ERR_LIMIT, or PST_ERR_PROTOCOL when it holds a NUL. */
int pst_fields_add(struct pst_fields *fields, const char *name, size_t name_len, const char *value,
    size_t value_len);

/* Append copies of COUNT pairs, which lie one behind the other as on the wire. PST_ERR_PROTOCOL:
 * those that hold a NUL are left out, the others are there; PST_ERR_NOMEM, PST_ERR_LIMIT: none is.
 */
int pst_fields_add_pairs(struct pst_fields *fields, const struct pst_pair *pairs, size_t count);

/* All have been added: items[] is good to read until the next pst_fields_clear(). */
void pst_fields_seal(struct pst_fields *fields);

/* The first one of that name, or NULL. Only after pst_fields_seal(). */
const struct pst_field *pst_fields_find(const struct pst_fields *fields, const char *name);

#endif
