/*
 * The host functions, on a carrier that keeps what it is given: what gathers, what leaves when,
 * what can still be taken back, and what happens when any allocation fails.
 */
#include "adapters/piece.h"
#include "adapters/request.h"
#include "protocol/error.h"
#include "tests/unit/failmalloc.h"

#include <assert.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the carrier; check's own asserts allocate memory, which test_memory() counts --- */

static struct {
	char sent[400000]; /* STDOUT */
	size_t n;
	unsigned submits;
	unsigned flushes;
	char errors[100];
	const char *body; /* one byte comes with each fill() */
	size_t granted;
	unsigned pieces;
	unsigned spoil; /* this piece is spoilt, with this error; 0: none */
	int spoil_err;
	unsigned shorten; /* the file loses its end after this piece; 0: never */
	unsigned gone_after; /* submits; 0: never */
	int post; /* what post() says */
} client;

static struct pst_request *request;

static int
submit(struct pst_request *of, enum pst_stream stream, const void *bytes, size_t n)
{
	assert(of == request);
	if (stream == PST_STREAM_STDERR) {
		assert(n < sizeof(client.errors));
		memcpy(client.errors, bytes, n);
		return 0;
	}
	if (client.gone_after && client.submits >= client.gone_after) {
		pst_request_on_abort(of);
		return PST_RESULT_GONE;
	}
	client.submits++;
	assert(n <= sizeof(client.sent) - client.n);
	memcpy(client.sent + client.n, bytes, n);
	client.n += n;
	return 0;
}

/* One parameter arrives. */
static int
on_param(struct pst_request *of, const char *name, const char *value)
{
	struct pst_pair pair = {.name_len = strlen(name), .value_len = strlen(value)};
	char bytes[100];

	assert(pair.name_len + pair.value_len < sizeof(bytes));
	strcpy(strcpy(bytes, name) + pair.name_len, value);
	pair.name = bytes;
	return pst_request_on_params(of, &pair, 1);
}

static int
flush(struct pst_request *of)
{
	assert(of == request);
	client.flushes++;
	return 0;
}

static int
fill(struct pst_request *of)
{
	if (!client.body) {
		pst_request_on_abort(of);
		return PST_RESULT_GONE;
	}
	if (pst_request_on_body(of, client.body, *client.body != '\0') < 0)
		return PST_RESULT_GONE;
	client.body++;
	return 0;
}

static void
grant(struct pst_request *of, size_t n)
{
	assert(of == request && n >= PST_REQUEST_GRANT);
	client.granted += n;
}

/* As much of the file as there is; the rest is zeros, as the contract has it. */
static int
send_piece(struct pst_request *of, struct pst_piece *piece, size_t n)
{
	ssize_t got = pread(piece->fd, client.sent + client.n, n, piece->offset);

	assert(of == request && got >= 0 && n <= PST_SESSION_EXTERNAL_MAX);
	client.pieces++;
	client.n += n;
	if ((size_t)got < n || client.pieces == client.spoil) {
		piece->spoilt = true;
		piece->err = client.spoil_err;
	}
	if (client.pieces == client.shorten && ftruncate(piece->fd, 1000) < 0)
		abort();
	return 0;
}

static int
share(struct pst_request *of, const void *bytes, size_t n)
{
	assert(of->state == PST_RESPONSE_SENT);
	return submit(of, PST_STREAM_STDOUT, bytes, n);
}

/* As client.post has it. */
static int
post(struct pst_request *of, const void *bytes, size_t n)
{
	if (client.post == PST_POST_SENT || client.post == PST_POST_TAKEN)
		submit(of, PST_STREAM_STDOUT, bytes, n);
	return client.post;
}

static const struct pst_carrier carrier = {
    .submit = submit,
    .share = share,
    .post = post,
    .send_piece = send_piece,
    .flush = flush,
    .fill = fill,
    .grant = grant,
};

static void
set_up(void)
{
	memset(&client, 0, sizeof(client));
	request = pst_request_new();
	ck_assert_ptr_nonnull(request);
	request->carrier = &carrier;
}

static void
tear_down(void)
{
	pst_request_free(request);
}

static void
assert_sent(const char *expect)
{
	ck_assert_uint_eq(client.n, strlen(expect));
	ck_assert_mem_eq(client.sent, expect, client.n);
}

static int
respond(int status)
{
	return pst_request_respond(request, status, NULL, NULL, 0);
}

/* --- what leaves when --- */

START_TEST(test_one_piece)
{
	ck_assert_int_eq(respond(200), 0);
	ck_assert_int_eq(pst_request_write(request, "a", 1), 0);
	ck_assert_int_eq(pst_request_write(request, NULL, 0), 0);
	ck_assert_int_eq(pst_request_write(request, "b", 1), 0);
	ck_assert_uint_eq(client.submits, 0);
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_WHOLE);
	ck_assert_uint_eq(client.submits, 1);
	ck_assert_uint_eq(client.flushes, 0);
	assert_sent("Status: 200 OK\r\n\r\nab");
}
END_TEST

/* What can be sent at once is not, as long as something before it has not left. */
START_TEST(test_post)
{
	client.post = PST_POST_SENT;
	ck_assert_int_eq(pst_request_post(request, "a", 1), PST_POST_REFUSED);
	respond(200);
	ck_assert_int_eq(pst_request_post(request, "a", 1), PST_POST_REFUSED);
	ck_assert(!pst_request_begun(request));
	pst_request_flush(request);
	ck_assert_int_eq(pst_request_post(request, "a", 1), PST_POST_SENT);
	pst_request_write(request, "b", 1);
	ck_assert_int_eq(pst_request_post(request, "c", 1), PST_POST_REFUSED);
	pst_request_flush(request);
	client.post = PST_POST_TAKEN;
	ck_assert_int_eq(pst_request_post(request, "c", 1), PST_POST_TAKEN);
	assert_sent("Status: 200 OK\r\n\r\nabc");
	client.post = PST_RESULT_GONE;
	ck_assert_int_eq(pst_request_post(request, "d", 1), PST_RESULT_GONE);
	ck_assert_str_eq(pst_request_reason(request), "the client is gone");
	pst_request_on_abort(request);
	ck_assert_int_eq(pst_request_post(request, "d", 1), PST_POST_REFUSED);
}
END_TEST

START_TEST(test_post_after_the_end)
{
	client.post = PST_POST_SENT;
	respond(200);
	ck_assert_int_eq(pst_request_complete(request), 0);
	ck_assert_int_eq(pst_request_post(request, "a", 1), PST_POST_REFUSED);
	ck_assert_int_eq(pst_request_write(request, "a", 1), PST_RESULT_STATE);
	assert_sent("Status: 200 OK\r\n\r\n");
}
END_TEST

START_TEST(test_flush)
{
	respond(200);
	ck_assert(!pst_request_begun(request));
	ck_assert_int_eq(pst_request_flush(request), 0);
	ck_assert(pst_request_begun(request));
	assert_sent("Status: 200 OK\r\n\r\n");
	pst_request_write(request, "a", 1);
	ck_assert_int_eq(pst_request_flush(request), 0);
	ck_assert_int_eq(pst_request_flush(request), 0);
	ck_assert_uint_eq(client.submits, 2);
	ck_assert_uint_eq(client.flushes, 3);
	assert_sent("Status: 200 OK\r\n\r\na");
}
END_TEST

/* Around the size at which a write is no longer gathered: all bytes leave, in order. */
START_TEST(test_large_writes)
{
	static char bytes[3 * PST_REQUEST_GATHER];
	size_t head = strlen("Status: 200 OK\r\n\r\n");
	size_t total = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 % 251);
	respond(200);
	for (size_t n = PST_REQUEST_GATHER - 100; n <= PST_REQUEST_GATHER + 2; n += 51) {
		ck_assert_int_eq(pst_request_write(request, bytes + total, n), 0);
		total += n;
		if (total + PST_REQUEST_GATHER + 2 > sizeof(bytes))
			break;
		ck_assert_int_eq(pst_request_write(request, bytes + total, 10), 0);
		total += 10;
	}
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_WHOLE);
	ck_assert_uint_eq(client.n, head + total);
	ck_assert_mem_eq(client.sent + head, bytes, total);
}
END_TEST

START_TEST(test_order)
{
	ck_assert_int_eq(pst_request_write(request, "x", 1), PST_RESULT_STATE);
	ck_assert_str_eq(pst_request_reason(request), "a body before its head");
	ck_assert_int_eq(pst_request_send_file(request, 0, 0, 1), PST_RESULT_STATE);
	ck_assert_int_eq(respond(600), PST_RESULT_INVALID);
	ck_assert_int_eq(respond(200), PST_RESULT_OK);
	ck_assert_int_eq(respond(200), PST_RESULT_STATE);
	ck_assert_int_eq(respond(103), PST_RESULT_STATE);
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_WHOLE);
	assert_sent("Status: 200 OK\r\n\r\n");
}
END_TEST

START_TEST(test_interim)
{
	ck_assert_int_eq(respond(103), 0); /* to a client that knows none */
	pst_request_flush(request);
	assert_sent("");
	request->penstock = true;
	ck_assert_int_eq(respond(103), 0);
	ck_assert_int_eq(respond(102), 0);
	pst_request_flush(request);
	assert_sent("Status: 103 Early Hints\r\n\r\nStatus: 102 Processing\r\n\r\n");
	client.n = 0;
	ck_assert_int_eq(respond(103), 0);
	ck_assert_int_eq(pst_request_finish(request, -1), PST_OUTCOME_WHOLE);
	ck_assert_str_eq(client.sent,
	    "Status: 500 Internal Server Error\r\n"
	    "Content-Type: text/plain\r\n\r\n500 Internal Server Error\n");
}
END_TEST

/* An application that gives no end of interim heads costs bounded memory. */
START_TEST(test_interim_without_end)
{
	request->penstock = true;
	for (int i = 0; i < 100000; i++)
		ck_assert_int_eq(respond(103), 0);
	ck_assert_uint_lt(pst_buf_length(&request->gather), 100000);
}
END_TEST

/* --- how it ends --- */

static const struct {
	bool head, flushed;
	int result;
	enum pst_outcome outcome;
	const char *begins;
} ends[] = {
    {true, false, 0, PST_OUTCOME_WHOLE, "Status: 200"},
    {true, true, 0, PST_OUTCOME_WHOLE, "Status: 200"},
    {false, false, 0, PST_OUTCOME_WHOLE, "Status: 500"},
    {false, false, -1, PST_OUTCOME_WHOLE, "Status: 500"},
    {true, false, -1, PST_OUTCOME_WHOLE, "Status: 500"},
    {true, true, -1, PST_OUTCOME_BROKEN, "Status: 200"},
    {true, false, 7, PST_OUTCOME_WHOLE, "Status: 500"},
};

START_TEST(test_end)
{
	if (ends[_i].head) {
		respond(200);
		pst_request_write(request, "x", 1);
	}
	if (ends[_i].flushed)
		pst_request_flush(request);
	ck_assert_int_eq(pst_request_finish(request, ends[_i].result), ends[_i].outcome);
	ck_assert_mem_eq(client.sent, ends[_i].begins, strlen(ends[_i].begins));
}
END_TEST

START_TEST(test_gone)
{
	static char bytes[PST_REQUEST_GATHER];

	client.gone_after = 1;
	respond(200);
	ck_assert_int_eq(pst_request_write(request, bytes, sizeof(bytes)), PST_RESULT_GONE);
	ck_assert_str_eq(pst_request_reason(request), "the client is gone");
	ck_assert_int_eq(pst_request_write(request, "x", 1), PST_RESULT_GONE);
	ck_assert_int_eq(pst_request_flush(request), PST_RESULT_GONE);
	ck_assert_int_eq(pst_request_read(request, bytes, 1), PST_RESULT_GONE);
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_GONE);
	assert_sent("Status: 200 OK\r\n\r\n");
}
END_TEST

/* A request that is used again knows nothing of the one before. */
START_TEST(test_reset)
{
	client.body = "rest";
	on_param(request, "A", "b");
	pst_request_on_ready(request);
	pst_request_on_body(request, "left over", 9);
	respond(200);
	pst_request_on_abort(request);
	pst_request_reset(request);
	request->carrier = &carrier;
	ck_assert(!request->gone);
	ck_assert_uint_eq(request->params.count, 0);
	ck_assert_int_eq(respond(204), 0);
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_WHOLE);
	assert_sent("Status: 204 No Content\r\n\r\n");
}
END_TEST

/* --- bodies and files --- */

START_TEST(test_read)
{
	char bytes[10];

	client.body = "cd";
	pst_request_on_body(request, "ab", 2);
	ck_assert_int_eq(pst_request_read(request, bytes, 0), 0);
	ck_assert_int_eq(pst_request_read(request, bytes, 1), 1);
	ck_assert_int_eq(pst_request_read(request, bytes + 1, 9), 1); /* never waits for more */
	ck_assert_int_eq(pst_request_read(request, bytes + 2, 8), 1);
	ck_assert_int_eq(pst_request_read(request, bytes + 3, 7), 1);
	ck_assert_mem_eq(bytes, "abcd", 4);
	ck_assert_int_eq(pst_request_read(request, bytes, 10), 0);
	ck_assert_int_eq(pst_request_read(request, bytes, 10), 0);
}
END_TEST

/* What was read may come again, in large pieces; what follows the end is not asked for. */
START_TEST(test_grant)
{
	static char bytes[PST_REQUEST_BODY_HIGH];

	ck_assert_int_eq(pst_request_on_body(request, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(pst_request_read(request, bytes, 32767), 32767);
	ck_assert_uint_eq(client.granted, 0);
	ck_assert_int_eq(pst_request_read(request, bytes, 2), 2);
	ck_assert_uint_eq(client.granted, 32769);
	ck_assert_int_eq(pst_request_on_body(request, NULL, 0), 0);
	ck_assert_int_eq(pst_request_read(request, bytes, sizeof(bytes)), sizeof(bytes) - 32769);
	ck_assert_uint_eq(client.granted, 32769);
}
END_TEST

START_TEST(test_wants_body)
{
	static char bytes[PST_REQUEST_BODY_HIGH];

	ck_assert(pst_request_wants_body(request));
	pst_request_on_body(request, bytes, sizeof(bytes) - 1);
	ck_assert(pst_request_wants_body(request));
	pst_request_on_body(request, bytes, 2);
	ck_assert(!pst_request_wants_body(request));
	pst_request_read(request, bytes, 1);
	ck_assert(pst_request_wants_body(request));
}
END_TEST

START_TEST(test_send_file)
{
	FILE *file = tmpfile();
	int fds[2];

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(pipe(fds), 0);
	fputs("0123456789", file);
	fflush(file);
	respond(200);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 2, 3), 0);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 10, 0), 0);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 5, 6), PST_RESULT_ERROR);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 11, 0), PST_RESULT_ERROR);
	ck_assert_int_eq(
	    pst_request_send_file(request, fileno(file), 1, SIZE_MAX), PST_RESULT_ERROR);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), -1, 1), PST_RESULT_INVALID);
	ck_assert_int_eq(pst_request_send_file(request, fds[0], 0, 1), PST_RESULT_INVALID);
	ck_assert_int_eq(pst_request_send_file(request, -1, 0, 1), PST_RESULT_INVALID);
	ck_assert_int_eq(ftell(file), 10);
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_WHOLE);
	assert_sent("Status: 200 OK\r\n\r\n234");
	fclose(file);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* A file of 300,000 bytes with lines that say where they are. */
static FILE *
big_file(void)
{
	FILE *file = tmpfile();

	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 30000; i++)
		fprintf(file, "%09d\n", i);
	ck_assert_int_eq(fflush(file), 0);
	return file;
}

/* Small files and the end of large ones are copied; all the rest is not. */
START_TEST(test_send_pieces)
{
	FILE *file = big_file();
	char *expect = calloc(1, 300000);

	ck_assert_ptr_nonnull(expect);
	ck_assert_int_eq(pread(fileno(file), expect, 300000, 0), 300000);
	respond(200);
	ck_assert_int_eq(pst_request_write(request, "first ", 6), 0);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 0, 16384), 0);
	ck_assert_uint_eq(client.pieces, 0);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 16384, 16385), 0);
	ck_assert_uint_eq(client.pieces, 1);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 32769, 267231), 0);
	ck_assert_uint_eq(client.pieces, 5);
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_WHOLE);
	ck_assert_uint_eq(client.n, 24 + 300000);
	ck_assert_mem_eq(client.sent, "Status: 200 OK\r\n\r\nfirst ", 24);
	ck_assert_mem_eq(client.sent + 24, expect, 300000);
	free(expect);
	fclose(file);
}
END_TEST

/* What was sent cannot be taken back: the response is broken, whatever the plugin says then. */
START_TEST(test_send_spoilt)
{
	static const struct {
		int err;
		const char *reason;
	} cases[] = {
	    {0, "the file became shorter while it was sent"},
	    {EIO, "reading the file: Input/output error"},
	};
	FILE *file = big_file();

	client.spoil = 2;
	client.spoil_err = cases[_i].err;
	respond(200);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 0, 300000), PST_RESULT_ERROR);
	ck_assert_str_eq(pst_request_reason(request), cases[_i].reason);
	ck_assert_uint_eq(client.pieces, 2);
	ck_assert_int_eq(pst_request_finish(request, 0), PST_OUTCOME_BROKEN);
	fclose(file);
}
END_TEST

START_TEST(test_send_shortened)
{
	FILE *file = big_file();

	client.shorten = 1;
	respond(200);
	ck_assert_int_eq(pst_request_send_file(request, fileno(file), 0, 300000), PST_RESULT_ERROR);
	ck_assert_str_eq(pst_request_reason(request),
	    "the file has 1000 bytes, not the 234472 from 65528 that are to be sent");
	ck_assert_uint_eq(client.pieces, 1);
	ck_assert(!request->spoilt);
	fclose(file);
}
END_TEST

/* A gateway of ours names the request itself. */
START_TEST(test_error)
{
	on_param(request, "REQUEST_METHOD", "GET");
	on_param(request, "REQUEST_URI", "/a\x1b\r\nb?secret");
	pst_request_on_ready(request);
	ck_assert(!request->explained);
	ck_assert_int_eq(pst_request_error(request, "oh", 2), 0);
	ck_assert_str_eq(client.errors, "GET /a???b: oh");
	ck_assert(request->explained);
	memset(client.errors, 0, sizeof(client.errors));
	request->penstock = true;
	ck_assert_int_eq(pst_request_error(request, "oh", 2), 0);
	ck_assert_str_eq(client.errors, "oh");
}
END_TEST

START_TEST(test_line)
{
	struct pst_request_line line;

	on_param(request, "SCRIPT_NAME", "/a");
	on_param(request, "PATH_INFO", "/b");
	pst_request_on_ready(request);
	pst_request_line(request, &line);
	ck_assert_str_eq(line.method, "");
	ck_assert_str_eq(line.path[0], "/a");
	ck_assert_str_eq(line.path[1], "/b");
}
END_TEST

/* --- memory --- */

/* A whole request; false when something failed on the way, as it may. */
static bool
whole_request(void)
{
	static const struct pst_field type = {"Content-Type", 12, "text/plain", 10};
	char bytes[64];

	request = pst_request_new();
	if (!request)
		return false;
	request->carrier = &carrier;
	client.body = "body";
	for (int i = 0; i < 200; i++)
		if (on_param(request, "NAME", "some value of a parameter") < 0)
			return false;
	pst_request_on_ready(request);
	while (pst_request_read(request, bytes, sizeof(bytes)) > 0)
		;
	if (pst_request_respond(request, 200, NULL, &type, 1) < 0 ||
	    pst_request_write(request, "answer", 6) < 0) {
		pst_request_finish(request, -1);
		return false;
	}
	return pst_request_finish(request, 0) == PST_OUTCOME_WHOLE;
}

START_TEST(test_memory)
{
	unsigned failed = 0;
	bool whole = false, missed = false;

	pst_request_free(request);
	for (unsigned long at = 1; !missed; at++) {
		memset(&client, 0, sizeof(client));
		failmalloc_count = 0;
		failmalloc_at = at;
		whole = whole_request();
		failmalloc_at = 0;
		missed = failmalloc_count < at;
		failed += !whole;
		if (!missed)
			pst_request_free(request);
	}
	ck_assert(whole);
	ck_assert_uint_gt(failed, 2); /* without memory only for what is kept, it is whole */
	ck_assert(strstr(client.sent, "\r\n\r\nanswer") != NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("request");
	TCase *tcase = tcase_create("request");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_grant);
	tcase_add_test(tcase, test_one_piece);
	tcase_add_test(tcase, test_flush);
	tcase_add_test(tcase, test_post);
	tcase_add_test(tcase, test_post_after_the_end);
	tcase_add_test(tcase, test_large_writes);
	tcase_add_test(tcase, test_order);
	tcase_add_test(tcase, test_interim);
	tcase_add_test(tcase, test_interim_without_end);
	tcase_add_loop_test(tcase, test_end, 0, sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(tcase, test_gone);
	tcase_add_test(tcase, test_reset);
	tcase_add_test(tcase, test_read);
	tcase_add_test(tcase, test_wants_body);
	tcase_add_test(tcase, test_send_file);
	tcase_add_test(tcase, test_send_pieces);
	tcase_add_loop_test(tcase, test_send_spoilt, 0, 2);
	tcase_add_test(tcase, test_send_shortened);
	tcase_add_test(tcase, test_error);
	tcase_add_test(tcase, test_line);
	tcase_add_test(tcase, test_memory);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
