#include "gateway/front/acceptor.h"

#include "gateway/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that one wakeup of one listener takes. */
#define BATCH 64
/* When there was no descriptor or memory, it is tried again after so many milliseconds. */
#define PAUSE_MS 500
/* How often that is logged. */
#define WARN_MS 60000
/* Descriptors for listeners, logs and workers; a quarter of all is for spool files besides. */
#define RESERVE 64

/*
 *	STOPPED ──► ACCEPTING ◄──► PAUSED
 *	   ▲            │            │     no descriptors: until one leaves, or for PAUSE_MS
 *	   └────────────┴────────────┘
 */
enum state {
	STOPPED,
	ACCEPTING,
	PAUSED,
};

struct listener {
	struct listener *next;
	struct pst_acceptor *acceptor;
	struct event *readable;
	int fd;
	char *name; /* as the arbiter calls it */
	bool any; /* bound to a wildcard address: each connection has its own local one */
	struct pst_peer_address local;
};

struct pst_acceptor {
	enum state state;
	struct pst_loop *loop;
	struct pst_clients *clients;
	struct listener *listeners;
	struct event *retry;
	size_t limit; /* clients */
	uint64_t warned; /* when it was last logged that there is no room; 0: never */
};

static void
set_state(struct pst_acceptor *acceptor, enum state state)
{
	acceptor->state = state;
	for (struct listener *l = acceptor->listeners; l != NULL; l = l->next) {
		if (state == ACCEPTING)
			event_add(l->readable, NULL);
		else
			event_del(l->readable);
	}
	if (state != PAUSED)
		event_del(acceptor->retry);
}

static void
pause_for(struct pst_acceptor *acceptor, const char *reason)
{
	struct timeval wait = {.tv_sec = PAUSE_MS / 1000, .tv_usec = PAUSE_MS % 1000 * 1000};

	if (acceptor->state != ACCEPTING)
		return;
	if (acceptor->warned == 0 || pst_loop_now() - acceptor->warned > WARN_MS) {
		pst_log_warning("no more connections are accepted while %zu are open: %s",
		    acceptor->clients->count, reason);
		acceptor->warned = pst_loop_now();
	}
	set_state(acceptor, PAUSED);
	event_add(acceptor->retry, &wait);
}

static bool
is_full(const struct pst_acceptor *acceptor)
{
	return acceptor->clients->count >= acceptor->limit;
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct pst_acceptor *acceptor = arg;

	(void)fd;
	(void)what;
	if (acceptor->state == PAUSED && !is_full(acceptor))
		set_state(acceptor, ACCEPTING);
}

void
pst_acceptor_room(struct pst_acceptor *acceptor)
{
	on_retry(-1, 0, acceptor);
}

static void
serve(struct listener *listener, int fd, const struct sockaddr_storage *from, socklen_t length)
{
	struct pst_peer_address peer;
	struct pst_peer_address local = listener->local;

	pst_peer_address_set(&peer, (const struct sockaddr *)from, length);
	if (listener->any) {
		struct sockaddr_storage own;
		socklen_t own_length = sizeof(own);

		if (getsockname(fd, (struct sockaddr *)&own, &own_length) == 0)
			pst_peer_address_set(&local, (struct sockaddr *)&own, own_length);
	}
	pst_client_new(listener->acceptor->clients, fd, &peer, &local);
}

/* True when there may be more to accept. */
static bool
accept_one(struct listener *listener)
{
	struct sockaddr_storage from = {.ss_family = AF_UNIX};
	socklen_t length = sizeof(from);
	int fd =
	    accept4(listener->fd, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		serve(listener, fd, &from, length);
		return true;
	}
	switch (errno) {
	case EAGAIN: return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: pause_for(listener->acceptor, strerror(errno)); return false;
	default: return true; /* it was about that one connection; see accept(2) */
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < BATCH && listener->acceptor->state == ACCEPTING; i++) {
		if (is_full(listener->acceptor))
			pause_for(
			    listener->acceptor, "the limit of open files (ulimit -n) is near");
		else if (!accept_one(listener))
			return;
	}
}

/* What of the process's descriptors clients may take. */
static size_t
client_limit(void)
{
	struct rlimit limit;
	size_t all = 1024;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		all = limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX / 2 : (size_t)limit.rlim_cur;
	all -= all / 4;
	return all > RESERVE ? all - RESERVE : 1;
}

static bool
is_wildcard(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET)
		return v4->sin_addr.s_addr == htonl(INADDR_ANY);
	return address->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

int
pst_acceptor_add(struct pst_acceptor *acceptor, int fd, const char *name)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	socklen_t length = sizeof(address);
	struct listener *listener = calloc(1, sizeof(*listener));
	int on = 1;

	if (listener == NULL)
		return -1;
	listener->readable = event_new(
	    pst_loop_base(acceptor->loop), fd, EV_READ | EV_PERSIST, on_readable, listener);
	listener->name = strdup(name);
	if (listener->readable == NULL || listener->name == NULL) {
		if (listener->readable != NULL)
			event_free(listener->readable);
		free(listener->name);
		free(listener);
		return -1;
	}
	evutil_make_socket_nonblocking(fd);
	if (getsockname(fd, (struct sockaddr *)&address, &length) == -1)
		pst_log_warning("listener %s: its address is not known: %s", name, strerror(errno));
	pst_peer_address_set(&listener->local, (struct sockaddr *)&address, length);
	listener->any = is_wildcard(&address);
	/* Its connections inherit this: a streamed piece is sent at once. */
	if (address.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	listener->acceptor = acceptor;
	listener->fd = fd;
	listener->next = acceptor->listeners;
	acceptor->listeners = listener;
	return 0;
}

void
pst_acceptor_start(struct pst_acceptor *acceptor)
{
	set_state(acceptor, ACCEPTING);
}

void
pst_acceptor_drain(struct pst_acceptor *acceptor)
{
	for (struct listener *l = acceptor->listeners; l != NULL; l = l->next) {
		while (acceptor->state == ACCEPTING && !is_full(acceptor) && accept_one(l)) {
			/* Closing the listener would reset it. */
		}
	}
	pst_acceptor_stop(acceptor);
}

static void
close_listener(struct listener *listener)
{
	event_free(listener->readable);
	close(listener->fd);
	free(listener->name);
	free(listener);
}

void
pst_acceptor_leave(struct pst_acceptor *acceptor, const char *name)
{
	struct listener **at = &acceptor->listeners, *listener;

	while ((listener = *at) != NULL) {
		if (strcmp(listener->name, name) != 0) {
			at = &listener->next;
			continue;
		}
		*at = listener->next;
		close_listener(listener);
	}
}

void
pst_acceptor_stop(struct pst_acceptor *acceptor)
{
	struct listener *listener;

	set_state(acceptor, STOPPED);
	while ((listener = acceptor->listeners) != NULL) {
		acceptor->listeners = listener->next;
		close_listener(listener);
	}
}

bool
pst_acceptor_is_open(const struct pst_acceptor *acceptor)
{
	return acceptor->listeners != NULL;
}

struct pst_acceptor *
pst_acceptor_new(struct pst_loop *loop, struct pst_clients *clients)
{
	struct pst_acceptor *acceptor = calloc(1, sizeof(*acceptor));

	if (acceptor == NULL)
		return NULL;
	acceptor->loop = loop;
	acceptor->clients = clients;
	acceptor->limit = client_limit();
	acceptor->retry = event_new(pst_loop_base(loop), -1, 0, on_retry, acceptor);
	if (acceptor->retry == NULL) {
		free(acceptor);
		return NULL;
	}
	return acceptor;
}

void
pst_acceptor_free(struct pst_acceptor *acceptor)
{
	if (acceptor == NULL)
		return;
	pst_acceptor_stop(acceptor);
	event_free(acceptor->retry);
	free(acceptor);
}
