/* The async adapter: requests, bodies and answers on connections of all kinds of clients. */
#include "tests/unit/async_case.h"
#include "tests/unit/runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a request may hold: what gathers, and a piece; and what a connection may. */
#define REQUEST_MAX (2 * 65536 + 1024)
#define LINK_MAX    (131072 + 65536 + 4096)

static char block[65536];

static void
set_up(void)
{
	memset(block, 'x', sizeof(block));
}

/* Write blocks until AGAIN: how many bytes were taken. */
static size_t
write_all(struct seen *seen, size_t most)
{
	size_t total = 0;

	while (total < most) {
		int result = async_host->write(seen->request, block, sizeof(block));
		if (result == PST_RESULT_AGAIN)
			return total;
		ck_assert_int_eq(result, 0);
		total += sizeof(block);
	}
	return total;
}

/* --- requests --- */

static void
body_interleaved(void)
{
	struct client *client = client_new(true);
	uint16_t first = client_ask(client, "/first");
	uint16_t second = client_ask(client, "/second");
	char bytes[16];

	client_body(client, second, NULL, 0);
	settle();
	ck_assert_uint_eq(async_seen_count, 2);
	seen_answer(seen_path("/second"), "two");
	settle();
	ck_assert_uint_eq(client->answers[second].ended, 1);
	ck_assert_uint_eq(client->answers[second].usages, 1);
	ck_assert_str_eq(answer_body(client, second), "two");
	ck_assert_uint_eq(client->answers[first].total, 0);

	/* The id is free again while the first one runs. */
	ck_assert_uint_eq(client_ask(client, "/third"), second);
	client->answers[second].ended = 0;
	ck_assert_int_eq(
	    async_host->read(async_seen[0].request, bytes, sizeof(bytes)), PST_RESULT_AGAIN);
	client_body(client, first, "abc", 3);
	client_body(client, first, NULL, 0);
	settle();
	ck_assert_uint_eq(async_seen[0].ready, 1);
	ck_assert_int_eq(async_host->read(async_seen[0].request, bytes, sizeof(bytes)), 3);
	ck_assert_int_eq(async_host->read(async_seen[0].request, bytes, sizeof(bytes)), 0);
	seen_answer(seen_path("/first"), "one");
	seen_answer(seen_path("/third"), "three");
	settle();
	ck_assert_str_eq(answer_body(client, first), "one");
	ck_assert_uint_eq(client->answers[first].status, 0);
	ck_assert_uint_eq(client->answers[second].ended, 1);
}

START_TEST(test_interleaved)
{
	async_case_run(100, NULL, body_interleaved);
}
END_TEST

/* What is written leaves at the end of the turn, also when the request goes on. */
static void
body_written_leaves(void)
{
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");

	settle();
	seen_respond(&async_seen[0]);
	settle();
	ck_assert_uint_eq(client->answers[id].total, 0); /* the head alone does not */
	ck_assert_int_eq(async_host->flush(async_seen[0].request), 0);
	settle();
	ck_assert_uint_gt(client->answers[id].total, 0);
	ck_assert_int_eq(async_host->write(async_seen[0].request, "one", 3), 0);
	settle();
	ck_assert_str_eq(answer_body(client, id), "one");
	seen_finish(&async_seen[0], 0);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_written_leaves)
{
	async_case_run(100, NULL, body_written_leaves);
}
END_TEST

static void
finish_seen(struct seen *seen)
{
	seen_finish(seen, -1);
}

static void
answer_seen(struct seen *seen)
{
	seen_answer(seen, "at once");
}

/* finish() within each of the callbacks. */
static void
body_finish_in_callbacks(void)
{
	struct client *client = client_new(true);
	uint16_t id;
	char byte;

	async_on_request = answer_seen;
	id = client_ask(client, "/request");
	settle();
	ck_assert_str_eq(answer_body(client, id), "at once");
	async_on_request = NULL;

	async_on_ready = answer_seen;
	id = client_ask(client, "/ready");
	client->answers[id].ended = 0;
	settle();
	ck_assert_int_eq(
	    async_host->read(seen_path("/ready")->request, &byte, 1), PST_RESULT_AGAIN);
	client_body(client, id, "x", 1);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);

	async_on_abort = finish_seen;
	id = client_ask(client, "/abort");
	client->answers[id].ended = 0;
	settle();
	ck_assert_int_eq(
	    pst_session_submit_abort(client->session, id, PST_SESSION_ABORT_CLIENT), 0);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);

	id = client_ask(client, "/lost");
	settle();
	client_close(client);
	settle();
	ck_assert_uint_eq(seen_path("/lost")->aborted, 1);
	ck_assert_ptr_null(seen_path("/lost")->request);
}

START_TEST(test_finish_in_callbacks)
{
	async_case_run(100, NULL, body_finish_in_callbacks);
}
END_TEST

/* --- aborts --- */

static void
body_abort(void)
{
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");
	struct seen *seen = &async_seen[0];
	char byte;

	settle();
	seen_respond(seen);
	ck_assert_int_eq(async_host->write(seen->request, "x", 1), 0);
	ck_assert_int_eq(
	    pst_session_submit_abort(client->session, id, PST_SESSION_ABORT_DEADLINE), 0);
	settle();
	ck_assert_uint_eq(seen->aborted, 1);
	ck_assert_int_eq(seen->why, PST_ABORT_DEADLINE);
	ck_assert_int_eq(async_host->write(seen->request, "x", 1), PST_RESULT_GONE);
	ck_assert_int_eq(async_host->read(seen->request, &byte, 1), PST_RESULT_GONE);
	ck_assert_int_eq(async_host->flush(seen->request), PST_RESULT_GONE);
	/* It keeps its id until the plugin lets go of it. */
	ck_assert_uint_eq(client->answers[id].ended, 0);
	ck_assert_uint_ne(client_ask(client, "/other"), id);
	settle();
	seen_answer(seen_path("/other"), "other");
	seen_finish(seen, -1);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
	ck_assert_uint_eq(client->answers[id].usages, 1);
	ck_assert_uint_eq(seen->aborted, 1);
}

/* Its client has left, and then it is late, too. */
static void
body_abort_again(void)
{
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");
	struct seen *seen = &async_seen[0];

	settle();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(
		    pst_session_submit_abort(client->session, id, PST_SESSION_ABORT_CLIENT), 0);
		settle();
		ck_assert_uint_eq(seen->aborted, 1);
		ck_assert_int_eq(seen->why, PST_ABORT_CLIENT);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(
		    pst_session_submit_abort(client->session, id, PST_SESSION_ABORT_DEADLINE), 0);
		settle();
		ck_assert_uint_eq(seen->aborted, 2);
		ck_assert_int_eq(seen->why, PST_ABORT_DEADLINE);
	}
	seen_finish(seen, -1);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_abort_again)
{
	async_case_run(100, NULL, body_abort_again);
}
END_TEST

START_TEST(test_abort)
{
	async_case_run(100, NULL, body_abort);
}
END_TEST

/* An abort while what was written by a finished request still waits. */
static void
body_abort_finished(void)
{
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");
	struct seen *seen = &async_seen[0];

	client->answers[id].keeps_credit = true;
	settle();
	seen_respond(seen);
	write_all(seen, SIZE_MAX);
	seen_finish(seen, 0);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 0);
	ck_assert_int_eq(
	    pst_session_submit_abort(client->session, id, PST_SESSION_ABORT_CLIENT), 0);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
	ck_assert_uint_eq(seen->aborted, 0);
	ck_assert_uint_eq(pst_async_server_held(async_server), 0);
}

START_TEST(test_abort_finished)
{
	async_case_run(100, NULL, body_abort_finished);
}
END_TEST

static void
body_connection_lost(void)
{
	struct client *client = client_new(true);
	struct client *other = client_new(true);
	uint16_t id;

	for (int i = 0; i < 3; i++)
		client_ask(client, "/lost");
	id = client_ask(other, "/other");
	settle();
	seen_respond(&async_seen[0]);
	ck_assert_int_eq(async_host->write(async_seen[0].request, block, 100), 0);
	client_close(client);
	settle();
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(async_seen[i].aborted, 1);
		ck_assert_int_eq(async_host->write(async_seen[i].request, "x", 1),
		    i ? PST_RESULT_STATE : PST_RESULT_GONE);
		ck_assert_int_eq(async_host->error(async_seen[i].request, "late", 4), 0);
		seen_finish(&async_seen[i], i - 1);
	}
	seen_answer(seen_path("/other"), "alive");
	settle();
	ck_assert_str_eq(answer_body(other, id), "alive");
}

START_TEST(test_connection_lost)
{
	async_case_run(100, NULL, body_connection_lost);
}
END_TEST

/* --- how much is held --- */

static void
body_credit(void)
{
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");
	struct seen *seen = &async_seen[0];
	struct answer *answer = &client->answers[id];
	size_t taken;

	answer->keeps_credit = true;
	answer->drops_bytes = true;
	settle();
	seen_respond(seen);
	taken = write_all(seen, SIZE_MAX);
	settle();
	ck_assert_uint_eq(answer->total, 65536);
	ck_assert_uint_le(pst_async_server_held(async_server), REQUEST_MAX);
	taken += write_all(seen, SIZE_MAX);
	ck_assert_uint_le(pst_async_server_held(async_server), REQUEST_MAX);
	seen->ready = 0;

	/* Each grant lets as much through; on_ready() comes once for each AGAIN. */
	for (int i = 0; i < 20; i++) {
		unsigned ready = seen->ready;
		client_grant(client, id, 65536);
		settle();
		ck_assert_uint_eq(answer->total, (size_t)(i + 2) * 65536);
		ck_assert_uint_le(seen->ready, ready + 1);
		if (seen->ready > ready)
			taken += write_all(seen, SIZE_MAX);
		settle();
	}
	ck_assert_uint_gt(seen->ready, 10);
	seen_finish(seen, 0);
	client_grant(client, id, 1 << 20);
	settle();
	ck_assert_uint_eq(answer->ended, 1);
	ck_assert_uint_eq(answer->total, taken + strlen("Status: 200 OK\r\n"
							"Content-Type: text/plain\r\n\r\n"));
}

START_TEST(test_credit)
{
	async_case_run(100, NULL, body_credit);
}
END_TEST

/* One client of a hundred reads nothing, whatever its application produces. */
static void
body_one_of_a_hundred(void)
{
	struct client *client = client_new(true);
	uint16_t slow = client_ask(client, "/slow");
	char path[32];

	client->answers[slow].keeps_credit = true;
	settle();
	seen_respond(&async_seen[0]);
	for (int round = 0; round < 3; round++) {
		write_all(&async_seen[0], SIZE_MAX);
		for (int i = 0; i < 99; i++) {
			snprintf(path, sizeof(path), "/%d-%d", round, i);
			client_ask(client, path);
		}
		async_on_request = answer_seen;
		settle();
		async_on_request = NULL;
		async_seen_count = 1;
		ck_assert_uint_le(pst_async_server_held(async_server), REQUEST_MAX);
		for (unsigned id = 1; id < 101; id++) {
			if (id == slow)
				continue;
			ck_assert_uint_eq(client->answers[id].ended, 1);
			client->answers[id].ended = 0;
		}
	}
	ck_assert_uint_eq(client->answers[slow].total, 65536);
	seen_finish(&async_seen[0], 0);
}

START_TEST(test_one_of_a_hundred)
{
	async_case_run(100, NULL, body_one_of_a_hundred);
}
END_TEST

/* The peer does not read its connection at all: no request adds to what waits. */
static void
body_deaf_peer(void)
{
	struct client *client = client_new(true);

	for (int i = 0; i < 50; i++)
		client_ask(client, "/");
	settle();
	for (unsigned i = 0; i < 50; i++) {
		seen_respond(&async_seen[i]);
		write_all(&async_seen[i], SIZE_MAX);
	}
	settle_server();
	for (unsigned i = 0; i < 50; i++)
		write_all(&async_seen[i], SIZE_MAX);
	settle_server();
	ck_assert_uint_le(pst_async_server_held(async_server), 50 * REQUEST_MAX + LINK_MAX);
	for (unsigned i = 0; i < 50; i++)
		seen_finish(&async_seen[i], 0);
	settle();
	for (unsigned id = 1; id <= 50; id++)
		ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_deaf_peer)
{
	async_case_run(100, NULL, body_deaf_peer);
}
END_TEST

static size_t
read_all(struct seen *seen)
{
	size_t total = 0;
	ssize_t n;

	while ((n = async_host->read(seen->request, block, sizeof(block))) > 0)
		total += (size_t)n;
	ck_assert(n == 0 || n == PST_RESULT_AGAIN);
	return total;
}

/* A body of a client that knows credit: what is read is granted. */
static void
body_granted_body(void)
{
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");
	size_t sent = 0, got = 0;

	while (sent < 1000000) {
		size_t credit = pst_session_credit(client->session, id);
		if (credit > sizeof(block))
			credit = sizeof(block);
		if (credit > 0)
			client_body(client, id, block, credit);
		sent += credit;
		settle();
		ck_assert_uint_le(pst_async_server_held(async_server), 65536);
		got += read_all(&async_seen[0]);
		settle();
	}
	client_body(client, id, NULL, 0);
	settle();
	got += read_all(&async_seen[0]);
	ck_assert_uint_eq(got, sent);
	ck_assert_uint_gt(client->credits, 10);
	seen_answer(&async_seen[0], "read");
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_granted_body)
{
	async_case_run(100, NULL, body_granted_body);
}
END_TEST

/* --- clients that know FastCGI only --- */

static void
body_plain_body(void)
{
	struct client *client = client_new(false);
	uint16_t id = client_ask(client, "/");
	size_t got = 0;

	for (int i = 0; i < 32; i++)
		client_body(client, id, block, sizeof(block));
	client_body(client, id, NULL, 0);
	settle();
	/* The connection is not read while so much waits. */
	ck_assert_uint_gt(pst_async_server_held(async_server), 65536);
	ck_assert_uint_le(pst_async_server_held(async_server), 2 * 65536 + 65536);
	while (got < 32 * sizeof(block)) {
		size_t n = read_all(&async_seen[0]);
		ck_assert_uint_gt(n, 0);
		got += n;
		settle();
		ck_assert_uint_le(pst_async_server_held(async_server), 3 * 65536);
	}
	ck_assert_int_eq(async_host->read(async_seen[0].request, block, 1), 0);
	seen_answer(&async_seen[0], "read");
	settle();
	ck_assert_str_eq(answer_body(client, id), "read");
	ck_assert_uint_eq(client->answers[id].usages, 0);
}

START_TEST(test_plain_body)
{
	async_case_run(100, NULL, body_plain_body);
}
END_TEST

/* A body that nobody reads does not hold up the connection once its request has ended. */
static void
body_plain_unread(void)
{
	struct client *client = client_new(false);
	uint16_t id = client_ask(client, "/");

	for (int i = 0; i < 32; i++)
		client_body(client, id, block, sizeof(block));
	client_body(client, id, NULL, 0);
	settle();
	seen_answer(&async_seen[0], "no");
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
	client->answers[id].ended = 0;
	ck_assert_uint_eq(client_ask(client, "/again"), id);
	settle();
	seen_answer(seen_path("/again"), "yes");
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_plain_unread)
{
	async_case_run(100, NULL, body_plain_unread);
}
END_TEST

static void
body_plain_answer(void)
{
	struct client *client = client_new(false);
	uint16_t id = client_ask(client, "/");
	size_t taken = 0;

	client->answers[id].drops_bytes = true;
	settle();
	seen_respond(&async_seen[0]);
	/* Its socket is full, then what waits is. */
	for (int i = 0; i < 100; i++) {
		taken += write_all(&async_seen[0], SIZE_MAX);
		settle_server();
		ck_assert_uint_le(pst_async_server_held(async_server), REQUEST_MAX + LINK_MAX);
	}
	ck_assert_uint_lt(taken, 4 << 20);
	async_seen[0].ready = 0;
	settle();
	ck_assert_uint_eq(async_seen[0].ready, 1);
	seen_finish(&async_seen[0], 0);
	settle();
	ck_assert_uint_ge(client->answers[id].total, taken);
	ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_plain_answer)
{
	async_case_run(100, NULL, body_plain_answer);
}
END_TEST

/* --- responses that are not whole --- */

static void
body_failures(void)
{
	struct client *client = client_new(true);
	uint16_t early = client_ask(client, "/early");
	uint16_t late = client_ask(client, "/late");
	uint16_t none = client_ask(client, "/none");

	settle();
	seen_respond(seen_path("/early"));
	ck_assert_int_eq(async_host->write(seen_path("/early")->request, "half", 4), 0);
	seen_finish(seen_path("/early"), -1);
	seen_respond(seen_path("/late"));
	ck_assert_int_eq(async_host->write(seen_path("/late")->request, "half", 4), 0);
	settle();
	seen_finish(seen_path("/late"), -1);
	seen_finish(seen_path("/none"), 0);
	settle();
	ck_assert_str_eq(answer_body(client, early), "500 Internal Server Error\n");
	ck_assert_uint_eq(client->answers[early].status, 0);
	ck_assert_str_eq(answer_body(client, late), "half");
	ck_assert_uint_eq(client->answers[late].status, 1);
	ck_assert_str_eq(answer_body(client, none), "500 Internal Server Error\n");
}

START_TEST(test_failures)
{
	async_case_run(100, NULL, body_failures);
}
END_TEST

/* A client that ignores the status sees an error of the protocol. */
static void
body_plain_failure(void)
{
	struct client *client = client_new(false);
	uint16_t id = client_ask(client, "/");

	settle();
	seen_respond(&async_seen[0]);
	ck_assert_int_eq(async_host->write(async_seen[0].request, "half", 4), 0);
	settle();
	seen_finish(&async_seen[0], -1);
	settle();
	ck_assert(client->refuses);
	ck_assert_uint_eq(client->answers[id].ended, 1);
	ck_assert_int_eq(client->answers[id].end, PST_END_CONNECTION);
}

START_TEST(test_plain_failure)
{
	async_case_run(100, NULL, body_plain_failure);
}
END_TEST

static void
body_order(void)
{
	struct client *client = client_new(true);
	struct pst_request *request;
	unsigned flags;

	client_ask(client, "/");
	settle();
	request = async_seen[0].request;
	ck_assert_int_eq(async_host->write(request, "x", 1), PST_RESULT_STATE);
	ck_assert_int_eq(async_host->upgrade(request, NULL, 0), PST_RESULT_STATE);
	ck_assert_int_eq(async_host->read_message(request, block, 1, &flags), PST_RESULT_STATE);
	ck_assert_int_eq(async_host->trailers(request, NULL, 0), PST_RESULT_STATE);
	seen_respond(&async_seen[0]);
	ck_assert_int_eq(async_host->respond(request, 200, NULL, NULL, 0), PST_RESULT_STATE);
	ck_assert_int_eq(async_host->write(request, block, PST_WRITE_MAX + 1), PST_RESULT_INVALID);
	ck_assert_str_ne(async_host->reason(request), "");
	seen_finish(&async_seen[0], 0);
}

START_TEST(test_order)
{
	async_case_run(100, NULL, body_order);
}
END_TEST

/* A plugin that errs: nothing happens, but a line in the log. */
static void
body_finish_twice(void)
{
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");
	struct pst_request *request;

	settle();
	request = async_seen[0].request;
	seen_answer(&async_seen[0], "once");
	async_host->finish(request, 0);
	ck_assert_int_eq(async_host->write(request, "x", 1), PST_RESULT_STATE);
	settle();
	ck_assert_str_eq(answer_body(client, id), "once");
	ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_finish_twice)
{
	async_case_run(100, NULL, body_finish_twice);
}
END_TEST

/* --- files and trailers --- */

static FILE *
file_of(size_t n)
{
	FILE *file = tmpfile();

	ck_assert_ptr_nonnull(file);
	for (size_t i = 0; i < n; i++)
		fputc('a' + (int)(i % 23), file);
	ck_assert_int_eq(fflush(file), 0);
	return file;
}

static void
assert_file_bytes(const char *bytes, size_t from, size_t n)
{
	size_t same = 0;

	while (same < n && bytes[same] == 'a' + (int)((from + same) % 23))
		same++;
	ck_assert_uint_eq(same, n);
}

static void
send_file(struct seen *seen, FILE *file, off_t offset, size_t n)
{
	seen_respond(seen);
	ck_assert_int_eq(async_host->send_file(seen->request, fileno(file), offset, n), 0);
	if (n > 0)
		ck_assert_int_eq(async_host->write(seen->request, "x", 1), PST_RESULT_AGAIN);
}

/* To a gateway of ours a large file goes as it is, to others its bytes do. */
static void
body_files(void)
{
	struct client *gateway = client_new(true);
	struct client *plain = client_new(false);
	FILE *file = file_of(1000000);
	uint16_t one = client_ask(gateway, "/gateway");
	uint16_t two = client_ask(plain, "/plain");
	uint16_t small = client_ask(gateway, "/small");
	static char bytes[500000];

	settle();
	send_file(seen_path("/gateway"), file, 1000, 500000);
	send_file(seen_path("/plain"), file, 1000, 500000);
	send_file(seen_path("/small"), file, 10, 100);
	fclose(file); /* the host has its own */
	settle();
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(async_seen[i].ready, 1);
		ck_assert_int_eq(async_host->write(async_seen[i].request, "end", 3), 0);
		seen_finish(&async_seen[i], 0);
	}
	settle();
	ck_assert_int_ge(gateway->answers[one].file, 0);
	ck_assert_uint_eq(gateway->answers[one].file_length, 500000);
	ck_assert_int_eq(pread(gateway->answers[one].file, bytes, 500000, 1000), 500000);
	assert_file_bytes(bytes, 1000, 500000);
	ck_assert_str_eq(answer_body(gateway, one), "end");
	ck_assert_uint_gt(plain->answers[two].total, 500003);
	assert_file_bytes(
	    (char *)pst_buf_bytes(&plain->answers[two].bytes) + plain->answers[two].total - 500003,
	    1000, 500000);
	assert_file_bytes(answer_body(gateway, small), 10, 100);
	ck_assert_uint_eq(gateway->answers[one].ended, 1);
	ck_assert_uint_eq(plain->answers[two].ended, 1);
}

START_TEST(test_files)
{
	async_case_run(100, NULL, body_files);
}
END_TEST

/* A file that became shorter: the response is not whole, whatever the plugin says. */
static void
body_short_file(void)
{
	struct client *client = client_new(false);
	FILE *file = file_of(400000);
	uint16_t id = client_ask(client, "/");

	settle();
	send_file(&async_seen[0], file, 0, 400000);
	ck_assert_int_eq(ftruncate(fileno(file), 100), 0);
	seen_finish(&async_seen[0], 0);
	settle();
	fclose(file);
	ck_assert(client->refuses);
	ck_assert_int_eq(client->answers[id].end, PST_END_CONNECTION);
}

START_TEST(test_short_file)
{
	async_case_run(100, NULL, body_short_file);
}
END_TEST

static void
body_trailers(void)
{
	static const struct pst_field good[] = {{"X-Sum", 5, "12", 2}, {"X-More", 6, "", 0}};
	static const struct pst_field bad = {"Content-Length", 14, "3", 1};
	struct client *client = client_new(true);
	uint16_t id = client_ask(client, "/");

	settle();
	seen_respond(&async_seen[0]);
	ck_assert_int_eq(async_host->write(async_seen[0].request, "body", 4), 0);
	ck_assert_int_eq(async_host->trailers(async_seen[0].request, &bad, 1), PST_RESULT_INVALID);
	ck_assert_int_eq(async_host->trailers(async_seen[0].request, good, 2), 0);
	ck_assert_int_eq(async_host->write(async_seen[0].request, "x", 1), PST_RESULT_STATE);
	seen_finish(&async_seen[0], 0);
	settle();
	ck_assert_str_eq(answer_body(client, id), "body");
	ck_assert_int_eq(pst_buf_append(&client->answers[id].text, "", 1), 0);
	ck_assert_str_eq((char *)pst_buf_bytes(&client->answers[id].text),
	    "trailer X-Sum=12\ntrailer X-More=\n");
}

START_TEST(test_trailers)
{
	async_case_run(100, NULL, body_trailers);
}
END_TEST

/* --- messages --- */

static uint16_t
ask_websocket(struct client *client)
{
	return client_ask_with(client, "/", "PENSTOCK_UPGRADE", "websocket");
}

static void
body_messages(void)
{
	static const struct pst_field protocol = {"Sec-WebSocket-Protocol", 22, "chat", 4};
	struct client *client = client_new(true);
	uint16_t id = ask_websocket(client);
	struct pst_request *request;
	char bytes[16];
	unsigned flags;
	const char *reason;
	size_t n;

	settle();
	request = async_seen[0].request;
	async_host->params(request, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(async_host->upgradable(request), PST_UPGRADE_WEBSOCKET);
	ck_assert_int_eq(async_host->upgrade(request, &protocol, 1), 0);
	ck_assert_int_eq(async_host->read_message(request, bytes, 4, &flags), PST_RESULT_AGAIN);
	settle();
	ck_assert_int_eq(pst_buf_append(&client->answers[id].bytes, "", 1), 0);
	ck_assert_str_eq((char *)pst_buf_bytes(&client->answers[id].bytes),
	    "Status: 101 Switching Protocols\r\nPenstock-Upgrade: messages\r\n"
	    "Sec-WebSocket-Protocol: chat\r\n\r\n");

	ck_assert_int_eq(pst_session_submit_message(client->session, id, 0, "hell", 4), 0);
	ck_assert_int_eq(pst_session_submit_message(client->session, id, 2, "o", 1), 0);
	ck_assert_int_eq(pst_session_submit_message(client->session, id, 3, NULL, 0), 0);
	ck_assert_int_eq(pst_session_submit_message(client->session, id, 3, "abcdef", 6), 0);
	settle();
	ck_assert_uint_eq(async_seen[0].ready, 1);
	ck_assert_int_eq(async_host->read_message(request, bytes, 16, &flags), 4);
	ck_assert_uint_eq(flags, 0);
	ck_assert_int_eq(async_host->read_message(request, bytes, 16, &flags), 1);
	ck_assert_uint_eq(flags, PST_MESSAGE_END);
	ck_assert_int_eq(async_host->read_message(request, bytes, 16, &flags), 0);
	ck_assert_uint_eq(flags, PST_MESSAGE_BINARY | PST_MESSAGE_END);
	ck_assert_int_eq(async_host->read_message(request, bytes, 3, &flags), 3);
	ck_assert_uint_eq(flags, PST_MESSAGE_BINARY);
	ck_assert_int_eq(async_host->read_message(request, bytes, 1, &flags), 1);
	ck_assert_int_eq(async_host->read_message(request, bytes, 16, &flags), 2);
	ck_assert_uint_eq(flags, PST_MESSAGE_BINARY | PST_MESSAGE_END);
	ck_assert_mem_eq(bytes, "ef", 2);
	ck_assert_int_eq(async_host->read_message(request, bytes, 4, &flags), PST_RESULT_AGAIN);

	ck_assert_int_eq(async_host->send_message(request, 0, "one ", 4), 0);
	ck_assert_int_eq(
	    async_host->send_message(request, PST_MESSAGE_BINARY, "x", 1), PST_RESULT_INVALID);
	ck_assert_int_eq(async_host->send_message(request, PST_MESSAGE_END, "message", 7), 0);
	ck_assert_int_eq(async_host->send_message(request, 3, NULL, 0), 0);
	ck_assert_int_eq(async_host->write(request, "x", 1), PST_RESULT_STATE);
	ck_assert_uint_eq(async_host->close_code(request, &reason, &n), 1006);
	ck_assert_int_eq(pst_session_submit_close(client->session, id, 1001, "going", 5), 0);
	settle();
	ck_assert_uint_eq(async_seen[0].ready, 2);
	ck_assert_int_eq(async_host->read_message(request, bytes, 4, &flags), 0);
	ck_assert_uint_eq(flags, PST_MESSAGE_CLOSED);
	ck_assert_uint_eq(async_host->close_code(request, &reason, &n), 1001);
	ck_assert_str_eq(reason, "going");
	ck_assert_int_eq(async_host->close(request, 1006, NULL, 0), PST_RESULT_INVALID);
	ck_assert_int_eq(async_host->close(request, 1000, "bye", 3), 0);
	ck_assert_int_eq(async_host->close(request, 1000, "bye", 3), PST_RESULT_STATE);
	ck_assert_int_eq(async_host->send_message(request, 2, "x", 1), PST_RESULT_STATE);
	seen_finish(&async_seen[0], 0);
	settle();
	ck_assert_int_eq(pst_buf_append(&client->answers[id].text, "", 1), 0);
	ck_assert_str_eq((char *)pst_buf_bytes(&client->answers[id].text),
	    "message 0 one \nmessage 2 message\nmessage 3 \nclosed 1000 bye\n");
	ck_assert_uint_eq(client->answers[id].ended, 1);
	ck_assert_uint_eq(client->answers[id].status, 0);
}

START_TEST(test_messages)
{
	async_case_run(100, NULL, body_messages);
}
END_TEST

/* Messages wait for credit as answers do, and are granted as they are read. */
static void
body_message_credit(void)
{
	struct client *client = client_new(true);
	uint16_t id = ask_websocket(client);
	struct answer *answer = &client->answers[id];
	size_t sent = 0, got = 0;
	unsigned flags;
	ssize_t n;
	int result;

	answer->keeps_credit = true;
	answer->drops_bytes = true;
	settle();
	ck_assert_int_eq(async_host->upgrade(async_seen[0].request, NULL, 0), 0);
	settle();
	while ((result = async_host->send_message(
		    async_seen[0].request, PST_MESSAGE_END, block, 10000)) == 0)
		sent += 10000;
	ck_assert_int_eq(result, PST_RESULT_AGAIN);
	settle();
	ck_assert_uint_le(pst_async_server_held(async_server), REQUEST_MAX);
	ck_assert_uint_ge(answer->total, 65536);
	client_grant(client, id, 1 << 20);
	settle();
	ck_assert_uint_eq(async_seen[0].ready, 1);

	for (int i = 0; i < 20; i++) {
		size_t credit = pst_session_credit(client->session, id);
		ck_assert_int_eq(pst_session_submit_message(client->session, id, 2, block,
				     credit < 60000 ? credit : 60000),
		    0);
		settle();
		while ((n = async_host->read_message(
			    async_seen[0].request, block, sizeof(block), &flags)) > 0)
			got += (size_t)n;
		settle();
	}
	ck_assert_uint_gt(got, 500000);
	ck_assert_int_eq(async_host->close(async_seen[0].request, 1005, NULL, 0), 0);
	seen_finish(&async_seen[0], 0);
	settle();
	ck_assert_uint_eq(answer->ended, 1);
}

START_TEST(test_message_credit)
{
	async_case_run(100, NULL, body_message_credit);
}
END_TEST

/* Empty messages cost no credit: too many that nobody reads end their request. */
static void
body_empty_messages(void)
{
	struct client *client = client_new(true);
	uint16_t id = ask_websocket(client);

	settle();
	ck_assert_int_eq(async_host->upgrade(async_seen[0].request, NULL, 0), 0);
	for (int i = 0; i < 20000; i++)
		ck_assert_int_eq(pst_session_submit_message(client->session, id, 2, NULL, 0), 0);
	settle();
	ck_assert_uint_eq(async_seen[0].aborted, 1);
	seen_finish(&async_seen[0], -1);
	settle();
	ck_assert_uint_eq(client->answers[id].ended, 1);
}

START_TEST(test_empty_messages)
{
	async_case_run(100, NULL, body_empty_messages);
}
END_TEST

/* --- claims --- */

static struct pst_page gateway_page;

static void
body_claims(void)
{
	struct client *client = client_new(true);
	char ticket[PST_PAGE_DIGITS + 1] = {0};
	pst_page_ticket tickets[4];
	uint16_t id;

	for (uint16_t i = 1; i <= 3; i++) {
		tickets[i] = pst_page_offer(&gateway_page, i);
		pst_page_print_ticket(tickets[i], ticket);
		if (i == 2)
			ck_assert(pst_page_withdraw(&gateway_page, i, tickets[i]));
		id = client_ask_with(
		    client, i == 2 ? "/withdrawn" : "/offered", PST_PAGE_PARAM, ticket);
		ck_assert_uint_eq(id, i);
	}
	settle();
	ck_assert_uint_eq(async_seen_count, 2);
	ck_assert_uint_eq(client->answers[2].ended, 1);
	ck_assert_int_eq(client->answers[2].end, PST_END_OVERLOADED);
	ck_assert(!pst_page_withdraw(&gateway_page, 1, tickets[1]));
	seen_answer(&async_seen[0], "one");
	seen_answer(&async_seen[1], "three");
	ck_assert_int_eq(pst_page_clear(&gateway_page, 1, tickets[1]), PST_PAGE_DONE);
	settle();
	ck_assert_str_eq(answer_body(client, 3), "three");
}

START_TEST(test_claims)
{
	static uint64_t bytes[PST_PAGE_SIZE / sizeof(uint64_t)];
	struct pst_page_vitals vitals;
	struct pst_page page;

	pst_page_init(bytes, sizeof(bytes));
	ck_assert_int_eq(pst_page_view(&page, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(pst_page_view(&gateway_page, bytes, sizeof(bytes)), 0);
	pst_page_begin_epoch(&gateway_page);
	async_case_run(100, &page, body_claims);
	pst_page_read_vitals(&gateway_page, &vitals);
	ck_assert_uint_gt(vitals.turned, 0);
}
END_TEST

/* --- the loop --- */

/* The timer is asked for while requests are open, and an idle loop sleeps without one. */
static void
body_timer(void)
{
	struct client *client = client_new(true);

	settle();
	ck_assert_uint_eq(async_timer, UINT64_MAX);
	client_ask(client, "/");
	settle();
	ck_assert_uint_eq(async_timer, 100000);
	async_timer = UINT64_MAX;
	async_host->timer_due();
	ck_assert_uint_eq(async_timer, 100000);
	seen_answer(&async_seen[0], "x");
	settle();
	async_timer = UINT64_MAX;
	async_host->timer_due();
	settle();
	ck_assert_uint_eq(async_timer, UINT64_MAX);
}

START_TEST(test_timer)
{
	async_case_run(100, NULL, body_timer);
}
END_TEST

/* More requests than a client may have at a time. */
static void
body_capacity(void)
{
	struct client *client = client_new(true);
	struct client *plain = client_new(false);

	for (int i = 0; i < 4; i++)
		client_ask(client, "/");
	settle();
	ck_assert_uint_eq(async_seen_count, 3);
	ck_assert_int_eq(client->answers[4].end, PST_END_OVERLOADED);
	/* One of another client is always taken, but no more. */
	client_ask(plain, "/plain");
	client_ask(plain, "/too-many");
	settle();
	ck_assert_uint_eq(async_seen_count, 4);
	ck_assert_int_eq(plain->answers[2].end, PST_END_OVERLOADED);
	for (int i = 0; i < 4; i++)
		seen_answer(&async_seen[i], "x");
	settle();
	ck_assert_uint_eq(client->answers[3].ended, 1);
}

START_TEST(test_capacity)
{
	async_case_run(3, NULL, body_capacity);
}
END_TEST

/* What had been sent before is answered, what has begun is finished, then the loop stops. */
static void
body_drain(void)
{
	struct client *client = client_new(true);
	struct client *idle = client_new(true);
	uint16_t first = client_ask(client, "/first"), second;

	settle();
	pst_async_server_drain(async_server);
	second = client_ask(client, "/second");
	settle();
	ck_assert(client->drained);
	ck_assert(idle->refuses);
	ck_assert_uint_eq(async_drains, 1);
	ck_assert(!async_stopped);
	seen_answer(seen_path("/first"), "one");
	settle();
	ck_assert_str_eq(answer_body(client, first), "one");
	ck_assert(!async_stopped);
	seen_answer(seen_path("/second"), "two");
	settle();
	ck_assert_str_eq(answer_body(client, second), "two");
	ck_assert(async_stopped);
}

START_TEST(test_drain)
{
	async_case_run(100, NULL, body_drain);
}
END_TEST

static void
body_outlive(void)
{
	struct client *client = client_new(true);
	uint16_t id;

	settle();
	pst_async_server_outlive(async_server);
	settle();
	ck_assert_uint_eq(async_drains, 0);
	async_on_request = answer_seen;
	id = client_ask(client, "/still");
	settle();
	ck_assert_str_eq(answer_body(client, id), "at once");
	client_close(client);
	settle();
	ck_assert(async_stopped);
}

START_TEST(test_outlive)
{
	async_case_run(100, NULL, body_outlive);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("async");

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_test(tcase, test_interleaved);
	tcase_add_test(tcase, test_written_leaves);
	tcase_add_test(tcase, test_finish_in_callbacks);
	tcase_add_test(tcase, test_abort);
	tcase_add_test(tcase, test_abort_again);
	tcase_add_test(tcase, test_abort_finished);
	tcase_add_test(tcase, test_connection_lost);
	tcase_add_test(tcase, test_credit);
	tcase_add_test(tcase, test_one_of_a_hundred);
	tcase_add_test(tcase, test_deaf_peer);
	tcase_add_test(tcase, test_granted_body);
	tcase_add_test(tcase, test_plain_body);
	tcase_add_test(tcase, test_plain_unread);
	tcase_add_test(tcase, test_plain_answer);
	tcase_add_test(tcase, test_failures);
	tcase_add_test(tcase, test_plain_failure);
	tcase_add_test(tcase, test_order);
	tcase_add_test(tcase, test_finish_twice);
	tcase_add_test(tcase, test_files);
	tcase_add_test(tcase, test_short_file);
	tcase_add_test(tcase, test_trailers);
	tcase_add_test(tcase, test_messages);
	tcase_add_test(tcase, test_message_credit);
	tcase_add_test(tcase, test_empty_messages);
	tcase_add_test(tcase, test_claims);
	tcase_add_test(tcase, test_timer);
	tcase_add_test(tcase, test_capacity);
	tcase_add_test(tcase, test_drain);
	tcase_add_test(tcase, test_outlive);
	return run_case("async", tcase);
}
