#include "gateway/front/front.h"

#include "gateway/front/acceptor.h"
#include "gateway/front/front_pools.h"
#include "gateway/front/route.h"
#include "gateway/front/runtime_dir.h"
#include "gateway/front/settings.h"
#include "gateway/front/uplink.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What all spools together may take in memory. */
#define SPOOL_MEMORY ((uint64_t)64 << 20)
/* When the graceful timeout is 0. */
#define DRAIN_MIN_MS 1

#define LOG_WAIT_MS 1000

enum state {
	SETTING,
	SERVING,
	DRAINING,
	OVER,
};

struct front {
	enum state state;
	int status; /* of the process */
	bool orphaned;
	struct pst_loop *loop;
	struct pst_uplink *uplink;
	struct pst_settings settings;
	struct pst_pool_settings standard; /* of the one pool, where no POOL line came */
	struct pst_front_pools pools;
	struct pst_routes routes;
	struct pst_acceptor *acceptor;
	struct pst_clients clients;
	struct pst_exchange_context context;
	struct event *graceful; /* the end of the graceful timeout */
};

/* --- state --- */

static const unsigned allowed[] = {
    [SETTING] = 1u << SERVING | 1u << OVER,
    [SERVING] = 1u << DRAINING | 1u << OVER,
    [DRAINING] = 1u << OVER,
    [OVER] = 0,
};

static void
set_state(struct front *front, enum state state)
{
	assert(allowed[front->state] & 1u << state);
	front->state = state;
	if (state == OVER)
		pst_loop_stop(front->loop);
}

static void
give_up_with(struct front *front, int status, const char *what)
{
	if (front->state == OVER)
		return;
	pst_log_critical("the gateway cannot start: %s", what);
	front->status = status;
	set_state(front, OVER);
}

static void
give_up(struct front *front, const char *what)
{
	give_up_with(front, 1, what);
}

/* What was asked for is wrong: penstock's status for that. */
static void
refuse(struct front *front, const char *what)
{
	give_up_with(front, 2, what);
}

static void
end_if_done(struct front *front)
{
	if (front->state == DRAINING && front->clients.count == 0)
		set_state(front, OVER);
}

static void
drain(struct front *front)
{
	uint64_t ms = front->settings.graceful_timeout;
	struct timeval wait;

	if (front->state == SETTING)
		set_state(front, OVER);
	if (front->state != SERVING)
		return;
	if (ms < DRAIN_MIN_MS)
		ms = DRAIN_MIN_MS;
	set_state(front, DRAINING);
	pst_acceptor_stop(front->acceptor);
	pst_clients_drain(&front->clients);
	wait.tv_sec = (time_t)(ms / 1000);
	wait.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	event_add(front->graceful, &wait);
	end_if_done(front);
}

static void
on_graceful_end(evutil_socket_t fd, short what, void *arg)
{
	struct front *front = arg;
	size_t cut = pst_clients_cut(&front->clients);

	(void)fd;
	(void)what;
	if (cut > 0)
		pst_log_warning("the graceful timeout of %" PRIu64
				" s is over: %zu requests in progress were cut off",
		    front->settings.graceful_timeout / 1000, cut);
	if (front->state == DRAINING)
		set_state(front, OVER);
}

static void
on_client_left(void *arg)
{
	struct front *front = arg;

	pst_acceptor_room(front->acceptor);
	end_if_done(front);
}

/* --- what the pool tells the arbiter --- */

static void
on_slot_usable(void *arg, const char *worker)
{
	struct front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "usable", worker, NULL);
}

static void
on_slot_drained(void *arg, const char *worker)
{
	struct front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "drained", worker, NULL);
}

static void
on_slot_worn(void *arg, const char *worker, uint64_t served)
{
	struct front *front = arg;
	char reason[64];

	snprintf(reason, sizeof(reason), "has served %" PRIu64 " requests", served);
	pst_uplink_send(front->uplink, "SLOT", "worn", worker, reason, NULL);
}

static void
on_slot_late(void *arg, const char *worker, const char *request)
{
	struct front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "late", worker, request, NULL);
}

static void
on_slot_broken(void *arg, const char *worker, const char *reason)
{
	struct front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "broken", worker, reason, NULL);
}

/* --- lines from the arbiter --- */

/* SET name value [pool] */
static void
on_set(struct front *front, const struct pst_control *line)
{
	const char *name = line->words[1], *value = line->words[2], *reason;
	struct pst_front_pool *pool;

	if (line->count == 4) {
		pool = pst_front_pools_find(&front->pools, line->words[3]);
		reason = pool == NULL ? "there is no such pool"
				      : pst_pool_settings_set(&pool->settings, name, value);
	} else {
		reason = pst_settings_set(&front->settings, name, value);
		if (reason != NULL && TAILQ_EMPTY(&front->pools))
			reason = pst_pool_settings_set(&front->standard, name, value);
	}
	if (reason != NULL)
		pst_log_warning("setting %s of \"%s\"%s%s is ignored: %s", name, value,
		    line->count == 4 ? " of pool " : "", line->count == 4 ? line->words[3] : "",
		    reason);
	pst_log_set_level(front->settings.log_level);
}

/* POOL name kind */
static void
on_pool(struct front *front, const struct pst_control *line)
{
	const char *reason = pst_front_pools_add(&front->pools, line->words[1], line->words[2]);
	char text[256];

	if (reason == NULL)
		return;
	snprintf(text, sizeof(text), "pool %.100s: %s", line->words[1], reason);
	refuse(front, text);
}

/* ROUTE host path pool mount */
static void
on_route(struct front *front, const struct pst_control *line)
{
	struct pst_front_pool *pool = pst_front_pools_find(&front->pools, line->words[3]);
	bool mount = strcmp(line->words[4], "mount") == 0;
	const char *reason = "there is no such pool";
	char text[512];

	if (pool != NULL)
		reason =
		    pst_routes_add(&front->routes, line->words[1], line->words[2], mount, pool);
	if (reason == NULL)
		return;
	snprintf(text, sizeof(text), "route %.100s%.200s to pool %.32s: %s", line->words[1],
	    line->words[2], line->words[3], reason);
	refuse(front, text);
}

static void
on_listen(struct front *front, const struct pst_control *line)
{
	int fd = pst_uplink_take_fd(front->uplink);

	if (fd == -1) {
		give_up(front, "a listener came without its descriptor");
	} else if (pst_acceptor_add(front->acceptor, fd, line->words[1]) == -1) {
		close(fd);
		give_up(front, "out of memory");
	}
}

/* The line of the access log that stands where lines were dropped. */
static size_t
dropped_line(void *arg, uint64_t count, char *line, size_t size)
{
	(void)arg;
	(void)line;
	(void)size;
	pst_log_warning("%" PRIu64 " lines of the access log were dropped: it is not written "
			"as fast as they come",
	    count);
	return 0;
}

/* Standard error is the error log: an opened file takes its place. */
static void
on_error_log(struct front *front)
{
	int fd = pst_uplink_take_fd(front->uplink);

	if (fd == -1) {
		pst_log_error("the error log was not opened again: its descriptor is missing");
		return;
	}
	if (dup2(fd, STDOUT_FILENO) == -1 || dup2(fd, STDERR_FILENO) == -1)
		pst_log_error("the error log was not opened again: %s", strerror(errno));
	close(fd);
}

static void
on_access_log(struct front *front)
{
	int fd = pst_uplink_take_fd(front->uplink);

	if (fd == -1) {
		give_up(front, "the access log came without its descriptor");
		return;
	}
	if (front->context.access_log_writer != NULL) {
		pst_log_writer_reopen(front->context.access_log_writer, fd);
		return;
	}
	front->context.access_log_writer =
	    pst_log_writer_new(fd, PST_LOG_RING, dropped_line, front);
	if (front->context.access_log_writer == NULL) {
		close(fd);
		give_up(front, "the access log cannot be written");
	}
}

/* What the settings say in a language of their own. */
static bool
compile_settings(struct front *front)
{
	struct pst_exchange_context *context = &front->context;
	const char *reason;
	char text[256];
	size_t at;

	context->trust = pst_trust_parse(front->settings.forwarded_allow_ips, &reason, &at);
	if (context->trust == NULL) {
		snprintf(text, sizeof(text),
		    "--forwarded-allow-ips (or FORWARDED_ALLOW_IPS) at byte %zu: %s", at, reason);
		refuse(front, text);
		return false;
	}
	if (context->access_log_writer == NULL)
		return true;
	context->access_log =
	    pst_access_log_compile(front->settings.access_logformat, &reason, &at);
	if (context->access_log == NULL) {
		snprintf(text, sizeof(text), "--access-logformat at byte %zu: %s", at, reason);
		refuse(front, text);
		return false;
	}
	return true;
}

/* Bodies that cannot be stored are found out about now, not with the first large upload. */
static bool
open_spool(struct front *front)
{
	struct pst_spool_budget *budget = &front->context.budget;
	const char *variable = getenv("TMPDIR");
	char text[512];
	int err;

	budget->memory_limit = SPOOL_MEMORY;
	budget->file_limit = front->settings.spool_size;
	if (front->settings.spool_dir != NULL)
		budget->directory = front->settings.spool_dir;
	else
		budget->directory = variable != NULL && variable[0] == '/' ? variable : "/var/tmp";
	err = pst_spool_try(budget);
	if (err == 0)
		return true;
	snprintf(text, sizeof(text), "no file can be made in the spool directory %.300s: %s",
	    budget->directory, strerror(err));
	if (front->settings.spool_dir != NULL)
		refuse(front, text);
	else
		pst_log_warning("%s: larger bodies are refused; see --spool-dir", text);
	return front->settings.spool_dir == NULL;
}

static int
start_clients(struct front *front)
{
	const struct pst_settings *settings = &front->settings;
	const struct pst_client_limits limits = {
	    .head = settings->client_header_timeout,
	    .body = settings->client_body_timeout,
	    .idle = settings->keep_alive,
	    .writing = settings->send_timeout,
	    .min_rate = settings->min_rate,
	};

	return pst_clients_init(&front->clients, &front->context, &limits, on_client_left, front);
}

/* Without a POOL line there is one pool, and without a ROUTE line everything goes there. */
static bool
complete_routes(struct front *front)
{
	const char *reason = NULL;
	struct pst_front_pool *first;

	if (TAILQ_EMPTY(&front->pools)) {
		reason = pst_front_pools_add(&front->pools, "default", "app");
		first = TAILQ_FIRST(&front->pools);
		if (reason == NULL) {
			pst_pool_settings_free(&first->settings);
			first->settings = front->standard;
			front->standard = (struct pst_pool_settings){0};
		}
	}
	first = TAILQ_FIRST(&front->pools);
	if (reason == NULL && front->routes.count == 0)
		reason = TAILQ_NEXT(first, link) != NULL
			     ? "there are several pools and no routes"
			     : pst_routes_add(&front->routes, "", "/", false, first);
	if (reason != NULL)
		refuse(front, reason);
	return reason == NULL;
}

static void
on_start(struct front *front)
{
	static const struct pst_pool_events events = {
	    .usable = on_slot_usable,
	    .drained = on_slot_drained,
	    .worn = on_slot_worn,
	    .late = on_slot_late,
	    .broken = on_slot_broken,
	};
	struct pst_exchange_context *context = &front->context;

	if (!complete_routes(front) || !compile_settings(front) || !open_spool(front))
		return;
	context->limits = front->settings.limits;
	context->keep_alive = front->settings.keep_alive > 0;
	context->routes = &front->routes;
	if (pst_front_pools_start(&front->pools, front->loop, &events, front) == -1 ||
	    start_clients(front) == -1) {
		give_up(front, "out of memory");
		return;
	}
	set_state(front, SERVING);
	pst_acceptor_start(front->acceptor);
	pst_uplink_send(front->uplink, "READY", NULL);
}

/* True when LINE is the one called PREFIX and has COUNT words. */
static bool
is(const struct pst_control *line, const char *prefix, unsigned count)
{
	return line->count == count && pst_control_is(line, prefix);
}

/* SLOT up ID PATH [POOL] */
static void
on_slot_up(struct front *front, const struct pst_control *line)
{
	struct pst_front_pool *to = TAILQ_FIRST(&front->pools);

	if (line->count == 5)
		to = pst_front_pools_find(&front->pools, line->words[4]);
	if (to == NULL)
		pst_log_error("worker %s was announced for pool %s, which is not known: it is "
			      "ignored",
		    line->words[2], line->words[4]);
	else
		pst_pool_slot_up(to->pool, line->words[2], line->words[3]);
}

static void
on_line(void *arg, const struct pst_control *line)
{
	struct front *front = arg;
	bool setting = front->state == SETTING;
	bool started = front->state == SERVING || front->state == DRAINING;

	if (setting && (is(line, "SET", 3) || is(line, "SET", 4)))
		on_set(front, line);
	else if (setting && is(line, "POOL", 3))
		on_pool(front, line);
	else if (setting && is(line, "ROUTE", 5))
		on_route(front, line);
	else if (setting && is(line, "LISTEN", 2))
		on_listen(front, line);
	else if (pst_control_is(line, "ERROR_LOG"))
		on_error_log(front);
	else if ((setting || front->context.access_log_writer != NULL) &&
		 pst_control_is(line, "ACCESS_LOG"))
		on_access_log(front);
	else if (setting && is(line, "START", 1))
		on_start(front);
	else if (started && (is(line, "SLOT up", 4) || is(line, "SLOT up", 5)))
		on_slot_up(front, line);
	else if (started && is(line, "SLOT drain", 3))
		pst_front_pools_slot_drain(&front->pools, line->words[2]);
	else if (started && is(line, "SLOT down", 3))
		pst_front_pools_slot_down(&front->pools, line->words[2]);
	else if (is(line, "DRAIN", 1))
		drain(front);
	else if (is(line, "PING", 1))
		pst_uplink_send(front->uplink, "PONG", NULL);
	else
		pst_log_warning("a line from the arbiter is not understood and ignored: %s%s%s",
		    line->words[0], line->count > 1 ? " " : "",
		    line->count > 1 ? line->words[1] : "");
}

static void
on_lost(void *arg, const char *reason)
{
	struct front *front = arg;

	pst_log_error("the arbiter is lost (%s): nothing new is accepted, requests in progress are "
		      "finished within %" PRIu64 " s",
	    reason, front->settings.graceful_timeout / 1000);
	front->orphaned = true;
	drain(front);
}

/* --- life --- */

static bool
set_up(struct front *front, int control_fd)
{
	static const struct pst_uplink_callbacks callbacks = {.line = on_line, .lost = on_lost};

	TAILQ_INIT(&front->pools);
	front->loop = pst_loop_new();
	if (front->loop == NULL || pst_settings_init(&front->settings) == -1 ||
	    pst_pool_settings_init(&front->standard) == -1)
		return false;
	front->context.loop = front->loop;
	front->acceptor = pst_acceptor_new(front->loop, &front->clients);
	front->graceful = event_new(pst_loop_base(front->loop), -1, 0, on_graceful_end, front);
	if (front->acceptor == NULL || front->graceful == NULL)
		return false;
	front->uplink = pst_uplink_new(front->loop, control_fd, &callbacks, front);
	return front->uplink != NULL;
}

static void
tear_down(struct front *front)
{
	struct pst_exchange_context *context = &front->context;

	pst_uplink_free(front->uplink);
	pst_acceptor_free(front->acceptor);
	pst_front_pools_free(&front->pools);
	pst_routes_free(&front->routes);
	pst_clients_free(&front->clients);
	if (front->graceful != NULL)
		event_free(front->graceful);
	pst_loop_free(front->loop);
	pst_log_writer_free(context->access_log_writer, LOG_WAIT_MS);
	pst_access_log_free(context->access_log);
	pst_trust_free(context->trust);
	pst_buf_free(&context->access_line);
	if (front->orphaned && front->settings.runtime_dir != NULL)
		pst_runtime_dir_remove(front->settings.runtime_dir);
	pst_settings_free(&front->settings);
	pst_pool_settings_free(&front->standard);
}

int
pst_front_run(int control_fd)
{
	struct front front = {.state = SETTING};

	if (set_up(&front, control_fd)) {
		pst_loop_run(front.loop);
	} else {
		pst_log_critical(
		    "the gateway cannot start: libevent has no edge-triggered epoll, or "
		    "memory is short");
		front.status = 1;
	}
	tear_down(&front);
	return front.status;
}
