#include "adapters/server.h"

#include "adapters/held.h"
#include "adapters/link.h"
#include "adapters/listener.h"
#include "adapters/log.h"
#include "adapters/vitals.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long a connection lingers. */
#define LINGER_SECONDS 5

/* The places in the array for poll(): these two, then a place for each member. */
#define POLL_WAKE     0
#define POLL_LISTENER 1
#define POLL_MEMBERS  2

/*
 * A connection and when something last happened on it, in seconds of the monotonic clock. What
 * comes while it lingers does not count: else its client could make it linger for ever.
 */
struct member {
	struct pst_link *link;
	time_t active;
};

struct pst_server {
	struct pst_listener listener;
	int wake; /* eventfd: what is below has changed */
	atomic_bool drain;
	atomic_bool outlive; /* drain when no connection is left */
	pst_server_fn *handle;
	void *arg;
	size_t limit;
	size_t count;
	struct member *members; /* `limit` places, `count` in use, oldest connection first */
	struct pollfd *polled; /* POLL_MEMBERS + limit */
	struct pst_vitals vitals;
	struct pst_link_common common;
};

static time_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

/* --- life --- */

static int
set_up(struct pst_server *server)
{
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->limit = pst_listener_limit();
	server->common.connections = (unsigned)server->limit;
	server->members = calloc(server->limit, sizeof(*server->members));
	server->polled = calloc(POLL_MEMBERS + server->limit, sizeof(*server->polled));
	return server->wake >= 0 && server->members && server->polled ? 0 : -1;
}

struct pst_server *
pst_server_new(int listener, pst_server_fn *handle, void *arg)
{
	struct pst_server *server = calloc(1, sizeof(*server));

	if (!server) {
		pst_log(PST_LOG_CRITICAL, "memory is short");
		return NULL;
	}
	server->wake = -1;
	server->handle = handle;
	server->arg = arg;
	if (pst_listener_begin(&server->listener, listener) < 0) {
		pst_server_free(server);
		return NULL;
	}
	if (set_up(server) < 0) {
		pst_log(PST_LOG_CRITICAL, "the connections cannot be set up: %s", strerror(errno));
		pst_server_free(server);
		return NULL;
	}
	return server;
}

void
pst_server_free(struct pst_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < server->count; i++)
		pst_link_free(server->members[i].link);
	pst_link_common_clear(&server->common);
	pst_held_free(server->common.held);
	free(server->members);
	free(server->polled);
	if (server->wake >= 0)
		close(server->wake);
	free(server);
}

void
pst_server_share(struct pst_server *server, struct pst_page *page)
{
	server->common.page = page;
	server->common.holds = true;
}

static void
wake(struct pst_server *server)
{
	uint64_t one = 1;

	if (write(server->wake, &one, sizeof(one)) < 0) {
		/* Full: it is readable already. */
	}
}

static void
wake_up(struct pst_server *server)
{
	uint64_t count;

	if (read(server->wake, &count, sizeof(count)) < 0) {
		/* Nothing there: so much the better. */
	}
}

void
pst_server_drain(struct pst_server *server)
{
	int saved = errno;

	atomic_store(&server->drain, true);
	wake(server);
	errno = saved;
}

void
pst_server_outlive(struct pst_server *server)
{
	atomic_store(&server->outlive, true);
	wake(server);
}

/* --- members --- */

static void
remove_member(struct pst_server *server, size_t i)
{
	pst_link_free(server->members[i].link);
	server->count--;
	memmove(&server->members[i], &server->members[i + 1],
	    (server->count - i) * sizeof(*server->members));
}

/* Close what is over, what has lingered long enough and, when DRAINING, what is idle. */
static void
sweep(struct pst_server *server, bool draining)
{
	time_t at = now();

	for (size_t i = server->count; i-- > 0;) {
		struct member *member = &server->members[i];
		bool lingers = pst_link_lingers(member->link);
		if (pst_link_events(member->link) == 0 ||
		    (lingers && at - member->active > LINGER_SECONDS) ||
		    (draining && (lingers || pst_link_idle(member->link))))
			remove_member(server, i);
	}
}

/* Nothing has come from the client that was not read yet. */
static bool
is_silent(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Close the connection that has been without activity for longest. */
static void
make_room(struct pst_server *server)
{
	size_t oldest = server->count;

	for (size_t i = 0; i < server->count; i++)
		if ((oldest == server->count ||
			server->members[i].active < server->members[oldest].active) &&
		    is_silent(pst_link_fd(server->members[i].link)))
			oldest = i;
	if (oldest < server->count)
		remove_member(server, oldest);
}

/* --- a round --- */

/* Advance a connection, and handle the requests that it has then; those that were sent ahead are
 * few. */
static void
step(struct pst_server *server, struct member *member, short revents)
{
	bool lingers = pst_link_lingers(member->link);
	struct pst_request *request;

	pst_link_step(member->link, revents);
	while ((request = pst_link_ready(member->link)) != NULL) {
		pst_link_end(member->link, server->handle(server->arg, request));
		pst_vitals_tell(&server->vitals, server->common.page);
	}
	if (!lingers)
		member->active = now();
}

static int
accept_one(struct pst_server *server)
{
	struct member *member;
	int fd = pst_listener_accept(&server->listener);

	if (fd < 0)
		return fd == PST_LISTENER_FAILED ? -1 : 0;
	if (server->count == server->limit)
		make_room(server);
	if (server->count == server->limit) {
		close(fd);
		return 0;
	}
	member = &server->members[server->count];
	member->link = pst_link_new(&fd, &server->common);
	if (!member->link) {
		pst_log(PST_LOG_ERROR, "memory is short: a connection was closed");
		return 0;
	}
	server->count++;
	step(server, member, POLLIN); /* what it asks for is mostly there already */
	return 0;
}

/* Fill the array for poll(); the timeout in ms. */
static int
prepare(struct pst_server *server, bool draining)
{
	int timeout = -1;
	bool accepts = !draining && pst_listener_open(&server->listener);

	server->polled[POLL_WAKE] = (struct pollfd){draining ? -1 : server->wake, POLLIN, 0};
	server->polled[POLL_LISTENER] =
	    (struct pollfd){accepts ? server->listener.fd : -1, POLLIN, 0};
	if (!accepts && !draining)
		timeout = 1000;
	for (size_t i = 0; i < server->count; i++) {
		struct pst_link *link = server->members[i].link;
		server->polled[POLL_MEMBERS + i] =
		    (struct pollfd){pst_link_fd(link), pst_link_events(link), 0};
		if (pst_link_lingers(link))
			timeout = 1000;
	}
	return timeout;
}

/* One round; it waits for something to happen when WAIT is true. */
static int
go_round(struct pst_server *server, bool draining, bool wait)
{
	int timeout = prepare(server, draining);
	size_t count = server->count;
	int result = 0;
	int n = poll(server->polled, POLL_MEMBERS + count, wait ? timeout : 0);

	if (n < 0 && errno != EINTR) {
		pst_log(PST_LOG_CRITICAL, "poll: %s", strerror(errno));
		return -1;
	}
	pst_vitals_tell(&server->vitals, server->common.page);
	if (n > 0 && server->polled[POLL_WAKE].revents)
		wake_up(server);
	for (size_t i = 0; i < count && n > 0; i++)
		if (server->polled[POLL_MEMBERS + i].revents)
			step(server, &server->members[i], server->polled[POLL_MEMBERS + i].revents);
	sweep(server, draining);
	if (n > 0 && server->polled[POLL_LISTENER].revents) {
		result = accept_one(server);
		sweep(server, false);
	}
	return result;
}

static bool
is_over(const struct pst_server *server)
{
	return atomic_load(&server->drain) || (atomic_load(&server->outlive) && server->count == 0);
}

int
pst_server_run(struct pst_server *server)
{
	while (!is_over(server))
		if (go_round(server, false, true) < 0)
			return -1;
	/* What had been sent to this process before is answered, and what has begun is finished. */
	if (go_round(server, true, false) < 0)
		return -1;
	while (server->count > 0)
		if (go_round(server, true, true) < 0)
			return -1;
	return 0;
}
