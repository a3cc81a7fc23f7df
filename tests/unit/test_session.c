/*
 * Bytes from a peer, given to a session whole, one at a time and cut in two at every point: the
 * same events follow, the same records are answered.
 */
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <check.h>
#include <fastcgi.h>
#include <stdlib.h>
#include <string.h>

struct scenario {
	const char *name;
	bool client;
	struct pst_session_limits limits; /* all 0: the defaults */
	void (*prepare)(struct trace *trace);
	void (*build)(struct pst_buf *wire);
	const char *expect;
};

#define HOST "\x04\x07HOSTexample"

static void
nothing(struct trace *trace)
{
	(void)trace;
}

static void
answers(struct trace *trace)
{
	trace->answer = true;
}

static void
build_request(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_text(wire, FCGI_PARAMS, 1, HOST);
	wire_text(wire, FCGI_PARAMS, 1, "");
	wire_text(wire, FCGI_STDIN, 1, "body ");
	wire_text(wire, FCGI_STDIN, 1, "and more");
	wire_text(wire, FCGI_STDIN, 1, "");
}

/* Lengths of 127 and 128, a pair over three records, an empty name and value. */
static void
build_params(struct pst_buf *wire)
{
	unsigned char pair[1 + 4 + 127 + 128];

	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	memset(pair, 'n', sizeof pair);
	memcpy(pair, "\x7f\x80\x00\x00\x80", 5);
	memset(pair + 5 + 127, 'v', 128);
	wire_record(wire, FCGI_PARAMS, 1, pair, 3, 5);
	wire_record(wire, FCGI_PARAMS, 1, pair + 3, 100, 0);
	wire_record(wire, FCGI_PARAMS, 1, pair + 103, sizeof pair - 103, 255);
	wire_record(wire, FCGI_PARAMS, 1, "\x80\x00\x00\x01\x80\x00\x00\x01xy", 10, 0);
	wire_record(wire, FCGI_PARAMS, 1, "\x00\x00", 2, 1);
	wire_record(wire, FCGI_PARAMS, 1, NULL, 0, 7);
}

static void
build_two(struct pst_buf *wire)
{
	wire_begin(wire, 7, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_begin(wire, 300, FCGI_FILTER, FCGI_KEEP_CONN);
	wire_begin(wire, 9, FCGI_AUTHORIZER, FCGI_KEEP_CONN);
	wire_text(wire, FCGI_PARAMS, 300,
	    "\x01\x01"
	    "a");
	wire_text(wire, FCGI_PARAMS, 7,
	    "\x01\x01"
	    "b");
	wire_text(wire, FCGI_PARAMS, 300, "1");
	wire_text(wire, FCGI_PARAMS, 7, "2");
	wire_text(wire, FCGI_PARAMS, 300, "");
	wire_text(wire, FCGI_PARAMS, 7, "");
	wire_text(wire, FCGI_STDIN, 300, "in");
	wire_text(wire, FCGI_STDIN, 7, "other");
	wire_text(wire, FCGI_STDIN, 300, "");
	wire_text(wire, FCGI_DATA, 300, "file");
	wire_text(wire, FCGI_DATA, 300, "");
	wire_text(wire, FCGI_STDIN, 9, "nobody's");
	wire_text(wire, FCGI_ABORT_REQUEST, 7, "");
	wire_text(wire, FCGI_ABORT_REQUEST, 7, "");
	wire_text(wire, FCGI_STDIN, 7, "late");
}

static void
build_management(struct pst_buf *wire)
{
	wire_record(wire, FCGI_GET_VALUES, 0,
	    "\x0d\x00"
	    "FCGI_MAX_REQS\x05\x01other1",
	    23, 3);
	wire_record(wire, 99, 0, "whatever", 8, 0);
	wire_record(wire, 0, 0, NULL, 0, 0);
	wire_record(wire, 99, 5, "of a request", 12, 0);
	wire_record(wire, FCGI_GET_VALUES, 0, NULL, 0, 0);
	wire_begin(wire, 1, 17, FCGI_KEEP_CONN);
	wire_text(wire, FCGI_STDIN, 1, "ignored");
	wire_begin(wire, 2, FCGI_RESPONDER, FCGI_KEEP_CONN);
}

static void
build_after_end(struct pst_buf *wire)
{
	build_request(wire);
	build_request(wire);
}

static void
build_not_kept(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, 0);
	wire_text(wire, FCGI_PARAMS, 1, "");
	wire_begin(wire, 2, FCGI_RESPONDER, FCGI_KEEP_CONN);
}

static void
ends_at_param(struct trace *trace)
{
	trace->end_at = "param";
}

static void
ends_at_data(struct trace *trace)
{
	trace->end_at = "data";
}

static void
refuses_host(struct trace *trace)
{
	trace->refuse = "HOST";
}

static void
build_duplicate(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
}

static void
build_half_pair(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_text(wire, FCGI_PARAMS, 1, "\x04\x07HOSTexam");
	wire_text(wire, FCGI_PARAMS, 1, "");
}

static void
build_version(struct pst_buf *wire)
{
	build_request(wire);
	pst_buf_append(wire, "\x02\x05\x00\x01\x00\x00\x00\x00", 8);
}

static void
build_short_begin(struct pst_buf *wire)
{
	wire_record(wire, FCGI_BEGIN_REQUEST, 3, "\x00\x01\x00\x00", 4, 4);
}

static void
build_wrong_side(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDOUT, 1, "x");
}

static void
build_begin_zero(struct pst_buf *wire)
{
	wire_begin(wire, 0, FCGI_RESPONDER, 0);
}

static void
build_get_values_id(struct pst_buf *wire)
{
	wire_text(wire, FCGI_GET_VALUES, 4, "");
}

static void
build_cut_get_values(struct pst_buf *wire)
{
	wire_text(wire, FCGI_GET_VALUES, 0, "\x09\x00short");
}

static void
build_huge_get_values(struct pst_buf *wire)
{
	char content[4097] = {0};

	wire_record(wire, FCGI_GET_VALUES, 0, content, sizeof content, 0);
}

static void
build_early_stdin(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, 0);
	wire_text(wire, FCGI_STDIN, 1, "x");
}

static void
build_late_params(struct pst_buf *wire)
{
	build_request(wire);
	wire_text(wire, FCGI_PARAMS, 1, HOST);
}

static void
build_late_stdin(struct pst_buf *wire)
{
	build_request(wire);
	wire_text(wire, FCGI_STDIN, 1, "");
	wire_text(wire, FCGI_STDIN, 1, "x");
}

static void
build_data_for_responder(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, 0);
	wire_text(wire, FCGI_PARAMS, 1, "");
	wire_text(wire, FCGI_DATA, 1, "x");
}

/* The next request comes through after one was refused for its size. */
static void
build_params_limit(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_record(wire, FCGI_PARAMS, 1,
	    "\x01\x80\x00\x00\x5e"
	    "a"
	    "0123456",
	    13, 3);
	wire_text(wire, FCGI_PARAMS, 1, "");
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_text(wire, FCGI_PARAMS, 1, HOST);
	wire_text(wire, FCGI_PARAMS, 1, "");
}

static void
build_huge_length(struct pst_buf *wire)
{
	wire_begin(wire, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_record(wire, FCGI_PARAMS, 1,
	    "\xff\xff\xff\xff\xff\xff\xff\xff"
	    "a",
	    9, 0);
}

static void
build_flood(struct pst_buf *wire)
{
	for (unsigned i = 0; i < 4097; i++)
		wire_record(wire, 200, 0, NULL, 0, 0);
}

static const struct scenario server[] = {
    {"request", false, {0}, nothing, build_request,
	"begin 1 role 1 keep\nparam 1 HOST=example\nready 1\ndata 1 STDIN body and more\n"
	"data 1 STDIN end\nrecv 0 read 1\n"},
    {"params", false, {0}, nothing, build_params,
	"begin 1 role 1 keep\n"
	"param 1 nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn=vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
	"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\n"
	"param 1 x=y\nparam 1 =\nready 1\nrecv 0 read 1\n"},
    {"two requests", false, {2, 1000, 1000}, nothing, build_two,
	"begin 7 role 1 keep\nbegin 300 role 3 keep\nparam 300 a=1\nparam 7 b=2\nready 300\n"
	"ready 7\ndata 300 STDIN in\ndata 7 STDIN other\ndata 300 STDIN end\n"
	"data 300 DATA file\ndata 300 DATA end\nabort 7\nrecv 0 read 1\n"
	"END_REQUEST 9 8+0\n"},
    {"management", false, {0}, nothing, build_management,
	"get_value FCGI_MAX_REQS\nget_value other\nbegin 2 role 1 keep\nrecv 0 read 1\n"
	"GET_VALUES_RESULT 0 16+0\nUNKNOWN_TYPE 0 8+0\nUNKNOWN_TYPE 0 8+0\n"
	"GET_VALUES_RESULT 0 0+0\nEND_REQUEST 1 8+0\n"},
    {"answer", false, {0}, answers, build_after_end,
	"begin 1 role 1 keep\nparam 1 HOST=example\nready 1\nend 1 0 status 7\n"
	"begin 1 role 1 keep\nparam 1 HOST=example\nready 1\nend 1 0 status 7\nrecv 0 read 1\n"
	"STDOUT 1 5+3\nEND_REQUEST 1 8+0\n"
	"STDOUT 1 5+3\nEND_REQUEST 1 8+0\n"},
    {"not kept", false, {0}, answers, build_not_kept,
	"begin 1 role 1\nready 1\nend 1 0 status 7\nrecv 0 read 0\n"
	"STDOUT 1 5+3\nEND_REQUEST 1 8+0\n"},
    {"end in param", false, {0}, ends_at_param, build_request,
	"begin 1 role 1 keep\nparam 1 HOST=example\nend 1 0 status 3\nrecv 0 read 1\n"
	"END_REQUEST 1 8+0\n"},
    {"refused param", false, {0}, refuses_host, build_request,
	"begin 1 role 1 keep\nparam 1 HOST=example\nend 1 2 status 0\nrecv 0 read 1\n"
	"END_REQUEST 1 8+0\n"},
    {"cannot multiplex", false, {0}, nothing, build_not_kept,
	"begin 1 role 1\nready 1\nrecv 0 read 1\nEND_REQUEST 2 8+0\n"},
    {"params limit", false, {1, 99, 1000}, nothing, build_params_limit,
	"begin 1 role 1 keep\nend 1 2 status 0\nbegin 1 role 1 keep\nparam 1 HOST=example\n"
	"ready 1\nrecv 0 read 1\nEND_REQUEST 1 8+0\n"},
    {"length of 2^31-1", false, {0}, nothing, build_huge_length,
	"begin 1 role 1 keep\nend 1 2 status 0\nrecv 0 read 1\nEND_REQUEST 1 8+0\n"},
    {"duplicate", false, {2, 99, 99}, nothing, build_duplicate,
	"begin 1 role 1 keep\nend 1 -1 status 0\nrecv -2 read 0\n"
	"BEGIN_REQUEST record for request 1, which is open\n"},
    {"half a pair", false, {0}, nothing, build_half_pair,
	"begin 1 role 1 keep\nend 1 -1 status 0\nrecv -2 read 0\n"
	"the parameters of request 1 end within a pair\n"},
    {"version", false, {0}, answers, build_version,
	"begin 1 role 1 keep\nparam 1 HOST=example\nready 1\nend 1 0 status 7\nrecv -2 read 0\n"
	"record of FastCGI version 2, not 1\n"},
    {"short begin", false, {0}, nothing, build_short_begin,
	"recv -2 read 0\nBEGIN_REQUEST record for request 3 has 4 bytes, not 8\n"},
    {"wrong side", false, {0}, nothing, build_wrong_side,
	"recv -2 read 0\nSTDOUT record from a client\n"},
    {"begin of 0", false, {0}, nothing, build_begin_zero,
	"recv -2 read 0\nBEGIN_REQUEST record with request id 0\n"},
    {"get values of 4", false, {0}, nothing, build_get_values_id,
	"recv -2 read 0\nGET_VALUES record with request id 4\n"},
    {"cut get values", false, {0}, nothing, build_cut_get_values,
	"recv -2 read 0\nGET_VALUES record ends within a pair\n"},
    {"huge get values", false, {0}, nothing, build_huge_get_values,
	"recv -3 read 0\nGET_VALUES record of 4097 bytes, over 4096\n"},
    {"early stdin", false, {0}, nothing, build_early_stdin,
	"begin 1 role 1\nend 1 -1 status 0\nrecv -2 read 0\n"
	"STDIN record for request 1 before the end of its parameters\n"},
    {"late params", false, {0}, nothing, build_late_params,
	"begin 1 role 1 keep\nparam 1 HOST=example\nready 1\ndata 1 STDIN body and more\n"
	"data 1 STDIN end\nend 1 -1 status 0\nrecv -2 read 0\n"
	"PARAMS record for request 1 after their end\n"},
    {"late stdin", false, {0}, nothing, build_late_stdin,
	"begin 1 role 1 keep\nparam 1 HOST=example\nready 1\ndata 1 STDIN body and more\n"
	"data 1 STDIN end\nend 1 -1 status 0\nrecv -2 read 0\n"
	"STDIN record for request 1 after the end of that stream\n"},
    {"data for a responder", false, {0}, nothing, build_data_for_responder,
	"begin 1 role 1\nready 1\nend 1 -1 status 0\nrecv -2 read 0\n"
	"DATA record for request 1, whose role has no such stream\n"},
    {"a flood that is answered", false, {0}, nothing, build_flood,
	"recv -3 read 0\nthe peer caused 65552 bytes of answers without reading them\n"},
};

/* --- the client side --- */

static void
asks(struct trace *trace)
{
	trace_begin(trace, true);
}

static void
asks_and_asks_again(struct trace *trace)
{
	trace_begin(trace, true);
	trace->submit_at = "end";
}

static void
asks_not_kept(struct trace *trace)
{
	trace_begin(trace, false);
	trace->submit_at = "end";
}

static void
asks_and_aborts(struct trace *trace)
{
	uint16_t id = trace_begin(trace, true);

	pst_session_submit_params_end(trace->session, id);
	pst_session_submit_abort(trace->session, id, PST_SESSION_ABORT_CLIENT);
}

static void
asks_values(struct trace *trace)
{
	pst_session_submit_get_value(trace->session, FCGI_MAX_REQS, 13);
	pst_session_submit_get_value(trace->session, FCGI_MPXS_CONNS, 15);
}

static void
build_response(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDERR, 1, "oh");
	wire_text(wire, FCGI_STDOUT, 1, "Status: 200\r\n\r\n");
	wire_text(wire, FCGI_STDOUT, 1, "hello");
	wire_text(wire, FCGI_STDOUT, 1, "");
	wire_text(wire, FCGI_STDERR, 1, "");
	wire_text(wire, FCGI_STDERR, 1, "");
	wire_end(wire, 1, 0x89abcdef, FCGI_REQUEST_COMPLETE);
}

/* As php-fpm does it. */
static void
build_unended(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDOUT, 1, "hello");
	wire_end(wire, 1, 0, FCGI_REQUEST_COMPLETE);
}

static void
build_overloaded(struct pst_buf *wire)
{
	wire_end(wire, 1, 99, FCGI_OVERLOADED);
}

static void
build_after_end_request(struct pst_buf *wire)
{
	build_unended(wire);
	wire_text(wire, FCGI_STDOUT, 1, "for the next");
}

static void
build_values(struct pst_buf *wire)
{
	wire_record(wire, FCGI_GET_VALUES_RESULT, 0,
	    "\x0d\x02"
	    "FCGI_MAX_REQS16\x0f\x01"
	    "FCGI_MPXS_CONNS1\x00\x00",
	    37, 3);
}

static void
build_values_unknown(struct pst_buf *wire)
{
	wire_record(wire, FCGI_UNKNOWN_TYPE, 0, "\x63\0\0\0\0\0\0\0", 8, 0);
	wire_record(wire, 77, 0, "x", 1, 0);
	wire_record(wire, FCGI_UNKNOWN_TYPE, 0, "\x09\0\0\0\0\0\0\0", 8, 0);
}

static void
build_status(struct pst_buf *wire)
{
	wire_end(wire, 1, 0, 4);
}

static void
build_late_stdout(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDOUT, 1, "");
	wire_text(wire, FCGI_STDOUT, 1, "x");
}

static const struct scenario client[] = {
    {"response", true, {0}, asks, build_response,
	"data 1 STDERR oh\ndata 1 STDOUT Status: 200\\0d\\0a\\0d\\0ahello\ndata 1 STDOUT end\n"
	"data 1 STDERR end\nend 1 0 status 2309737967\nrecv 0 read 1\nBEGIN_REQUEST 1 8+0\n"},
    {"streams without end", true, {0}, asks, build_unended,
	"data 1 STDOUT hello\ndata 1 STDOUT end\ndata 1 STDERR end\nend 1 0 status 0\n"
	"recv 0 read 1\nBEGIN_REQUEST 1 8+0\n"},
    {"overloaded", true, {0}, asks, build_overloaded,
	"end 1 2 status 0\nrecv 0 read 1\nBEGIN_REQUEST 1 8+0\n"},
    {"next at the end", true, {0}, asks_and_asks_again, build_unended,
	"data 1 STDOUT hello\ndata 1 STDOUT end\ndata 1 STDERR end\nend 1 0 status 0\n"
	"submitted 1\nrecv 0 read 1\nBEGIN_REQUEST 1 8+0\nBEGIN_REQUEST 1 8+0\n"},
    {"not kept", true, {0}, asks_not_kept, build_unended,
	"data 1 STDOUT hello\ndata 1 STDOUT end\ndata 1 STDERR end\nend 1 0 status 0\n"
	"recv 0 read 0\nBEGIN_REQUEST 1 8+0\n"},
    {"aborted", true, {0}, asks_and_aborts, build_response,
	"data 1 STDERR oh\ndata 1 STDERR end\nend 1 0 status 2309737967\nrecv 0 read 1\n"
	"BEGIN_REQUEST 1 8+0\nPARAMS 1 0+0\nABORT_REQUEST 1 0+0\n"},
    {"values", true, {0}, asks_values, build_values,
	"value FCGI_MAX_REQS=16\nvalue FCGI_MPXS_CONNS=1\nvalues end\nrecv 0 read 1\n"
	"GET_VALUES 0 32+8\n"},
    {"values unknown", true, {0}, asks_values, build_values_unknown,
	"values end\nrecv 0 read 1\nGET_VALUES 0 32+8\n"},
    {"values not asked", true, {0}, asks, build_values,
	"end 1 -1 status 0\nrecv -2 read 0\n"
	"GET_VALUES_RESULT record that was not asked for\n"},
    {"after the end", true, {0}, asks, build_after_end_request,
	"data 1 STDOUT hello\ndata 1 STDOUT end\ndata 1 STDERR end\nend 1 0 status 0\n"
	"recv -2 read 0\nSTDOUT record for request 1, which is not open\n"},
    {"protocol status", true, {0}, asks, build_status,
	"end 1 -1 status 0\nrecv -2 read 0\n"
	"END_REQUEST record for request 1 has protocol status 4\n"},
    {"late stdout", true, {0}, asks, build_late_stdout,
	"data 1 STDOUT end\nend 1 -1 status 0\nrecv -2 read 0\n"
	"STDOUT record for request 1 after the end of that stream\n"},
    {"wrong side", true, {0}, asks, build_request,
	"end 1 -1 status 0\nrecv -2 read 0\nBEGIN_REQUEST record from a server\n"},
};

static void
start(const struct scenario *scenario, struct trace *trace)
{
	const struct pst_session_limits *limits =
	    scenario->limits.requests > 0 ? &scenario->limits : NULL;

	if (scenario->client)
		trace_init_client(trace, limits);
	else
		trace_init_server(trace, limits);
	ck_assert_ptr_nonnull(trace->session);
	scenario->prepare(trace);
}

/* As a caller that reads into a block of its own: a sanitizer sees what is read beyond it. */
static int
feed(struct trace *trace, const unsigned char *bytes, size_t n)
{
	unsigned char *copy = malloc(n > 0 ? n : 1);
	int err;

	memcpy(copy, bytes, n);
	err = pst_session_recv(trace->session, copy, n);
	free(copy);
	return err;
}

static void
finish(const struct scenario *scenario, struct trace *trace, int err)
{
	struct pst_buf out = {0};

	trace_line(trace, "recv %d read %d", err, pst_session_want_read(trace->session));
	trace_drain(trace, &out);
	ck_assert(!pst_session_want_write(trace->session));
	trace_records(trace, &out);
	pst_buf_free(&out);
	if (err != 0) {
		trace_line(trace, "%s", pst_session_reason(trace->session));
		ck_assert_int_eq(pst_session_recv(trace->session, "x", 1), PST_ERR_CLOSED);
	}
	ck_assert_msg(strcmp(trace_text(trace), scenario->expect) == 0, "%s:\n%s", scenario->name,
	    trace_text(trace));
	trace_free(trace);
}

static void
run_cut(const struct scenario *scenario, const struct pst_buf *wire, size_t cut)
{
	struct trace trace;
	int err;

	start(scenario, &trace);
	err = feed(&trace, wire->data, cut);
	if (err == 0)
		err = feed(&trace, wire->data + cut, wire->end - cut);
	finish(scenario, &trace, err);
}

static void
run_bytes(const struct scenario *scenario, const struct pst_buf *wire)
{
	struct trace trace;
	int err = 0;

	start(scenario, &trace);
	for (size_t i = 0; err == 0 && i < wire->end; i++)
		err = feed(&trace, wire->data + i, 1);
	finish(scenario, &trace, err);
}

static void
run(const struct scenario *scenario)
{
	struct pst_buf wire = {0};
	size_t step;

	scenario->build(&wire);
	step = wire.end > 10000 ? 1009 : 1;
	for (size_t cut = 0; cut < wire.end; cut += step)
		run_cut(scenario, &wire, cut);
	run_cut(scenario, &wire, wire.end);
	run_bytes(scenario, &wire);
	pst_buf_free(&wire);
}

START_TEST(test_server)
{
	run(&server[_i]);
}
END_TEST

START_TEST(test_client)
{
	run(&client[_i]);
}
END_TEST

/* A record's rest is discarded when its first bytes made the owner end the request. */
START_TEST(test_end_in_data)
{
	struct pst_buf wire = {0}, out = {0};
	struct trace trace;

	build_request(&wire);
	trace_init_server(&trace, NULL);
	ends_at_data(&trace);
	for (size_t i = 0; i < wire.end; i++)
		ck_assert_int_eq(feed(&trace, wire.data + i, 1), 0);
	trace_drain(&trace, &out);
	trace_records(&trace, &out);
	ck_assert_str_eq(trace_text(&trace),
	    "begin 1 role 1 keep\nparam 1 HOST=example\nready 1\ndata 1 STDIN b\nend 1 0 status 3\n"
	    "END_REQUEST 1 8+0\n");
	trace_free(&trace);
	pst_buf_free(&out);
	pst_buf_free(&wire);
}
END_TEST

static const char *const callback_names[] = {
    "begin", "param", "ready", "data", "abort", "end", "get_value", "value"};

static void
build_everything(struct pst_buf *wire)
{
	wire_record(wire, FCGI_GET_VALUES, 0,
	    "\x0d\x00"
	    "FCGI_MAX_REQS",
	    15, 1);
	build_request(wire);
	wire_text(wire, FCGI_ABORT_REQUEST, 1, "");
}

/* Freed in any callback: what follows is not read, `end` comes once for each request. */
START_TEST(test_free_in_callback)
{
	struct pst_buf wire = {0};
	struct trace trace;

	build_everything(&wire);
	trace_init_server(&trace, NULL);
	trace.free_at = callback_names[_i];
	if (_i == 5)
		trace.end_at = "ready";
	if (_i < 7)
		ck_assert_int_eq(feed(&trace, wire.data, wire.end), PST_ERR_CLOSED);
	else
		pst_session_free(trace.session);
	trace.session = NULL;
	trace_free(&trace);
	pst_buf_free(&wire);

	build_values(&wire);
	build_unended(&wire);
	trace_init_client(&trace, NULL);
	asks(&trace);
	asks_values(&trace);
	trace.free_at = callback_names[_i];
	if (_i == 3 || _i == 5 || _i == 7) {
		ck_assert_int_eq(feed(&trace, wire.data, wire.end), PST_ERR_CLOSED);
		trace.session = NULL;
	} else {
		ck_assert_int_eq(feed(&trace, wire.data, wire.end), 0);
	}
	trace_free(&trace);
	pst_buf_free(&wire);
}
END_TEST

START_TEST(test_close)
{
	struct pst_buf wire = {0}, out = {0};
	struct trace trace;

	trace_init_server(&trace, &(struct pst_session_limits){3, 1000, 1000});
	wire_begin(&wire, 5, FCGI_RESPONDER, FCGI_KEEP_CONN);
	wire_begin(&wire, 6, FCGI_RESPONDER, FCGI_KEEP_CONN);
	ck_assert_int_eq(feed(&trace, wire.data, wire.end), 0);
	ck_assert_int_eq(pst_session_submit_end(trace.session, 5, PST_END_COMPLETE, 0), 0);
	pst_session_close(trace.session);
	pst_session_close(trace.session);
	ck_assert(!pst_session_want_read(trace.session));
	ck_assert_str_eq(pst_session_reason(trace.session), "the connection was closed");
	ck_assert_int_eq(
	    pst_session_submit_end(trace.session, 6, PST_END_COMPLETE, 0), PST_ERR_CLOSED);
	trace_drain(&trace, &out);
	ck_assert_uint_eq(out.end, 24);
	ck_assert_str_eq(trace_text(&trace),
	    "begin 5 role 1 keep\nbegin 6 role 1 keep\nend 5 0 status 0\nend 6 -1 status 0\n");
	trace_free(&trace);
	pst_buf_free(&out);
	pst_buf_free(&wire);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("session");

	tcase_add_loop_test(tcase, test_server, 0, (int)(sizeof server / sizeof server[0]));
	tcase_add_loop_test(tcase, test_client, 0, (int)(sizeof client / sizeof client[0]));
	tcase_add_test(tcase, test_end_in_data);
	tcase_add_loop_test(tcase, test_free_in_callback, 0, 8);
	tcase_add_test(tcase, test_close);
	return run_case("session", tcase);
}
