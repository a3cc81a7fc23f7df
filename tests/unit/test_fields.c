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
make_pairs(struct pst_pair pairs[PAIRS], char bytes[PAIRS][ROOM])
{
	size_t count = random_below(PAIRS + 1);

	for (size_t i = 0; i < count; i++) {
		size_t name = random_below(4) ? 8 : random_below(ROOM / 2);
		size_t value = random_below(3) ? 5 : random_below(ROOM / 2);

		for (size_t k = 0; k < name + value; k++)
			bytes[i][k] = (char)('a' + (random_below(8) ? 0 : random_below(3)));
		if (name + value > 0 && random_below(50) == 0)
			bytes[i][random_below(name + value)] = '\0';
		pairs[i] = (struct pst_pair){bytes[i], name, value};
	}
	return count;
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

START_TEST(test_one_after_the_other)
{
	char bytes[PAIRS][ROOM];
	struct pst_pair pairs[PAIRS];

	for (int round = 0; round < 20000; round++) {
		size_t count = make_pairs(pairs, bytes);
		size_t cut = random_below(count + 1), at = 0;

		for (size_t i = 0; i < count; i++)
			if (memchr(bytes[i], '\0', pairs[i].name_len + pairs[i].value_len))
				at++;
		int first = pst_fields_add_pairs(&fields, pairs, cut);
		int second = pst_fields_add_pairs(&fields, pairs + cut, count - cut);
		ck_assert(first == 0 || first == PST_ERR_PROTOCOL);
		ck_assert(second == 0 || second == PST_ERR_PROTOCOL);
		ck_assert_int_eq(first != 0 || second != 0, at > 0);
		ck_assert_uint_eq(fields.count, count - at);
		pst_fields_seal(&fields);
		at = 0;
		for (size_t i = 0; i < count; i++)
			if (!memchr(bytes[i], '\0', pairs[i].name_len + pairs[i].value_len))
				assert_field(&fields.items[at++], &pairs[i]);
		if (random_below(500) == 0)
			pst_fields_free(&fields);
		else
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
	return run_case("fields", tcase);
}
