/*
 * Two sessions, each other's peer: what one submits the other reports, whole and in order, whatever
 * the pieces on the way. Chances are drawn from a seed that a failure names.
 */
#include "protocol/record.h"
#include "tests/unit/runner.h"
#include "tests/unit/trace.h"

#include <fastcgi.h>
#include <string.h>

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

struct call {
	struct flow flows[4];
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
	flow->held += n;
	if (stream == PST_STREAM_STDERR || flow->held == 0 || chance(pair, 3) > 0)
		return;
	ck_assert_int_eq(
	    pst_session_submit_credit(stream == PST_STREAM_STDOUT ? pair->client : pair->server, id,
		(uint32_t)flow->held),
	    0);
	flow->held = 0;
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
    .param = on_param,
    .ready = on_ready,
    .data = on_data,
    .abort = on_abort,
    .end = on_server_end,
};
static const struct pst_session_callbacks client_callbacks = {
    .data = on_data,
    .end = on_client_end,
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
	submit_bytes(pair, pair->client, id,
	    id % 2 == 0 && chance(pair, 2) == 0 ? PST_STREAM_DATA : PST_STREAM_STDIN);
}

static void
server_act(struct pair *pair)
{
	uint16_t id = (uint16_t)(1 + chance(pair, MAX_OPEN));
	struct call *call = &pair->calls[id];

	if (!call->open_server)
		return;
	if (chance(pair, call->aborted ? 5 : 60) == 0) {
		call->ended = true;
		ck_assert_int_eq(
		    pst_session_submit_end(pair->server, id, PST_END_COMPLETE, status_of(id)), 0);
		return;
	}
	if (!call->aborted)
		submit_bytes(pair, pair->server, id,
		    chance(pair, 3) == 0 ? PST_STREAM_STDERR : PST_STREAM_STDOUT);
}

/* Carry some of what FROM has queued to TO. */
static void
carry(struct pair *pair, struct pst_session *from, struct pst_session *to)
{
	const void *bytes;
	size_t n = pst_session_send(from, &bytes);
	unsigned char *copy;

	if (n == 0)
		return;
	if (chance(pair, 3) > 0)
		n = 1 + chance(pair, n < 5000 ? (unsigned)n : 5000);
	copy = malloc(n);
	memcpy(copy, bytes, n);
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
	ck_assert_int_eq(pst_session_submit_get_value(pair->client, PST_SESSION_VERSION_NAME,
			     strlen(PST_SESSION_VERSION_NAME)),
	    0);
	flush(pair);
	ck_assert(pst_session_extends(pair->client) && pst_session_extends(pair->server));
}

/* Every second run with extensions. */
START_TEST(test_random)
{
	static const struct pst_session_limits limits = {MAX_OPEN, 4000000, 4096};
	struct pair pair = {.seed = (uint32_t)_i * 7919};

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
		pair.calls[id].ended = true;
		ck_assert_int_eq(
		    pst_session_submit_end(pair.server, id, PST_END_COMPLETE, status_of(id)), 0);
	}
	flush(&pair);
	ck_assert_uint_gt(pair.completed, 5);
	for (uint16_t id = 1; id <= MAX_OPEN; id++)
		ck_assert(!pair.calls[id].open_client);
	pst_session_free(pair.client);
	pst_session_free(pair.server);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("session_pair");

	tcase_add_loop_test(tcase, test_random, 0, 20);
	return run_case("session_pair", tcase);
}
