#include "adapters/fields.h"

#include "protocol/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* More of the wire than this is not kept, */
#define WIRE_MAX 4096
/* nor are pairs of which more vary: a bit for each. */
#define VARYING_MAX 8

void
pst_fields_free(struct pst_fields *fields)
{
	pst_buf_free(&fields->bytes);
	pst_buf_free(&fields->wire.bytes);
	free(fields->items);
	memset(fields, 0, sizeof(*fields));
}

void
pst_fields_clear(struct pst_fields *fields)
{
	fields->old = fields->pointing && fields->count > 0 ? fields->count : 0;
	fields->count = 0;
	if (fields->bytes.size > PST_FIELDS_KEEP) {
		pst_buf_free(&fields->bytes);
		fields->old = 0;
	} else {
		pst_buf_consume(&fields->bytes, pst_buf_length(&fields->bytes));
	}
}

static int
grow(struct pst_fields *fields)
{
	size_t size = fields->size ? fields->size * 2 : 64;
	struct pst_field *items = realloc(fields->items, size * sizeof(*items));

	if (!items)
		return PST_ERR_NOMEM;
	fields->items = items;
	fields->size = size;
	return 0;
}

static inline uint64_t
load8(const char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline uint32_t
load4(const char *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* memcpy(), of strings most of which are short. */
static inline void
copy(unsigned char *to, const char *bytes, size_t n)
{
	uint64_t first, last;

	if (n > 16) {
		memcpy(to, bytes, n);
	} else if (n >= 8) {
		first = load8(bytes);
		last = load8(bytes + n - 8);
		memcpy(to, &first, 8);
		memcpy(to + n - 8, &last, 8);
	} else {
		for (size_t i = 0; i < n; i++)
			to[i] = (unsigned char)bytes[i];
	}
}

static inline unsigned char *
put_string(unsigned char *to, const char *bytes, size_t n)
{
	copy(to, bytes, n);
	to[n] = '\0';
	return to + n + 1;
}

/* Whether one of the N bytes is 0. */
static inline bool
has_nul(const char *bytes, size_t n)
{
	const uint64_t ones = UINT64_MAX / 255;
	uint64_t word, zeros = 0;
	size_t i = 0;

	if (n < 8 || n > 64)
		return n > 0 && memchr(bytes, '\0', n) != NULL;
	for (; i + 8 < n; i += 8) {
		word = load8(bytes + i);
		zeros |= (word - ones) & ~word;
	}
	word = load8(bytes + n - 8);
	zeros |= (word - ones) & ~word;
	return (zeros & ones * 0x80) != 0;
}

int
pst_fields_add(struct pst_fields *fields, const char *name, size_t name_len, const char *value,
    size_t value_len)
{
	struct pst_field *item;
	unsigned char *to;

	if (name_len >= SIZE_MAX / 4 || value_len >= SIZE_MAX / 4)
		return PST_ERR_LIMIT;
	if (fields->count == PST_FIELDS_MAX)
		return PST_ERR_LIMIT;
	if ((name_len && memchr(name, '\0', name_len)) ||
	    (value_len && memchr(value, '\0', value_len)))
		return PST_ERR_PROTOCOL;
	if (fields->count == fields->size && grow(fields) < 0)
		return PST_ERR_NOMEM;
	to = pst_buf_reserve(&fields->bytes, name_len + value_len + 2);
	if (!to)
		return PST_ERR_NOMEM;
	fields->pointing = false;
	fields->old = 0;
	to = put_string(to, name, name_len);
	put_string(to, value, value_len);
	pst_buf_commit(&fields->bytes, name_len + value_len + 2);
	item = &fields->items[fields->count++];
	item->name_len = name_len;
	item->value_len = value_len;
	return 0;
}

/* Room for COUNT items and N bytes: where these go, or NULL with *ERR. */
static unsigned char *
make_room(struct pst_fields *fields, size_t count, size_t n, int *err)
{
	const unsigned char *before = fields->bytes.data;
	unsigned char *to = NULL;

	*err = 0;
	if (count > PST_FIELDS_MAX - fields->count) {
		*err = PST_ERR_LIMIT;
		return NULL;
	}
	while (*err == 0 && fields->size - fields->count < count)
		*err = grow(fields);
	if (*err == 0 && (to = pst_buf_reserve(&fields->bytes, n)) == NULL)
		*err = PST_ERR_NOMEM;
	if (fields->bytes.data != before)
		fields->old = 0;
	fields->pointing = fields->count == 0 || (fields->pointing && fields->bytes.data == before);
	return to;
}

/* memcmp() == 0, of strings most of which are short. */
static inline bool
is_same(const char *a, const char *b, size_t n)
{
	if (n > 16)
		return memcmp(a, b, n) == 0;
	if (n >= 8)
		return ((load8(a) ^ load8(b)) | (load8(a + n - 8) ^ load8(b + n - 8))) == 0;
	if (n >= 4)
		return ((load4(a) ^ load4(b)) | (load4(a + n - 4) ^ load4(b + n - 4))) == 0;
	while (n > 0 && a[n - 1] == b[n - 1])
		n--;
	return n == 0;
}

/* Whether PAIR already stands at TO, as the next of FIELDS: an old one has that very place. Nothing
 * was written there since, as all that is written comes before TO. */
static inline bool
is_there(const struct pst_fields *fields, const struct pst_pair *pair, const unsigned char *to)
{
	const struct pst_field *old = &fields->items[fields->count];

	return fields->count < fields->old && old->name == (const char *)to &&
	       old->name_len == pair->name_len && old->value_len == pair->value_len &&
	       is_same(old->name, pair->name, pair->name_len) &&
	       is_same(old->value, pst_pair_value(pair), pair->value_len);
}

/* Write PAIR to TO as the next of FIELDS: where it ends. */
static inline unsigned char *
put_pair(struct pst_fields *fields, const struct pst_pair *pair, unsigned char *to)
{
	struct pst_field *item = &fields->items[fields->count++];

	item->name = (const char *)to;
	item->name_len = pair->name_len;
	to = put_string(to, pair->name, pair->name_len);
	item->value = (const char *)to;
	item->value_len = pair->value_len;
	return put_string(to, pst_pair_value(pair), pair->value_len);
}

/* COUNT pairs, at least one, on the wire: from the first's name to the last's end. */
static inline size_t
wire_size(const struct pst_pair *pairs, size_t count)
{
	const struct pst_pair *last = &pairs[count - 1];

	return (size_t)(pst_pair_value(last) + last->value_len - pairs[0].name);
}

/* Put the value of PAIR, whose length is that of the old one, in its place, and at KEPT. */
static bool
replace_value(struct pst_fields *fields, const struct pst_field *item, const struct pst_pair *pair,
    unsigned char *kept)
{
	const char *value = pst_pair_value(pair);

	if (is_same(item->value, value, pair->value_len))
		return true;
	if (has_nul(value, pair->value_len))
		return false;
	copy(fields->bytes.data + (item->value - (const char *)fields->bytes.data), value,
	    pair->value_len);
	copy(kept, value, pair->value_len);
	return true;
}

/*
 * Add PAIRS as the first ones, if they are those of the last request again but for values that vary
 * and have kept their length. Lengths are on the wire, too: where that is the same they are. False:
 * nothing was added, and every old item stands in its place as before.
 */
static bool
add_again(struct pst_fields *fields, const struct pst_pair *pairs, size_t count)
{
	const struct pst_fields_wire *wire = &fields->wire;
	const char *bytes = pairs[0].name;
	unsigned char *kept = wire->bytes.data;
	size_t size = wire_size(pairs, count), at = 0, to;
	const struct pst_field *last;

	if (fields->count > 0 || !kept || wire->count != count || fields->old != count ||
	    pst_buf_length(&wire->bytes) != size ||
	    pairs[0].name_len != fields->items[0].name_len ||
	    pairs[0].value_len != fields->items[0].value_len)
		return false;
	for (uint64_t rest = wire->varying; rest != 0; rest &= rest - 1) {
		size_t i = (size_t)__builtin_ctzll(rest);
		to = (size_t)(pst_pair_value(&pairs[i]) - bytes);
		if (memcmp(bytes + at, kept + at, to - at) != 0 ||
		    !replace_value(fields, &fields->items[i], &pairs[i], kept + to))
			return false;
		at = to + pairs[i].value_len;
	}
	if (memcmp(bytes + at, kept + at, size - at) != 0)
		return false;
	fields->count = count;
	fields->pointing = true;
	last = &fields->items[count - 1];
	pst_buf_commit(&fields->bytes,
	    (size_t)(last->value + last->value_len + 1 - (const char *)fields->bytes.data));
	return true;
}

static void
forget_wire(struct pst_fields_wire *wire)
{
	pst_buf_consume(&wire->bytes, pst_buf_length(&wire->bytes));
	wire->count = 0;
}

/* PAIRS were added as the first ones, those in CHANGED with another value than before. */
static void
keep_wire(struct pst_fields *fields, const struct pst_pair *pairs, size_t count, uint64_t changed)
{
	struct pst_fields_wire *wire = &fields->wire;
	size_t size = wire_size(pairs, count);
	bool alike = wire->count == count && pst_buf_length(&wire->bytes) == size;

	forget_wire(wire);
	wire->varying = alike ? wire->varying | changed : 0;
	if (__builtin_popcountll(wire->varying) > VARYING_MAX)
		wire->varying = 0;
	if (size <= WIRE_MAX && count <= 64 &&
	    pst_buf_append(&wire->bytes, pairs[0].name, size) == 0)
		wire->count = count;
}

int
pst_fields_add_pairs(struct pst_fields *fields, const struct pst_pair *pairs, size_t count)
{
	bool first = fields->count == 0;
	unsigned char *to, *from;
	uint64_t changed = 0;
	size_t n = 0;
	int err;

	if (count == 0 || add_again(fields, pairs, count))
		return 0;
	for (size_t i = 0; i < count; i++)
		n += pairs[i].name_len + pairs[i].value_len + 2;
	from = to = make_room(fields, count, n, &err);
	if (!to)
		return err;
	for (size_t i = 0; i < count; i++) {
		const struct pst_pair *pair = &pairs[i];
		if (is_there(fields, pair, to)) {
			fields->count++;
			to += pair->name_len + pair->value_len + 2;
		} else if (has_nul(pair->name, pair->name_len + pair->value_len)) {
			err = PST_ERR_PROTOCOL;
		} else {
			to = put_pair(fields, pair, to);
			changed |= UINT64_C(1) << i % 64;
		}
	}
	pst_buf_commit(&fields->bytes, (size_t)(to - from));
	if (first && err == 0)
		keep_wire(fields, pairs, count, changed);
	else
		forget_wire(&fields->wire);
	return err;
}

void
pst_fields_seal(struct pst_fields *fields)
{
	const char *at;

	if (fields->count == 0 || fields->pointing)
		return;
	at = (const char *)pst_buf_bytes(&fields->bytes);
	for (size_t i = 0; i < fields->count; i++) {
		struct pst_field *item = &fields->items[i];
		item->name = at;
		item->value = at + item->name_len + 1;
		at = item->value + item->value_len + 1;
	}
}

const struct pst_field *
pst_fields_find(const struct pst_fields *fields, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < fields->count; i++)
		if (fields->items[i].name_len == n && is_same(fields->items[i].name, name, n))
			return &fields->items[i];
	return NULL;
}
