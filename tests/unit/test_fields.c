/* Parameters of one request after the other in the same memory: each has its own and no other's. */
#include "adapters/fields.h"
#include "protocol/error.h"
#include "tests/unit/runner.h"

#include <string.h>

#define PAIRS 12
#define ROOM  64

static struct pst_fields fields;
static unsigned long seed = 1;

/* Pseudo-random, the same everywhere: 0 to N - 1. */
static size_t
random_below(size_t n)
{
	seed = (seed * 1103515245 + 12345) & 0x7fffffff;
	return (seed >> 8) % n;
}

/* Some pairs: most have the same lengths, and much the same bytes, as those before; few a NUL. */
static size_t
make_pairs(struct pst_pair pairs[PAIRS], char *at)
{
	size_t count = random_below(PAIRS + 1);

	for (size_t i = 0; i < count; i++) {
		size_t name = random_below(4) ? 8 : random_below(ROOM / 2);
		size_t value = random_below(3) ? 5 : random_below(ROOM / 2);

		at = (char *)pst_params_put_lengths((unsigned char *)at, name, value);
		for (size_t k = 0; k < name + value; k++)
			at[k] = (char)('a' + (random_below(8) ? 0 : random_below(3)));
		if (name + value > 0 && random_below(50) == 0)
			at[random_below(name + value)] = '\0';
		pairs[i] = (struct pst_pair){at, name, value};
		at += name + value;
	}
	return count;
}

static bool
has_nul(const struct pst_pair *pair)
{
	return memchr(pair->name, '\0', pair->name_len + pair->value_len) != NULL;
}

static void
assert_field(const struct pst_field *field, const struct pst_pair *pair)
{
	ck_assert_uint_eq(field->name_len, pair->name_len);
	ck_assert_uint_eq(field->value_len, pair->value_len);
	ck_assert(memcmp(field->name, pair->name, pair->name_len) == 0);
	ck_assert(memcmp(field->value, pst_pair_value(pair), pair->value_len) == 0);
	ck_assert_int_eq(field->name[pair->name_len], '\0');
	ck_assert_int_eq(field->value[pair->value_len], '\0');
}

/* Add PAIRS, the first CUT of them apart: exactly those are there that hold no NUL. */
static void
add_and_check(const struct pst_pair pairs[PAIRS], size_t count, size_t cut)
{
	size_t bad = 0, at = 0;
	int first, second;

	for (size_t i = 0; i < count; i++)
		bad += has_nul(&pairs[i]);
	first = pst_fields_add_pairs(&fields, pairs, cut);
	second = pst_fields_add_pairs(&fields, pairs + cut, count - cut);
	ck_assert(first == 0 || first == PST_ERR_PROTOCOL);
	ck_assert(second == 0 || second == PST_ERR_PROTOCOL);
	ck_assert_int_eq(first != 0 || second != 0, bad > 0);
	ck_assert_uint_eq(fields.count, count - bad);
	pst_fields_seal(&fields);
	for (size_t i = 0; i < count; i++)
		if (!has_nul(&pairs[i]))
			assert_field(&fields.items[at++], &pairs[i]);
}

START_TEST(test_one_after_the_other)
{
	char bytes[PAIRS * ROOM];
	struct pst_pair pairs[PAIRS];

	for (int round = 0; round < 20000; round++) {
		size_t count = make_pairs(pairs, bytes);

		add_and_check(pairs, count, random_below(count + 1));
		if (random_below(500) == 0)
			pst_fields_free(&fields);
		else
			pst_fields_clear(&fields);
	}
	pst_fields_free(&fields);
}
END_TEST

/* The same pairs again and again, of which one or another has changed: its bytes, or its length. */
START_TEST(test_again)
{
	char bytes[PAIRS * ROOM];
	struct pst_pair pairs[PAIRS];
	size_t count = make_pairs(pairs, bytes);

	for (int round = 0; round < 50000; round++) {
		if (random_below(100) == 0)
			count = make_pairs(pairs, bytes);
		for (size_t changes = random_below(4); changes > 0 && count > 0; changes--) {
			const struct pst_pair *pair = &pairs[random_below(count)];
			size_t name_too = random_below(30) == 0 ? 0 : pair->name_len;
			size_t n = pair->name_len + pair->value_len - name_too;
			char *at = bytes + (pair->name - bytes) + name_too;
			if (n > 0)
				at[random_below(n)] =
				    (char)("\0bcdefgh"[random_below(40) ? 1 + random_below(7) : 0]);
		}
		add_and_check(pairs, count, random_below(10) ? 0 : random_below(count + 1));
		pst_fields_clear(&fields);
	}
	pst_fields_free(&fields);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("fields");

	tcase_add_test(tcase, test_one_after_the_other);
	tcase_add_test(tcase, test_again);
	return run_case("fields", tcase);
}
