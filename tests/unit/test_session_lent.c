/* What a descriptor is lent for, files and memory, and the descriptors beside the bytes. */
#include "protocol/descriptor.h"
#include "protocol/params.h"
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/session_case.h"
#include "tests/unit/trace.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- what comes, in any pieces --- */

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

static void
build_spent_by_files(struct pst_buf *wire)
{
	wire_text(wire, FCGI_STDIN, 1, "x");
	for (unsigned i = 0; i < 16; i++)
		wire_file(wire, 1, FCGI_STDIN, 0, 1);
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

static const struct session_case server[] = {
    {.build = build_spent_by_files,
	.files = 16,
	.expect = "data 1 STDIN x\n"
		  "file 1 STDIN 0+1 of 1\nfile 1 STDIN 0+1 of 2\nfile 1 STDIN 0+1 of 3\n"
		  "file 1 STDIN 0+1 of 4\nfile 1 STDIN 0+1 of 5\nfile 1 STDIN 0+1 of 6\n"
		  "file 1 STDIN 0+1 of 7\nfile 1 STDIN 0+1 of 8\nfile 1 STDIN 0+1 of 9\n"
		  "file 1 STDIN 0+1 of 10\nfile 1 STDIN 0+1 of 11\nfile 1 STDIN 0+1 of 12\n"
		  "file 1 STDIN 0+1 of 13\nfile 1 STDIN 0+1 of 14\nfile 1 STDIN 0+1 of 15\n"
		  "FILE record for request 1 has 4096 bytes, and its credit is 4095\n"},
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
};

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

/* More than there is at the owner, who does not use it then. */
static void
build_memory_refused(struct pst_buf *wire)
{
	wire_memory(wire, 16);
	wire_shared(wire, 1, 0, 1);
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
	wire_record(wire, PST_RECORD_MEMORY, 1, "\0\0\0\0\0\0\0", 8, 0);
}

static const struct session_case client[] = {
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
	.build = build_memory_refused,
	.files = 1,
	.expect = "memory of 16\nSHARED record for request 1, and there is no memory\n"},
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

/* --- what is sent --- */

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

static void
agree_on(struct trace *trace, const char *name, char value)
{
	struct pst_buf wire = {0}, pairs = {0}, out = {0};

	ck_assert_int_eq(pst_session_submit_get_value(trace->session, name, strlen(name)), 0);
	trace_drain(trace, &out);
	pst_buf_free(&out);
	ck_assert_int_eq(pst_params_append(&pairs, name, strlen(name), &value, 1), 0);
	wire_record(
	    &wire, FCGI_GET_VALUES_RESULT, 0, pst_buf_bytes(&pairs), pst_buf_length(&pairs), 0);
	ck_assert_int_eq(recv_wire(trace, &wire), 0);
	pst_buf_free(&pairs);
}

/* It is agreed on beside extensions and files, by a question and its answer. */
START_TEST(test_memory_unasked)
{
	struct pst_buf wire = {0};
	struct trace trace;

	trace_init_client(&trace, NULL);
	agree_on(&trace, PST_SESSION_VERSION_NAME, '1');
	agree_on(&trace, PST_SESSION_MEMORY_NAME, '1');
	ck_assert(!pst_session_lends(trace.session));
	agree_on(&trace, PST_SESSION_FILES_NAME, '1');
	ck_assert(pst_session_lends(trace.session));
	trace_free(&trace);

	trace_init_client(&trace, NULL);
	agree_on(&trace, PST_SESSION_VERSION_NAME, '1');
	agree_on(&trace, PST_SESSION_FILES_NAME, '1');
	agree_on(&trace, PST_SESSION_MEMORY_NAME, '0');
	ck_assert(!pst_session_lends(trace.session));
	ck_assert_int_eq(give_files(&trace, 1), 0);
	wire_memory(&wire, 15);
	ck_assert_int_eq(recv_wire(&trace, &wire), PST_ERR_PROTOCOL);
	ck_assert_str_eq(
	    pst_session_reason(trace.session), "MEMORY record, and memory was not agreed on");
	trace_free(&trace);
}
END_TEST

/* A server that was not asked for it offers none. */
START_TEST(test_memory_not_offered)
{
	struct pst_buf wire = {0};
	struct trace trace;

	trace_init_server(&trace, NULL);
	trace.version = "1";
	trace.files = true;
	wire_record(&wire, FCGI_GET_VALUES, 0, "\x10\0PENSTOCK_VERSION\x0e\0PENSTOCK_FILES", 34, 0);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert(pst_session_files(trace.session) && !pst_session_lends(trace.session));
	ck_assert_int_eq(pst_session_submit_memory(trace.session, 0, 15), PST_ERR_STATE);
	trace_free(&trace);
}
END_TEST

/* The client says whether it has taken what was offered. */
START_TEST(test_memory_is_answered)
{
	static const char *const answers[] = {
	    "\1\x47\0\0\0\x8\0\0\0\0\0\xf\0\0\0", "\1\x47\0\0\0\x8\0\0\0\0\0\0\0\0\0"};
	struct pst_buf wire = {0}, out = {0};
	struct trace trace;

	trace_extended(&trace, true, 1);
	ck_assert_int_eq(give_files(&trace, 1), 0);
	wire_memory(&wire, _i == 0 ? 15 : 16);
	ck_assert_int_eq(recv_wire(&trace, &wire), 0);
	ck_assert_int_eq(pst_session_memory(trace.session),
	    _i == 0 ? PST_SESSION_MEMORY_TAKEN : PST_SESSION_MEMORY_REFUSED);
	trace_drain(&trace, &out);
	ck_assert_uint_eq(out.end, 16);
	ck_assert_mem_eq(out.data, answers[_i], 16);
	pst_buf_free(&out);
	trace_free(&trace);
}
END_TEST

/* The owner frees the session when it hears of the memory: there is nobody to answer for. */
START_TEST(test_memory_in_callback)
{
	struct pst_buf wire = {0};
	int before = lowest_fd();
	struct trace trace;

	trace_extended(&trace, true, 1);
	ck_assert_int_eq(give_files(&trace, 2), 0);
	trace.free_at = "memory";
	wire_memory(&wire, 15);
	ck_assert_int_eq(recv_wire(&trace, &wire), PST_ERR_CLOSED);
	trace.session = NULL;
	trace_free(&trace);
	ck_assert_int_eq(lowest_fd(), before);
}
END_TEST

static int
answer_offer(struct trace *trace, uint32_t size)
{
	struct pst_buf wire = {0};

	wire_memory(&wire, size);
	return recv_wire(trace, &wire);
}

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
	ck_assert_int_eq(pst_session_memory(session), PST_SESSION_MEMORY_OFFERED);
	ck_assert_int_eq(answer_offer(&trace, 0x10203), 0);
	ck_assert_int_eq(pst_session_memory(session), PST_SESSION_MEMORY_TAKEN);
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

START_TEST(test_an_offer_is_refused)
{
	struct trace trace;

	trace_extended(&trace, false, 1);
	ck_assert_int_eq(pst_session_submit_memory(trace.session, make_file(1), 15), 0);
	ck_assert_int_eq(answer_offer(&trace, 0), 0);
	ck_assert_int_eq(pst_session_memory(trace.session), PST_SESSION_MEMORY_REFUSED);
	ck_assert_int_eq(answer_offer(&trace, 0), PST_ERR_PROTOCOL);
	ck_assert_str_eq(
	    pst_session_reason(trace.session), "MEMORY record, and no memory waits for an answer");
	trace_free(&trace);
}
END_TEST

START_TEST(test_an_offer_is_answered_wrongly)
{
	struct trace trace;

	trace_extended(&trace, false, 1);
	ck_assert_int_eq(pst_session_submit_memory(trace.session, make_file(1), 15), 0);
	ck_assert_int_eq(answer_offer(&trace, 14), PST_ERR_PROTOCOL);
	ck_assert_str_eq(pst_session_reason(trace.session), "MEMORY record takes 14 bytes of 15");
	trace_free(&trace);
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
	TCase *tcase = tcase_create("session_lent");

	tcase_add_loop_test(tcase, test_server, 0, (int)(sizeof server / sizeof server[0]));
	tcase_add_loop_test(tcase, test_client, 0, (int)(sizeof client / sizeof client[0]));
	tcase_add_test(tcase, test_files_unasked);
	tcase_add_test(tcase, test_too_many_fds);
	tcase_add_test(tcase, test_memory_unasked);
	tcase_add_test(tcase, test_memory_not_offered);
	tcase_add_loop_test(tcase, test_memory_is_answered, 0, 2);
	tcase_add_test(tcase, test_memory_in_callback);
	tcase_add_test(tcase, test_submit_shared);
	tcase_add_test(tcase, test_an_offer_is_refused);
	tcase_add_test(tcase, test_an_offer_is_answered_wrongly);
	tcase_add_test(tcase, test_submit_files);
	tcase_add_test(tcase, test_file_credit);
	tcase_add_test(tcase, test_descriptor);
	tcase_add_test(tcase, test_descriptors_at_once);
	return run_case("session_lent", tcase);
}
