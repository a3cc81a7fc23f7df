/* Extensions are agreed on, and flow control holds both ends to what was granted. */
#include "protocol/params.h"
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <fastcgi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static char zeros[65535];

static int
recv_wire(struct trace *trace, struct pst_buf *wire)
{
	int err = pst_session_recv(trace->session, pst_buf_bytes(wire), pst_buf_length(wire));

	pst_buf_free(wire);
	return err;
}

static void
wire_credit(struct pst_buf *wire, uint16_t id, uint32_t granted)
{
	unsigned char body[8];

	pst_record_credit_encode(granted, body);
	wire_record(wire, PST_RECORD_CREDIT, id, body, sizeof body, 0);
}

static void
wire_pair(struct pst_buf *wire, uint8_t type, uint16_t id, const char *name, const char *value)
{
	struct pst_buf pair = {0};

	ck_assert_int_eq(pst_params_append(&pair, name, strlen(name), value, strlen(value)), 0);
	wire_record(wire, type, id, pst_buf_bytes(&pair), pst_buf_length(&pair), 0);
	pst_buf_free(&pair);
}

/* A server that has been asked for its version and has answered VERSION. */
static void
init_server(struct trace *trace, const char *version)
{
	struct pst_buf wire = {0}, out = {0};

	trace_init_server(trace, NULL);
	trace->version = version;
	wire_pair(&wire, FCGI_GET_VALUES, 0, PST_SESSION_VERSION_NAME, "");
	ck_assert_int_eq(recv_wire(trace, &wire), 0);
	trace_drain(trace, &out);
	pst_buf_free(&out);
	pst_buf_free(&trace->text);
}

/* A client that has asked, and was answered VERSION. */
static void
init_client(struct trace *trace, const char *version)
{
	struct pst_buf wire = {0}, out = {0};

	trace_init_client(trace, NULL);
	ck_assert_int_eq(pst_session_submit_get_value(trace->session, PST_SESSION_VERSION_NAME,
			     strlen(PST_SESSION_VERSION_NAME)),
	    0);
	wire_pair(&wire, FCGI_GET_VALUES_RESULT, 0, PST_SESSION_VERSION_NAME, version);
	ck_assert_int_eq(recv_wire(trace, &wire), 0);
	trace_drain(trace, &out);
	pst_buf_free(&out);
	pst_buf_free(&trace->text);
}

static void
wire_request(struct pst_buf *wire, uint16_t id, uint8_t flags)
{
	wire_begin(wire, id, FCGI_RESPONDER, FCGI_KEEP_CONN | flags);
	wire_text(wire, FCGI_PARAMS, id, "");
}

/* The server has request 1, extended. */
static void
begin_server(struct trace *trace)
{
	struct pst_buf wire = {0};

	init_server(trace, "1");
	wire_request(&wire, 1, PST_RECORD_EXTENDED);
	ck_assert_int_eq(recv_wire(trace, &wire), 0);
	ck_assert_uint_eq(pst_session_credit(trace->session, 1), PST_SESSION_CREDIT);
	pst_buf_free(&trace->text);
}

/* The client has request 1, extended; its records were sent. */
static void
begin_client(struct trace *trace)
{
	struct pst_buf out = {0};

	init_client(trace, "1");
	ck_assert_uint_eq(trace_begin(trace, true), 1);
	ck_assert_int_eq(pst_session_submit_params_end(trace->session, 1), 0);
	trace_drain(trace, &out);
	pst_buf_free(&out);
	ck_assert_uint_eq(pst_session_credit(trace->session, 1), PST_SESSION_CREDIT);
}

/* --- agreement --- */

START_TEST(test_versions)
{
	static const struct {
		const char *version;
		bool extends;
	} cases[] = {{"1", true}, {"2", true}, {"10", true}, {"", false}, {"0", false},
	    {"01", false}, {"-1", false}, {"1x", false}, {" 1", false}};
	struct trace trace;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		init_client(&trace, cases[i].version);
		ck_assert(pst_session_extends(trace.session) == cases[i].extends);
		trace_free(&trace);
		init_server(&trace, cases[i].version);
		ck_assert(pst_session_extends(trace.session) == cases[i].extends);
		trace_free(&trace);
	}
}
END_TEST

/* A server that tells without being asked is not believed. */
START_TEST(test_not_asked)
{
	struct pst_buf wire = {0}, out = {0};
	struct trace trace;

	trace_init_client(&trace, NULL);
	ck_assert_int_eq(pst_session_submit_get_value(trace.session, "FCGI_MAX_REQS", 13), 0);
	wire_pair(&wire, FCGI_GET_VALUES_RESULT, 0, PST_SESSION_VERSION_NAME, "1");
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert(!pst_session_extends(trace.session));
	ck_assert_uint_eq(trace_begin(&trace, true), 1);
	ck_assert_uint_eq(pst_session_credit(trace.session, 1), SIZE_MAX);
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 1, 5), 0);
	pst_buf_free(&trace.text);
	trace_drain(&trace, &out);
	trace_records(&trace, &out);
	ck_assert_str_eq(trace_text(&trace), "GET_VALUES 0 15+1\nBEGIN_REQUEST 1 8+0\n");
	pst_buf_free(&out);
	trace_free(&trace);
}
END_TEST

/* The flag is sent only after the answer: what began before goes on without. */
START_TEST(test_flag)
{
	struct pst_buf out = {0}, wire = {0};
	struct pst_session_limits limits = PST_SESSION_DEFAULT_LIMITS;
	struct trace trace;

	limits.requests = 2;
	trace_init_client(&trace, &limits);
	pst_session_submit_get_value(
	    trace.session, PST_SESSION_VERSION_NAME, strlen(PST_SESSION_VERSION_NAME));
	ck_assert_uint_eq(trace_begin(&trace, true), 1);
	wire_pair(&wire, FCGI_GET_VALUES_RESULT, 0, PST_SESSION_VERSION_NAME, "1");
	trace_drain(&trace, &out);
	ck_assert_uint_eq(pst_buf_bytes(&out)[pst_buf_length(&out) - 6], FCGI_KEEP_CONN);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_uint_eq(trace_begin(&trace, true), 2);
	trace_drain(&trace, &out);
	ck_assert_uint_eq(
	    pst_buf_bytes(&out)[pst_buf_length(&out) - 6], FCGI_KEEP_CONN | PST_RECORD_EXTENDED);
	ck_assert_uint_eq(pst_session_credit(trace.session, 1), SIZE_MAX);
	ck_assert_uint_eq(pst_session_credit(trace.session, 2), PST_SESSION_CREDIT);
	pst_buf_free(&out);
	trace_free(&trace);
}
END_TEST

/* Without agreement the flag means nothing, and CREDIT is a type like any unknown one. */
START_TEST(test_plain_server)
{
	struct pst_buf wire = {0};
	struct trace trace;

	trace_init_server(&trace, NULL);
	wire_request(&wire, 1, PST_RECORD_EXTENDED);
	wire_credit(&wire, 1, 0);
	for (unsigned i = 0; i < 3; i++)
		wire_record(&wire, FCGI_STDIN, 1, zeros, sizeof zeros, 1);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_uint_eq(pst_session_credit(trace.session, 1), SIZE_MAX);
	trace_free(&trace);
}
END_TEST

/* --- what may be sent --- */

START_TEST(test_submit)
{
	struct pst_buf wire = {0}, out = {0};
	struct pst_session *session;
	struct trace trace;

	begin_server(&trace);
	session = trace.session;
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, zeros, 65535), 0);
	ck_assert_uint_eq(pst_session_credit(session, 1), 1);
	ck_assert_int_eq(
	    pst_session_submit_data(session, 1, PST_STREAM_STDOUT, zeros, 2), PST_ERR_LIMIT);
	ck_assert_int_eq(
	    pst_session_submit_external(session, 1, PST_STREAM_STDOUT, 2), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDERR, zeros, 9), 0);
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, zeros, 1), 0);
	wire_credit(&wire, 1, 3);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_str_eq(trace_text(&trace), "credit 1 3\n");
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, zeros, 2), 0);
	trace_drain(&trace, &out);
	ck_assert_int_eq(pst_session_submit_external(session, 1, PST_STREAM_STDOUT, 1), 0);
	ck_assert_uint_eq(pst_session_credit(session, 1), 0);
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, NULL, 0), 0);
	ck_assert_uint_eq(pst_session_credit(session, 2), 0);
	pst_buf_free(&out);
	trace_free(&trace);
}
END_TEST

/* STDIN and DATA share the credit; an aborted request needs none. */
START_TEST(test_submit_client)
{
	struct pst_buf wire = {0};
	struct trace trace;
	uint16_t id;

	init_client(&trace, "1");
	ck_assert_int_eq(pst_session_submit_begin(trace.session, PST_ROLE_FILTER, true, &id), 0);
	trace.begun++;
	ck_assert_int_eq(pst_session_submit_params_end(trace.session, id), 0);
	ck_assert_int_eq(
	    pst_session_submit_data(trace.session, id, PST_STREAM_STDIN, zeros, 65530), 0);
	ck_assert_int_eq(
	    pst_session_submit_data(trace.session, id, PST_STREAM_DATA, zeros, 7), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_data(trace.session, id, PST_STREAM_DATA, zeros, 6), 0);
	ck_assert_int_eq(pst_session_submit_abort(trace.session, id, PST_SESSION_ABORT_CLIENT), 0);
	ck_assert_uint_eq(pst_session_credit(trace.session, id), SIZE_MAX);
	wire_credit(&wire, id, 3);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_str_eq(trace_text(&trace), "");
	trace_free(&trace);
}
END_TEST

START_TEST(test_grant)
{
	struct pst_buf wire = {0}, out = {0};
	struct trace trace;

	begin_server(&trace);
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 1, 32768), 0);
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 2, 1), PST_ERR_STATE);
	ck_assert_int_eq(
	    pst_session_submit_credit(trace.session, 1, PST_SESSION_CREDIT_MAX), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_credit(
			     trace.session, 1, PST_SESSION_CREDIT_MAX - PST_SESSION_CREDIT - 32768),
	    0);
	wire_text(&wire, FCGI_ABORT_REQUEST, 1, "");
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 1, 1), 0);
	trace_drain(&trace, &out);
	pst_buf_free(&trace.text);
	trace_records(&trace, &out);
	ck_assert_str_eq(trace_text(&trace), "CREDIT 1 8+0\nCREDIT 1 8+0\n");
	ck_assert_int_eq(memcmp(pst_buf_bytes(&out) + 8, "\0\0\x80\0\0\0\0\0", 8), 0);
	pst_session_close(trace.session);
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 1, 1), PST_ERR_CLOSED);
	pst_buf_free(&out);
	trace_free(&trace);
}
END_TEST

/* --- what may come --- */

static void
check_reason(struct trace *trace, struct pst_buf *wire, const char *reason)
{
	ck_assert_int_eq(recv_wire(trace, wire), PST_ERR_PROTOCOL);
	ck_assert_str_eq(pst_session_reason(trace->session), reason);
	trace_free(trace);
}

START_TEST(test_too_much)
{
	struct pst_buf wire = {0};
	struct trace trace;

	begin_server(&trace);
	wire_record(&wire, FCGI_STDIN, 1, zeros, 65535, 1);
	wire_record(&wire, FCGI_STDIN, 1, zeros, 1, 7);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 1, 5), 0);
	wire_record(&wire, FCGI_STDIN, 1, zeros, 3, 0);
	wire_record(&wire, FCGI_STDIN, 1, zeros, 3, 0);
	check_reason(&trace, &wire, "STDIN record for request 1 has 3 bytes, and its credit is 2");
}
END_TEST

/* STDERR is not counted; what comes for a request that was aborted is not held. */
START_TEST(test_too_much_client)
{
	struct pst_buf wire = {0};
	struct trace trace;

	begin_client(&trace);
	for (unsigned i = 0; i < 4; i++)
		wire_record(&wire, FCGI_STDERR, 1, zeros, 65535, 1);
	wire_record(&wire, FCGI_STDOUT, 1, zeros, 65535, 1);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	wire_record(&wire, FCGI_STDOUT, 1, zeros, 65535, 1);
	check_reason(
	    &trace, &wire, "STDOUT record for request 1 has 65535 bytes, and its credit is 1");
	begin_client(&trace);
	ck_assert_int_eq(pst_session_submit_abort(trace.session, 1, PST_SESSION_ABORT_CLIENT), 0);
	for (unsigned i = 0; i < 4; i++)
		wire_record(&wire, FCGI_STDOUT, 1, zeros, 65535, 1);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	trace_free(&trace);
}
END_TEST

START_TEST(test_bad_credit)
{
	struct pst_buf wire = {0};
	struct trace trace;

	begin_server(&trace);
	wire_credit(&wire, 1, 0);
	check_reason(&trace, &wire, "CREDIT record for request 1 grants 0 bytes beside 65536");
	begin_server(&trace);
	wire_credit(&wire, 1, PST_SESSION_CREDIT_MAX - PST_SESSION_CREDIT);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	wire_credit(&wire, 1, 1);
	check_reason(&trace, &wire, "CREDIT record for request 1 grants 1 bytes beside 2147483647");
	begin_server(&trace);
	wire_credit(&wire, 1, UINT32_MAX);
	check_reason(
	    &trace, &wire, "CREDIT record for request 1 grants 4294967295 bytes beside 65536");
	begin_server(&trace);
	wire_record(&wire, PST_RECORD_CREDIT, 1, "1234", 4, 4);
	check_reason(&trace, &wire, "CREDIT record for request 1 has 4 bytes, not 8");
	begin_server(&trace);
	wire_credit(&wire, 0, 1);
	check_reason(&trace, &wire, "CREDIT record with request id 0");
	init_server(&trace, "1");
	wire_request(&wire, 1, 0);
	wire_credit(&wire, 1, 1);
	check_reason(&trace, &wire, "CREDIT record for request 1, which has no extensions");
	begin_client(&trace);
	wire_credit(&wire, 2, 1);
	check_reason(&trace, &wire, "CREDIT record for request 2, which is not open");
}
END_TEST

/* The client may have granted before it knew of the end; an aborted request grants in vain. */
START_TEST(test_late_credit)
{
	struct pst_buf wire = {0};
	struct trace trace;

	begin_server(&trace);
	wire_credit(&wire, 7, 1);
	wire_text(&wire, FCGI_ABORT_REQUEST, 1, "");
	wire_credit(&wire, 1, 1);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_str_eq(trace_text(&trace), "abort 1\n");
	ck_assert_int_eq(pst_session_submit_end(trace.session, 1, PST_END_COMPLETE, 0), 0);
	wire_credit(&wire, 1, 1);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	trace_free(&trace);
}
END_TEST

/* The owner may end the request, or free the session, when it hears of credit. */
START_TEST(test_in_callback)
{
	struct pst_buf wire = {0};
	struct trace trace;

	begin_server(&trace);
	trace.end_at = "credit";
	wire_credit(&wire, 1, 1);
	wire_credit(&wire, 1, 1);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	trace_free(&trace);
	begin_server(&trace);
	trace.free_at = "credit";
	wire_credit(&wire, 1, 1);
	ck_assert_int_eq(recv_wire(&trace, &wire), PST_ERR_CLOSED);
	trace.session = NULL;
	trace_free(&trace);
}
END_TEST

START_TEST(test_no_memory)
{
	struct trace trace;

	begin_server(&trace);
	pst_session_trim(trace.session);
	failmalloc_at = 1;
	failmalloc_count = 0;
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 1, 1), PST_ERR_NOMEM);
	failmalloc_at = 0;
	ck_assert_int_eq(pst_session_submit_credit(
			     trace.session, 1, PST_SESSION_CREDIT_MAX - PST_SESSION_CREDIT),
	    0);
	trace_free(&trace);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("session_credit");

	tcase_add_test(tcase, test_versions);
	tcase_add_test(tcase, test_not_asked);
	tcase_add_test(tcase, test_flag);
	tcase_add_test(tcase, test_plain_server);
	tcase_add_test(tcase, test_submit);
	tcase_add_test(tcase, test_submit_client);
	tcase_add_test(tcase, test_grant);
	tcase_add_test(tcase, test_too_much);
	tcase_add_test(tcase, test_too_much_client);
	tcase_add_test(tcase, test_bad_credit);
	tcase_add_test(tcase, test_late_credit);
	tcase_add_test(tcase, test_in_callback);
	tcase_add_test(tcase, test_no_memory);
	return run_case("session_credit", tcase);
}
