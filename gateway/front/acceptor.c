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
/* Who is left to another gateway is taken after all when that has not done so by then. */
#define LEAVE_MS 1
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
	struct event *later; /* somebody was left to another gateway; NULL: there are none */
	int overdue; /* how many are taken then whosever turn it is: more each time in a row */
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
	struct pst_board board; /* of all gateways that accept here; none: we are alone */
	unsigned place; /* on it */
	uint64_t mates; /* the places of the others */
	uint64_t warned; /* when it was last logged that there is no room; 0: never */
};

static bool
is_alone(const struct pst_acceptor *acceptor)
{
	return acceptor->board.words == NULL;
}

/* What the others are to know of us. */
static void
show(const struct pst_acceptor *acceptor)
{
	if (is_alone(acceptor))
		return;
	if (acceptor->state == ACCEPTING && acceptor->listeners != NULL)
		pst_board_show(&acceptor->board, acceptor->place, acceptor->clients->count);
	else
		pst_board_hide(&acceptor->board, acceptor->place);
}

static void
set_state(struct pst_acceptor *acceptor, enum state state)
{
	acceptor->state = state;
	for (struct listener *l = acceptor->listeners; l != NULL; l = l->next) {
		if (state == ACCEPTING)
			event_add(l->readable, NULL);
		else
			event_del(l->readable);
		if (l->later != NULL)
			event_del(l->later);
	}
	if (state != PAUSED)
		event_del(acceptor->retry);
	show(acceptor);
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
	show(acceptor);
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
	show(listener->acceptor);
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
look_later(struct listener *listener)
{
	static const struct timeval wait = {.tv_usec = LEAVE_MS * 1000};

	if (listener->acceptor->state == ACCEPTING &&
	    !event_pending(listener->later, EV_TIMEOUT, NULL))
		event_add(listener->later, &wait);
}

static bool
is_turn(const struct pst_acceptor *acceptor)
{
	return is_alone(acceptor) ||
	       pst_board_is_turn(&acceptor->board, acceptor->mates, acceptor->clients->count);
}

/* True when there may be more to accept; the first MUST of a batch are taken in any case. */
static bool
accept_batch(struct listener *listener, int must)
{
	struct pst_acceptor *acceptor = listener->acceptor;

	for (int i = 0; i < BATCH && acceptor->state == ACCEPTING; i++) {
		if (is_full(acceptor))
			pause_for(acceptor, "the limit of open files (ulimit -n) is near");
		else if (i >= must && !is_turn(acceptor))
			return true;
		else if (!accept_one(listener))
			return false;
	}
	return true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	if (accept_batch(listener, 0) && !is_alone(listener->acceptor))
		look_later(listener);
}

/* Whoever should have come first has not: it may be busy, or hang. */
static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	if (!accept_batch(listener, listener->overdue)) {
		listener->overdue = 1;
		return;
	}
	if (listener->overdue < BATCH)
		listener->overdue *= 2;
	look_later(listener);
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

static void
free_listener(struct listener *listener)
{
	if (listener->readable != NULL)
		event_free(listener->readable);
	if (listener->later != NULL)
		event_free(listener->later);
	free(listener->name);
	free(listener);
}

/*
 * With others all are told of whoever connects, once, and leave it to one of them: a level that
 * stays would wake them again and again.
 */
static struct listener *
new_listener(struct pst_acceptor *acceptor, int fd, const char *name)
{
	struct event_base *base = pst_loop_base(acceptor->loop);
	struct listener *listener = calloc(1, sizeof(*listener));
	short what = is_alone(acceptor) ? EV_READ | EV_PERSIST : EV_READ | EV_PERSIST | EV_ET;

	if (listener == NULL)
		return NULL;
	listener->readable = event_new(base, fd, what, on_readable, listener);
	if (!is_alone(acceptor))
		listener->later = event_new(base, -1, 0, on_later, listener);
	listener->name = strdup(name);
	if (listener->readable != NULL && listener->name != NULL &&
	    (is_alone(acceptor) || listener->later != NULL))
		return listener;
	free_listener(listener);
	return NULL;
}

void
pst_acceptor_share(
    struct pst_acceptor *acceptor, struct pst_board *board, unsigned place, uint64_t mates)
{
	acceptor->board = *board;
	acceptor->place = place;
	acceptor->mates = mates;
	*board = (struct pst_board){0};
}

int
pst_acceptor_add(struct pst_acceptor *acceptor, int fd, const char *name)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	socklen_t length = sizeof(address);
	struct listener *listener = new_listener(acceptor, fd, name);
	int on = 1;

	if (listener == NULL)
		return -1;
	evutil_make_socket_nonblocking(fd);
	if (getsockname(fd, (struct sockaddr *)&address, &length) == -1)
		pst_log_warning("listener %s: its address is not known: %s", name, strerror(errno));
	pst_peer_address_set(&listener->local, (struct sockaddr *)&address, length);
	listener->any = is_wildcard(&address);
	/* Its connections inherit this: a streamed piece is sent at once. */
	if (address.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	listener->acceptor = acceptor;
	listener->overdue = 1;
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
	int fd = listener->fd;

	free_listener(listener);
	close(fd);
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
	show(acceptor);
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
	pst_board_unmap(&acceptor->board);
	event_free(acceptor->retry);
	free(acceptor);
}
