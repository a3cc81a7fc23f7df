/* Messages, trailers and notices: what comes, whole and cut, what is sent, what is refused. */
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/session_case.h"
#include "tests/unit/trace.h"

#include <fastcgi.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static char zeros[140000];

/* --- what comes, in any pieces --- */

static void
build_messages(struct pst_buf *wire)
{
	wire_message(wire, 1, 0, "hel");
	wire_message(wire, 2, PST_SESSION_MESSAGE_BINARY | PST_SESSION_MESSAGE_END, "other");
	wire_message(wire, 1, 0, "");
	wire_message(wire, 1, PST_SESSION_MESSAGE_END, "lo");
	wire_message(wire, 1, PST_SESSION_MESSAGE_END, "");
	wire_message(wire, 1, PST_SESSION_MESSAGE_BINARY, "bin");
	wire_message(wire, 1, PST_SESSION_MESSAGE_BINARY | PST_SESSION_MESSAGE_END, "");
	wire_message(wire, 1, 0, "half");
	wire_close(wire, 1, 1001, "going away");
	wire_close(wire, 2, 1005, "");
}

static void
build_stream_beside(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDIN, 1, "raw");
	wire_text(wire, FCGI_STDIN, 1, "");
	wire_message(wire, 1, PST_SESSION_MESSAGE_END, "after");
}

static void
build_flags(struct pst_buf *wire)
{
	wire_message(wire, 1, PST_SESSION_MESSAGE_END | 4, "hello");
}

static void
build_kinds(struct pst_buf *wire)
{
	wire_message(wire, 1, 0, "text");
	wire_message(wire, 1, PST_SESSION_MESSAGE_BINARY, "binary");
}

static void
build_short(struct pst_buf *wire)
{
	wire_record(wire, PST_RECORD_MESSAGE, 1, "\2\0\0", 3, 0);
}

static void
build_after_close(struct pst_buf *wire)
{
	wire_close(wire, 1, 1000, "");
	wire_message(wire, 1, PST_SESSION_MESSAGE_END, "");
}

static void
build_closed_twice(struct pst_buf *wire)
{
	wire_close(wire, 1, 1000, "");
	wire_close(wire, 1, 1000, "");
}

static void
build_close_lengths(struct pst_buf *wire)
{
	wire_record(wire, PST_RECORD_CLOSE, 1, zeros, 125, 0);
	wire_record(wire, PST_RECORD_CLOSE, 2, zeros, 126, 0);
}

static void
build_early(struct pst_buf *wire)
{
	wire_begin(wire, 3, FCGI_RESPONDER, FCGI_KEEP_CONN | PST_RECORD_EXTENDED);
	wire_close(wire, 3, 1000, "");
}

static void
build_not_extended(struct pst_buf *wire)
{
	wire_begin(wire, 3, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_text(wire, FCGI_PARAMS, 3, "");
	wire_message(wire, 3, PST_SESSION_MESSAGE_END, "hello");
}

/* For an aborted request, and for none, nothing is said; descriptors are closed. */
static void
build_aborted(struct pst_buf *wire)
{
	wire_record(wire, FCGI_ABORT_REQUEST, 1, "\1\0\0\0\0\0\0\0", 8, 0);
	wire_message(wire, 1, 77, "hello");
	wire_close(wire, 1, 1000, "");
	wire_close(wire, 1, 1000, "");
	wire_file(wire, 1, FCGI_STDIN, 0, 1);
	wire_file(wire, 3, FCGI_STDIN, 0, 1);
	wire_message(wire, 3, 77, "hello");
	wire_file(wire, 2, FCGI_STDIN, 5, INT64_MAX - 5);
}

static void
build_reasons(struct pst_buf *wire)
{
	wire_begin(wire, 3, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_text(wire, FCGI_ABORT_REQUEST, 1, "");
	wire_record(wire, FCGI_ABORT_REQUEST, 2, "\2\1", 2, 0);
	wire_record(wire, FCGI_ABORT_REQUEST, 3, "\1\0\0\0\0\0\0\0", 8, 0);
}

static void
build_trailers_from_client(struct pst_buf *wire)
{
	wire_text(wire, PST_RECORD_TRAILERS, 1, "");
}

static const struct session_case server[] = {
    {.build = build_messages,
	.expect = "message 1 text hel\nmessage 2 binary other\nmessage 2 binary end\n"
		  "message 1 text lo\nmessage 1 text end\nmessage 1 text end\n"
		  "message 1 binary bin\nmessage 1 binary end\nmessage 1 text half\n"
		  "closed 1 1001 going away\nclosed 2 1005 \n"},
    {.build = build_stream_beside,
	.expect = "data 1 STDIN raw\ndata 1 STDIN end\nmessage 1 text after\n"
		  "message 1 text end\n"},
    {.build = build_flags, .expect = "MESSAGE record for request 1 has flags 6\n"},
    {.build = build_kinds,
	.expect = "message 1 text text\n"
		  "MESSAGE record for request 1 has flags 1 within a message of the other kind\n"},
    {.build = build_short, .expect = "MESSAGE record for request 1 has 3 bytes, not 4 or more\n"},
    {.build = build_after_close,
	.expect = "closed 1 1000 \nMESSAGE record for request 1 after CLOSE\n"},
    {.build = build_closed_twice,
	.expect = "closed 1 1000 \nCLOSE record for request 1 after CLOSE\n"},
    {.build = build_close_lengths,
	.expect = "closed 1 0 \nCLOSE record for request 2 has 126 bytes, not 2 to 125\n"},
    {.build = build_early,
	.expect = "begin 3 role 1 keep\n"
		  "CLOSE record for request 3 before the end of its parameters\n"},
    {.build = build_not_extended,
	.expect = "begin 3 role 1 keep\nready 3\n"
		  "MESSAGE record for request 3, which has no extensions\n"},
    {.build = build_aborted,
	.files = 3,
	.expect = "abort 1 deadline\nfile 2 STDIN 5+9223372036854775802 of 3\n"},
    {.build = build_reasons, .expect = "begin 3 role 1 keep\nabort 1\nabort 2\nabort 3\n"},
    {.build = build_trailers_from_client, .expect = "TRAILERS record from a client\n"},
};

static void
build_trailers(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDOUT, 1, "body");
	wire_record(wire, PST_RECORD_TRAILERS, 1, "\1\2Abb\1\0C", 8, 0);
	wire_record(wire, PST_RECORD_TRAILERS, 2, "", 0, 0);
	wire_record(wire, PST_RECORD_TRAILERS, 1, "\1\1De", 4, 4);
	wire_text(wire, FCGI_STDOUT, 1, "");
	wire_record(
	    wire, PST_RECORD_USAGE, 1, "\0\0\0\0\0\1\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3", 24, 0);
	wire_end(wire, 1, 0, FCGI_REQUEST_COMPLETE);
}

static void
build_trailers_cut(struct pst_buf *wire)
{
	wire_record(wire, PST_RECORD_TRAILERS, 1, "\1\2Ab", 4, 0);
	wire_record(wire, PST_RECORD_TRAILERS, 1, "b", 1, 0);
}

static void
build_trailers_late(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDOUT, 1, "");
	wire_record(wire, PST_RECORD_TRAILERS, 1, "\1\1Ab", 4, 0);
}

static void
build_trailers_large(struct pst_buf *wire)
{
	wire_record(wire, PST_RECORD_TRAILERS, 1, "\x80\0\x3f\xfc\0", 5, 0);
}

static void
build_usage_short(struct pst_buf *wire)
{
	wire_record(wire, PST_RECORD_USAGE, 1, zeros, 8, 0);
}

static void
build_drain(struct pst_buf *wire)
{
	wire_record(wire, PST_RECORD_DRAIN, 0, "what", 4, 0);
	wire_record(wire, PST_RECORD_DRAIN, 0, "", 0, 0);
	wire_end(wire, 1, 0, FCGI_REQUEST_COMPLETE);
	wire_record(wire, PST_RECORD_DRAIN, 1, "", 0, 0);
}

static void
build_late_message(struct pst_buf *wire)
{
	wire_end(wire, 1, 0, FCGI_REQUEST_COMPLETE);
	wire_message(wire, 1, PST_SESSION_MESSAGE_END, "");
}

static const struct session_case client[] = {
    {.client = true,
	.build = build_messages,
	.expect = "message 1 text hel\nmessage 2 binary other\nmessage 2 binary end\n"
		  "message 1 text lo\nmessage 1 text end\nmessage 1 text end\n"
		  "message 1 binary bin\nmessage 1 binary end\nmessage 1 text half\n"
		  "closed 1 1001 going away\nclosed 2 1005 \n"},
    {.client = true,
	.build = build_trailers,
	.expect = "data 1 STDOUT body\ntrailer 1 A=bb\ntrailer 1 C=\ntrailer 1 D=e\n"
		  "data 1 STDOUT end\nusage 1 65537 2 3\ndata 1 STDERR end\nend 1 0 status 0\n"},
    {.client = true,
	.build = build_trailers_cut,
	.expect = "TRAILERS record for request 1 ends within a pair\n"},
    {.client = true,
	.build = build_trailers_late,
	.expect = "data 1 STDOUT end\n"
		  "TRAILERS record for request 1 after the end of that stream\n"},
    {.client = true,
	.build = build_trailers_large,
	.expect = "the trailers of request 1 exceed 16384 bytes\n"},
    {.client = true,
	.build = build_usage_short,
	.expect = "USAGE record for request 1 has 8 bytes, not 24\n"},
    {.client = true,
	.build = build_drain,
	.expect = "drain\ndata 1 STDOUT end\ndata 1 STDERR end\nend 1 0 status 0\n"
		  "DRAIN record with request id 1\n"},
    {.client = true,
	.build = build_late_message,
	.expect = "data 1 STDOUT end\ndata 1 STDERR end\nend 1 0 status 0\n"
		  "MESSAGE record for request 1, which is not open\n"},
};

START_TEST(test_server)
{
	session_case_run(&server[_i]);
}
END_TEST

START_TEST(test_client)
{
	session_case_run(&client[_i]);
}
END_TEST

START_TEST(test_spent)
{
	struct pst_buf wire = {0};
	struct trace trace;

	trace_extended(&trace, false, 1);
	wire_record(&wire, PST_RECORD_MESSAGE, 1, zeros, 65535, 1);
	wire_record(&wire, PST_RECORD_MESSAGE, 1, zeros, 9, 0);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_int_eq(pst_session_submit_credit(trace.session, 1, 1), 0);
	wire_record(&wire, PST_RECORD_MESSAGE, 1, zeros, 5, 0);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	wire_record(&wire, PST_RECORD_MESSAGE, 1, zeros, 6, 0);
	ck_assert_int_eq(recv_wire(&trace, &wire), PST_ERR_PROTOCOL);
	ck_assert_str_eq(pst_session_reason(trace.session),
	    "MESSAGE record for request 1 has 2 bytes, and its credit is 0");
	trace_free(&trace);
}
END_TEST

static const char *const names[] = {
    "message", "closed", "file", "abort", "trailer", "usage", "drain"};

/* The owner frees the session, or ends the request, when it hears of it. */
START_TEST(test_in_callback)
{
	bool is_client = _i >= 4;
	struct pst_buf wire = {0};
	struct trace trace;
	int before = lowest_fd();

	for (unsigned i = 0; i < (is_client ? 1 : 2); i++) {
		trace_extended(&trace, is_client, 1);
		ck_assert_int_eq(give_files(&trace, 2), 0);
		if (i == 0)
			trace.free_at = names[_i];
		else
			trace.end_at = names[_i];
		wire_message(&wire, 1, PST_SESSION_MESSAGE_END, "hello");
		wire_close(&wire, 1, 1000, "");
		wire_file(&wire, 1, is_client ? FCGI_STDOUT : FCGI_STDIN, 0, 1);
		if (is_client) {
			wire_record(&wire, PST_RECORD_TRAILERS, 1, "\1\1Ab\1\1Ab", 8, 0);
			wire_record(&wire, PST_RECORD_USAGE, 1, zeros, 24, 0);
			wire_record(&wire, PST_RECORD_DRAIN, 0, "", 0, 0);
		} else {
			wire_text(&wire, FCGI_ABORT_REQUEST, 1, "");
		}
		ck_assert_int_eq(recv_wire(&trace, &wire), i == 0 ? PST_ERR_CLOSED : 0);
		if (i == 0)
			trace.session = NULL;
		trace_free(&trace);
	}
	ck_assert_int_eq(lowest_fd(), before);
}
END_TEST

/* --- what is sent --- */

START_TEST(test_submit_messages)
{
	struct pst_session *session;
	struct pst_buf out = {0};
	struct trace trace;

	trace_extended(&trace, _i == 1, 1);
	session = trace.session;
	ck_assert_int_eq(pst_session_submit_message(session, 1, 0, "a", 0), 0);
	ck_assert_int_eq(pst_session_submit_message(session, 1, 0, "hel", 3), 0);
	ck_assert_int_eq(pst_session_submit_message(session, 1, PST_SESSION_MESSAGE_BINARY, "x", 1),
	    PST_ERR_STATE);
	ck_assert_int_eq(
	    pst_session_submit_message(session, 1, PST_SESSION_MESSAGE_END, "lo", 2), 0);
	ck_assert_uint_eq(pst_session_credit(session, 1), PST_SESSION_CREDIT - 5);
	trace_drain(&trace, &out);
	ck_assert_uint_eq(out.end, 32);
	ck_assert_mem_eq(
	    out.data, "\1\x41\0\1\0\7\1\0\0\0\0\0hel\0\1\x41\0\1\0\6\2\0\2\0\0\0lo\0", 32);
	pst_buf_free(&out);
	ck_assert_int_eq(pst_session_submit_message(session, 1, 3, zeros, 65532), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_message(session, 1, 3, zeros, 65531), 0);
	check_sent(&trace, "MESSAGE 1 65528+0\nMESSAGE 1 11+5\n");
	ck_assert_int_eq(pst_session_submit_message(session, 1, 3, "", 0), 0);
	ck_assert_int_eq(pst_session_submit_close(session, 1, 1000, zeros, 124), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_close(session, 1, 1000, zeros, 123), 0);
	ck_assert_int_eq(pst_session_submit_close(session, 1, 1000, NULL, 0), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_message(session, 1, 3, "", 0), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_message(session, 2, 3, "", 0), PST_ERR_STATE);
	check_sent(&trace, "MESSAGE 1 4+4\nCLOSE 1 125+3\n");
	trace_free(&trace);
}
END_TEST

START_TEST(test_submit_notices)
{
	struct pst_session *session;
	struct trace trace;

	trace_extended(&trace, false, 1);
	session = trace.session;
	ck_assert_int_eq(pst_session_submit_trailer(session, 1, "A", 1, "b", 1), 0);
	ck_assert_int_eq(
	    pst_session_submit_trailer(session, 1, "B", 1, zeros, 16385), PST_ERR_LIMIT);
	ck_assert_int_eq(
	    pst_session_submit_trailer(session, 1, "B", 1, zeros, 16375), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_trailer(session, 1, "B", 1, zeros, 16374), 0);
	ck_assert_int_eq(pst_session_submit_trailer(session, 1, "", 0, "", 0), PST_ERR_LIMIT);
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, NULL, 0), 0);
	ck_assert_int_eq(pst_session_submit_trailer(session, 1, "A", 1, "b", 1), PST_ERR_STATE);
	ck_assert_int_eq(
	    pst_session_submit_usage(session, 1, &(struct pst_session_usage){1, 2, 3}), 0);
	ck_assert_int_eq(pst_session_submit_end(session, 1, PST_END_COMPLETE, 0), 0);
	ck_assert_int_eq(pst_session_submit_drain(session), 0);
	ck_assert_int_eq(pst_session_submit_drain(session), 0);
	check_sent(&trace, "TRAILERS 1 16384+0\nSTDOUT 1 0+0\nUSAGE 1 24+0\nEND_REQUEST 1 8+0\n"
			   "DRAIN 0 0+0\n");
	trace_free(&trace);
}
END_TEST

/* Nothing of it goes to a peer that did not ask, and what could not be left out is refused. */
START_TEST(test_submit_plain)
{
	struct pst_session_file file = {.fd = 0, .length = 1};
	struct pst_session *session;
	struct pst_buf wire = {0};
	struct trace trace;

	trace_init_server(&trace, NULL);
	session = trace.session;
	wire_begin(&wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN | PST_RECORD_EXTENDED);
	wire_text(&wire, FCGI_PARAMS, 1, "");
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_int_eq(pst_session_submit_trailer(session, 1, "A", 1, "b", 1), 0);
	ck_assert_int_eq(
	    pst_session_submit_usage(session, 1, &(struct pst_session_usage){1, 2, 3}), 0);
	ck_assert_int_eq(pst_session_submit_drain(session), 0);
	ck_assert_int_eq(pst_session_submit_message(session, 1, 2, "x", 1), PST_ERR_STATE);
	ck_assert_int_eq(pst_session_submit_close(session, 1, 1000, NULL, 0), PST_ERR_STATE);
	ck_assert_int_eq(
	    pst_session_submit_file(session, 1, PST_STREAM_STDOUT, &file), PST_ERR_STATE);
	check_sent(&trace, "");
	trace_free(&trace);
}
END_TEST

/* The client says why; what is submitted for an aborted request is dropped. */
START_TEST(test_submit_aborted)
{
	struct pst_buf wire = {0}, out = {0};
	int before = lowest_fd();
	struct trace trace;

	trace_extended(&trace, true, 1);
	ck_assert_int_eq(pst_session_submit_abort(trace.session, 1, PST_SESSION_ABORT_DEADLINE), 0);
	ck_assert_int_eq(pst_session_submit_message(trace.session, 1, 2, "x", 1), PST_ERR_STATE);
	trace_drain(&trace, &out);
	ck_assert_uint_eq(out.end, 16);
	ck_assert_mem_eq(out.data, "\1\2\0\1\0\x8\0\0\1\0\0\0\0\0\0\0", 16);
	pst_buf_free(&out);
	trace_free(&trace);
	trace_extended(&trace, false, 1);
	wire_text(&wire, FCGI_ABORT_REQUEST, 1, "");
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_int_eq(pst_session_submit_message(trace.session, 1, 2, zeros, sizeof zeros), 0);
	ck_assert_int_eq(pst_session_submit_close(trace.session, 1, 1000, NULL, 0), 0);
	ck_assert_int_eq(pst_session_submit_trailer(trace.session, 1, "A", 1, "b", 1), 0);
	ck_assert_int_eq(pst_session_submit_file(trace.session, 1, PST_STREAM_STDOUT,
			     &(struct pst_session_file){make_file(1), 0, 1}),
	    0);
	ck_assert_int_eq(
	    pst_session_submit_usage(trace.session, 1, &(struct pst_session_usage){1, 2, 3}), 0);
	check_sent(&trace, "USAGE 1 24+0\n");
	ck_assert_int_eq(lowest_fd(), before);
	trace_free(&trace);
}
END_TEST

/* Every submit that fails for want of memory leaves the session as it was. */
static bool
submit_all(unsigned long at, struct pst_buf *out)
{
	unsigned long count;
	struct trace trace;
	int fd = make_file(1), err, failed = 0;

	trace_extended(&trace, false, 1);
	pst_session_trim(trace.session);
	failmalloc_count = 0;
	failmalloc_at = at;
#define AGAIN(call)                                                                                \
	do {                                                                                       \
		err = (call);                                                                      \
	} while (err == PST_ERR_NOMEM);                                                            \
	failed |= err
	for (unsigned i = 0; i < 8; i++) {
		AGAIN(pst_session_submit_message(trace.session, 1, 2, zeros, 3000));
		AGAIN(pst_session_submit_file(trace.session, 1, PST_STREAM_STDOUT,
		    &(struct pst_session_file){dup(fd), 0, 1}));
		AGAIN(pst_session_submit_trailer(trace.session, 1, "A", 1, zeros, 1500));
	}
	AGAIN(pst_session_submit_close(trace.session, 1, 1000, "", 0));
	AGAIN(pst_session_submit_usage(trace.session, 1, &(struct pst_session_usage){1, 2, 3}));
	AGAIN(pst_session_submit_drain(trace.session));
	count = failmalloc_count;
	failmalloc_at = 0;
	ck_assert_int_eq(failed, 0);
	trace_drain(&trace, out);
	ck_assert_uint_eq(trace.sent_fds, 8);
	trace_free(&trace);
	close(fd);
	return count >= at;
}

START_TEST(test_no_memory)
{
	struct pst_buf expect = {0}, out = {0};
	unsigned long at = 1;

	submit_all(0, &expect);
	while (submit_all(at, &out)) {
		ck_assert_uint_eq(out.end, expect.end);
		ck_assert_mem_eq(out.data, expect.data, out.end);
		pst_buf_free(&out);
		at++;
	}
	ck_assert_uint_gt(at, 5);
	pst_buf_free(&out);
	pst_buf_free(&expect);
}
END_TEST

/* A pair of trailers that comes in pieces has to be held. */
START_TEST(test_no_memory_in)
{
	struct pst_buf wire = {0};
	struct trace trace;

	trace_extended(&trace, true, 1);
	wire_record(&wire, PST_RECORD_TRAILERS, 1, "\1\7Abbbbbbb", 10, 6);
	failmalloc_count = 0;
	failmalloc_at = 1;
	ck_assert_int_eq(pst_session_recv(trace.session, wire.data, 14), PST_ERR_NOMEM);
	failmalloc_at = 0;
	trace_free(&trace);
	pst_buf_free(&wire);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("session_extensions");

	tcase_add_loop_test(tcase, test_server, 0, (int)(sizeof server / sizeof server[0]));
	tcase_add_loop_test(tcase, test_client, 0, (int)(sizeof client / sizeof client[0]));
	tcase_add_test(tcase, test_spent);
	tcase_add_loop_test(tcase, test_in_callback, 0, (int)(sizeof names / sizeof names[0]));
	tcase_add_loop_test(tcase, test_submit_messages, 0, 2);
	tcase_add_test(tcase, test_submit_notices);
	tcase_add_test(tcase, test_submit_plain);
	tcase_add_test(tcase, test_submit_aborted);
	tcase_add_test(tcase, test_no_memory);
	tcase_add_test(tcase, test_no_memory_in);
	return run_case("session_extensions", tcase);
}
