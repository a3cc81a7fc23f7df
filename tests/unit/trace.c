#include "tests/unit/trace.h"

#include "protocol/params.h"
#include "protocol/record.h"

#include <check.h>
#include <fastcgi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const stream_names[] = {"STDIN", "DATA", "STDOUT", "STDERR"};

/* The trace's own memory is no part of what is tested: an allocation of it does not count. */
static void
text_add(struct trace *trace, const char *bytes, size_t n)
{
	unsigned long at = failmalloc_at, count = failmalloc_count;

	failmalloc_at = 0;
	ck_assert_int_eq(pst_buf_append(&trace->text, bytes, n), 0);
	failmalloc_at = at;
	failmalloc_count = count;
}

static void
text_add_quoted(struct trace *trace, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	char piece[8];

	for (size_t i = 0; i < n; i++) {
		snprintf(piece, sizeof piece, p[i] >= ' ' && p[i] < 127 ? "%c" : "\\%02x", p[i]);
		text_add(trace, piece, strlen(piece));
	}
}

void
trace_line(struct trace *trace, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (trace->in_data)
		text_add(trace, "\n", 1);
	trace->in_data = false;
	text_add(trace, line, strlen(line));
	text_add(trace, "\n", 1);
}

const char *
trace_text(struct trace *trace)
{
	if (trace->in_data)
		text_add(trace, "\n", 1);
	trace->in_data = false;
	text_add(trace, "", 1);
	trace->text.end--;
	return (const char *)pst_buf_bytes(&trace->text);
}

/* The owner's deeds in the callback NAME for request ID. */
static void
act(struct trace *trace, const char *name, uint16_t id)
{
	const char *end_at = trace->end_at, *submit_at = trace->submit_at;
	uint16_t fresh;

	if (trace->free_at != NULL && strcmp(trace->free_at, name) == 0) {
		trace->free_at = NULL;
		pst_session_free(trace->session);
	}
	if (end_at != NULL && strcmp(end_at, name) == 0) {
		trace->end_at = NULL;
		pst_session_submit_end(trace->session, id, PST_END_COMPLETE, 3);
	}
	if (submit_at != NULL && strcmp(submit_at, name) == 0) {
		trace->submit_at = NULL;
		if (pst_session_submit_begin(trace->session, PST_ROLE_RESPONDER, true, &fresh) ==
		    0) {
			trace_line(trace, "submitted %u", fresh);
			trace->begun++;
		}
	}
}

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct trace *trace = arg;

	trace->begun++;
	trace_line(trace, "begin %u role %d%s", id, (int)role, keep ? " keep" : "");
	act(trace, "begin", id);
}

static int
on_param(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct trace *trace = arg;

	if (name_len + value_len < 400)
		trace_line(
		    trace, "param %u %.*s=%.*s", id, (int)name_len, name, (int)value_len, value);
	else
		trace_line(trace, "param %u of %zu, %zu", id, name_len, value_len);
	act(trace, "param", id);
	return trace->refuse != NULL && strlen(trace->refuse) == name_len &&
	       memcmp(trace->refuse, name, name_len) == 0;
}

static int
on_params(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count)
{
	int refused = 0;

	for (size_t i = 0; refused == 0 && i < count; i++)
		refused = on_param(arg, id, pairs[i].name, pairs[i].name_len,
		    pst_pair_value(&pairs[i]), pairs[i].value_len);
	return refused;
}

static void
on_ready(void *arg, uint16_t id)
{
	struct trace *trace = arg;

	trace_line(trace, "ready %u", id);
	if (trace->answer) {
		pst_session_submit_data(trace->session, id, PST_STREAM_STDOUT, "hello", 5);
		pst_session_submit_end(trace->session, id, PST_END_COMPLETE, 7);
	}
	act(trace, "ready", id);
}

static void
add_data(struct trace *trace, const char *event, uint16_t id, const char *what, const void *bytes,
    size_t n)
{
	if (!trace->in_data || trace->id != id || trace->what != what) {
		trace_line(trace, "%s %u %s", event, id, what);
		trace->text.end--;
		text_add(trace, " ", 1);
	}
	trace->in_data = true;
	trace->id = id;
	trace->what = what;
	text_add_quoted(trace, bytes, n);
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct trace *trace = arg;

	if (n == 0)
		trace_line(trace, "data %u %s end", id, stream_names[stream]);
	else
		add_data(trace, "data", id, stream_names[stream], bytes, n);
	act(trace, "data", id);
}

static void
on_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	struct trace *trace = arg;
	static const char *const kinds[] = {"text", "binary"};
	const char *kind = kinds[flags & PST_SESSION_MESSAGE_BINARY];

	ck_assert(n > 0 || (flags & PST_SESSION_MESSAGE_END) != 0);
	if (n > 0)
		add_data(trace, "message", id, kind, bytes, n);
	if ((flags & PST_SESSION_MESSAGE_END) != 0)
		trace_line(trace, "message %u %s end", id, kind);
	act(trace, "message", id);
}

static void
on_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n)
{
	trace_line(arg, "closed %u %u %.*s", id, code, (int)n, reason);
	act(arg, "closed", id);
}

static void
on_trailer(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	trace_line(arg, "trailer %u %.*s=%.*s", id, (int)name_len, name, (int)value_len, value);
	act(arg, "trailer", id);
}

/* The size tells one descriptor from another. */
static void
on_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	struct stat status;

	ck_assert_int_eq(fstat(file->fd, &status), 0);
	close(file->fd);
	trace_line(arg, "file %u %s %llu+%llu of %lld", id, stream_names[stream],
	    (unsigned long long)file->offset, (unsigned long long)file->length,
	    (long long)status.st_size);
	act(arg, "file", id);
}

static void
on_usage(void *arg, uint16_t id, const struct pst_session_usage *usage)
{
	trace_line(arg, "usage %u %llu %llu %llu", id, (unsigned long long)usage->cpu,
	    (unsigned long long)usage->waited, (unsigned long long)usage->lag);
	act(arg, "usage", id);
}

static void
on_drain(void *arg)
{
	trace_line(arg, "drain");
	act(arg, "drain", 0);
}

/* What is said to be memory is TRACE_MEMORY at most. */
static void
on_memory(void *arg, int fd, uint32_t size)
{
	struct trace *trace = arg;

	trace_line(trace, "memory of %u", (unsigned)size);
	close(fd);
	if (size <= strlen(TRACE_MEMORY))
		pst_session_use_memory(trace->session, TRACE_MEMORY, size);
	act(trace, "memory", 0);
}

static void
on_shared(void *arg, uint16_t id, const void *bytes, size_t n)
{
	struct trace *trace = arg;

	trace_line(trace, "shared %u %.*s", id, (int)n, (const char *)bytes);
	act(trace, "shared", id);
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	trace_line(arg, why == PST_SESSION_ABORT_DEADLINE ? "abort %u deadline" : "abort %u", id);
	act(arg, "abort", id);
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct trace *trace = arg;

	trace->ended++;
	trace_line(trace, "end %u %d status %lu", id, (int)end, (unsigned long)app_status);
	act(trace, "end", id);
}

static void
on_credit(void *arg, uint16_t id)
{
	struct trace *trace = arg;

	trace_line(trace, "credit %u %zu", id, pst_session_credit(trace->session, id));
	act(trace, "credit", id);
}

static void
on_get_value(void *arg, const char *name, size_t name_len)
{
	struct trace *trace = arg;

	trace_line(trace, "get_value %.*s", (int)name_len, name);
	if (name_len == 13 && memcmp(name, FCGI_MAX_REQS, 13) == 0)
		pst_session_submit_value(trace->session, name, name_len, "1", 1);
	if (trace->version != NULL && name_len == strlen(PST_SESSION_VERSION_NAME) &&
	    memcmp(name, PST_SESSION_VERSION_NAME, name_len) == 0)
		pst_session_submit_value(
		    trace->session, name, name_len, trace->version, strlen(trace->version));
	if (trace->files && name_len == strlen(PST_SESSION_FILES_NAME) &&
	    memcmp(name, PST_SESSION_FILES_NAME, name_len) == 0)
		pst_session_submit_value(trace->session, name, name_len, PST_SESSION_FILES_VALUE,
		    strlen(PST_SESSION_FILES_VALUE));
	if (trace->files && name_len == strlen(PST_SESSION_MEMORY_NAME) &&
	    memcmp(name, PST_SESSION_MEMORY_NAME, name_len) == 0)
		pst_session_submit_value(trace->session, name, name_len, PST_SESSION_MEMORY_VALUE,
		    strlen(PST_SESSION_MEMORY_VALUE));
	act(trace, "get_value", 0);
}

static void
on_value(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	if (name == NULL)
		trace_line(arg, "values end");
	else
		trace_line(arg, "value %.*s=%.*s", (int)name_len, name, (int)value_len, value);
	act(arg, "value", 0);
}

static const struct pst_session_callbacks callbacks = {
    .begin = on_begin,
    .params = on_params,
    .ready = on_ready,
    .data = on_data,
    .abort = on_abort,
    .end = on_end,
    .credit = on_credit,
    .message = on_message,
    .closed = on_closed,
    .trailer = on_trailer,
    .file = on_file,
    .memory = on_memory,
    .shared = on_shared,
    .usage = on_usage,
    .drain = on_drain,
    .get_value = on_get_value,
    .value = on_value,
};

void
trace_init_server(struct trace *trace, const struct pst_session_limits *limits)
{
	*trace = (struct trace){0};
	trace->session = pst_session_new_server(&callbacks, limits, trace);
}

void
trace_init_client(struct trace *trace, const struct pst_session_limits *limits)
{
	*trace = (struct trace){0};
	trace->session = pst_session_new_client(&callbacks, limits, trace);
}

void
trace_free(struct trace *trace)
{
	pst_session_free(trace->session);
	trace->session = NULL;
	ck_assert_uint_eq(trace->begun, trace->ended);
	pst_buf_free(&trace->text);
}

uint16_t
trace_begin(struct trace *trace, bool keep)
{
	uint16_t id = 0;

	if (pst_session_submit_begin(trace->session, PST_ROLE_RESPONDER, keep, &id) == 0)
		trace->begun++;
	return id;
}

void
trace_drain(struct trace *trace, struct pst_buf *out)
{
	unsigned long at = failmalloc_at, count = failmalloc_count;
	const void *bytes;
	size_t n;

	failmalloc_at = 0;
	while ((n = pst_session_send(trace->session, &bytes)) > 0) {
		trace->sent_fds += pst_session_send_fd(trace->session) >= 0;
		ck_assert_int_eq(pst_buf_append(out, bytes, n), 0);
		pst_session_sent(trace->session, n);
	}
	failmalloc_at = at;
	failmalloc_count = count;
}

void
trace_records(struct trace *trace, const struct pst_buf *bytes)
{
	size_t left = pst_buf_length(bytes);
	const unsigned char *p = left > 0 ? pst_buf_bytes(bytes) : NULL;
	struct pst_record record;

	while (left > 0) {
		ck_assert_uint_ge(left, PST_RECORD_HEADER_LEN);
		pst_record_decode(p, &record);
		ck_assert_uint_eq(record.version, 1);
		ck_assert_uint_eq((record.content + record.padding) % 8U, 0);
		ck_assert_uint_le(record.content + record.padding, 65528U);
		trace_line(trace, "%s %u %u+%u", pst_record_type_name(record.type), record.id,
		    record.content, record.padding);
		p += PST_RECORD_HEADER_LEN + record.content + record.padding;
		left -= PST_RECORD_HEADER_LEN + record.content + record.padding;
	}
}

void
wire_record(
    struct pst_buf *wire, uint8_t type, uint16_t id, const void *content, size_t n, uint8_t padding)
{
	struct pst_record record = {
	    .version = 1, .type = type, .id = id, .content = (uint16_t)n, .padding = padding};
	unsigned char header[PST_RECORD_HEADER_LEN];
	char zeros[PST_RECORD_MAX_PADDING];

	memset(zeros, 'P', sizeof zeros);
	pst_record_encode(&record, header);
	ck_assert_int_eq(pst_buf_append(wire, header, sizeof header), 0);
	ck_assert_int_eq(pst_buf_append(wire, content, n), 0);
	ck_assert_int_eq(pst_buf_append(wire, zeros, padding), 0);
}

void
wire_begin(struct pst_buf *wire, uint16_t id, uint16_t role, uint8_t flags)
{
	struct pst_record_begin begin = {.role = role, .flags = flags};
	unsigned char body[8];

	pst_record_begin_encode(&begin, body);
	wire_record(wire, FCGI_BEGIN_REQUEST, id, body, sizeof body, 0);
}

void
wire_end(struct pst_buf *wire, uint16_t id, uint32_t app_status, uint8_t protocol_status)
{
	struct pst_record_end end = {.app_status = app_status, .protocol_status = protocol_status};
	unsigned char body[8];

	pst_record_end_encode(&end, body);
	wire_record(wire, FCGI_END_REQUEST, id, body, sizeof body, 0);
}

void
wire_text(struct pst_buf *wire, uint8_t type, uint16_t id, const char *text)
{
	wire_record(wire, type, id, text, strlen(text), (uint8_t)(-strlen(text) & 7));
}

static void
agree(struct trace *trace, bool client)
{
	static const char *const names[] = {
	    PST_SESSION_VERSION_NAME, PST_SESSION_FILES_NAME, PST_SESSION_MEMORY_NAME};
	struct pst_buf pairs = {0}, wire = {0};

	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
		ck_assert_int_eq(
		    pst_params_append(&pairs, names[i], strlen(names[i]), "1", client), 0);
		if (client)
			ck_assert_int_eq(pst_session_submit_get_value(
					     trace->session, names[i], strlen(names[i])),
			    0);
	}
	wire_record(&wire, client ? FCGI_GET_VALUES_RESULT : FCGI_GET_VALUES, 0,
	    pst_buf_bytes(&pairs), pst_buf_length(&pairs), 0);
	ck_assert_int_eq(
	    pst_session_recv(trace->session, pst_buf_bytes(&wire), pst_buf_length(&wire)), 0);
	ck_assert(pst_session_lends(trace->session));
	pst_buf_free(&pairs);
	pst_buf_free(&wire);
}

void
trace_extended(struct trace *trace, bool client, unsigned count)
{
	const struct pst_session_limits limits = {count + 2, 10000, 1000};
	struct pst_buf wire = {0}, out = {0};

	if (client)
		trace_init_client(trace, &limits);
	else
		trace_init_server(trace, &limits);
	trace->version = "1";
	trace->files = true;
	agree(trace, client);
	for (unsigned id = 1; id <= count; id++) {
		wire_begin(
		    &wire, (uint16_t)id, FCGI_RESPONDER, FCGI_KEEP_CONN | PST_RECORD_EXTENDED);
		wire_text(&wire, FCGI_PARAMS, (uint16_t)id, "");
		if (client) {
			ck_assert_uint_eq(trace_begin(trace, true), id);
			ck_assert_int_eq(
			    pst_session_submit_params_end(trace->session, (uint16_t)id), 0);
		}
	}
	if (!client)
		ck_assert_int_eq(
		    pst_session_recv(trace->session, pst_buf_bytes(&wire), pst_buf_length(&wire)),
		    0);
	trace_drain(trace, &out);
	pst_buf_free(&out);
	pst_buf_free(&wire);
	pst_buf_free(&trace->text);
}
