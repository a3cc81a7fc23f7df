/* Messages, trailers, files and notices: what comes, whole and cut, what is sent, what is refused.
 */
#include "protocol/descriptor.h"
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static char zeros[140000];

/* --- records as a peer may write them --- */

static void
wire_message(struct pst_buf *wire, uint16_t id, unsigned flags, const char *text)
{
	char body[200] = {(char)flags, 1, 2, 3};

	memcpy(body + 4, text, strlen(text));
	wire_record(wire, PST_RECORD_MESSAGE, id, body, 4 + strlen(text), 3);
}

static void
wire_close(struct pst_buf *wire, uint16_t id, unsigned code, const char *reason)
{
	char body[200] = {(char)(code >> 8), (char)(code & 255)};

	memcpy(body + 2, reason, strlen(reason));
	wire_record(wire, PST_RECORD_CLOSE, id, body, 2 + strlen(reason), 0);
}

static void
wire_file(struct pst_buf *wire, uint16_t id, uint8_t stream, uint64_t offset, uint64_t length)
{
	struct pst_record_file file = {.stream = stream,
	    .kind = PST_RECORD_FILE_DESCRIPTOR,
	    .offset = offset,
	    .length = length};
	unsigned char body[PST_RECORD_FILE_LEN];

	pst_record_file_encode(&file, body);
	wire_record(wire, PST_RECORD_FILE, id, body, sizeof body, 0);
}

static void
wire_memory(struct pst_buf *wire, uint32_t size)
{
	unsigned char body[8];

	pst_record_memory_encode(size, body);
	wire_record(wire, PST_RECORD_MEMORY, 0, body, sizeof body, 0);
}

static void
wire_shared(struct pst_buf *wire, uint16_t id, uint32_t offset, uint32_t length)
{
	struct pst_record_shared place = {.offset = offset, .length = length, .mark = 5};
	unsigned char body[PST_RECORD_SHARED_LEN];

	pst_record_shared_encode(&place, body);
	wire_record(wire, PST_RECORD_SHARED, id, body, sizeof body, 0);
}

/* A file of SIZE bytes. */
static int
make_file(unsigned size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	return fd;
}

/* Descriptors for files of 1, 2 ... bytes. */
static int
give_files(struct trace *trace, unsigned count)
{
	int err = 0;

	for (unsigned i = 1; err == 0 && i <= count; i++)
		err = pst_session_recv_fd(trace->session, make_file(i));
	return err;
}

/* The lowest free descriptor: the same again when all that were open in between are closed. */
static int
lowest_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static int
feed(struct trace *trace, const unsigned char *bytes, size_t n)
{
	unsigned char *copy = n > 0 ? malloc(n) : NULL;
	int err = 0;

	if (n > 0) {
		memcpy(copy, bytes, n);
		err = pst_session_recv(trace->session, copy, n);
	}
	free(copy);
	return err;
}

static int
recv_wire(struct trace *trace, struct pst_buf *wire)
{
	int err = feed(trace, pst_buf_bytes(wire), pst_buf_length(wire));

	pst_buf_free(wire);
	return err;
}

/* --- what comes, in any pieces --- */

struct scenario {
	bool client;
	unsigned files; /* descriptors that come first */
	void (*build)(struct pst_buf *wire);
	const char *expect; /* the trace, and behind it the reason for which the session ended */
};

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

static void
build_spent_by_files(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDIN, 1, "x");
	for (unsigned i = 0; i < 16; i++)
		wire_file(wire, 1, FCGI_STDIN, 0, 1);
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
build_files(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDIN, 1, "before ");
	wire_file(wire, 1, FCGI_STDIN, 0, 10);
	wire_file(wire, 2, FCGI_STDIN, 3, 1);
	wire_text(wire, FCGI_STDIN, 1, "after");
	wire_text(wire, FCGI_STDIN, 1, "");
	wire_file(wire, 1, FCGI_STDIN, 0, 1);
}

static void
build_no_descriptor(struct pst_buf *wire)
{
	wire_file(wire, 1, FCGI_STDIN, 0, 1);
	wire_file(wire, 1, FCGI_STDIN, 0, 1);
}

static void
build_no_part(struct pst_buf *wire)
{
	wire_file(wire, 1, FCGI_STDIN, INT64_MAX, 1);
}

static void
build_nothing_of_file(struct pst_buf *wire)
{
	wire_file(wire, 1, FCGI_STDIN, 5, 0);
}

static void
build_wrong_stream(struct pst_buf *wire)
{
	wire_file(wire, 1, FCGI_STDOUT, 0, 1);
}

static void
build_kind(struct pst_buf *wire)
{
	static const unsigned char body[PST_RECORD_FILE_LEN] = {FCGI_STDIN, 2, [23] = 1};

	wire_record(wire, PST_RECORD_FILE, 1, body, sizeof body, 0);
}

static void
build_trailers_from_client(struct pst_buf *wire)
{
	wire_text(wire, PST_RECORD_TRAILERS, 1, "");
}

static const struct scenario server[] = {
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
    {.build = build_spent_by_files,
	.files = 16,
	.expect = "data 1 STDIN x\n"
		  "file 1 STDIN 0+1 of 1\nfile 1 STDIN 0+1 of 2\nfile 1 STDIN 0+1 of 3\n"
		  "file 1 STDIN 0+1 of 4\nfile 1 STDIN 0+1 of 5\nfile 1 STDIN 0+1 of 6\n"
		  "file 1 STDIN 0+1 of 7\nfile 1 STDIN 0+1 of 8\nfile 1 STDIN 0+1 of 9\n"
		  "file 1 STDIN 0+1 of 10\nfile 1 STDIN 0+1 of 11\nfile 1 STDIN 0+1 of 12\n"
		  "file 1 STDIN 0+1 of 13\nfile 1 STDIN 0+1 of 14\nfile 1 STDIN 0+1 of 15\n"
		  "FILE record for request 1 has 4096 bytes, and its credit is 4095\n"},
    {.build = build_aborted,
	.files = 3,
	.expect = "abort 1 deadline\nfile 2 STDIN 5+9223372036854775802 of 3\n"},
    {.build = build_reasons, .expect = "begin 3 role 1 keep\nabort 1\nabort 2\nabort 3\n"},
    {.build = build_files,
	.files = 5,
	.expect = "data 1 STDIN before \nfile 1 STDIN 0+10 of 1\nfile 2 STDIN 3+1 of 2\n"
		  "data 1 STDIN after\ndata 1 STDIN end\n"
		  "FILE record for request 1 after the end of that stream\n"},
    {.build = build_no_descriptor,
	.files = 1,
	.expect = "file 1 STDIN 0+1 of 1\n"
		  "FILE record for request 1 came without its descriptor\n"},
    {.build = build_no_part,
	.files = 1,
	.expect = "FILE record for request 1: 1 bytes from 9223372036854775807 are no part of a "
		  "file\n"},
    {.build = build_nothing_of_file,
	.files = 1,
	.expect = "FILE record for request 1: 0 bytes from 5 are no part of a file\n"},
    {.build = build_wrong_stream,
	.files = 1,
	.expect = "FILE record for request 1 in a stream of type 6\n"},
    {.build = build_kind, .files = 1, .expect = "FILE record for request 1 is of kind 2\n"},
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
build_shared(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDOUT, 1, "head");
	wire_memory(wire, 15);
	wire_shared(wire, 1, 0, 4);
	wire_shared(wire, 2, 5, 10);
	wire_text(wire, FCGI_STDOUT, 1, "");
	wire_shared(wire, 1, 14, 1);
}

static void
build_shared_nowhere(struct pst_buf *wire)
{
	wire_shared(wire, 1, 0, 1);
}

static void
build_shared_nothing(struct pst_buf *wire)
{
	wire_memory(wire, 15);
	wire_shared(wire, 1, 3, 0);
}

static void
build_shared_beyond(struct pst_buf *wire)
{
	wire_memory(wire, 15);
	wire_shared(wire, 1, 15, 1);
}

static void
build_shared_around(struct pst_buf *wire)
{
	wire_memory(wire, 15);
	wire_shared(wire, 1, 14, UINT32_MAX);
}

static void
build_memory_twice(struct pst_buf *wire)
{
	wire_memory(wire, 15);
	wire_memory(wire, 15);
}

static void
build_memory_of_request(struct pst_buf *wire)
{
	wire_record(wire, PST_RECORD_MEMORY, 1, zeros, 8, 0);
}

static void
build_late_message(struct pst_buf *wire)
{
	wire_end(wire, 1, 0, FCGI_REQUEST_COMPLETE);
	wire_message(wire, 1, PST_SESSION_MESSAGE_END, "");
}

static const struct scenario client[] = {
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
	.build = build_shared,
	.files = 1,
	.expect = "data 1 STDOUT head\nmemory of 15\nshared 1 what\nshared 2 they share\n"
		  "data 1 STDOUT end\n"
		  "SHARED record for request 1 after the end of that stream\n"},
    {.client = true,
	.build = build_shared_nowhere,
	.expect = "SHARED record for request 1, and there is no memory\n"},
    {.client = true,
	.build = build_shared_nothing,
	.files = 1,
	.expect = "memory of 15\n"
		  "SHARED record for request 1: 0 bytes from 3 are not in 15 of memory\n"},
    {.client = true,
	.build = build_shared_beyond,
	.files = 1,
	.expect = "memory of 15\n"
		  "SHARED record for request 1: 1 bytes from 15 are not in 15 of memory\n"},
    {.client = true,
	.build = build_shared_around,
	.files = 1,
	.expect = "memory of 15\nSHARED record for request 1: 4294967295 bytes from 14 are not "
		  "in 15 of memory\n"},
    {.client = true,
	.build = build_memory_twice,
	.files = 2,
	.expect = "memory of 15\na second MEMORY record\n"},
    {.client = true,
	.build = build_memory_twice,
	.expect = "MEMORY record came without its descriptor\n"},
    {.client = true,
	.build = build_memory_of_request,
	.expect = "MEMORY record with request id 1\n"},
    {.client = true,
	.build = build_late_message,
	.expect = "data 1 STDOUT end\ndata 1 STDERR end\nend 1 0 status 0\n"
		  "MESSAGE record for request 1, which is not open\n"},
};

/* Without the ends that the session's own end makes: they follow in any order. */
static void
finish(const struct scenario *scenario, struct trace *trace, int err)
{
	const char *text = trace_text(trace), *end = strstr(text, " -1 status 0");

	ck_assert((err < 0) == (*pst_session_reason(trace->session) != '\0'));
	while (end != NULL && end > text && end[-1] != '\n')
		end--;
	if (err < 0 && end != NULL)
		trace->text.end = trace->text.start + (size_t)(end - text);
	if (err < 0)
		trace_line(trace, "%s", pst_session_reason(trace->session));
	ck_assert_str_eq(trace_text(trace), scenario->expect);
	trace_free(trace);
}

/* In pieces of STEP bytes, the first of them FIRST. */
static void
run_cut(const struct scenario *scenario, const struct pst_buf *wire, size_t first, size_t step)
{
	int before = lowest_fd(), err;
	struct trace trace;
	size_t at = 0, n = first;

	trace_extended(&trace, scenario->client, 2);
	err = give_files(&trace, scenario->files);
	ck_assert_int_eq(err, 0);
	for (; err == 0 && at < wire->end; at += n, n = step) {
		if (n > wire->end - at)
			n = wire->end - at;
		err = feed(&trace, wire->data + at, n);
	}
	finish(scenario, &trace, err);
	ck_assert_int_eq(lowest_fd(), before);
}

static void
run(const struct scenario *scenario)
{
	struct pst_buf wire = {0};

	scenario->build(&wire);
	for (size_t cut = 0; cut <= wire.end; cut += wire.end > 10000 ? 1009 : 1)
		run_cut(scenario, &wire, cut, wire.end);
	run_cut(scenario, &wire, 1, 1);
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

/* Whoever did not agree on files ends the session for a descriptor, and for a FILE. */
START_TEST(test_files_unasked)
{
	struct pst_buf wire = {0};
	struct trace trace;
	int before = lowest_fd();

	trace_init_client(&trace, NULL);
	pst_session_submit_get_value(
	    trace.session, PST_SESSION_VERSION_NAME, strlen(PST_SESSION_VERSION_NAME));
	wire_record(&wire, FCGI_GET_VALUES_RESULT, 0,
	    "\x10\1PENSTOCK_VERSION1\x0e\1PENSTOCK_FILES1", 36, 0);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert(pst_session_extends(trace.session) && !pst_session_files(trace.session));
	ck_assert_uint_eq(trace_begin(&trace, true), 1);
	ck_assert_int_eq(pst_session_submit_params_end(trace.session, 1), 0);
	ck_assert_int_eq(pst_session_submit_file(trace.session, 1, PST_STREAM_STDIN,
			     &(struct pst_session_file){0, 0, 1}),
	    PST_ERR_STATE);
	ck_assert_int_eq(give_files(&trace, 1), PST_ERR_PROTOCOL);
	ck_assert_int_eq(give_files(&trace, 1), PST_ERR_CLOSED);
	ck_assert_str_eq(
	    pst_session_reason(trace.session), "a descriptor came, and files were not agreed on");
	trace_free(&trace);
	ck_assert_int_eq(lowest_fd(), before);
}
END_TEST

START_TEST(test_too_many_fds)
{
	int before = lowest_fd();
	struct trace trace;

	trace_extended(&trace, false, 1);
	ck_assert_int_eq(give_files(&trace, 17), PST_ERR_LIMIT);
	ck_assert_str_eq(pst_session_reason(trace.session),
	    "more than 16 descriptors came that belong to no record");
	trace_free(&trace);
	ck_assert_int_eq(lowest_fd(), before);
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

static void
check_sent(struct trace *trace, const char *expect)
{
	struct pst_buf out = {0};

	pst_buf_free(&trace->text);
	trace_drain(trace, &out);
	trace_records(trace, &out);
	ck_assert_str_eq(trace_text(trace), expect);
	pst_buf_free(&trace->text);
	pst_buf_free(&out);
}

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

START_TEST(test_submit_shared)
{
	struct pst_session *session;
	struct pst_buf out = {0};
	struct trace trace;
	int fd = make_file(1);

	trace_extended(&trace, false, 1);
	session = trace.session;
	ck_assert_int_eq(pst_session_submit_memory(session, fd, 0x10203), 0);
	ck_assert_int_eq(pst_session_submit_memory(session, fd, 0x10203), PST_ERR_STATE);
	ck_assert(!pst_session_may_share(session, 2, 1));
	ck_assert(!pst_session_may_share(session, 1, PST_SESSION_CREDIT + 1));
	ck_assert(pst_session_may_share(session, 1, PST_SESSION_CREDIT));
	ck_assert_int_eq(pst_session_submit_shared(session, 1, 64, 1000, 0x40506), 0);
	ck_assert_uint_eq(pst_session_credit(session, 1), PST_SESSION_CREDIT - 1000);
	trace_drain(&trace, &out);
	ck_assert_uint_eq(out.end, 40);
	ck_assert_mem_eq(out.data,
	    "\1\x47\0\0\0\x8\0\0\0\1\2\3\0\0\0\0\1\x48\0\1\0\x10\0\0\0\0\0\x40\0\0\3\xe8\0\0\0\0"
	    "\0\4\5\6",
	    40);
	pst_buf_free(&out);
	ck_assert_int_eq(pst_session_submit_data(session, 1, PST_STREAM_STDOUT, NULL, 0), 0);
	ck_assert(!pst_session_may_share(session, 1, 1));
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

static void
submit_file(struct trace *trace, unsigned size, int expect)
{
	struct pst_session_file file = {.fd = make_file(size), .offset = 1, .length = size};

	ck_assert_int_eq(
	    pst_session_submit_file(trace->session, 1, PST_STREAM_STDOUT, &file), expect);
	if (expect < 0)
		close(file.fd);
}

static size_t
shown(struct trace *trace, off_t *size)
{
	const void *bytes;
	size_t n = pst_session_send(trace->session, &bytes);
	int fd = pst_session_send_fd(trace->session);

	*size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	return n;
}

/* Descriptors leave one with each send, no later than their records. */
START_TEST(test_submit_files)
{
	int before = lowest_fd();
	struct trace trace;
	off_t size;

	trace_extended(&trace, false, 1);
	pst_session_submit_data(trace.session, 1, PST_STREAM_STDOUT, "ab", 2);
	submit_file(&trace, 7, 0);
	pst_session_submit_data(trace.session, 1, PST_STREAM_STDOUT, "cd", 2);
	submit_file(&trace, 8, 0);
	submit_file(&trace, 9, 0);
	ck_assert_uint_eq(pst_session_credit(trace.session, 1),
	    PST_SESSION_CREDIT - 3 * PST_SESSION_FILE_COST - 4);
	ck_assert_uint_eq(shown(&trace, &size), 64);
	ck_assert_int_eq(size, 7);
	pst_session_sent(trace.session, 15);
	/* The next one may go, too, as long as no other record of a file is begun. */
	ck_assert_uint_eq(shown(&trace, &size), 81);
	ck_assert_int_eq(size, 8);
	pst_session_sent(trace.session, 48);
	ck_assert_uint_eq(shown(&trace, &size), 65);
	ck_assert_int_eq(size, 9);
	pst_session_sent(trace.session, 33);
	ck_assert_uint_eq(shown(&trace, &size), 32);
	ck_assert_int_eq(size, -1);
	pst_session_sent(trace.session, 32);
	pst_session_submit_external(trace.session, 1, PST_STREAM_STDOUT, 5);
	submit_file(&trace, 10, 0);
	ck_assert_uint_eq(shown(&trace, &size), 8);
	ck_assert_int_eq(size, 10);
	pst_session_sent(trace.session, 8);
	ck_assert_uint_eq(shown(&trace, &size), 0);
	ck_assert_int_eq(size, -1);
	pst_session_external_sent(trace.session, 5);
	ck_assert_uint_eq(shown(&trace, &size), 35); /* the padding before it */
	ck_assert_int_eq(size, -1);
	trace_free(&trace);
	ck_assert_int_eq(lowest_fd(), before);
}
END_TEST

START_TEST(test_file_credit)
{
	int before = lowest_fd();
	struct trace trace;

	trace_extended(&trace, false, 1);
	for (unsigned i = 0; i < PST_SESSION_CREDIT / PST_SESSION_FILE_COST; i++)
		submit_file(&trace, i + 1, 0);
	submit_file(&trace, 1, PST_ERR_LIMIT);
	pst_session_submit_data(trace.session, 1, PST_STREAM_STDOUT, NULL, 0);
	submit_file(&trace, 1, PST_ERR_STATE);
	pst_session_close(trace.session);
	ck_assert(pst_session_want_write(trace.session)); /* a peer may still read */
	submit_file(&trace, 1, PST_ERR_CLOSED);
	trace_free(&trace);
	ck_assert_int_eq(lowest_fd(), before);
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

/* --- descriptors beside bytes --- */

START_TEST(test_descriptor)
{
	int pair[2], file = make_file(5), fd, before;
	char bytes[100];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	before = lowest_fd();
	ck_assert_int_eq(pst_descriptor_send(pair[0], "ab", 2, MSG_NOSIGNAL, -1), 2);
	ck_assert_int_eq(pst_descriptor_send(pair[0], "cdef", 4, MSG_NOSIGNAL, file), 4);
	ck_assert_int_eq(pst_descriptor_send(pair[0], "gh", 2, MSG_NOSIGNAL, file), 2);
	ck_assert_int_eq(pst_descriptor_recv(pair[1], bytes, 3, 0, &fd), 3);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 5);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	ck_assert_int_eq(pst_descriptor_recv(pair[1], bytes, sizeof bytes, 0, &fd), 5);
	ck_assert_mem_eq(bytes, "defgh", 5);
	close(fd);
	ck_assert_int_lt(pst_descriptor_recv(pair[1], bytes, sizeof bytes, 0, &fd), 0);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(fd, -1);
	close(pair[0]);
	ck_assert_int_eq(pst_descriptor_recv(pair[1], bytes, sizeof bytes, 0, &fd), 0);
	ck_assert_int_eq(pst_descriptor_send(pair[1], "x", 1, MSG_NOSIGNAL, file), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(pair[1]);
	close(file);
	ck_assert_int_le(lowest_fd(), before);
}
END_TEST

/* More than one at once is a peer's mistake; none of them stays open. */
START_TEST(test_descriptors_at_once)
{
	int pair[2], file = make_file(5), fd, before;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(3 * sizeof(int))];
	} control = {0};
	char byte = 0;
	struct iovec piece = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes};

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	before = lowest_fd();
	for (unsigned count = 2; count <= 3; count++) {
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &file, sizeof(int));
		ck_assert_int_eq(sendmsg(pair[0], &message, 0), 1);
		ck_assert_int_eq(pst_descriptor_recv(pair[1], &byte, 1, 0, &fd), -1);
		ck_assert_int_eq(errno, EPROTO);
		ck_assert_int_eq(fd, -1);
		ck_assert_int_eq(lowest_fd(), before);
	}
	close(pair[0]);
	close(pair[1]);
	close(file);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("session_extensions");

	tcase_add_loop_test(tcase, test_server, 0, (int)(sizeof server / sizeof server[0]));
	tcase_add_loop_test(tcase, test_client, 0, (int)(sizeof client / sizeof client[0]));
	tcase_add_test(tcase, test_spent);
	tcase_add_test(tcase, test_files_unasked);
	tcase_add_test(tcase, test_too_many_fds);
	tcase_add_loop_test(tcase, test_in_callback, 0, (int)(sizeof names / sizeof names[0]));
	tcase_add_loop_test(tcase, test_submit_messages, 0, 2);
	tcase_add_test(tcase, test_submit_notices);
	tcase_add_test(tcase, test_submit_shared);
	tcase_add_test(tcase, test_submit_plain);
	tcase_add_test(tcase, test_submit_aborted);
	tcase_add_test(tcase, test_submit_files);
	tcase_add_test(tcase, test_file_credit);
	tcase_add_test(tcase, test_no_memory);
	tcase_add_test(tcase, test_no_memory_in);
	tcase_add_test(tcase, test_descriptor);
	tcase_add_test(tcase, test_descriptors_at_once);
	return run_case("session_extensions", tcase);
}
