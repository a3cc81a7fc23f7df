#include "adapters/loop_event.h"

#include "adapters/log.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What the host watches, by descriptor. */
struct descriptor {
	struct event *event; /* NULL: never watched */
	unsigned events; /* 0: not now */
};

struct event_loop {
	struct pst_loop loop; /* first */
	const struct pst_loop_host *host;
	struct event_base *base;
	struct event *timer;
	struct descriptor *descriptors;
	size_t size;
	bool deferred; /* turn() is to be called */
	bool stopped;
};

/* What a plugin watches. */
struct pst_watch {
	struct event *event;
	void (*fn)(void *arg, unsigned events);
	void *arg;
};

/* The one that plugins' watches go to. */
static struct event_loop *current;

/* --- our words and libevent's --- */

static short
to_libevent(unsigned events)
{
	return (short)((events & PST_EVENT_READ ? EV_READ : 0) |
		       (events & PST_EVENT_WRITE ? EV_WRITE : 0));
}

static unsigned
from_libevent(short events)
{
	return (events & EV_READ ? PST_EVENT_READ : 0u) |
	       (events & EV_WRITE ? PST_EVENT_WRITE : 0u);
}

static struct timeval
to_timeval(uint64_t microseconds)
{
	struct timeval tv = {.tv_sec = (time_t)(microseconds / 1000000),
	    .tv_usec = (suseconds_t)(microseconds % 1000000)};

	return tv;
}

/* --- for the host --- */

static void
on_descriptor(evutil_socket_t fd, short events, void *arg)
{
	struct event_loop *own = arg;

	own->host->fd_ready(fd, from_libevent(events));
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
	struct event_loop *own = arg;

	(void)fd;
	(void)events;
	own->host->timer_due();
}

/* Make room for FD: 0 or -1. */
static int
reserve(struct event_loop *own, int fd)
{
	size_t size = own->size ? own->size : 64;
	struct descriptor *larger;

	while (size <= (size_t)fd)
		size *= 2;
	if (size == own->size)
		return 0;
	larger = realloc(own->descriptors, size * sizeof(*larger));
	if (!larger)
		return -1;
	memset(larger + own->size, 0, (size - own->size) * sizeof(*larger));
	own->descriptors = larger;
	own->size = size;
	return 0;
}

static int
loop_watch(struct pst_loop *loop, int fd, unsigned events)
{
	struct event_loop *own = (struct event_loop *)loop;
	struct descriptor *at;

	if (reserve(own, fd) < 0)
		return -1;
	at = &own->descriptors[fd];
	if (at->event && at->events)
		event_del(at->event);
	at->events = 0;
	if (events == 0)
		return 0;
	if (at->event)
		event_assign(
		    at->event, own->base, fd, to_libevent(events) | EV_PERSIST, on_descriptor, own);
	else
		at->event =
		    event_new(own->base, fd, to_libevent(events) | EV_PERSIST, on_descriptor, own);
	if (!at->event || event_add(at->event, NULL) < 0)
		return -1;
	at->events = events;
	return 0;
}

static void
loop_timer(struct pst_loop *loop, uint64_t microseconds)
{
	struct event_loop *own = (struct event_loop *)loop;
	struct timeval tv = to_timeval(microseconds);

	event_del(own->timer);
	if (microseconds != PST_LOOP_NEVER)
		event_add(own->timer, &tv);
}

static void
loop_defer(struct pst_loop *loop)
{
	struct event_loop *own = (struct event_loop *)loop;

	own->deferred = true;
}

/* One wakeup. */
static int
go_round(struct event_loop *own)
{
	int flags = EVLOOP_ONCE | (own->deferred ? EVLOOP_NONBLOCK : 0);

	if (event_base_loop(own->base, flags) < 0) {
		pst_log(PST_LOG_CRITICAL, "the event loop failed: %s", strerror(errno));
		return -1;
	}
	own->host->woke();
	if (own->deferred) {
		own->deferred = false;
		own->host->turn();
	}
	return 0;
}

static int
loop_run(struct pst_loop *loop)
{
	struct event_loop *own = (struct event_loop *)loop;

	while (!own->stopped)
		if (go_round(own) < 0)
			return -1;
	return 0;
}

static void
loop_stop(struct pst_loop *loop)
{
	struct event_loop *own = (struct event_loop *)loop;

	own->stopped = true;
}

static void
loop_free(struct pst_loop *loop)
{
	struct event_loop *own = (struct event_loop *)loop;

	for (size_t i = 0; i < own->size; i++)
		if (own->descriptors[i].event)
			event_free(own->descriptors[i].event);
	if (own->timer)
		event_free(own->timer);
	if (own->base)
		event_base_free(own->base);
	if (current == own)
		current = NULL;
	free(own->descriptors);
	free(own);
}

static const struct pst_loop_type type = {
    .run = loop_run,
    .stop = loop_stop,
    .watch = loop_watch,
    .timer = loop_timer,
    .defer = loop_defer,
    .free = loop_free,
};

struct pst_loop *
pst_loop_event_new(const struct pst_loop_host *host)
{
	struct event_loop *own = calloc(1, sizeof(*own));

	if (own) {
		own->loop.type = &type;
		own->host = host;
		own->base = event_base_new();
		own->timer = own->base ? evtimer_new(own->base, on_timer, own) : NULL;
	}
	if (!own || !own->timer) {
		pst_log(PST_LOG_CRITICAL, "an event loop cannot be made: memory is short");
		if (own)
			loop_free(&own->loop);
		return NULL;
	}
	current = own;
	return &own->loop;
}

/* --- for the plugin --- */

static void
on_watch(evutil_socket_t fd, short events, void *arg)
{
	struct pst_watch *watch = arg;

	(void)fd;
	watch->fn(watch->arg, from_libevent(events));
}

static struct pst_watch *
add_watch(int fd, short events, const struct timeval *timeout,
    void (*fn)(void *arg, unsigned events), void *arg)
{
	struct pst_watch *watch = current ? calloc(1, sizeof(*watch)) : NULL;

	if (!watch)
		return NULL;
	watch->fn = fn;
	watch->arg = arg;
	watch->event = event_new(current->base, fd, events, on_watch, watch);
	if (watch->event && event_add(watch->event, timeout) == 0)
		return watch;
	pst_loop_event_cancel(watch);
	return NULL;
}

struct pst_watch *
pst_loop_event_watch(int fd, unsigned events, void (*fn)(void *arg, unsigned events), void *arg)
{
	return add_watch(fd, to_libevent(events) | EV_PERSIST, NULL, fn, arg);
}

struct pst_watch *
pst_loop_event_timer(uint64_t microseconds, void (*fn)(void *arg, unsigned events), void *arg)
{
	struct timeval tv = to_timeval(microseconds);

	return add_watch(-1, 0, &tv, fn, arg);
}

void
pst_loop_event_cancel(struct pst_watch *watch)
{
	if (!watch)
		return;
	if (watch->event)
		event_free(watch->event);
	free(watch);
}
