#include "tests/unit/async_case.h"

#include "protocol/descriptor.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WATCHED 64
#define CLIENTS 16

void (*async_on_request)(struct seen *seen);
void (*async_on_ready)(struct seen *seen);
void (*async_on_abort)(struct seen *seen);

const struct pst_host *const async_host = &pst_async_host;
struct seen async_seen[ASYNC_CASE_REQUESTS];
unsigned async_seen_count;
unsigned async_drains;
bool async_stopped;
uint64_t async_timer = UINT64_MAX;
struct pst_async_server *async_server;

static struct pollfd watched[WATCHED];
static nfds_t watched_count;
static bool deferred;
static void (*test_body)(void);
static struct client *clients[CLIENTS];
static unsigned client_count;
static struct sockaddr_un address;
static socklen_t address_length;

/* --- the plugin --- */

static struct seen *
find_seen(const struct pst_request *request)
{
	return async_host->user(request);
}

static void
on_request(void *app, struct pst_request *request)
{
	struct seen *seen = &async_seen[async_seen_count++];
	const struct pst_field *params;
	size_t count;

	ck_assert_ptr_eq(app, &watched);
	ck_assert_uint_le(async_seen_count, ASYNC_CASE_REQUESTS);
	ck_assert_ptr_null(async_host->user(request));
	seen->request = request;
	async_host->set_user(request, seen);
	params = async_host->params(request, &count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(params[i].name, "PATH_INFO") == 0)
			snprintf(seen->path, sizeof(seen->path), "%s", params[i].value);
	if (async_on_request)
		async_on_request(seen);
}

static void
on_ready(void *app, struct pst_request *request)
{
	struct seen *seen = find_seen(request);

	(void)app;
	ck_assert_ptr_eq(seen->request, request); /* not finished */
	seen->ready++;
	if (async_on_ready)
		async_on_ready(seen);
}

static void
on_abort(void *app, struct pst_request *request, enum pst_abort why)
{
	struct seen *seen = find_seen(request);

	(void)app;
	ck_assert_ptr_eq(seen->request, request);
	seen->aborted++;
	seen->why = why;
	if (async_on_abort)
		async_on_abort(seen);
}

static int
loop_watch(void *app, int fd, unsigned events)
{
	nfds_t i = 0;

	(void)app;
	while (i < watched_count && watched[i].fd != fd)
		i++;
	if (events == 0) {
		ck_assert_uint_lt(i, watched_count);
		watched[i] = watched[--watched_count];
		return 0;
	}
	ck_assert_uint_lt(i, WATCHED);
	if (i == watched_count)
		watched_count++;
	watched[i].fd = fd;
	watched[i].events = (short)((events & PST_EVENT_READ ? POLLIN : 0) |
				    (events & PST_EVENT_WRITE ? POLLOUT : 0));
	return 0;
}

static void
loop_timer(void *app, uint64_t microseconds)
{
	(void)app;
	async_timer = microseconds;
}

static void
loop_defer(void *app)
{
	(void)app;
	ck_assert(!deferred); /* once for each turn */
	deferred = true;
}

static void
loop_stop(void *app)
{
	(void)app;
	ck_assert(!async_stopped);
	async_stopped = true;
}

static int
loop_run(void *app)
{
	(void)app;
	test_body();
	for (unsigned i = 0; i < client_count; i++)
		client_close(clients[i]);
	pst_async_server_drain(async_server);
	for (unsigned i = 0; i < async_seen_count; i++)
		ck_assert_msg(!async_seen[i].request, "%s was not finished", async_seen[i].path);
	settle_server();
	ck_assert(async_stopped);
	return 0;
}

static const struct pst_loaded plugin = {
    .async =
	{
	    .on_request = on_request,
	    .on_ready = on_ready,
	    .on_abort = on_abort,
	    .run = loop_run,
	    .stop = loop_stop,
	    .watch = loop_watch,
	    .timer = loop_timer,
	    .defer = loop_defer,
	},
};

static void
on_draining(void *arg)
{
	ck_assert_ptr_eq(arg, &clients);
	async_drains++;
}

/* --- the loop --- */

/* One wakeup; false: nothing happened. */
static bool
turn_server(void)
{
	struct pollfd ready[WATCHED];
	nfds_t count = watched_count;
	int n;

	memcpy(ready, watched, sizeof(ready));
	n = poll(ready, count, 0);
	ck_assert_int_ge(n, 0);
	for (nfds_t i = 0; i < count; i++) {
		unsigned events =
		    (ready[i].revents & (POLLIN | POLLHUP | POLLERR) ? PST_EVENT_READ : 0u) |
		    (ready[i].revents & POLLOUT ? PST_EVENT_WRITE : 0u);
		if (events)
			async_host->fd_ready(ready[i].fd, events);
	}
	if (!deferred)
		return n > 0;
	deferred = false;
	async_host->turn();
	return true;
}

void
settle_server(void)
{
	while (!async_stopped && turn_server())
		;
}

static int
listen_somewhere(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	address.sun_family = AF_UNIX;
	ck_assert_int_ge(fd, 0);
	/* A name of the kernel's choice, which is in no file system. */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	address_length = sizeof(address);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &address_length), 0);
	return fd;
}

void
async_case_run(unsigned capacity, struct pst_page *page, void (*body)(void))
{
	struct pst_async_config config = {
	    .listener = listen_somewhere(), .capacity = capacity, .page = page};

	async_server = pst_async_server_new(&config);
	ck_assert_ptr_nonnull(async_server);
	test_body = body;
	ck_assert_int_eq(
	    pst_async_server_run(async_server, &plugin, &watched, on_draining, &clients), 0);
	ck_assert_uint_eq(async_drains, 1);
	pst_async_server_free(async_server);
	for (unsigned i = 0; i < client_count; i++)
		free(clients[i]);
	close(config.listener);
}

/* --- the client --- */

static struct answer *
answer_of(struct client *client, uint16_t id)
{
	ck_assert_uint_lt(id, ASYNC_CASE_REQUESTS);
	return &client->answers[id];
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct client *client = arg;
	struct answer *answer = answer_of(client, id);
	struct pst_buf *to = stream == PST_STREAM_STDOUT ? &answer->bytes : &answer->text;

	ck_assert_uint_eq(answer->ended, 0);
	if (stream == PST_STREAM_STDOUT)
		answer->total += n;
	if (n > 0 && !answer->drops_bytes)
		ck_assert_int_eq(pst_buf_append(to, bytes, n), 0);
	if (n > 0 && stream == PST_STREAM_STDOUT && !answer->keeps_credit)
		ck_assert_int_eq(pst_session_submit_credit(client->session, id, (uint32_t)n), 0);
}

static void __attribute__((format(printf, 2, 3)))
add_line(struct answer *answer, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	ck_assert_int_eq(pst_buf_append(&answer->text, line, strlen(line)), 0);
}

static void
on_trailer(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	add_line(
	    answer_of(arg, id), "trailer %.*s=%.*s\n", (int)name_len, name, (int)value_len, value);
}

static void
on_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	struct client *client = arg;
	struct answer *answer = answer_of(client, id);

	answer->total += n;
	if (!answer->drops_bytes)
		add_line(answer, "message %u %.*s\n", flags, (int)n, (const char *)bytes);
	if (n > 0 && !answer->keeps_credit)
		ck_assert_int_eq(pst_session_submit_credit(client->session, id, (uint32_t)n), 0);
}

static void
on_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n)
{
	add_line(answer_of(arg, id), "closed %u %.*s\n", code, (int)n, reason);
}

static void
on_memory(void *arg, int fd, uint32_t size)
{
	struct client *client = arg;

	ck_assert_int_eq(pst_lane_map(&client->lane, fd, size), 0);
	pst_session_use_memory(client->session, client->lane.bytes, size);
	close(fd);
}

static void
on_shared(void *arg, uint16_t id, const void *bytes, size_t n)
{
	struct client *client = arg;

	client->shared += n;
	on_data(arg, id, PST_STREAM_STDOUT, bytes, n);
}

static void
on_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	struct answer *answer = answer_of(arg, id);

	ck_assert_int_eq(stream, PST_STREAM_STDOUT);
	ck_assert_int_lt(answer->file, 0);
	answer->file = file->fd;
	answer->file_length = file->length;
	ck_assert_int_eq(lseek(file->fd, 0, SEEK_SET), 0);
}

static void
on_usage(void *arg, uint16_t id, const struct pst_session_usage *usage)
{
	struct answer *answer = answer_of(arg, id);

	(void)usage;
	ck_assert_uint_eq(answer->ended, 0);
	answer->usages++;
}

static void
on_drain(void *arg)
{
	struct client *client = arg;

	client->drained = true;
}

static void
on_credit(void *arg, uint16_t id)
{
	struct client *client = arg;

	(void)id;
	client->credits++;
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct answer *answer = answer_of(arg, id);

	answer->ended++;
	answer->end = end;
	answer->status = app_status;
}

static const struct pst_session_callbacks callbacks = {
    .data = on_data,
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
};

static void
ask_values(struct client *client)
{
	static const char *const names[] = {
	    PST_SESSION_VERSION_NAME, PST_SESSION_FILES_NAME, PST_SESSION_MEMORY_NAME};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_int_eq(
		    pst_session_submit_get_value(client->session, names[i], strlen(names[i])), 0);
	settle();
	ck_assert(pst_session_extends(client->session));
	ck_assert(pst_session_lends(client->session));
}

struct client *
client_new(bool penstock)
{
	struct client *client = calloc(1, sizeof(*client));
	struct pst_session_limits limits = PST_SESSION_DEFAULT_LIMITS;

	ck_assert_ptr_nonnull(client);
	ck_assert_uint_lt(client_count, CLIENTS);
	limits.requests = ASYNC_CASE_REQUESTS - 1;
	client->session = pst_session_new_client(&callbacks, &limits, client);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(connect(client->fd, (struct sockaddr *)&address, address_length), 0);
	for (size_t i = 0; i < ASYNC_CASE_REQUESTS; i++)
		client->answers[i].file = -1;
	clients[client_count++] = client;
	if (penstock)
		ask_values(client);
	return client;
}

void
client_close(struct client *client)
{
	if (client->fd < 0)
		return;
	close(client->fd);
	client->fd = -1;
	pst_session_free(client->session);
	pst_lane_unmap(&client->lane);
	client->session = NULL;
	for (size_t i = 0; i < ASYNC_CASE_REQUESTS; i++) {
		pst_buf_free(&client->answers[i].bytes);
		pst_buf_free(&client->answers[i].text);
		if (client->answers[i].file >= 0)
			close(client->answers[i].file);
	}
}

uint16_t
client_ask_with(struct client *client, const char *path, const char *name, const char *value)
{
	uint16_t id = 0;

	ck_assert_int_eq(
	    pst_session_submit_begin(client->session, PST_ROLE_RESPONDER, true, &id), 0);
	if (name)
		ck_assert_int_eq(pst_session_submit_param(
				     client->session, id, name, strlen(name), value, strlen(value)),
		    0);
	ck_assert_int_eq(
	    pst_session_submit_param(client->session, id, "PATH_INFO", 9, path, strlen(path)), 0);
	ck_assert_int_eq(pst_session_submit_params_end(client->session, id), 0);
	return id;
}

uint16_t
client_ask(struct client *client, const char *path)
{
	return client_ask_with(client, path, NULL, NULL);
}

void
client_body(struct client *client, uint16_t id, const void *bytes, size_t n)
{
	ck_assert_int_eq(
	    pst_session_submit_data(client->session, id, PST_STREAM_STDIN, bytes, n), 0);
}

void
client_grant(struct client *client, uint16_t id, uint32_t n)
{
	ck_assert_int_eq(pst_session_submit_credit(client->session, id, n), 0);
}

/* Write and read what can be; false: nothing happened. */
static bool
turn_client(struct client *client)
{
	static unsigned char bytes[65536];
	bool moved = false;
	const void *out;
	ssize_t n;
	size_t length;
	int fd;

	if (client->fd < 0 || client->refuses)
		return false;
	while ((length = pst_session_send(client->session, &out)) > 0) {
		n = send(client->fd, out, length, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		pst_session_sent(client->session, (size_t)n);
		moved = true;
	}
	n = pst_descriptor_recv(client->fd, bytes, sizeof(bytes), 0, &fd);
	if (fd >= 0)
		ck_assert_int_eq(pst_session_recv_fd(client->session, fd), 0);
	if (n > 0 && pst_session_recv(client->session, bytes, (size_t)n) == 0) {
		if (client->lane.bytes)
			pst_lane_done(&client->lane, pst_session_mark(client->session));
		return true;
	}
	if (n >= 0 || errno != EAGAIN) {
		client->refuses = true;
		pst_session_close(client->session);
		return true;
	}
	return moved;
}

void
settle(void)
{
	bool moved = true;

	while (moved) {
		moved = !async_stopped && turn_server();
		for (unsigned i = 0; i < client_count; i++)
			moved |= turn_client(clients[i]);
	}
}

const char *
answer_body(struct client *client, uint16_t id)
{
	static char text[4096];
	struct answer *answer = answer_of(client, id);
	size_t n = pst_buf_length(&answer->bytes);
	char *end;

	snprintf(text, sizeof(text), "%.*s", (int)n,
	    n > 0 ? (const char *)pst_buf_bytes(&answer->bytes) : "");
	end = strstr(text, "\r\n\r\n");
	return end ? end + 4 : "";
}

/* --- what a plugin does --- */

void
seen_respond(struct seen *seen)
{
	static const struct pst_field plain = {"Content-Type", 12, "text/plain", 10};

	ck_assert_int_eq(async_host->respond(seen->request, 200, NULL, &plain, 1), 0);
}

void
seen_finish(struct seen *seen, int result)
{
	struct pst_request *request = seen->request;

	ck_assert_ptr_nonnull(request);
	seen->request = NULL;
	async_host->finish(request, result);
}

void
seen_answer(struct seen *seen, const char *text)
{
	seen_respond(seen);
	ck_assert_int_eq(async_host->write(seen->request, text, strlen(text)), 0);
	seen_finish(seen, 0);
}

struct seen *
seen_path(const char *path)
{
	for (unsigned i = 0; i < async_seen_count; i++)
		if (strcmp(async_seen[i].path, path) == 0)
			return &async_seen[i];
	ck_abort_msg("%s was not asked for", path);
	return NULL;
}
