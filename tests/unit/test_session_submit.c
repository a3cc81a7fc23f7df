/* What is submitted: its bytes, its errors, its allocations, and failures of those. */
#include "protocol/params.h"
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <fastcgi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void
check_records(struct trace *trace, const char *expect)
{
	struct pst_buf out = {0};

	trace_drain(trace, &out);
	pst_buf_free(&trace->text);
	trace_records(trace, &out);
	ck_assert_str_eq(trace_text(trace), expect);
	pst_buf_free(&out);
}

/* php-fpm wants pairs whole: one that does not fit any more begins a record. */
START_TEST(test_params_whole)
{
	static char value[70000];
	struct trace trace;
	uint16_t id;

	trace_init_client(&trace, NULL);
	id = trace_begin(&trace, true);
	ck_assert_int_eq(pst_session_submit_param(trace.session, id, "A", 1, value, 65000), 0);
	ck_assert_int_eq(pst_session_submit_param(trace.session, id, "B", 1, value, 516), 0);
	ck_assert_int_eq(pst_session_submit_param(trace.session, id, "C", 1, value, 1), 0);
	ck_assert_int_eq(pst_session_submit_param(trace.session, id, "D", 1, value, 70000), 0);
	ck_assert_int_eq(pst_session_submit_param(trace.session, id, "", 0, "", 0), 0);
	ck_assert_int_eq(pst_session_submit_params_end(trace.session, id), 0);
	check_records(&trace,
	    "BEGIN_REQUEST 1 8+0\nPARAMS 1 65528+0\nPARAMS 1 4+4\nPARAMS 1 65528+0\n"
	    "PARAMS 1 4480+0\nPARAMS 1 0+0\n");
	trace_free(&trace);
}
END_TEST

/* Encoded pairs make the same records as the pairs one by one, in one piece and in many. */
START_TEST(test_params_encoded)
{
	static const size_t lengths[][4] = {
	    {0, 1, 200, 3}, {65000, 516, 1, 0}, {65000, 516, 1, 70000}};
	static char value[70000];
	struct trace one, all;
	struct pst_buf pairs = {0}, out = {0};
	uint16_t id;

	trace_init_client(&one, NULL);
	trace_init_client(&all, NULL);
	id = trace_begin(&one, true);
	ck_assert_uint_eq(trace_begin(&all, true), id);
	for (size_t i = 0; i < 4; i++) {
		size_t n = lengths[_i][i];

		ck_assert_int_eq(pst_session_submit_param(one.session, id, "N", 1, value, n), 0);
		ck_assert_int_eq(pst_params_append(&pairs, "N", 1, value, n), 0);
	}
	ck_assert_int_eq(pst_session_submit_params(
			     all.session, id, pst_buf_bytes(&pairs), pst_buf_length(&pairs)),
	    0);
	ck_assert_int_eq(pst_session_submit_params_end(one.session, id), 0);
	ck_assert_int_eq(pst_session_submit_params_end(all.session, id), 0);
	trace_drain(&one, &out);
	pst_buf_free(&one.text);
	trace_records(&one, &out);
	check_records(&all, trace_text(&one));
	pst_buf_free(&out);
	pst_buf_free(&pairs);
	trace_free(&all);
	trace_free(&one);
}
END_TEST

START_TEST(test_client_errors)
{
	struct trace trace;
	uint16_t id, other;
	struct pst_session *session;

	trace_init_client(&trace, NULL);
	session = trace.session;
	ck_assert_int_eq(pst_session_submit_params_end(session, 1), PST_ERR_STATE);
	id = trace_begin(&trace, true);
	ck_assert_int_eq(
	    pst_session_submit_begin(session, PST_ROLE_RESPONDER, true, &other), PST_ERR_STATE);
	ck_assert_int_eq(
	    pst_session_submit_data(session, id, PST_STREAM_STDIN, "x", 1), PST_ERR_STATE);
	ck_assert_int_eq(
	    pst_session_submit_param(session, id, "", 0x80000000U, "", 0), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_params_end(session, id), 0);
	ck_assert_int_eq(pst_session_submit_params_end(session, id), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_param(session, id, "", 0, "", 0), PST_ERR_STATE);
	ck_assert_int_eq(
	    pst_session_submit_data(session, id, PST_STREAM_DATA, "x", 1), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_data(session, id, PST_STREAM_STDIN, NULL, 0), 0);
	ck_assert_int_eq(
	    pst_session_submit_data(session, id, PST_STREAM_STDIN, "x", 1), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_abort(session, id, PST_SESSION_ABORT_CLIENT), 0);
	ck_assert_int_eq(pst_session_submit_abort(session, id, PST_SESSION_ABORT_CLIENT), 0);
	check_records(
	    &trace, "BEGIN_REQUEST 1 8+0\nPARAMS 1 0+0\nSTDIN 1 0+0\nABORT_REQUEST 1 0+0\n");
	pst_session_close(session);
	ck_assert_int_eq(
	    pst_session_submit_abort(session, id, PST_SESSION_ABORT_CLIENT), PST_ERR_CLOSED);
	ck_assert_int_eq(
	    pst_session_submit_begin(session, PST_ROLE_RESPONDER, true, &other), PST_ERR_CLOSED);
	ck_assert_int_eq(pst_session_submit_get_value(session, "A", 1), PST_ERR_CLOSED);
	trace_free(&trace);
}
END_TEST

static void
receive_request(struct trace *trace, uint16_t id)
{
	struct pst_buf wire = {0};

	wire_begin(&wire, id, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_text(&wire, FCGI_PARAMS, id,
	    "\x01\x01"
	    "ab");
	wire_text(&wire, FCGI_PARAMS, id, "");
	wire_text(&wire, FCGI_STDIN, id, "");
	ck_assert_int_eq(pst_session_recv(trace->session, wire.data, wire.end), 0);
	pst_buf_free(&wire);
}

/* Small pieces of one stream share a record until the other one interrupts. */
START_TEST(test_server_streams)
{
	struct trace trace;
	struct pst_session *session;

	trace_init_server(&trace, NULL);
	session = trace.session;
	receive_request(&trace, 9);
	ck_assert_int_eq(
	    pst_session_submit_data(session, 8, PST_STREAM_STDOUT, "x", 1), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_data(session, 9, PST_STREAM_STDOUT, "abc", 3), 0);
	ck_assert_int_eq(pst_session_submit_data(session, 9, PST_STREAM_STDOUT, "defg", 4), 0);
	ck_assert_int_eq(pst_session_submit_data(session, 9, PST_STREAM_STDERR, "oh", 2), 0);
	ck_assert_int_eq(pst_session_submit_data(session, 9, PST_STREAM_STDOUT, NULL, 0), 0);
	ck_assert_int_eq(
	    pst_session_submit_data(session, 9, PST_STREAM_STDOUT, NULL, 0), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_end(session, 9, PST_END_COMPLETE, 1), 0);
	ck_assert_int_eq(pst_session_submit_end(session, 9, PST_END_COMPLETE, 1), PST_ERR_STATE);
	check_records(
	    &trace, "STDOUT 9 7+1\nSTDERR 9 2+6\nSTDOUT 9 0+0\nSTDERR 9 0+0\nEND_REQUEST 9 8+0\n");
	trace_free(&trace);
}
END_TEST

/* --- bytes that the owner writes --- */

/* Take up to STEP bytes at a time; external bytes are 'E'. */
static void
drain_external(struct trace *trace, struct pst_buf *out, size_t step)
{
	static char external[PST_SESSION_EXTERNAL_MAX];
	struct pst_session *session = trace->session;
	const void *bytes;
	size_t n;

	memset(external, 'E', sizeof external);
	while (pst_session_want_write(session)) {
		n = pst_session_send(session, &bytes);
		if (n > step)
			n = step;
		if (n > 0) {
			ck_assert_int_eq(pst_buf_append(out, bytes, n), 0);
			pst_session_sent(session, n);
			continue;
		}
		n = pst_session_external(session);
		ck_assert_uint_gt(n, 0);
		if (n > step)
			n = step;
		ck_assert_int_eq(pst_buf_append(out, external, n), 0);
		pst_session_external_sent(session, n);
	}
}

/* Other requests' records, answers and ends keep to their side of the external content. */
static void
submit_around(struct trace *trace, size_t n)
{
	struct pst_session *session = trace->session;
	struct pst_buf wire = {0};

	wire_record(&wire, FCGI_GET_VALUES, 0,
	    "\x0d\x00"
	    "FCGI_MAX_REQS",
	    15, 1);
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, "abc", 3), 0);
	ck_assert_int_eq(pst_session_submit_external(session, 1, PST_STREAM_STDOUT, n), 0);
	ck_assert_int_eq(
	    pst_session_submit_external(session, 2, PST_STREAM_STDOUT, n), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, "defg", 4), 0);
	ck_assert_int_eq(pst_session_submit_data(session, 2, PST_STREAM_STDOUT, "hij", 3), 0);
	ck_assert_int_eq(pst_session_recv(session, wire.data, wire.end), 0);
	ck_assert_int_eq(pst_session_submit_end(session, 1, PST_END_COMPLETE, 0), 0);
	ck_assert_int_eq(pst_session_submit_data(session, 2, PST_STREAM_STDOUT, "k", 1), 0);
	ck_assert_uint_ge(pst_session_pending(session), n);
	pst_buf_free(&wire);
}

static void
check_around(size_t n, size_t step)
{
	static const struct pst_session_limits limits = {2, 1000, 1000};
	struct pst_buf out = {0};
	struct trace trace;
	char expect[300];

	trace_init_server(&trace, &limits);
	receive_request(&trace, 1);
	receive_request(&trace, 2);
	submit_around(&trace, n);
	drain_external(&trace, &out, step);
	ck_assert_uint_eq(pst_session_external(trace.session), 0);
	pst_buf_free(&trace.text);
	trace_records(&trace, &out);
	snprintf(expect, sizeof expect,
	    "STDOUT 1 3+5\nSTDOUT 1 %zu+%zu\nSTDOUT 1 4+4\nSTDOUT 2 3+5\n"
	    "GET_VALUES_RESULT 0 16+0\nSTDOUT 1 0+0\nEND_REQUEST 1 8+0\nSTDOUT 2 1+7\n",
	    n, -n & 7);
	ck_assert_str_eq(trace_text(&trace), expect);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(pst_buf_bytes(&out)[24 + i], 'E');
	ck_assert_int_eq(pst_session_submit_external(trace.session, 2, PST_STREAM_STDOUT, 1), 0);
	pst_buf_free(&out);
	trace_free(&trace);
}

START_TEST(test_external)
{
	static const size_t lengths[] = {1, 7, 8, 9, 30000, PST_SESSION_EXTERNAL_MAX};

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		check_around(lengths[i], SIZE_MAX);
		check_around(lengths[i], 1);
		check_around(lengths[i], 5);
	}
}
END_TEST

/* The session shows up to its header, then nothing, then what follows. */
START_TEST(test_external_turns)
{
	struct trace trace;
	struct pst_session *session;
	const void *bytes;

	trace_init_server(&trace, NULL);
	session = trace.session;
	receive_request(&trace, 1);
	ck_assert_int_eq(
	    pst_session_submit_external(session, 2, PST_STREAM_STDOUT, 5), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_external(session, 1, PST_STREAM_STDOUT, 5), 0);
	ck_assert_uint_eq(pst_session_pending(session), 8 + 5 + 3);
	ck_assert_uint_eq(pst_session_send(session, &bytes), 8);
	pst_session_sent(session, 3);
	ck_assert_uint_eq(pst_session_send(session, &bytes), 5);
	pst_session_sent(session, 5);
	ck_assert_uint_eq(pst_session_send(session, &bytes), 0);
	ck_assert_uint_eq(pst_session_external(session), 5);
	ck_assert(pst_session_want_write(session));
	pst_session_trim(session);
	pst_session_external_sent(session, 4);
	ck_assert_uint_eq(pst_session_send(session, &bytes), 0);
	ck_assert_uint_eq(pst_session_pending(session), 4);
	pst_session_external_sent(session, 1);
	ck_assert_uint_eq(pst_session_send(session, &bytes), 3);
	pst_session_sent(session, 3);
	ck_assert(!pst_session_want_write(session));
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, NULL, 0), 0);
	ck_assert_int_eq(
	    pst_session_submit_external(session, 1, PST_STREAM_STDOUT, 5), PST_ERR_STATE);
	trace_free(&trace);
}
END_TEST

/* What has begun stays due when the request is aborted or the peer closes; an error drops it. */
START_TEST(test_external_ends)
{
	struct pst_buf wire = {0}, out = {0};
	struct trace trace;
	const void *bytes;

	trace_init_server(&trace, NULL);
	receive_request(&trace, 1);
	ck_assert_int_eq(pst_session_submit_external(trace.session, 1, PST_STREAM_STDOUT, 8), 0);
	pst_session_sent(trace.session, pst_session_send(trace.session, &bytes));
	pst_session_external_sent(trace.session, 2);
	if (_i == 0)
		wire_text(&wire, FCGI_ABORT_REQUEST, 1, "");
	else
		wire_record(&wire, FCGI_BEGIN_REQUEST, 1, NULL, 0, 0);
	if (_i < 2)
		ck_assert_int_eq(pst_session_recv(trace.session, wire.data, wire.end),
		    _i == 0 ? 0 : PST_ERR_PROTOCOL);
	else
		pst_session_close(trace.session);
	ck_assert_uint_eq(pst_session_external(trace.session), _i == 1 ? 0 : 6);
	ck_assert_int_eq(pst_session_submit_external(trace.session, 1, PST_STREAM_STDOUT, 8),
	    _i == 0 ? PST_ERR_STATE : PST_ERR_CLOSED);
	drain_external(&trace, &out, SIZE_MAX);
	ck_assert_uint_eq(out.end, _i == 1 ? 0 : 6);
	if (_i == 0) {
		ck_assert_int_eq(
		    pst_session_submit_external(trace.session, 1, PST_STREAM_STDOUT, 8), 0);
		ck_assert_uint_eq(pst_session_pending(trace.session), 0);
	}
	pst_buf_free(&wire);
	pst_buf_free(&out);
	trace_free(&trace);
}
END_TEST

/* Without memory nothing is queued, and the same call succeeds later. */
START_TEST(test_external_nomem)
{
	struct trace trace;
	int err;

	trace_init_server(&trace, NULL);
	receive_request(&trace, 1);
	pst_session_trim(trace.session);
	failmalloc_count = 0;
	failmalloc_at = 1;
	err = pst_session_submit_external(trace.session, 1, PST_STREAM_STDOUT, 9);
	failmalloc_at = 0;
	ck_assert_int_eq(err, PST_ERR_NOMEM);
	ck_assert_uint_eq(pst_session_pending(trace.session), 0);
	ck_assert_int_eq(pst_session_submit_external(trace.session, 1, PST_STREAM_STDOUT, 9), 0);
	ck_assert_uint_eq(pst_session_pending(trace.session), 8 + 9 + 7);
	trace_free(&trace);
}
END_TEST

START_TEST(test_user)
{
	struct trace trace;
	int mine;

	trace_init_server(&trace, NULL);
	receive_request(&trace, 3);
	ck_assert_ptr_null(pst_session_user(trace.session, 3));
	pst_session_set_user(trace.session, 3, &mine);
	pst_session_set_user(trace.session, 4, &mine);
	ck_assert_ptr_eq(pst_session_user(trace.session, 3), &mine);
	ck_assert_ptr_null(pst_session_user(trace.session, 4));
	ck_assert_int_eq(pst_session_submit_end(trace.session, 3, PST_END_COMPLETE, 0), 0);
	ck_assert_ptr_null(pst_session_user(trace.session, 3));
	receive_request(&trace, 3);
	ck_assert_ptr_null(pst_session_user(trace.session, 3));
	trace_free(&trace);
}
END_TEST

/* A thousand requests at once, ids as a client chooses them. */
START_TEST(test_many)
{
	static const struct pst_session_limits limits = {1000, 1000, 1000};
	struct trace trace;

	trace_init_server(&trace, &limits);
	for (unsigned i = 0; i < 1000; i++)
		receive_request(&trace, (uint16_t)(65535 - i * 64));
	for (unsigned i = 0; i < 1000; i += 2)
		ck_assert_int_eq(pst_session_submit_end(trace.session, (uint16_t)(65535 - i * 64),
				     PST_END_COMPLETE, 0),
		    0);
	ck_assert_uint_eq(trace.ended, 500);
	trace_free(&trace);
}
END_TEST

static void
exchange(struct trace *trace)
{
	const void *bytes;
	size_t n;

	receive_request(trace, 1);
	pst_session_submit_data(trace->session, 1, PST_STREAM_STDOUT, "hello", 5);
	pst_session_submit_end(trace->session, 1, PST_END_COMPLETE, 0);
	while ((n = pst_session_send(trace->session, &bytes)) > 0)
		pst_session_sent(trace->session, n);
}

/* Once warm, a request allocates nothing; trimmed, the session keeps nothing. */
START_TEST(test_allocations)
{
	struct pst_buf wire = {0};
	struct trace trace;
	unsigned long before, after;
	int err;

	trace_init_server(&trace, NULL);
	exchange(&trace);
	wire_begin(&wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	before = failmalloc_count;
	err = pst_session_recv(trace.session, wire.data, wire.end);
	pst_session_submit_data(trace.session, 1, PST_STREAM_STDOUT, "hello", 5);
	pst_session_submit_end(trace.session, 1, PST_END_COMPLETE, 0);
	after = failmalloc_count;
	ck_assert_int_eq(err, 0);
	ck_assert_uint_eq(after, before);
	pst_session_trim(trace.session);
	ck_assert_uint_eq(pst_session_pending(trace.session), 40);
	exchange(&trace);
	pst_session_trim(trace.session);
	exchange(&trace);
	trace_free(&trace);
	pst_buf_free(&wire);
}
END_TEST

/* Trimmed at any time, an answer to GET_VALUES stays whole. */
START_TEST(test_trim_within_values)
{
	struct pst_buf wire = {0}, out = {0};
	struct trace trace;

	trace_init_server(&trace, NULL);
	wire_record(&wire, FCGI_GET_VALUES, 0,
	    "\x0d\x00"
	    "FCGI_MAX_REQS"
	    "\x01\x00"
	    "A",
	    18, 0);
	for (size_t i = 0; i < wire.end; i++) {
		ck_assert_int_eq(pst_session_recv(trace.session, wire.data + i, 1), 0);
		pst_session_trim(trace.session);
	}
	trace_drain(&trace, &out);
	ck_assert_uint_eq(out.end, 8 + 16);
	ck_assert_mem_eq(out.data + 8,
	    "\x0d\x01"
	    "FCGI_MAX_REQS"
	    "1",
	    16);
	trace_free(&trace);
	pst_buf_free(&wire);
	pst_buf_free(&out);
}
END_TEST

/* --- an allocation fails, each in its turn --- */

static void
build_server_wire(struct pst_buf *wire)
{
	wire_record(wire, FCGI_GET_VALUES, 0,
	    "\x0d\x00"
	    "FCGI_MAX_REQS",
	    15, 1);
	wire_record(wire, 99, 0, NULL, 0, 0);
	for (uint16_t id = 1; id < 8; id++) {
		wire_begin(wire, id, FCGI_RESPONDER, FCGI_KEEP_CONN);
		wire_text(wire, FCGI_PARAMS, id,
		    "\x01\x05"
		    "abc");
	}
	wire_text(wire, FCGI_PARAMS, 3, "cde");
	wire_text(wire, FCGI_PARAMS, 3, "");
	wire_text(wire, FCGI_STDIN, 3, "x");
}

/* 1: the run met the failing allocation. */
static int
run_server(unsigned long at, bool in_bytes)
{
	static const struct pst_session_limits limits = {6, 1000, 1000};
	struct pst_buf wire = {0};
	struct trace trace;
	unsigned long count;
	size_t piece;
	int err = 0;

	build_server_wire(&wire);
	piece = in_bytes ? 1 : wire.end;
	failmalloc_count = 0;
	failmalloc_at = at;
	trace_init_server(&trace, &limits);
	trace.answer = true;
	for (size_t i = 0; trace.session != NULL && err == 0 && i < wire.end; i += piece)
		err = pst_session_recv(trace.session, wire.data + i, piece);
	failmalloc_at = 0;
	count = failmalloc_count;
	ck_assert(err == 0 || err == PST_ERR_NOMEM);
	if (err != 0) {
		ck_assert_uint_eq(trace.begun, trace.ended);
		ck_assert_str_ne(pst_session_reason(trace.session), "");
	}
	trace_free(&trace);
	pst_buf_free(&wire);
	return count >= at;
}

START_TEST(test_nomem_server)
{
	unsigned long at = 1;

	while (run_server(at, _i))
		at++;
	ck_assert_uint_gt(at, 10);
}
END_TEST

/*
 * Every submit that fails is made again: the bytes are those of a run without failure. libcheck's
 * own allocations fail, too, so it is asked afterwards.
 */
#define AGAIN(call)                                                                                \
	do {                                                                                       \
		err = (call);                                                                      \
	} while (err == PST_ERR_NOMEM);                                                            \
	failed |= err

static int
run_client(unsigned long at, struct pst_buf *out)
{
	static const struct pst_session_limits limits = {9, 1000, 1000};
	static char body[200000];
	struct pst_session *session;
	struct trace trace;
	unsigned long count;
	uint16_t id;
	int err, failed = 0;

	failmalloc_count = 0;
	failmalloc_at = at;
	do {
		trace_init_client(&trace, &limits);
	} while (trace.session == NULL);
	session = trace.session;
	AGAIN(pst_session_submit_get_value(session, FCGI_MAX_REQS, 13));
	for (unsigned i = 0; i < 9; i++) {
		AGAIN(pst_session_submit_begin(session, PST_ROLE_RESPONDER, true, &id));
		trace.begun++;
		failed |= id != i + 1;
		AGAIN(pst_session_submit_param(session, id, "A", 1, body, 300));
		AGAIN(pst_session_submit_params_end(session, id));
		AGAIN(pst_session_submit_data(session, id, PST_STREAM_STDIN, body, i * 25000));
		if (i > 0) {
			AGAIN(pst_session_submit_data(session, id, PST_STREAM_STDIN, NULL, 0));
		}
		AGAIN(pst_session_submit_abort(session, id, PST_SESSION_ABORT_CLIENT));
	}
	failmalloc_at = 0;
	count = failmalloc_count;
	ck_assert_int_eq(failed, 0);
	trace_drain(&trace, out);
	trace_free(&trace);
	return count >= at;
}

START_TEST(test_nomem_client)
{
	struct pst_buf expect = {0}, out = {0};
	unsigned long at = 1;

	run_client(0, &expect); /* at 0 nothing fails */
	while (run_client(at, &out)) {
		ck_assert_uint_eq(out.end, expect.end);
		ck_assert_mem_eq(out.data, expect.data, out.end);
		pst_buf_free(&out);
		at++;
	}
	ck_assert_uint_gt(at, 10);
	pst_buf_free(&out);
	pst_buf_free(&expect);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("session_submit");

	tcase_add_test(tcase, test_params_whole);
	tcase_add_loop_test(tcase, test_params_encoded, 0, 3);
	tcase_add_test(tcase, test_client_errors);
	tcase_add_test(tcase, test_server_streams);
	tcase_add_test(tcase, test_external);
	tcase_add_test(tcase, test_external_turns);
	tcase_add_loop_test(tcase, test_external_ends, 0, 3);
	tcase_add_test(tcase, test_external_nomem);
	tcase_add_test(tcase, test_user);
	tcase_add_test(tcase, test_many);
	tcase_add_test(tcase, test_allocations);
	tcase_add_test(tcase, test_trim_within_values);
	tcase_add_loop_test(tcase, test_nomem_server, 0, 2);
	tcase_add_test(tcase, test_nomem_client);
	return run_case("session_submit", tcase);
}
