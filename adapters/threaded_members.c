#include "adapters/threaded_internal.h"

#include "adapters/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a connection lingers. */
#define LINGER_SECONDS 5

/* What an event is about: one of these, or the place of a member, or of a thread's pump, and its
 * serial. */
#define EVENT_LISTENER UINT64_MAX
#define EVENT_BELL     (UINT64_MAX - 1)

static time_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

/* --- life --- */

static int
watch(struct pst_threaded_server *server, int fd, uint32_t events, uint64_t about)
{
	struct epoll_event event = {.events = events, .data.u64 = about};

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
}

int
pst_threaded_members_begin(struct pst_threaded_server *server, int listener)
{
	server->epoll = -1;
	server->bell = server->kick = -1;
	if (pst_listener_begin(&server->listener, listener) < 0)
		return -1;
	server->limit = pst_listener_limit();
	server->common.connections = (unsigned)server->limit;
	server->members = calloc(server->limit, sizeof(*server->members));
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->members && server->epoll >= 0 && server->bell >= 0 && server->kick >= 0 &&
	    watch(server, server->bell, EPOLLIN | EPOLLET, EVENT_BELL) == 0 &&
	    watch(server, listener, EPOLLIN | EPOLLONESHOT, EVENT_LISTENER) == 0) {
		server->accepting = true;
		return 0;
	}
	pst_log(PST_LOG_CRITICAL, "the connections cannot be set up: %s", strerror(errno));
	return -1;
}

static void
remove_member(struct pst_threaded_server *server, struct pst_threaded_link *link)
{
	struct pst_threaded_member *member = &server->members[link->slot];

	if (link->owner)
		link->owner->owned = NULL;
	pst_threaded_held_forget(server, link);
	pst_threaded_link_free(link); /* closing it takes it out of the epoll */
	member->link = NULL;
	member->serial++;
	server->connected--;
}

void
pst_threaded_members_end(struct pst_threaded_server *server)
{
	for (size_t i = 0; server->members && i < server->limit; i++)
		if (server->members[i].link)
			remove_member(server, server->members[i].link);
	free(server->members);
	if (server->epoll >= 0)
		close(server->epoll);
	if (server->bell >= 0)
		close(server->bell);
	if (server->kick >= 0)
		close(server->kick);
}

/* --- what the epoll watches --- */

void
pst_threaded_members_arm(struct pst_threaded_server *server, struct pst_threaded_link *link)
{
	struct epoll_event event = {
	    .events = EPOLLONESHOT,
	    .data.u64 = (uint64_t)server->members[link->slot].serial << 32 | link->slot,
	};

	if (pst_threaded_link_wants_read(link))
		event.events |= EPOLLIN;
	if (pst_threaded_link_wants_write(link))
		event.events |= EPOLLOUT;
	if (event.events == EPOLLONESHOT || (event.events & ~link->armed) == 0)
		return;
	if (epoll_ctl(server->epoll, EPOLL_CTL_MOD, link->fd, &event) == 0)
		link->armed = event.events;
	else
		pst_log(PST_LOG_ERROR, "epoll: %s", strerror(errno));
}

void
pst_threaded_members_disown(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	struct pst_threaded_link *link = thread->owned;

	if (!link)
		return;
	thread->owned = NULL;
	link->owner = NULL;
	pst_threaded_members_arm(server, link);
}

void
pst_threaded_members_disown_all(struct pst_threaded_server *server)
{
	for (unsigned i = 0; i < server->count; i++)
		pst_threaded_members_disown(server, &server->threads[i]);
}

void
pst_threaded_members_listen(struct pst_threaded_server *server)
{
	struct epoll_event event = {
	    .events = EPOLLIN | EPOLLONESHOT,
	    .data.u64 = EVENT_LISTENER,
	};

	if (server->accepting || server->draining || !pst_listener_open(&server->listener))
		return;
	server->accepting =
	    epoll_ctl(server->epoll, EPOLL_CTL_MOD, server->listener.fd, &event) == 0;
}

int
pst_threaded_members_timeout(struct pst_threaded_server *server)
{
	if (!server->draining && !pst_listener_open(&server->listener))
		return 1000;
	return server->lingers ? 1000 : -1;
}

/* --- parting --- */

bool
pst_threaded_members_settle(struct pst_threaded_server *server, struct pst_threaded_link *link)
{
	bool lingers = link->state == PST_THREADED_LINK_LINGER;

	pst_threaded_link_settle(link);
	server->lingers |= link->state == PST_THREADED_LINK_LINGER;
	if (!lingers)
		link->active = now();
	pst_threaded_wait_wake(server, link);
	if (!pst_threaded_link_over(link) &&
	    !(server->draining &&
		(link->state == PST_THREADED_LINK_LINGER || pst_threaded_link_idle(link))))
		return true;
	remove_member(server, link);
	return false;
}

void
pst_threaded_members_sweep(struct pst_threaded_server *server)
{
	time_t at = now();

	if (!server->lingers || at == server->swept)
		return;
	server->swept = at;
	server->lingers = false;
	for (size_t i = 0; i < server->limit; i++) {
		struct pst_threaded_link *link = server->members[i].link;
		if (!link || link->state != PST_THREADED_LINK_LINGER)
			continue;
		if (at - link->active > LINGER_SECONDS)
			remove_member(server, link);
		else
			server->lingers = true;
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
make_room(struct pst_threaded_server *server)
{
	struct pst_threaded_link *oldest = NULL;

	for (size_t i = 0; i < server->limit; i++) {
		struct pst_threaded_link *link = server->members[i].link;
		if (link && link->running == 0 && !link->writing &&
		    (!oldest || link->active < oldest->active) && is_silent(link->fd))
			oldest = link;
	}
	if (oldest)
		remove_member(server, oldest);
}

/* --- events --- */

/* Read and write what goes: true when LINK is still there. */
static bool
step(struct pst_threaded_server *server, struct pst_threaded_link *link)
{
	pst_threaded_link_read(link);
	pst_threaded_link_write(link);
	return pst_threaded_members_settle(server, link);
}

static void
own(struct pst_threaded_server *server, struct pst_threaded_thread *thread,
    struct pst_threaded_link *link)
{
	pst_threaded_members_disown(server, thread);
	thread->owned = link;
	link->owner = thread;
}

/* A free place for a connection, or NULL. */
static struct pst_threaded_member *
free_place(struct pst_threaded_server *server)
{
	if (server->connected == server->limit)
		make_room(server);
	if (server->connected == server->limit)
		return NULL;
	for (size_t i = 0;; i++)
		if (!server->members[i].link)
			return &server->members[i];
}

/* FD is a new client. */
static void
add_member(struct pst_threaded_server *server, struct pst_threaded_thread *thread, int fd)
{
	struct pst_threaded_member *member = free_place(server);
	struct pst_threaded_link *link;

	if (!member) {
		close(fd);
		return;
	}
	link = pst_threaded_link_new(&fd, &server->common);
	if (!link) {
		pst_log(PST_LOG_ERROR, "memory is short: a connection was closed");
		return;
	}
	link->slot = (uint32_t)(member - server->members);
	member->link = link;
	server->connected++;
	if (watch(server, link->fd, 0, 0) < 0) {
		pst_log(PST_LOG_ERROR, "a connection was closed: %s", strerror(errno));
		remove_member(server, link);
		return;
	}
	if (step(server, link)) /* what it asks for is mostly there already */
		own(server, thread, link);
}

static void
accept_one(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	int fd;

	server->accepting = false;
	if (thread->stream && server->idle == 0)
		return; /* it waits, and no thread is free: idle() will see to it */
	if (server->draining || !pst_listener_open(&server->listener))
		return;
	fd = pst_listener_accept(&server->listener);
	if (fd >= 0) {
		add_member(server, thread, fd);
	} else if (fd == PST_LISTENER_FAILED) {
		server->failed = true;
		atomic_store(&server->drain, true);
		return;
	}
	pst_threaded_members_listen(server);
}

static void
handle_event(struct pst_threaded_server *server, struct pst_threaded_thread *thread,
    const struct epoll_event *event)
{
	uint32_t place = (uint32_t)event->data.u64;
	uint32_t serial = (uint32_t)(event->data.u64 >> 32);
	struct pst_threaded_link *link;

	if (event->data.u64 == EVENT_BELL)
		return;
	if (event->data.u64 == EVENT_LISTENER) {
		accept_one(server, thread);
		return;
	}
	if (place & PST_THREADED_PUMP_PLACE) {
		pst_threaded_pump_event(server, place & ~PST_THREADED_PUMP_PLACE, serial);
		return;
	}
	link = server->members[place].link;
	if (!link || server->members[place].serial != serial)
		return;
	link->armed = 0;
	if (link->state == PST_THREADED_LINK_OPEN && !pst_threaded_link_wants_read(link) &&
	    event->events & (EPOLLHUP | EPOLLERR))
		pst_threaded_link_lose(link);
	if (step(server, link) && !link->owner)
		own(server, thread, link);
}

void
pst_threaded_members_poll(
    struct pst_threaded_server *server, struct pst_threaded_thread *thread, int timeout)
{
	struct epoll_event event;
	int n;

	pst_threaded_members_sweep(server);
	pst_threaded_held_write(server);
	pthread_mutex_unlock(&server->lock);
	n = epoll_wait(server->epoll, &event, 1, timeout);
	pthread_mutex_lock(&server->lock);
	pst_threaded_held_take(server);
	pst_vitals_tell(&server->vitals, server->common.page);
	if (n > 0)
		handle_event(server, thread, &event);
}

void
pst_threaded_members_drain(struct pst_threaded_server *server)
{
	server->draining = true;
	(void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->listener.fd, NULL);
	for (size_t i = 0; i < server->limit; i++) {
		struct pst_threaded_link *link = server->members[i].link;
		if (link && step(server, link) && !link->owner)
			pst_threaded_members_arm(server, link);
	}
}
