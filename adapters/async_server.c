#include "adapters/async_server.h"

#include "adapters/async_link.h"
#include "adapters/async_request.h"
#include "adapters/crash.h"
#include "adapters/listener.h"
#include "adapters/log.h"
#include "adapters/loop_event.h"
#include "adapters/loop_plugin.h"
#include "adapters/vitals.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How often the loop tells that it turns while requests are open, and how long a connection
 * lingers, in microseconds. */
#define HEARTBEAT 100000
#define SECOND    1000000
#define LINGER    (5 * SECOND)

/* Connections that are accepted in one turn: other processes may listen, too. */
#define ACCEPTS 8

/* Requests of which an idle process keeps the memory. */
#define IDLE_SPARE 8

enum phase {
	PHASE_SERVING,
	PHASE_DRAINING, /* nothing new is accepted, what is idle is closed */
	PHASE_STOPPED, /* the loop was told to stop */
};

struct pst_async_server {
	struct pst_async_core core;
	enum phase phase;
	struct pst_listener listener;
	int wake; /* eventfd: what is below has changed */
	atomic_bool closing; /* the plugin is to be told that a drain is to come */
	atomic_bool drain;
	atomic_bool outlive; /* drain when no connection is left */
	atomic_bool woken; /* by the plugin */
	struct pst_loop *event_loop; /* libevent's; NULL: the plugin has its own */
	struct pst_async_links links; /* oldest first */
	unsigned count;
	unsigned limit;
	struct pst_async_link **by_fd;
	size_t by_fd_size;
	bool listening; /* the listener is watched */
	bool failed; /* the listener is of no use any more */
	struct pst_vitals vitals;
	void (*draining)(void *arg);
	void *arg;
};

/* The one of this process: the functions of struct pst_host have no argument for it. */
static struct pst_async_server *current;

/* --- life --- */

static void on_fd_ready(int fd, unsigned events);
static void on_timer_due(void);
static void on_turn(void);
static void on_woke(void);

static const struct pst_loop_host loop_host = {
    .fd_ready = on_fd_ready,
    .timer_due = on_timer_due,
    .turn = on_turn,
    .woke = on_woke,
};

static int
set_up(struct pst_async_server *server, const struct pst_async_config *config)
{
	server->core.page = config->page;
	server->core.capacity = config->capacity;
	server->limit = (unsigned)pst_listener_limit();
	server->core.connections = server->limit;
	if (pst_listener_begin(&server->listener, config->listener) < 0)
		return -1;
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake < 0) {
		pst_log(PST_LOG_CRITICAL, "the event loop cannot be woken: %s", strerror(errno));
		return -1;
	}
	server->event_loop = pst_loop_event_new(&loop_host);
	return server->event_loop ? 0 : -1;
}

struct pst_async_server *
pst_async_server_new(const struct pst_async_config *config)
{
	struct pst_async_server *server = calloc(1, sizeof(*server));

	if (!server) {
		pst_log(PST_LOG_CRITICAL, "memory is short");
		return NULL;
	}
	TAILQ_INIT(&server->links);
	TAILQ_INIT(&server->core.open);
	TAILQ_INIT(&server->core.buried);
	TAILQ_INIT(&server->core.spare);
	TAILQ_INIT(&server->core.attend);
	server->wake = -1;
	if (set_up(server, config) < 0) {
		pst_async_server_free(server);
		return NULL;
	}
	current = server;
	return server;
}

static void
remove_link(struct pst_async_server *server, struct pst_async_link *link)
{
	TAILQ_REMOVE(&server->links, link, all);
	server->count--;
	server->by_fd[link->fd] = NULL;
	pst_async_link_free(link);
}

void
pst_async_server_free(struct pst_async_server *server)
{
	struct pst_async_link *link;

	if (!server)
		return;
	while ((link = TAILQ_FIRST(&server->links)))
		remove_link(server, link);
	pst_async_request_bury_all(&server->core);
	pst_async_request_trim(&server->core, 0);
	if (server->event_loop)
		server->event_loop->type->free(server->event_loop);
	if (server->wake >= 0)
		close(server->wake);
	if (current == server)
		current = NULL;
	free(server->by_fd);
	free(server);
}

/* --- from other threads --- */

static void
wake(struct pst_async_server *server)
{
	uint64_t one = 1;
	int saved = errno;

	if (write(server->wake, &one, sizeof(one)) < 0) {
		/* Full: it is readable already. */
	}
	errno = saved;
}

void
pst_async_server_closing(struct pst_async_server *server)
{
	atomic_store(&server->closing, true);
	wake(server);
}

void
pst_async_server_drain(struct pst_async_server *server)
{
	atomic_store(&server->drain, true);
	wake(server);
}

void
pst_async_server_outlive(struct pst_async_server *server)
{
	atomic_store(&server->outlive, true);
	wake(server);
}

bool
pst_async_server_busy(struct pst_async_server *server)
{
	return atomic_load(&server->core.open_count) > 0;
}

static void
wake_plugin(void)
{
	if (!atomic_exchange(&current->woken, true))
		wake(current);
}

/* --- the timer, and what the page says of the loop --- */

/* When the timer is to be called next; PST_LOOP_NEVER: it is not needed. */
static uint64_t
timer_interval(const struct pst_async_server *server)
{
	struct pst_async_link *link;

	if (atomic_load(&server->core.open_count) > 0)
		return HEARTBEAT;
	if (server->phase == PHASE_SERVING && !pst_listener_open(&server->listener))
		return SECOND;
	TAILQ_FOREACH (link, &server->links, all)
		if (link->state == PST_ASYNC_LINK_LINGER)
			return SECOND;
	return PST_LOOP_NEVER;
}

/* Set the timer unless it is set; what nobody needs any more comes once in vain. */
static void
set_timer(struct pst_async_server *server)
{
	uint64_t interval;

	if (server->core.timer_due)
		return;
	interval = timer_interval(server);
	if (interval == PST_LOOP_NEVER)
		return;
	server->core.timer_due = pst_async_now() + interval;
	server->core.loop->type->timer(server->core.loop, interval);
}

/* --- connections --- */

/* Watch the listener, or do not, as it is now. */
static void
watch_listener(struct pst_async_server *server)
{
	bool wanted = server->phase == PHASE_SERVING && pst_listener_open(&server->listener) &&
		      !server->failed && server->count < server->limit;
	struct pst_loop *loop = server->core.loop;

	if (wanted == server->listening)
		return;
	server->listening = wanted;
	if (loop->type->watch(loop, server->listener.fd, wanted ? PST_EVENT_READ : 0) == 0)
		return;
	pst_log(PST_LOG_CRITICAL, "the event loop does not take the listening socket");
	server->failed = true;
}

/* Make room for FD among by_fd. */
static int
reserve(struct pst_async_server *server, int fd)
{
	size_t size = server->by_fd_size ? server->by_fd_size : 64;
	struct pst_async_link **larger;

	while (size <= (size_t)fd)
		size *= 2;
	if (size == server->by_fd_size)
		return 0;
	larger = realloc(server->by_fd, size * sizeof(struct pst_async_link *));
	if (!larger)
		return -1;
	for (size_t i = server->by_fd_size; i < size; i++)
		larger[i] = NULL;
	server->by_fd = larger;
	server->by_fd_size = size;
	return 0;
}

static void
add_link(struct pst_async_server *server, int fd)
{
	struct pst_async_link *link = NULL;
	int number = fd;

	if (reserve(server, number) == 0)
		link = pst_async_link_new(&fd, &server->core);
	else
		close(fd);
	if (!link) {
		pst_log(PST_LOG_ERROR, "memory is short: a connection was closed");
		return;
	}
	server->by_fd[number] = link;
	TAILQ_INSERT_TAIL(&server->links, link, all);
	server->count++;
	/* What it asks for is mostly there already. */
	pst_async_link_ready(link, PST_EVENT_READ);
}

/* False: nothing more is to be accepted now. */
static bool
accept_one(struct pst_async_server *server)
{
	int fd = pst_listener_accept(&server->listener);

	if (fd == PST_LISTENER_FAILED)
		server->failed = true;
	if (fd < 0)
		return false;
	add_link(server, fd);
	return true;
}

/* Close the connection that has been without activity for longest, to make room for another. */
static void
make_room(struct pst_async_server *server)
{
	struct pst_async_link *link, *idlest = NULL;

	TAILQ_FOREACH (link, &server->links, all)
		if (pst_async_link_idle(link) && (!idlest || link->active < idlest->active))
			idlest = link;
	if (idlest)
		pst_async_link_close(idlest);
}

static void
accept_some(struct pst_async_server *server, unsigned n)
{
	while (n-- > 0 && server->count < server->limit && accept_one(server))
		;
	if (server->count == server->limit)
		make_room(server);
	pst_async_core_defer(&server->core);
}

/* Close what has lingered long enough and, when draining, what is idle. */
static void
sweep(struct pst_async_server *server)
{
	uint64_t now = pst_async_now();
	struct pst_async_link *link;

	TAILQ_FOREACH (link, &server->links, all) {
		bool lingers = link->state == PST_ASYNC_LINK_LINGER;
		if ((lingers && now - link->active > LINGER) ||
		    (server->phase == PHASE_DRAINING && (lingers || pst_async_link_idle(link))))
			pst_async_link_close(link);
	}
}

/* --- the end --- */

/* What had been sent to this process before is still answered, what has begun is finished. */
static void
begin_drain(struct pst_async_server *server)
{
	struct pst_async_link *link;

	if (server->phase != PHASE_SERVING)
		return;
	accept_some(server, server->limit);
	server->phase = PHASE_DRAINING;
	TAILQ_FOREACH (link, &server->links, all)
		pst_async_link_drain(link);
	server->draining(server->arg);
	pst_async_core_defer(&server->core);
}

static void
end_if_drained(struct pst_async_server *server)
{
	if (server->phase == PHASE_SERVING &&
	    (server->failed || (atomic_load(&server->outlive) && server->count == 0)))
		begin_drain(server);
	if (server->phase != PHASE_DRAINING || server->count > 0 ||
	    atomic_load(&server->core.open_count) > 0)
		return;
	server->phase = PHASE_STOPPED;
	server->core.loop->type->stop(server->core.loop);
}

/* Something has changed on another thread. */
static void
woken_up(struct pst_async_server *server)
{
	uint64_t count;

	if (read(server->wake, &count, sizeof(count)) < 0) {
		/* Nothing there: so much the better. */
	}
	if (atomic_exchange(&server->woken, false) && server->core.plugin->on_wake)
		server->core.plugin->on_wake(server->core.app);
	if (atomic_exchange(&server->closing, false))
		server->draining(server->arg);
	if (atomic_load(&server->drain))
		begin_drain(server);
	pst_async_core_defer(&server->core);
}

/* --- what the loop calls --- */

static void
on_fd_ready(int fd, unsigned events)
{
	struct pst_async_server *server = current;

	if (fd == server->wake)
		woken_up(server);
	else if (fd == server->listener.fd)
		accept_some(server, ACCEPTS);
	else if (fd >= 0 && (size_t)fd < server->by_fd_size && server->by_fd[fd])
		pst_async_link_ready(server->by_fd[fd], events);
	/* Behind the reading: what a gateway wrote before has been seen. */
	pst_vitals_tell(&server->vitals, server->core.page);
	set_timer(server);
}

/* Nothing is open: give back what was kept for the next requests. */
static void
trim(struct pst_async_server *server)
{
	struct pst_async_link *link;

	pst_async_request_trim(&server->core, IDLE_SPARE);
	TAILQ_FOREACH (link, &server->links, all)
		pst_session_trim(link->session);
}

static void
on_timer_due(void)
{
	struct pst_async_server *server = current;
	uint64_t late = pst_async_core_late(&server->core);
	struct pst_async_request *request;

	pst_vitals_tell(&server->vitals, server->core.page);
	TAILQ_FOREACH (request, &server->core.open, list)
		if (request->lag < late)
			request->lag = late;
	server->core.timer_due = 0;
	if (!server->listening)
		pst_async_core_defer(&server->core);
	sweep(server);
	set_timer(server);
	if (!server->core.timer_due)
		trim(server);
}

static void
attend_all(struct pst_async_server *server)
{
	struct pst_async_links *attend = &server->core.attend;
	struct pst_async_link *last = TAILQ_LAST(attend, pst_async_links);
	struct pst_async_link *link;
	bool more = last != NULL;

	while (more && (link = TAILQ_FIRST(attend))) {
		enum pst_async_turn turn = pst_async_link_turn(link);
		more = link != last;
		TAILQ_REMOVE(attend, link, attending);
		link->is_attended = false;
		if (turn == PST_ASYNC_TURN_MORE)
			pst_async_link_attend(link);
		if (turn == PST_ASYNC_TURN_OVER)
			remove_link(server, link);
	}
}

static void
on_turn(void)
{
	struct pst_async_server *server = current;

	pst_vitals_tell(&server->vitals, server->core.page);
	/* What is left for the turn's end meanwhile needs no other turn, but for what attends
	 * again. */
	server->core.deferred = true;
	attend_all(server);
	if (server->phase == PHASE_DRAINING)
		sweep(server);
	pst_async_request_bury_all(&server->core);
	server->core.deferred = false;
	if (!TAILQ_EMPTY(&server->core.attend))
		pst_async_core_defer(&server->core);
	watch_listener(server);
	set_timer(server);
	end_if_drained(server);
}

static void
on_woke(void)
{
	if (current->core.plugin->on_turn)
		current->core.plugin->on_turn(current->core.app);
}

/* --- serving --- */

static unsigned
list_open(const struct pst_request_line **lines, unsigned n)
{
	const struct pst_async_request *request = TAILQ_FIRST(&current->core.open);
	unsigned count = 0;

	while (request && count < n) {
		lines[count++] = &request->line;
		request = TAILQ_NEXT(request, list);
	}
	/* The list is read while it may be changed: nothing is said of what was not found. */
	return count < n ? count : atomic_load(&current->core.open_count);
}

static struct pst_loop *
make_loop(struct pst_async_server *server, const struct pst_loaded *plugin, void *app)
{
	struct pst_loop *loop;

	if (!plugin->async.run)
		return server->event_loop;
	server->event_loop->type->free(server->event_loop);
	server->event_loop = NULL;
	loop = pst_loop_plugin_new(&plugin->async, app);
	if (!loop)
		pst_log(PST_LOG_CRITICAL, "memory is short");
	return loop;
}

int
pst_async_server_run(struct pst_async_server *server, const struct pst_loaded *plugin, void *app,
    void (*draining)(void *arg), void *arg)
{
	struct pst_loop *loop = make_loop(server, plugin, app);
	int result;

	if (!loop)
		return -1;
	server->core.plugin = &plugin->async;
	server->core.app = app;
	server->core.loop = loop;
	server->draining = draining;
	server->arg = arg;
	pst_crash_open(list_open);
	if (loop->type->watch(loop, server->wake, PST_EVENT_READ) < 0) {
		pst_log(PST_LOG_CRITICAL, "the event loop takes no descriptors");
		return -1;
	}
	pst_async_core_defer(&server->core);
	result = loop->type->run(loop);
	if (result == 0 && server->phase != PHASE_STOPPED) {
		pst_log(PST_LOG_CRITICAL,
		    "the plugin's event loop ended by itself: this worker ends, too");
		result = -1;
	}
	if (!server->event_loop)
		loop->type->free(loop);
	server->core.loop = NULL;
	pst_crash_open(NULL);
	return server->failed ? -1 : result;
}

size_t
pst_async_server_held(const struct pst_async_server *server)
{
	const struct pst_async_request *request;
	const struct pst_async_link *link;
	size_t held = 0;

	TAILQ_FOREACH (link, &server->links, all)
		held += pst_session_pending(link->session);
	TAILQ_FOREACH (request, &server->core.open, list)
		held += pst_async_request_held(request);
	return held;
}

/* --- what the plugin calls --- */

const struct pst_host pst_async_host = {
    .size = sizeof(struct pst_host),
    .log = pst_log_text,
    .params = pst_request_params,
    .read = pst_async_request_read,
    .respond = pst_async_request_respond,
    .write = pst_async_request_write,
    .flush = pst_async_request_flush,
    .send_file = pst_async_request_send_file,
    .error = pst_request_error,
    .reason = pst_request_reason,
    .begun = pst_request_begun,
    .trailers = pst_request_trailers,
    .complete = pst_async_request_complete,
    .set_user = pst_async_request_set_user,
    .user = pst_async_request_user,
    .finish = pst_async_request_finish,
    .upgradable = pst_request_upgradable,
    .upgrade_stream = pst_request_upgrade_stream,
    .upgrade = pst_async_message_upgrade,
    .read_message = pst_async_message_read,
    .send_message = pst_async_message_send,
    .close_code = pst_async_message_close_code,
    .close = pst_async_message_close,
    .watch = pst_loop_event_watch,
    .timer = pst_loop_event_timer,
    .cancel = pst_loop_event_cancel,
    .wake = wake_plugin,
    .fd_ready = on_fd_ready,
    .timer_due = on_timer_due,
    .turn = on_turn,
};
