/* WebSockets when memory is short: every allocation of ours fails once. What was told and sent
 * until then is right, and nothing is lost. */
#include "gateway/front/websocket.h"

#include "protocol/error.h"
#include "tests/unit/failmalloc.h"
#include "tests/unit/runner.h"

#include <check.h>
#include <string.h>

static const struct pst_websocket_limits limits = {.message = 100000, .fragments = 10};
static const struct pst_websocket_terms terms = {.server_bits = 12, .client_bits = 15};

/* Masked with zeros: a text, a ping, a compressed "Hello", a close. */
static const unsigned char wire[] = {0x81, 0x85, 0, 0, 0, 0, 'p', 'l', 'a', 'i', 'n', 0x89, 0x81, 0,
    0, 0, 0, 'p', 0xc1, 0x87, 0, 0, 0, 0, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0, 0x88, 0x82, 0, 0,
    0, 0, 0x03, 0xe8};

/* Take WIRE: PST_ERR_NOMEM, or the last event. */
static int
take(struct pst_websocket *ws, struct pst_buf *out)
{
	unsigned char memory[64];
	size_t at = 0, used;
	int event, last = 0;

	do {
		struct pst_websocket_piece piece = {0};

		event = pst_websocket_take(
		    ws, wire + at, sizeof(wire) - at, &used, memory, sizeof(memory), &piece, out);
		at += used;
		if (event > 0)
			last = event;
	} while (event > 0);
	return event < 0 ? event : last;
}

static int
run(struct pst_buf *out)
{
	static const char text[1000] = "compressed";
	struct pst_websocket *ws = pst_websocket_new(&terms, &limits);
	int result;

	if (ws == NULL)
		return PST_ERR_NOMEM;
	result = pst_websocket_send(ws, out, false, true, "short", 5);
	if (result == 0)
		result = pst_websocket_send(ws, out, true, true, text, sizeof(text));
	if (result == 0)
		result = pst_websocket_ping(ws, out);
	if (result == 0)
		result = take(ws, out);
	pst_websocket_free(ws);
	return result;
}

START_TEST(short_of_memory)
{
	struct pst_buf whole = {0};
	unsigned long allocations;
	int result;

	failmalloc_count = 0;
	result = run(&whole);
	allocations = failmalloc_count;
	ck_assert_int_eq(result, PST_WEBSOCKET_LEFT);
	ck_assert_uint_gt(allocations, 3);
	for (unsigned long n = 1; n <= allocations; n++) {
		struct pst_buf out = {0};
		size_t length;

		failmalloc_count = 0;
		failmalloc_at = n;
		result = run(&out);
		failmalloc_at = 0;
		ck_assert_int_eq(result, PST_ERR_NOMEM);
		length = pst_buf_length(&out);
		ck_assert_uint_lt(length, pst_buf_length(&whole));
		if (length > 0)
			ck_assert_mem_eq(pst_buf_bytes(&out), pst_buf_bytes(&whole), length);
		pst_buf_free(&out);
	}
	pst_buf_free(&whole);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("websocket_memory");

	tcase_add_test(tcase, short_of_memory);
	return run_case("websocket_memory", tcase);
}
