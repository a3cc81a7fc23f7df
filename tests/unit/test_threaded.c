/*
 * The threaded server with real threads: a C handler, clients that are real sessions over unix
 * sockets, many requests on each connection. Above all it is for ThreadSanitizer.
 */
#include "adapters/link_values.h"
#include "adapters/threaded_server.h"
#include "protocol/session.h"
#include "tests/unit/runner.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
#define BIG     300000
/* What a client asks for at a time: more than there are threads. */
#define PLACES (THREADS + PST_LINK_AHEAD)

/* --- the application --- */

/* A runtime's lock, as Python's: held while the application runs, not while it calls the host. */
static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static atomic_int inside; /* requests that are being handled */
static atomic_int aborted; /* that found out that nobody wants them */
static atomic_int started, stopped; /* threads */

static ssize_t
host_read(struct pst_request *request, void *bytes, size_t n)
{
	ssize_t got;

	pthread_mutex_unlock(&gil);
	got = pst_request_read(request, bytes, n);
	pthread_mutex_lock(&gil);
	return got;
}

static int
host_write(struct pst_request *request, const void *bytes, size_t n)
{
	int result;

	pthread_mutex_unlock(&gil);
	result = pst_request_write(request, bytes, n);
	if (result == 0)
		result = pst_request_flush(request);
	pthread_mutex_lock(&gil);
	return result;
}

static int
echo(struct pst_request *request)
{
	char bytes[5000];
	ssize_t n;
	int result = 0;

	while (result == 0 && (n = host_read(request, bytes, sizeof(bytes))) != 0)
		result = n < 0 ? -1 : host_write(request, bytes, (size_t)n);
	return result;
}

static int
big(struct pst_request *request)
{
	static const char bytes[BIG / 10];
	int result = 0;

	for (int i = 0; i < 10 && result == 0; i++)
		result = host_write(request, bytes, sizeof(bytes));
	return result;
}

static int
wait_a_while(void)
{
	const struct timespec while_ = {.tv_nsec = 2000000};

	pthread_mutex_unlock(&gil);
	nanosleep(&while_, NULL);
	pthread_mutex_lock(&gil);
	return 0;
}

/* An application that has a socket: it echoes what comes until that ends. */
static void *
echo_socket(void *arg)
{
	int fd = *(const int *)arg;
	char bytes[3000];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0 &&
	       send(fd, bytes, (size_t)n, MSG_NOSIGNAL) == n) {
	}
	shutdown(fd, SHUT_RDWR);
	return NULL;
}

static int
pump(struct pst_request *request)
{
	pthread_t thread;
	int ends[2];
	int result = pst_request_upgrade_stream(request, NULL, 0);

	if (result < 0)
		return result;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, echo_socket, &ends[0]), 0);
	pthread_mutex_unlock(&gil);
	result = pst_request_pump(request, ends[1]);
	close(ends[1]);
	pthread_join(thread, NULL);
	close(ends[0]);
	pthread_mutex_lock(&gil);
	return result;
}

static int
application(struct pst_request *request)
{
	const struct pst_field *kind = pst_fields_find(&request->params, "KIND");

	if (kind && kind->value[0] == 'p')
		return pump(request);
	if (pst_request_respond(request, 200, NULL, NULL, 0) < 0)
		return -1;
	switch (kind ? kind->value[0] : '?') {
	case 'e': return echo(request);
	case 'b': return big(request);
	case 'w': return wait_a_while();
	default: return 0;
	}
}

static enum pst_outcome
handle(void *arg, struct pst_request *request)
{
	int result;

	(void)arg;
	atomic_fetch_add(&inside, 1);
	pthread_mutex_lock(&gil);
	result = application(request);
	pthread_mutex_unlock(&gil);
	atomic_fetch_sub(&inside, 1);
	if (request->gone)
		atomic_fetch_add(&aborted, 1);
	return pst_request_finish(request, result);
}

static int
start(void *arg)
{
	(void)arg;
	atomic_fetch_add(&started, 1);
	return 0;
}

static void
stop(void *arg)
{
	(void)arg;
	atomic_fetch_add(&stopped, 1);
}

/* --- the server --- */

static struct pst_threaded_server *server;
static struct sockaddr_un address;
static socklen_t address_length;
static pthread_t server_thread;
static int server_result;
static bool serial;

static void *
serve(void *arg)
{
	const struct pst_threaded_handler handler = {
	    .start = start,
	    .stop = stop,
	    .handle = handle,
	    .serial = serial,
	};

	(void)arg;
	server_result = pst_threaded_server_run(server, &handler);
	return NULL;
}

static int listener;

static void
begin_server(bool is_serial)
{
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* A name of its own, chosen by the kernel. */
	ck_assert_int_eq(
	    bind(listener, (struct sockaddr *)&address, sizeof(address.sun_family)), 0);
	address_length = sizeof(address);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &address_length), 0);
	ck_assert_int_eq(listen(listener, 64), 0);
	serial = is_serial;
	server = pst_threaded_server_new(listener, THREADS);
	ck_assert_ptr_nonnull(server);
	ck_assert_int_eq(pthread_create(&server_thread, NULL, serve, NULL), 0);
}

static void
end_server(void)
{
	pst_threaded_server_drain(server);
	ck_assert_int_eq(pthread_join(server_thread, NULL), 0);
	ck_assert_int_eq(server_result, 0);
	ck_assert(!pst_threaded_server_busy(server));
	ck_assert_int_eq(atomic_load(&started), THREADS);
	ck_assert_int_eq(atomic_load(&stopped), THREADS);
	pst_threaded_server_free(server);
	close(listener);
}

/* --- a client --- */

/* One request of a client. */
struct ask {
	uint16_t id; /* 0: none is open */
	char kind;
	size_t to_send, sent; /* of the body */
	size_t received; /* of the answer, its head included */
	size_t granted;
	bool hold; /* neither send nor grant */
	bool done, whole;
};

struct client {
	int fd;
	struct pst_session *session;
	bool extends; /* PENSTOCK_VERSION was answered */
	struct ask asks[PLACES];
	unsigned answered;
};

static struct ask *
find(struct client *client, uint16_t id)
{
	for (int i = 0; i < PLACES; i++)
		if (client->asks[i].id == id)
			return &client->asks[i];
	ck_abort_msg("request %u is nobody's", id);
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct ask *ask = find(arg, id);

	(void)bytes;
	ck_assert(stream == PST_STREAM_STDOUT || n == 0);
	ask->received += n;
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t status)
{
	struct client *client = arg;
	struct ask *ask = find(client, id);

	ask->done = true;
	ask->whole = end == PST_END_COMPLETE && status == 0;
	ask->id = 0;
	client->answered++;
}

static void
on_value(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct client *client = arg;

	(void)name_len;
	(void)value;
	(void)value_len;
	client->extends |= name != NULL;
}

static const struct pst_session_callbacks callbacks = {
    .data = on_data,
    .end = on_end,
    .value = on_value,
};

/* Send what may be sent of a request's body, and grant what has come. */
static void
push(struct client *client, struct ask *ask)
{
	static const char body[8192];
	size_t n;

	if (ask->id == 0 || ask->hold || ask->kind == 'a')
		return;
	while (ask->sent < ask->to_send && (n = pst_session_credit(client->session, ask->id)) > 0) {
		if (n > ask->to_send - ask->sent)
			n = ask->to_send - ask->sent;
		if (n > sizeof(body))
			n = sizeof(body);
		ck_assert_int_eq(
		    pst_session_submit_data(client->session, ask->id, PST_STREAM_STDIN, body, n),
		    0);
		ask->sent += n;
		if (ask->sent == ask->to_send)
			pst_session_submit_data(
			    client->session, ask->id, PST_STREAM_STDIN, NULL, 0);
	}
	if (ask->received > ask->granted) {
		pst_session_submit_credit(
		    client->session, ask->id, (uint32_t)(ask->received - ask->granted));
		ask->granted = ask->received;
	}
}

static void
write_all(struct client *client)
{
	const void *bytes;
	size_t n;

	while ((n = pst_session_send(client->session, &bytes)) > 0) {
		ssize_t done = send(client->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		/* A server that drains is gone with its last answer, which is there to be read. */
		if (done < 0 && (errno == EAGAIN || errno == EPIPE))
			return;
		ck_assert_int_gt(done, 0);
		pst_session_sent(client->session, (size_t)done);
	}
}

/* Send, and receive once, if something comes within TIMEOUT ms (-1: for ever). */
static void
turn(struct client *client, int timeout)
{
	struct pollfd polled = {.fd = client->fd, .events = POLLIN};
	char bytes[16384];
	ssize_t n;

	for (int i = 0; i < PLACES; i++)
		push(client, &client->asks[i]);
	write_all(client);
	if (pst_session_want_write(client->session))
		polled.events |= POLLOUT;
	if (poll(&polled, 1, timeout) <= 0 || !(polled.revents & POLLIN))
		return;
	n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(pst_session_recv(client->session, bytes, (size_t)n), 0);
}

static void
client_begin(struct client *client)
{
	struct pst_session_limits limits = PST_SESSION_DEFAULT_LIMITS;

	memset(client, 0, sizeof(*client));
	limits.requests = PLACES;
	client->session = pst_session_new_client(&callbacks, &limits, client);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(client->fd, (struct sockaddr *)&address, address_length), 0);
	pst_session_submit_get_value(
	    client->session, PST_SESSION_VERSION_NAME, strlen(PST_SESSION_VERSION_NAME));
	while (!client->extends)
		turn(client, -1);
}

static void
client_end(struct client *client)
{
	close(client->fd);
	pst_session_free(client->session);
}

/* Begin a request of KIND with a body of N bytes in place I. */
static struct ask *
ask(struct client *client, int i, char kind, size_t n)
{
	struct ask *ask = &client->asks[i];
	struct pst_session *session = client->session;

	ck_assert_uint_eq(ask->id, 0);
	*ask = (struct ask){.kind = kind, .to_send = n};
	ck_assert_int_eq(pst_session_submit_begin(session, PST_ROLE_RESPONDER, true, &ask->id), 0);
	if (kind == 'p')
		pst_session_submit_param(session, ask->id, "PENSTOCK_UPGRADE", 16, "websocket", 9);
	pst_session_submit_param(session, ask->id, "KIND", 4, &kind, 1);
	pst_session_submit_params_end(session, ask->id);
	if (n == 0)
		pst_session_submit_data(session, ask->id, PST_STREAM_STDIN, NULL, 0);
	return ask;
}

static void
finish(struct client *client, const struct ask *ask)
{
	while (!ask->done)
		turn(client, -1);
}

/* The answer is what was asked for. */
static void
check(const struct ask *ask)
{
	size_t body = ask->kind == 'b' ? BIG : ask->to_send;

	ck_assert(ask->done && ask->whole);
	ck_assert_uint_ge(ask->received, body);
	ck_assert_uint_le(ask->received, body + 100);
}

/* --- tests --- */

/* A client on a thread of its own: COUNT requests of all kinds, some of which it aborts. */
static void *
busy_client(void *arg)
{
	static const char kinds[] = "hehpebhwhehhhhhhhhhhhh";
	const unsigned n_kinds = sizeof(kinds) - 1, count = 600;
	struct client client;
	unsigned begun = 0;
	char kind;

	(void)arg;
	client_begin(&client);
	while (client.answered < count) {
		for (int i = 0; i < PLACES && begun < count; i++) {
			struct ask *of = &client.asks[i];
			if (of->id != 0)
				continue;
			if (of->done && of->kind != 'a')
				check(of);
			kind = kinds[begun % n_kinds];
			ask(&client, i, kind, strchr("ep", kind) ? begun * 977 % 200000 : 0);
			begun++;
			if (begun % 13 == 0) {
				of->kind = 'a';
				pst_session_submit_abort(
				    client.session, of->id, PST_SESSION_ABORT_CLIENT);
			}
		}
		turn(&client, -1);
	}
	client_end(&client);
	return NULL;
}

START_TEST(test_many_requests)
{
	pthread_t clients[3];

	begin_server(_i == 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&clients[i], NULL, busy_client, NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(clients[i], NULL);
	end_server();
}
END_TEST

/* Turn CLIENT until N requests are inside the application. */
static void
await_inside(struct client *client, int n)
{
	while (atomic_load(&inside) != n)
		turn(client, 1);
}

/* All threads wait, for bodies, for credit and for the runtime's lock: each gets what it needs. */
START_TEST(test_all_wait_at_once)
{
	struct client client;
	struct ask *bodies[2], *credit, *lock;

	begin_server(_i == 1);
	client_begin(&client);
	bodies[0] = ask(&client, 0, 'p', 100000);
	bodies[1] = ask(&client, 1, 'e', 100000);
	credit = ask(&client, 2, 'b', 0);
	bodies[0]->hold = bodies[1]->hold = credit->hold = true;
	await_inside(&client, 3);
	while (credit->received < PST_SESSION_CREDIT)
		turn(&client, -1);
	pthread_mutex_lock(&gil);
	lock = ask(&client, 3, 'h', 0);
	await_inside(&client, 4);

	bodies[1]->hold = false; /* its body goes as far as its credit does, nobody can run */
	for (int i = 0; i < 10; i++)
		turn(&client, 1);
	ck_assert(!lock->done && !bodies[1]->done);
	pthread_mutex_unlock(&gil);
	finish(&client, lock);
	finish(&client, bodies[1]);
	ck_assert(!credit->done && !bodies[0]->done);

	credit->hold = false;
	finish(&client, credit);
	ck_assert(!bodies[0]->done);
	for (int i = 1; i < THREADS; i++) { /* they are free again */
		ask(&client, i, 'e', 70000);
		finish(&client, &client.asks[i]);
		check(&client.asks[i]);
	}
	bodies[0]->hold = false;
	finish(&client, bodies[0]);
	check(bodies[0]);
	check(lock);
	client_end(&client);
	end_server();
}
END_TEST

/* Every thread has a socket: one of those that wait for their ends carries the bytes of all. */
START_TEST(test_sockets_only)
{
	struct client client;

	begin_server(_i == 1);
	client_begin(&client);
	for (int i = 0; i < THREADS; i++)
		ask(&client, i, 'p', 200000)->hold = i > 0;
	for (int i = 0; i < THREADS; i++) {
		client.asks[i].hold = false;
		finish(&client, &client.asks[i]);
		check(&client.asks[i]);
	}
	ask(&client, 0, 'h', 0);
	finish(&client, &client.asks[0]);
	client_end(&client);
	end_server();
}
END_TEST

/* Who waits hears of an abort, and of a client that is lost. */
START_TEST(test_waiting_is_given_up)
{
	struct client client, other;

	begin_server(_i == 1);
	client_begin(&client);
	client_begin(&other);
	for (int i = 0; i < 3; i++)
		ask(&client, i, "bep"[i], i == 0 ? 0 : 100000)->hold = true;
	ask(&other, 3, 'e', 100000)->hold = true;
	await_inside(&client, 3);
	await_inside(&other, 4);
	pst_session_submit_abort(client.session, client.asks[1].id, PST_SESSION_ABORT_DEADLINE);
	finish(&client, &client.asks[1]);
	ck_assert(!client.asks[1].whole);
	ck_assert_int_eq(atomic_load(&aborted), 1);
	client_end(&client);
	while (atomic_load(&aborted) != 3)
		turn(&other, 1);
	other.asks[3].hold = false;
	finish(&other, &other.asks[3]);
	check(&other.asks[3]);
	client_end(&other);
	end_server();
}
END_TEST

/* What has begun when a drain comes is finished, also what still waits for its body. */
START_TEST(test_drain)
{
	struct client client;

	begin_server(_i == 1);
	client_begin(&client);
	ask(&client, 0, 'e', 100000)->hold = true;
	ask(&client, 1, 'e', 50000)->hold = true;
	await_inside(&client, 2);
	ask(&client, 2, 'h', 0);
	turn(&client, 0);
	pst_threaded_server_drain(server);
	client.asks[1].hold = false;
	finish(&client, &client.asks[1]);
	finish(&client, &client.asks[2]);
	client.asks[0].hold = false;
	finish(&client, &client.asks[0]);
	for (int i = 0; i < 3; i++)
		check(&client.asks[i]);
	end_server();
	client_end(&client);
}
END_TEST

/* Without a client it ends, too, whoever asks for it, and however. */
START_TEST(test_nobody_there)
{
	begin_server(false);
	pst_threaded_server_outlive(server);
	ck_assert_int_eq(pthread_join(server_thread, NULL), 0);
	ck_assert_int_eq(server_result, 0);
	pst_threaded_server_free(server);
	close(listener);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("threaded");

	tcase_add_loop_test(tcase, test_many_requests, 0, 2);
	tcase_add_loop_test(tcase, test_all_wait_at_once, 0, 2);
	tcase_add_loop_test(tcase, test_sockets_only, 0, 2);
	tcase_add_loop_test(tcase, test_waiting_is_given_up, 0, 2);
	tcase_add_loop_test(tcase, test_drain, 0, 2);
	tcase_add_test(tcase, test_nobody_there);
	return run_case("threaded", tcase);
}
