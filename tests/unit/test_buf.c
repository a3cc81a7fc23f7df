/* The byte queue and the records that are queued in it. */
#include "protocol/buf.h"
#include "protocol/error.h"
#include "protocol/outbox.h"
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <fastcgi.h>
#include <stdint.h>
#include <string.h>

START_TEST(test_empty)
{
	struct pst_buf buf = {0};

	ck_assert_uint_eq(pst_buf_length(&buf), 0);
	ck_assert_int_eq(pst_buf_append(&buf, NULL, 0), 0);
	ck_assert_ptr_null(buf.data);
	pst_buf_consume(&buf, 0);
	pst_buf_free(&buf);
}
END_TEST

/* What goes in comes out, however much is added and taken at a time. */
START_TEST(test_queue)
{
	struct pst_buf buf = {0};
	unsigned char in = 0, out = 0, piece[701];
	uint32_t seed = (uint32_t)_i;
	unsigned wrong = 0;
	size_t n;

	for (unsigned round = 0; round < 2000; round++) {
		seed = seed * 1664525 + 1013904223;
		n = (seed >> 16) % sizeof piece;
		for (size_t i = 0; i < n; i++)
			piece[i] = in++;
		ck_assert_int_eq(pst_buf_append(&buf, piece, n), 0);
		ck_assert_uint_le(buf.start, buf.end);
		ck_assert_uint_le(buf.end, buf.size);
		n = (seed >> 8) % (pst_buf_length(&buf) + 1);
		for (size_t i = 0; i < n; i++)
			wrong += pst_buf_bytes(&buf)[i] != out++;
		ck_assert_uint_eq(wrong, 0);
		pst_buf_consume(&buf, n);
	}
	pst_buf_consume(&buf, pst_buf_length(&buf));
	ck_assert_uint_eq(buf.start + buf.end, 0);
	pst_buf_free(&buf);
}
END_TEST

/* A queue that is never long does not grow, though much passes through it. */
START_TEST(test_no_growth)
{
	struct pst_buf buf = {0};

	ck_assert_int_eq(pst_buf_append(&buf, "1234567", 7), 0);
	for (unsigned i = 0; i < 10000; i++) {
		ck_assert_int_eq(pst_buf_append(&buf, "1234567", 7), 0);
		pst_buf_consume(&buf, 7);
	}
	ck_assert_uint_eq(buf.size, 256);
	pst_buf_free(&buf);
}
END_TEST

START_TEST(test_nomem)
{
	struct pst_buf buf = {0};

	ck_assert_int_eq(pst_buf_append(&buf, "abc", 3), 0);
	ck_assert_ptr_null(pst_buf_reserve(&buf, SIZE_MAX));
	ck_assert_ptr_null(pst_buf_reserve(&buf, SIZE_MAX - 2));
	failmalloc_count = 0;
	failmalloc_at = 1;
	ck_assert_ptr_null(pst_buf_reserve(&buf, 1000));
	failmalloc_at = 0;
	ck_assert_uint_eq(pst_buf_length(&buf), 3);
	ck_assert_mem_eq(pst_buf_bytes(&buf), "abc", 3);
	ck_assert_ptr_nonnull(pst_buf_reserve(&buf, 1000));
	pst_buf_free(&buf);
}
END_TEST

/* Pieces of one stream share a record; another stream or a long piece begins further ones. */
START_TEST(test_output)
{
	static const unsigned char expect[] = "\x01\x06\x00\x07\x00\x05\x03\x00"
					      "hello\0\0\0"
					      "\x01\x07\x00\x07\x00\x08\x00\x00"
					      "12345678"
					      "\x01\x06\x00\x07\x00\x00\x00\x00";
	struct pst_outbox output = {0};
	const void *bytes;

	ck_assert_uint_eq(pst_outbox_show(&output, &bytes), 0);
	ck_assert_int_eq(pst_outbox_reserve(&output, 3, 100), 0);
	pst_outbox_add(&output, FCGI_STDOUT, 7, "hel", 3);
	pst_outbox_add(&output, FCGI_STDOUT, 7, "lo", 2);
	pst_outbox_add(&output, FCGI_STDERR, 7, "12345678", 8);
	pst_outbox_empty(&output, FCGI_STDOUT, 7);
	ck_assert_uint_eq(pst_outbox_show(&output, &bytes), sizeof expect - 1);
	ck_assert_mem_eq(bytes, expect, sizeof expect - 1);
	pst_outbox_drop(&output, 3);
	ck_assert_int_eq(pst_outbox_reserve(&output, 0, 1), 0);
	pst_outbox_add(&output, FCGI_STDOUT, 7, "x", 1);
	pst_outbox_drop(&output, sizeof expect - 4);
	ck_assert_uint_eq(pst_outbox_show(&output, &bytes), 16);
	pst_outbox_drop(&output, 16);
	pst_outbox_trim(&output);
	ck_assert_ptr_null(output.buf.data);
}
END_TEST

/* Around the largest record: contents of at most 65,528, nothing lost between them. */
START_TEST(test_output_large)
{
	size_t n = 65520 * 3 + (size_t)_i, left = n;
	struct pst_outbox output = {0};
	unsigned char *body = calloc(1, n);
	struct pst_record record;
	const unsigned char *p;
	const void *bytes;
	size_t length;

	ck_assert_int_eq(pst_outbox_reserve(&output, 0, n), 0);
	pst_outbox_add(&output, FCGI_STDIN, 1, body, 1);
	pst_outbox_add(&output, FCGI_STDIN, 1, body, n - 1);
	length = pst_outbox_show(&output, &bytes);
	for (p = bytes; length > 0; p += 8 + record.content + record.padding) {
		pst_record_decode(p, &record);
		ck_assert_uint_eq(record.content, left < 65528 ? left : 65528);
		left -= record.content;
		length -= 8U + record.content + record.padding;
	}
	ck_assert_uint_eq(left, 0);
	pst_outbox_drop(&output, output.shown);
	ck_assert_ptr_null(output.buf.data);
	free(body);
}
END_TEST

START_TEST(test_record)
{
	static const unsigned char bytes[8] = {1, 9, 0xab, 0xcd, 0xfe, 0xdc, 255, 0};
	struct pst_record_begin begin = {0x1234, 0x81};
	struct pst_record_end end = {0xfedcba98, 3};
	struct pst_record record;
	unsigned char out[8];

	pst_record_decode(bytes, &record);
	ck_assert_uint_eq(record.version, 1);
	ck_assert_uint_eq(record.type, FCGI_GET_VALUES);
	ck_assert_uint_eq(record.id, 0xabcd);
	ck_assert_uint_eq(record.content, 0xfedc);
	ck_assert_uint_eq(record.padding, 255);
	pst_record_encode(&record, out);
	ck_assert_mem_eq(out, bytes, 8);
	pst_record_begin_encode(&begin, out);
	ck_assert_mem_eq(out, "\x12\x34\x81\0\0\0\0\0", 8);
	pst_record_begin_decode(out, &begin);
	ck_assert_uint_eq(begin.role, 0x1234);
	ck_assert_uint_eq(begin.flags, 0x81);
	pst_record_end_encode(&end, out);
	ck_assert_mem_eq(out, "\xfe\xdc\xba\x98\x03\0\0\0", 8);
	pst_record_end_decode(out, &end);
	ck_assert_uint_eq(end.app_status, 0xfedcba98);
	ck_assert_uint_eq(end.protocol_status, 3);
	ck_assert_str_eq(pst_record_type_name(11), "UNKNOWN_TYPE");
	ck_assert_str_eq(pst_record_type_name(0), "unknown");
	ck_assert_str_eq(pst_record_type_name(12), "unknown");
	ck_assert_str_eq(pst_record_type_name(255), "unknown");
}
END_TEST

START_TEST(test_error)
{
	for (int err = -6; err <= 1; err++)
		ck_assert_ptr_nonnull(pst_error_string(err));
	ck_assert_str_eq(pst_error_string(PST_ERR_NOMEM), "out of memory");
	ck_assert_str_eq(pst_error_string(1), "unknown error");
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("buf");

	tcase_add_test(tcase, test_empty);
	tcase_add_loop_test(tcase, test_queue, 0, 4);
	tcase_add_test(tcase, test_no_growth);
	tcase_add_test(tcase, test_nomem);
	tcase_add_test(tcase, test_output);
	tcase_add_loop_test(tcase, test_output_large, 0, 40);
	tcase_add_test(tcase, test_record);
	tcase_add_test(tcase, test_error);
	return run_case("buf", tcase);
}
