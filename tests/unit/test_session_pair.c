/*
 * Two sessions, each other's peer: what one submits the other reports, whole and in order, whatever
 * the pieces on the way. Chances are drawn from a seed that a failure names.
 */
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <fastcgi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_OPEN  5
#define MAX_BYTES 3000

/* One way of a stream: what was submitted and what arrived of it. */
struct flow {
	size_t sent;
	size_t held; /* arrived and not granted again */
	size_t got;
	bool sent_end;
	bool got_end;
};

/* One way of the rest that an extended request carries. */
struct way {
	size_t sent; /* payload of messages */
	size_t got;
	unsigned sent_messages;
	unsigned got_messages;
	size_t sent_ends; /* of where they end */
	size_t got_ends;
	unsigned sent_files;
	unsigned got_files;
	bool sent_close;
	bool got_close;
};

struct call {
	struct flow flows[4];
	struct way to_server;
	struct way to_client;
	unsigned sent_trailers;
	unsigned got_trailers;
	bool sent_usage;
	bool got_usage;
	unsigned params_sent;
	unsigned params_got;
	bool params_ended;
	bool open_client;
	bool open_server;
	bool ready;
	bool aborted;
	bool ended; /* by the server */
};

struct pair {
	struct pst_session *client;
	struct pst_session *server;
	struct call calls[MAX_OPEN + 1]; /* by id */
	unsigned completed;
	unsigned refused; /* for want of credit */
	unsigned messages; /* that came whole */
	unsigned files;
	unsigned drains;
	uint32_t seed;
};

static unsigned
chance(struct pair *pair, unsigned n)
{
	pair->seed = pair->seed * 1664525 + 1013904223;
	return (pair->seed >> 8) % n;
}

/* Of the parameter with this index; one is larger than a record. */
static size_t
value_size(unsigned index)
{
	return index == 17 ? 70000 : index * 1009 % 3000;
}

/* The byte at a place of a stream: any loss or mix-up shows. */
static unsigned char
byte_at(uint16_t id, enum pst_stream stream, size_t at)
{
	return (unsigned char)(at * 7 + at / 251 + id * 31U + (unsigned)stream * 101);
}

/* N bytes of credit are held by who takes STREAM; some time it grants them again. */
static void
hold(struct pair *pair, uint16_t id, enum pst_stream stream, size_t n)
{
	struct flow *flow = &pair->calls[id].flows[stream];

	flow->held += n;
	if (flow->held == 0 || chance(pair, 3) > 0)
		return;
	ck_assert_int_eq(
	    pst_session_submit_credit(stream == PST_STREAM_STDOUT ? pair->client : pair->server, id,
		(uint32_t)flow->held),
	    0);
	flow->held = 0;
}

static void
take_data(struct pair *pair, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct flow *flow = &pair->calls[id].flows[stream];
	const unsigned char *p = bytes;
	size_t equal = 0;

	ck_assert(!flow->got_end);
	while (equal < n && p[equal] == byte_at(id, stream, flow->got + equal))
		equal++;
	ck_assert_uint_eq(equal, n);
	flow->got += n;
	flow->got_end = n == 0;
	if (stream != PST_STREAM_STDERR)
		hold(pair, id, stream, n);
}

/* --- messages, files and the rest --- */

/* Messages are text and binary in turn. */
static unsigned
kind_of(unsigned messages)
{
	return messages % 2 == 0 ? 0 : PST_SESSION_MESSAGE_BINARY;
}

static struct way *
way_to(struct pair *pair, uint16_t id, bool client)
{
	return client ? &pair->calls[id].to_client : &pair->calls[id].to_server;
}

static void
take_message(
    struct pair *pair, bool client, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	struct way *way = way_to(pair, id, client);
	const unsigned char *p = bytes;
	size_t equal = 0;

	ck_assert_uint_eq(flags & PST_SESSION_MESSAGE_BINARY, kind_of(way->got_messages));
	while (equal < n && p[equal] == byte_at(id, PST_STREAM_DATA, way->got + equal))
		equal++;
	ck_assert_uint_eq(equal, n);
	ck_assert(!way->got_close);
	way->got += n;
	if ((flags & PST_SESSION_MESSAGE_END) != 0) {
		way->got_messages++;
		way->got_ends = way->got_ends * 31 + way->got;
		pair->messages++;
	}
	hold(pair, id, client ? PST_STREAM_STDOUT : PST_STREAM_STDIN, n);
}

static void
take_close(struct pair *pair, bool client, uint16_t id, unsigned code, const char *reason, size_t n)
{
	struct way *way = way_to(pair, id, client);

	ck_assert(way->sent_close && !way->got_close);
	ck_assert_uint_eq(code, 1000U + id);
	ck_assert(n == 3 && memcmp(reason, "bye", 3) == 0);
	way->got_close = true;
}

/* The size of a file is its number. */
static void
take_file(struct pair *pair, bool client, uint16_t id, enum pst_stream stream,
    const struct pst_session_file *file)
{
	struct way *way = way_to(pair, id, client);
	struct stat status;

	ck_assert_int_eq(fstat(file->fd, &status), 0);
	close(file->fd);
	way->got_files++;
	pair->files++;
	ck_assert_uint_eq((size_t)status.st_size, way->got_files);
	ck_assert_uint_eq(file->length, way->got_files);
	ck_assert_uint_eq(file->offset, pair->calls[id].flows[stream].got);
	hold(pair, id, stream, PST_SESSION_FILE_COST);
}

static void
on_server_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	take_message(arg, false, id, flags, bytes, n);
}

static void
on_client_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	take_message(arg, true, id, flags, bytes, n);
}

static void
on_server_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n)
{
	take_close(arg, false, id, code, reason, n);
}

static void
on_client_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n)
{
	take_close(arg, true, id, code, reason, n);
}

static void
on_server_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	take_file(arg, false, id, stream, file);
}

static void
on_client_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	take_file(arg, true, id, stream, file);
}

static void
on_trailer(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct call *call = &((struct pair *)arg)->calls[id];

	ck_assert(name_len == 1 && *name == 'T');
	ck_assert(value_len == 5 && memcmp(value, "value", 5) == 0);
	call->got_trailers++;
}

static void
on_usage(void *arg, uint16_t id, const struct pst_session_usage *usage)
{
	struct call *call = &((struct pair *)arg)->calls[id];

	ck_assert(call->sent_usage && !call->got_usage);
	ck_assert(usage->cpu == id && usage->waited == 1 && usage->lag == UINT64_MAX);
	call->got_usage = true;
}

static void
on_drain(void *arg)
{
	((struct pair *)arg)->drains++;
}

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct pair *pair = arg;

	ck_assert(keep && role == (id % 2 == 0 ? PST_ROLE_FILTER : PST_ROLE_RESPONDER));
	ck_assert(pair->calls[id].open_client && !pair->calls[id].open_server);
	pair->calls[id].open_server = true;
}

static int
on_param(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct call *call = &((struct pair *)arg)->calls[id];

	ck_assert_uint_eq(name_len, call->params_got * 37 % 300);
	ck_assert_uint_eq(value_len, value_size(call->params_got));
	ck_assert(name_len == 0 || name[name_len - 1] == 'n');
	ck_assert(value_len == 0 || value[value_len - 1] == 'v');
	call->params_got++;
	return 0;
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
	struct call *call = &((struct pair *)arg)->calls[id];

	ck_assert_uint_eq(call->params_got, call->params_sent);
	call->ready = true;
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	ck_assert_int_eq(why, PST_SESSION_ABORT_CLIENT);
	ck_assert(((struct pair *)arg)->calls[id].aborted);
}

static void
on_server_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pair *pair = arg;

	(void)app_status;
	ck_assert_int_eq(end, PST_END_COMPLETE);
	ck_assert(pair->calls[id].open_server);
	pair->calls[id].open_server = false;
}

/* What an application ends with. Every second one fails: the end of its STDOUT is not made up. */
static uint32_t
status_of(uint16_t id)
{
	return id % 2 == 0 ? 0 : id * 1000U;
}

static void
on_client_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pair *pair = arg;
	struct call *call = &pair->calls[id];

	ck_assert_int_eq(end, PST_END_COMPLETE);
	ck_assert_uint_eq(app_status, status_of(id));
	ck_assert(call->ended && call->open_client);
	for (unsigned stream = PST_STREAM_STDOUT; stream <= PST_STREAM_STDERR; stream++) {
		if (call->aborted && stream == PST_STREAM_STDOUT)
			continue;
		ck_assert(call->flows[stream].got_end ==
			  (call->flows[stream].sent_end || stream == PST_STREAM_STDERR ||
			      app_status == 0));
		ck_assert_uint_eq(call->flows[stream].got, call->flows[stream].sent);
	}
	if (!call->aborted) {
		ck_assert_uint_eq(call->to_client.got, call->to_client.sent);
		ck_assert_uint_eq(call->to_client.got_ends, call->to_client.sent_ends);
		ck_assert_uint_eq(call->to_client.got_files, call->to_client.sent_files);
		ck_assert(call->to_client.got_close == call->to_client.sent_close);
		ck_assert_uint_eq(call->got_trailers, call->sent_trailers);
	}
	ck_assert(call->got_usage == call->sent_usage);
	*call = (struct call){0};
	pair->completed++;
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	take_data(arg, id, stream, bytes, n);
}

static void
on_get_value(void *arg, const char *name, size_t name_len)
{
	struct pair *pair = arg;

	ck_assert_int_eq(pst_session_submit_value(pair->server, name, name_len,
			     PST_SESSION_VERSION_VALUE, strlen(PST_SESSION_VERSION_VALUE)),
	    0);
}

static const struct pst_session_callbacks server_callbacks = {
    .get_value = on_get_value,
    .begin = on_begin,
    .params = on_params,
    .ready = on_ready,
    .data = on_data,
    .abort = on_abort,
    .end = on_server_end,
    .message = on_server_message,
    .closed = on_server_closed,
    .file = on_server_file,
};
static const struct pst_session_callbacks client_callbacks = {
    .data = on_data,
    .end = on_client_end,
    .message = on_client_message,
    .closed = on_client_closed,
    .file = on_client_file,
    .trailer = on_trailer,
    .usage = on_usage,
    .drain = on_drain,
};

static void
submit_bytes(struct pair *pair, struct pst_session *session, uint16_t id, enum pst_stream stream)
{
	struct flow *flow = &pair->calls[id].flows[stream];
	size_t n = chance(pair, 40) == 0 ? 140000 : chance(pair, MAX_BYTES);
	size_t credit = pst_session_credit(session, id);
	unsigned char *bytes = calloc(1, n + 1);

	if (flow->sent_end) {
		ck_assert_int_eq(
		    pst_session_submit_data(session, id, stream, bytes, n), PST_ERR_STATE);
	} else if (stream != PST_STREAM_STDERR && n > credit) {
		ck_assert_int_eq(
		    pst_session_submit_data(session, id, stream, bytes, n), PST_ERR_LIMIT);
		pair->refused++;
	} else {
		for (size_t i = 0; i < n; i++)
			bytes[i] = byte_at(id, stream, flow->sent + i);
		ck_assert_int_eq(pst_session_submit_data(session, id, stream, bytes, n), 0);
		flow->sent += n;
		flow->sent_end = n == 0;
	}
	free(bytes);
}

static void
submit_message(struct pair *pair, struct pst_session *session, uint16_t id)
{
	struct way *way = way_to(pair, id, session == pair->server);
	unsigned flags = kind_of(way->sent_messages);
	size_t n = chance(pair, 40) == 0 ? 70000 : chance(pair, MAX_BYTES);
	size_t credit = pst_session_credit(session, id);
	unsigned char *bytes = calloc(1, n + 1);

	if (n > credit)
		n = credit;
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_at(id, PST_STREAM_DATA, way->sent + i);
	if (chance(pair, 2) == 0)
		flags |= PST_SESSION_MESSAGE_END;
	if (way->sent_close) {
		ck_assert_int_eq(
		    pst_session_submit_message(session, id, flags, bytes, n), PST_ERR_STATE);
	} else {
		ck_assert_int_eq(pst_session_submit_message(session, id, flags, bytes, n), 0);
		way->sent += n;
	}
	if (!way->sent_close && (flags & PST_SESSION_MESSAGE_END) != 0) {
		way->sent_messages++;
		way->sent_ends = way->sent_ends * 31 + way->sent;
	}
	free(bytes);
}

static void
submit_file(struct pair *pair, struct pst_session *session, uint16_t id, enum pst_stream stream)
{
	struct way *way = way_to(pair, id, session == pair->server);
	struct pst_session_file file = {
	    .offset = pair->calls[id].flows[stream].sent, .length = way->sent_files + 1};

	if (pair->calls[id].flows[stream].sent_end ||
	    pst_session_credit(session, id) < PST_SESSION_FILE_COST)
		return;
	file.fd = memfd_create("file", 0);
	ck_assert_int_eq(ftruncate(file.fd, (off_t)file.length), 0);
	ck_assert_int_eq(pst_session_submit_file(session, id, stream, &file), 0);
	way->sent_files++;
}

/* Something that only extended requests have. */
static void
submit_extension(struct pair *pair, struct pst_session *session, uint16_t id)
{
	struct call *call = &pair->calls[id];
	struct way *way = way_to(pair, id, session == pair->server);
	bool server = session == pair->server;

	switch (chance(pair, 12)) {
	case 0:
		ck_assert_int_eq(pst_session_submit_close(session, id, 1000U + id, "bye", 3),
		    way->sent_close ? PST_ERR_STATE : 0);
		way->sent_close = true;
		break;
	case 1:
		if (!server || call->flows[PST_STREAM_STDOUT].sent_end)
			break;
		ck_assert_int_eq(pst_session_submit_trailer(session, id, "T", 1, "value", 5), 0);
		call->sent_trailers++;
		break;
	case 2:
		if (server)
			ck_assert_int_eq(pst_session_submit_drain(session), 0);
		break;
	case 3:
	case 4:
		submit_file(pair, session, id, server ? PST_STREAM_STDOUT : PST_STREAM_STDIN);
		break;
	default: submit_message(pair, session, id);
	}
}

static void
begin(struct pair *pair)
{
	enum pst_role role;
	uint16_t id, expect = 1;

	while (expect <= MAX_OPEN && pair->calls[expect].open_client)
		expect++;
	role = expect % 2 == 0 ? PST_ROLE_FILTER : PST_ROLE_RESPONDER;
	if (expect > MAX_OPEN) {
		ck_assert_int_eq(
		    pst_session_submit_begin(pair->client, role, true, &id), PST_ERR_STATE);
		return;
	}
	ck_assert_int_eq(pst_session_submit_begin(pair->client, role, true, &id), 0);
	ck_assert_uint_eq(id, expect);
	pair->calls[id].open_client = true;
}

static void
submit_param(struct pair *pair, uint16_t id, struct call *call)
{
	size_t name_len = call->params_sent * 37 % 300, value_len = value_size(call->params_sent);
	static char names[300], values[70000];

	if (call->params_sent == 30) {
		ck_assert_int_eq(pst_session_submit_params_end(pair->client, id), 0);
		call->params_ended = true;
		return;
	}
	memset(names, 'n', sizeof names);
	memset(values, 'v', sizeof values);
	ck_assert_int_eq(
	    pst_session_submit_param(pair->client, id, names, name_len, values, value_len), 0);
	call->params_sent++;
}

/* Something that the client does for one of its requests. */
static void
client_act(struct pair *pair)
{
	uint16_t id = (uint16_t)(1 + chance(pair, MAX_OPEN));
	struct call *call = &pair->calls[id];

	if (!call->open_client || chance(pair, 4) == 0) {
		begin(pair);
		return;
	}
	if (call->aborted)
		return;
	if (chance(pair, 100) == 0) {
		ck_assert_int_eq(
		    pst_session_submit_abort(pair->client, id, PST_SESSION_ABORT_CLIENT), 0);
		call->aborted = true;
		return;
	}
	if (!call->params_ended) {
		submit_param(pair, id, call);
		return;
	}
	if (pst_session_extends(pair->client) && chance(pair, 3) == 0) {
		submit_extension(pair, pair->client, id);
		return;
	}
	submit_bytes(pair, pair->client, id,
	    id % 2 == 0 && chance(pair, 2) == 0 ? PST_STREAM_DATA : PST_STREAM_STDIN);
}

static void
end(struct pair *pair, uint16_t id)
{
	struct call *call = &pair->calls[id];

	if (pst_session_extends(pair->server) && chance(pair, 2) == 0) {
		ck_assert_int_eq(pst_session_submit_usage(pair->server, id,
				     &(struct pst_session_usage){id, 1, UINT64_MAX}),
		    0);
		call->sent_usage = true;
	}
	call->ended = true;
	ck_assert_int_eq(
	    pst_session_submit_end(pair->server, id, PST_END_COMPLETE, status_of(id)), 0);
}

static void
server_act(struct pair *pair)
{
	uint16_t id = (uint16_t)(1 + chance(pair, MAX_OPEN));
	struct call *call = &pair->calls[id];

	if (!call->open_server)
		return;
	if (chance(pair, call->aborted ? 5 : 60) == 0) {
		end(pair, id);
		return;
	}
	if (call->aborted)
		return;
	if (pst_session_extends(pair->server) && chance(pair, 3) == 0)
		submit_extension(pair, pair->server, id);
	else
		submit_bytes(pair, pair->server, id,
		    chance(pair, 3) == 0 ? PST_STREAM_STDERR : PST_STREAM_STDOUT);
}

/* Carry some of what FROM has queued to TO. */
static void
carry(struct pair *pair, struct pst_session *from, struct pst_session *to)
{
	const void *bytes;
	size_t n = pst_session_send(from, &bytes);
	int fd = pst_session_send_fd(from);
	unsigned char *copy;

	if (n == 0)
		return;
	if (chance(pair, 3) > 0)
		n = 1 + chance(pair, n < 5000 ? (unsigned)n : 5000);
	copy = malloc(n);
	memcpy(copy, bytes, n);
	if (fd >= 0)
		ck_assert_int_eq(pst_session_recv_fd(to, dup(fd)), 0);
	pst_session_sent(from, n);
	ck_assert_msg(pst_session_recv(to, copy, n) == 0, "%s", pst_session_reason(to));
	free(copy);
}

static void
turn(struct pair *pair)
{
	switch (chance(pair, 5)) {
	case 0:
	case 1: client_act(pair); break;
	case 2: server_act(pair); break;
	case 3: carry(pair, pair->client, pair->server); break;
	default: carry(pair, pair->server, pair->client);
	}
}

static void
flush(struct pair *pair)
{
	while (pst_session_want_write(pair->client) || pst_session_want_write(pair->server)) {
		carry(pair, pair->client, pair->server);
		carry(pair, pair->server, pair->client);
	}
}

static void
agree(struct pair *pair)
{
	ck_assert_int_eq(pst_session_submit_get_value(
			     pair->client, PST_SESSION_FILES_NAME, strlen(PST_SESSION_FILES_NAME)),
	    0);
	ck_assert_int_eq(pst_session_submit_get_value(pair->client, PST_SESSION_VERSION_NAME,
			     strlen(PST_SESSION_VERSION_NAME)),
	    0);
	flush(pair);
	ck_assert(pst_session_files(pair->client) && pst_session_files(pair->server));
}

/* Every second run with extensions. */
START_TEST(test_random)
{
	static const struct pst_session_limits limits = {MAX_OPEN, 4000000, 4096};
	struct pair pair = {.seed = (uint32_t)_i * 7919};
	int before = dup(0);

	close(before);
	pair.client = pst_session_new_client(&client_callbacks, &limits, &pair);
	pair.server = pst_session_new_server(&server_callbacks, &limits, &pair);
	if (_i % 2 == 1)
		agree(&pair);
	for (unsigned i = 0; i < 10000; i++)
		turn(&pair);
	flush(&pair);
	ck_assert((pair.refused > 0) == (_i % 2 == 1));
	for (uint16_t id = 1; id <= MAX_OPEN; id++) {
		if (!pair.calls[id].open_server)
			continue;
		end(&pair, id);
	}
	flush(&pair);
	ck_assert_uint_gt(pair.completed, 5);
	for (uint16_t id = 1; id <= MAX_OPEN; id++)
		ck_assert(!pair.calls[id].open_client);
	ck_assert((pair.messages > 5) == (_i % 2 == 1));
	ck_assert((pair.files > 5) == (_i % 2 == 1));
	ck_assert_uint_eq(pair.drains, _i % 2);
	pst_session_free(pair.client);
	pst_session_free(pair.server);
	ck_assert_int_eq(dup(0), before);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("session_pair");

	tcase_add_loop_test(tcase, test_random, 0, 20);
	return run_case("session_pair", tcase);
}
