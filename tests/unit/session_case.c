#include "tests/unit/session_case.h"

#include "protocol/record.h"
#include "tests/unit/runner.h"

#include <fastcgi.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void
wire_message(struct pst_buf *wire, uint16_t id, unsigned flags, const char *text)
{
	char body[200] = {(char)flags, 1, 2, 3};

	memcpy(body + 4, text, strlen(text));
	wire_record(wire, PST_RECORD_MESSAGE, id, body, 4 + strlen(text), 3);
}

void
wire_close(struct pst_buf *wire, uint16_t id, unsigned code, const char *reason)
{
	char body[200] = {(char)(code >> 8), (char)(code & 255)};

	memcpy(body + 2, reason, strlen(reason));
	wire_record(wire, PST_RECORD_CLOSE, id, body, 2 + strlen(reason), 0);
}

void
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

int
make_file(unsigned size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	return fd;
}

int
give_files(struct trace *trace, unsigned count)
{
	int err = 0;

	for (unsigned i = 1; err == 0 && i <= count; i++)
		err = pst_session_recv_fd(trace->session, make_file(i));
	return err;
}

int
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

int
recv_wire(struct trace *trace, struct pst_buf *wire)
{
	int err = feed(trace, pst_buf_bytes(wire), pst_buf_length(wire));

	pst_buf_free(wire);
	return err;
}

/* Without the ends that the session's own end makes: they follow in any order. */
static void
finish(const struct session_case *c, struct trace *trace, int err)
{
	const char *text = trace_text(trace), *end = strstr(text, " -1 status 0");

	ck_assert((err < 0) == (*pst_session_reason(trace->session) != '\0'));
	while (end != NULL && end > text && end[-1] != '\n')
		end--;
	if (err < 0 && end != NULL)
		trace->text.end = trace->text.start + (size_t)(end - text);
	if (err < 0)
		trace_line(trace, "%s", pst_session_reason(trace->session));
	ck_assert_str_eq(trace_text(trace), c->expect);
	trace_free(trace);
}

/* In pieces of STEP bytes, the first of them FIRST. */
static void
run_cut(const struct session_case *c, const struct pst_buf *wire, size_t first, size_t step)
{
	int before = lowest_fd(), err;
	struct trace trace;
	size_t at = 0, n = first;

	trace_extended(&trace, c->client, 2);
	err = give_files(&trace, c->files);
	ck_assert_int_eq(err, 0);
	for (; err == 0 && at < wire->end; at += n, n = step) {
		if (n > wire->end - at)
			n = wire->end - at;
		err = feed(&trace, wire->data + at, n);
	}
	finish(c, &trace, err);
	ck_assert_int_eq(lowest_fd(), before);
}

void
session_case_run(const struct session_case *c)
{
	struct pst_buf wire = {0};

	c->build(&wire);
	for (size_t cut = 0; cut <= wire.end; cut += wire.end > 10000 ? 1009 : 1)
		run_cut(c, &wire, cut, wire.end);
	run_cut(c, &wire, 1, 1);
	pst_buf_free(&wire);
}

void
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
