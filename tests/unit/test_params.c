/* Name-value pairs, encoded and decoded, cut at every point. */
#include "protocol/error.h"
#include "protocol/params.h"
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <stdint.h>
#include <string.h>

static int
encode_again(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	ck_assert_int_eq(pst_params_append(arg, name, name_len, value, value_len), 0);
	return 0;
}

static void
append(struct pst_buf *wire, size_t name_len, size_t value_len)
{
	char *bytes = malloc(name_len + value_len + 1);

	memset(bytes, 'n', name_len);
	memset(bytes + name_len, 'v', value_len);
	ck_assert_int_eq(pst_params_append(wire, bytes, name_len, bytes + name_len, value_len), 0);
	free(bytes);
}

/* The two lengths' forms in all combinations. */
static void
build(struct pst_buf *wire)
{
	static const size_t lengths[] = {0, 1, 127, 128, 300};

	for (size_t i = 0; i < 25; i++)
		append(wire, lengths[i / 5], lengths[i % 5]);
}

static void
decode_pieces(const struct pst_buf *wire, size_t cut, size_t piece, struct pst_buf *out)
{
	struct pst_params_decoder decoder;
	size_t n, limit = pst_buf_length(wire);

	pst_params_decoder_init(&decoder, limit);
	ck_assert_int_eq(pst_params_decode(&decoder, wire->data, cut, encode_again, out), 0);
	for (size_t at = cut; at < wire->end; at += n) {
		n = wire->end - at < piece ? wire->end - at : piece;
		ck_assert_int_eq(
		    pst_params_decode(&decoder, wire->data + at, n, encode_again, out), 0);
	}
	ck_assert(pst_params_complete(&decoder));
	ck_assert_uint_eq(decoder.taken, limit);
	pst_params_decoder_free(&decoder);
}

static void
check_pieces(const struct pst_buf *wire, size_t cut, size_t piece)
{
	struct pst_buf out = {0};

	decode_pieces(wire, cut, piece, &out);
	ck_assert_uint_eq(pst_buf_length(&out), pst_buf_length(wire));
	ck_assert_mem_eq(out.data, wire->data, wire->end);
	pst_buf_free(&out);
}

START_TEST(test_cuts)
{
	struct pst_buf wire = {0};

	build(&wire);
	for (size_t cut = 0; cut <= wire.end; cut++)
		check_pieces(&wire, cut, wire.end);
	check_pieces(&wire, 0, 1);
	check_pieces(&wire, 0, 3);
	pst_buf_free(&wire);
}
END_TEST

START_TEST(test_sizes)
{
	unsigned char lengths[8];

	ck_assert_uint_eq(pst_params_pair_size(0, 0), 2);
	ck_assert_uint_eq(pst_params_pair_size(127, 128), 1 + 4 + 255);
	ck_assert_ptr_eq(pst_params_put_lengths(lengths, 127, 128), lengths + 5);
	ck_assert_mem_eq(lengths, "\x7f\x80\x00\x00\x80", 5);
	ck_assert_ptr_eq(pst_params_put_lengths(lengths, 0x7fffffff, 0x1234567), lengths + 8);
	ck_assert_mem_eq(lengths, "\xff\xff\xff\xff\x81\x23\x45\x67", 8);
}
END_TEST

START_TEST(test_append_errors)
{
	struct pst_buf out = {0};

	ck_assert_int_eq(pst_params_append(&out, "", 0x80000000U, "", 0), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_params_append(&out, "", 0, "", SIZE_MAX), PST_ERR_LIMIT);
	failmalloc_count = 0;
	failmalloc_at = 1;
	ck_assert_int_eq(pst_params_append(&out, "a", 1, "b", 1), PST_ERR_NOMEM);
	failmalloc_at = 0;
	ck_assert_uint_eq(pst_buf_length(&out), 0);
}
END_TEST

static int
count(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	(void)name;
	(void)name_len;
	(void)value;
	(void)value_len;
	++*(unsigned *)arg;
	return 0;
}

/* A limit of one byte less than the pairs take; nothing is held of what exceeds it. */
START_TEST(test_limit)
{
	struct pst_params_decoder decoder;
	struct pst_buf wire = {0};
	unsigned pairs = 0;

	append(&wire, 10, 20);
	append(&wire, 10, 2000);
	pst_params_decoder_init(&decoder, wire.end - 1);
	ck_assert_int_eq(
	    pst_params_decode(&decoder, wire.data, 32 + 5, count, &pairs), PST_ERR_LIMIT);
	ck_assert_uint_eq(pairs, 1);
	ck_assert_ptr_null(decoder.partial.data);
	ck_assert_int_eq(pst_params_decode(&decoder, "\1\1ab", 4, count, &pairs), PST_ERR_LIMIT);
	ck_assert_uint_eq(pairs, 1);
	pst_params_decoder_free(&decoder);
	pst_buf_free(&wire);
}
END_TEST

/* Empty pairs cost, too: they would be endless otherwise. */
START_TEST(test_limit_of_empty_pairs)
{
	struct pst_params_decoder decoder;
	static const unsigned char zeros[100];
	unsigned pairs = 0;

	pst_params_decoder_init(&decoder, 10);
	ck_assert_int_eq(
	    pst_params_decode(&decoder, zeros, sizeof zeros, count, &pairs), PST_ERR_LIMIT);
	ck_assert_uint_eq(pairs, 5);
	pst_params_decoder_free(&decoder);
}
END_TEST

/* The largest lengths there are, whole and byte by byte. */
START_TEST(test_overflow)
{
	static const unsigned char bytes[] = "\xff\xff\xff\xff\xff\xff\xff\xff";
	struct pst_params_decoder decoder;
	unsigned pairs = 0;
	int err = 0;

	pst_params_decoder_init(&decoder, SIZE_MAX);
	ck_assert_int_eq(pst_params_decode(&decoder, bytes, 8, count, &pairs), 0);
	ck_assert(!pst_params_complete(&decoder));
	pst_params_decoder_free(&decoder);
	pst_params_decoder_init(&decoder, 100000);
	for (size_t i = 0; i < 8; i++)
		err = pst_params_decode(&decoder, bytes + i, 1, count, &pairs);
	ck_assert_int_eq(err, PST_ERR_LIMIT);
	ck_assert_uint_eq(pairs, 0);
	pst_params_decoder_free(&decoder);
}
END_TEST

static int
stop(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	count(arg, name, name_len, value, value_len);
	return 42;
}

START_TEST(test_stop)
{
	struct pst_params_decoder decoder;
	unsigned pairs = 0;

	pst_params_decoder_init(&decoder, 100);
	ck_assert_int_eq(pst_params_decode(&decoder, "\1\1", 2, stop, &pairs), 0);
	ck_assert_int_eq(pst_params_decode(&decoder, "ab\1\1cd", 6, stop, &pairs), 42);
	ck_assert_uint_eq(pairs, 1);
	pst_params_decoder_free(&decoder);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("params");

	tcase_add_test(tcase, test_cuts);
	tcase_add_test(tcase, test_sizes);
	tcase_add_test(tcase, test_append_errors);
	tcase_add_test(tcase, test_limit);
	tcase_add_test(tcase, test_limit_of_empty_pairs);
	tcase_add_test(tcase, test_overflow);
	tcase_add_test(tcase, test_stop);
	return run_case("params", tcase);
}
