#include "protocol/params.h"

#include "protocol/error.h"

#include <stdint.h>
#include <string.h>

#define LENGTH_MAX 0x7fffffffU

/* So many pairs are handed on at a time. */
#define BATCH 64

static size_t
length_size(size_t n)
{
	return n < 128 ? 1 : 4;
}

size_t
pst_params_pair_size(size_t name_len, size_t value_len)
{
	return length_size(name_len) + length_size(value_len) + name_len + value_len;
}

int
pst_params_append(
    struct pst_buf *out, const char *name, size_t name_len, const char *value, size_t value_len)
{
	unsigned char *to;

	if (name_len > LENGTH_MAX || value_len > LENGTH_MAX)
		return PST_ERR_LIMIT;
	to = pst_buf_reserve(out, pst_params_pair_size(name_len, value_len));
	if (to == NULL)
		return PST_ERR_NOMEM;
	to = pst_params_put_lengths(to, name_len, value_len);
	if (name_len > 0)
		memcpy(to, name, name_len);
	if (value_len > 0)
		memcpy(to + name_len, value, value_len);
	pst_buf_commit(out, pst_params_pair_size(name_len, value_len));
	return 0;
}

void
pst_params_decoder_init(struct pst_params_decoder *decoder, size_t limit)
{
	*decoder = (struct pst_params_decoder){.limit = limit};
}

void
pst_params_decoder_free(struct pst_params_decoder *decoder)
{
	pst_buf_free(&decoder->partial);
}

/* The lengths at the head of a pair. LENGTHS is their own size, 0 while they are not all there. */
struct pair {
	size_t lengths;
	size_t name;
	size_t value;
};

static size_t
get_length(const unsigned char *p)
{
	if (p[0] < 128)
		return p[0];
	return (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* Look at the N bytes that are there of a pair; returns how many are needed to see more. */
static size_t
look_at_lengths(const unsigned char *p, size_t n, struct pair *pair)
{
	size_t name_size, value_size;

	pair->lengths = 0;
	if (n < 1)
		return 1;
	name_size = p[0] < 128 ? 1 : 4;
	if (n <= name_size)
		return name_size + 1;
	value_size = p[name_size] < 128 ? 1 : 4;
	if (n < name_size + value_size)
		return name_size + value_size;
	pair->lengths = name_size + value_size;
	pair->name = get_length(p);
	pair->value = get_length(p + name_size);
	return pair->lengths;
}

/* Count the pair against the limit, with no sum that could overflow. */
static int
pair_charge(struct pst_params_decoder *decoder, const struct pair *pair)
{
	size_t left = decoder->limit - decoder->taken;

	if (pair->lengths > left || pair->name > left - pair->lengths ||
	    pair->value > left - pair->lengths - pair->name)
		return PST_ERR_LIMIT;
	decoder->taken += pair->lengths + pair->name + pair->value;
	return 0;
}

static struct pst_pair
pair_at(const unsigned char *p, const struct pair *pair)
{
	return (struct pst_pair){(const char *)p + pair->lengths, pair->name, pair->value};
}

/*
 * Take as much of the N bytes as the kept pair needs; *USED is how much that was. Once the
 * lengths are known the pair has been charged, so its size cannot overflow.
 */
static int
feed_partial(struct pst_params_decoder *decoder, const unsigned char *bytes, size_t n, size_t *used,
    pst_pairs_fn *fn, void *arg)
{
	struct pst_buf *kept = &decoder->partial;
	struct pst_pair whole;
	struct pair pair;
	size_t have = pst_buf_length(kept);
	size_t need = look_at_lengths(have > 0 ? pst_buf_bytes(kept) : NULL, have, &pair);
	bool was_known = pair.lengths > 0;
	int err;

	if (was_known)
		need = pair.lengths + pair.name + pair.value;
	*used = need - have < n ? need - have : n;
	if (pst_buf_append(kept, bytes, *used) < 0)
		return PST_ERR_NOMEM;
	have += *used;
	if (!was_known) {
		look_at_lengths(pst_buf_bytes(kept), have, &pair);
		if (pair.lengths == 0)
			return 0;
		err = pair_charge(decoder, &pair);
		if (err < 0)
			return err;
	}
	if (have < pair.lengths + pair.name + pair.value)
		return 0;
	whole = pair_at(pst_buf_bytes(kept), &pair);
	err = fn(arg, &whole, 1);
	pst_buf_consume(kept, have);
	return err;
}

/*
 * The pair that lies whole at *P, before END, which *P passes then. False when none does, or with
 * *ERR when it is beyond the limit.
 */
static bool
take_whole(struct pst_params_decoder *decoder, const unsigned char **p, const unsigned char *end,
    struct pst_pair *whole, int *err)
{
	size_t n = (size_t)(end - *p);
	struct pair pair;

	look_at_lengths(*p, n, &pair);
	if (pair.lengths == 0 || pair.name > n - pair.lengths ||
	    pair.value > n - pair.lengths - pair.name)
		return false;
	*err = pair_charge(decoder, &pair);
	if (*err < 0)
		return false;
	*whole = pair_at(*p, &pair);
	*p += pair.lengths + pair.name + pair.value;
	return true;
}

/* Behind the COUNT in PAIRS, those that lie whole at *P, have short names and values, and are
 * within the limit: how many there are. */
static size_t
take_short(struct pst_params_decoder *decoder, const unsigned char **p, const unsigned char *end,
    struct pst_pair pairs[BATCH], size_t count)
{
	const unsigned char *at = *p;
	size_t left = decoder->limit - decoder->taken;

	if ((size_t)(end - at) > left)
		end = at + left;
	while (count < BATCH && end - at >= 2) {
		size_t name = at[0], value = at[1];
		if ((name | value) >= 128 || name + value > (size_t)(end - at) - 2)
			break;
		pairs[count++] = (struct pst_pair){(const char *)at + 2, name, value};
		at += 2 + name + value;
	}
	decoder->taken += (size_t)(at - *p);
	*p = at;
	return count;
}

/* The common case: all the pairs that lie whole in the input. */
static int
feed_whole(struct pst_params_decoder *decoder, const unsigned char **p, const unsigned char *end,
    pst_pairs_fn *fn, void *arg)
{
	struct pst_pair pairs[BATCH];
	size_t count, before;
	int err = 0, told;

	do {
		count = 0;
		do {
			before = count;
			count = take_short(decoder, p, end, pairs, count);
			if (count < BATCH && take_whole(decoder, p, end, &pairs[count], &err))
				count++;
		} while (count < BATCH && count > before);
		told = count > 0 ? fn(arg, pairs, count) : 0;
	} while (told == 0 && count == BATCH);
	return told != 0 ? told : err;
}

/* After an error nothing fits the limit any more, so nothing more is taken. */
static int
decoder_stop(struct pst_params_decoder *decoder, int err)
{
	decoder->limit = decoder->taken = 0;
	pst_buf_free(&decoder->partial);
	return err;
}

int
pst_params_decode_pairs(
    struct pst_params_decoder *decoder, const void *bytes, size_t n, pst_pairs_fn *fn, void *arg)
{
	const unsigned char *p = bytes, *end = p + n;
	size_t used;
	int err;

	while (p < end) {
		err = 0;
		if (pst_buf_length(&decoder->partial) == 0)
			err = feed_whole(decoder, &p, end, fn, arg);
		if (err == 0 && p < end) {
			err = feed_partial(decoder, p, (size_t)(end - p), &used, fn, arg);
			p += used;
		}
		if (err != 0)
			return decoder_stop(decoder, err);
	}
	return 0;
}

struct each {
	pst_params_fn *fn;
	void *arg;
};

static int
call_each(void *arg, const struct pst_pair *pairs, size_t count)
{
	const struct each *each = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < count; i++)
		err = each->fn(each->arg, pairs[i].name, pairs[i].name_len,
		    pst_pair_value(&pairs[i]), pairs[i].value_len);
	return err;
}

int
pst_params_decode(
    struct pst_params_decoder *decoder, const void *bytes, size_t n, pst_params_fn *fn, void *arg)
{
	struct each each = {fn, arg};

	return pst_params_decode_pairs(decoder, bytes, n, call_each, &each);
}

bool
pst_params_complete(const struct pst_params_decoder *decoder)
{
	return pst_buf_length(&decoder->partial) == 0;
}
