#include "gateway/front/front_internal.h"
#include "gateway/front/runtime_dir.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What all spools together may take in memory. */
#define SPOOL_MEMORY ((uint64_t)64 << 20)
/* Of the bodies in memory, so many can be shown to workers. */
#define SHEETS_MOST 4096
/* When the graceful timeout is 0. */
#define DRAIN_MIN_MS 1
/* A handshake that had begun when the arbiter closed its listener comes to its end within. */
#define HANDSHAKE_MS 100

#define LOG_WAIT_MS 1000

/* --- state --- */

static const unsigned allowed[] = {
    [PST_FRONT_SETTING] = 1u << PST_FRONT_SERVING | 1u << PST_FRONT_OVER,
    [PST_FRONT_SERVING] = 1u << PST_FRONT_CLOSING | 1u << PST_FRONT_DRAINING | 1u << PST_FRONT_OVER,
    [PST_FRONT_CLOSING] = 1u << PST_FRONT_DRAINING | 1u << PST_FRONT_OVER,
    [PST_FRONT_DRAINING] = 1u << PST_FRONT_OVER,
    [PST_FRONT_OVER] = 0,
};

static void
set_state(struct pst_front *front, enum pst_front_state state)
{
	assert(allowed[front->state] & 1u << state);
	front->state = state;
	if (state == PST_FRONT_OVER)
		pst_loop_stop(front->loop);
}

static void
give_up_with(struct pst_front *front, int status, const char *what)
{
	if (front->state == PST_FRONT_OVER)
		return;
	pst_log_critical("the gateway cannot start: %s", what);
	front->status = status;
	set_state(front, PST_FRONT_OVER);
}

void
pst_front_give_up(struct pst_front *front, const char *what)
{
	give_up_with(front, 1, what);
}

/* What was asked for is wrong: penstock's status for that. */
void
pst_front_refuse(struct pst_front *front, const char *what)
{
	give_up_with(front, 2, what);
}

static void
end_if_done(struct pst_front *front)
{
	if (front->state == PST_FRONT_DRAINING && front->clients.count == 0 &&
	    !pst_acceptor_is_open(front->acceptor))
		set_state(front, PST_FRONT_OVER);
}

static void
set_timer(struct event *timer, uint64_t ms)
{
	struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000),
	    .tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};

	event_add(timer, &wait);
}

void
pst_front_close(struct pst_front *front)
{
	if (front->state != PST_FRONT_SERVING)
		return;
	set_state(front, PST_FRONT_CLOSING);
	front->context.draining = true;
}

/* Whoever has connected is accepted: closing the listener would reset them. */
static void
stop_listening(struct pst_front *front)
{
	pst_acceptor_drain(front->acceptor);
	end_if_done(front);
}

static void
on_listening_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stop_listening(arg);
}

void
pst_front_drain(struct pst_front *front)
{
	uint64_t ms = front->settings.graceful_timeout;

	if (front->state == PST_FRONT_SETTING)
		set_state(front, PST_FRONT_OVER);
	if (front->state != PST_FRONT_SERVING && front->state != PST_FRONT_CLOSING)
		return;
	set_state(front, PST_FRONT_DRAINING);
	pst_clients_drain(&front->clients);
	pst_front_pools_let_go(&front->pools);
	set_timer(front->graceful, ms < DRAIN_MIN_MS ? DRAIN_MIN_MS : ms);
	/* A new arbiter may be waiting for the address of one that is gone. */
	if (front->orphaned)
		stop_listening(front);
	else
		set_timer(front->listening, HANDSHAKE_MS);
}

static void
on_graceful_end(evutil_socket_t fd, short what, void *arg)
{
	struct pst_front *front = arg;
	size_t cut = pst_clients_cut(&front->clients);

	(void)fd;
	(void)what;
	if (cut > 0)
		pst_log_warning("the graceful timeout of %" PRIu64
				" s is over: %zu request%s in progress %s cut off",
		    front->settings.graceful_timeout / 1000, cut, cut == 1 ? "" : "s",
		    cut == 1 ? "was" : "were");
	if (front->state == PST_FRONT_DRAINING)
		set_state(front, PST_FRONT_OVER);
}

static void
on_client_left(void *arg)
{
	struct pst_front *front = arg;

	pst_acceptor_room(front->acceptor);
	end_if_done(front);
}

/* --- what the pool tells the arbiter --- */

static void
on_slot_usable(void *arg, const char *worker)
{
	struct pst_front *front = arg;

	if (pst_front_pools_without_worker(&front->pools) == NULL)
		front->context.succeeds = false;
	pst_uplink_send(front->uplink, "SLOT", "usable", worker, NULL);
}

static void
on_slot_drained(void *arg, const char *worker)
{
	struct pst_front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "drained", worker, NULL);
}

static void
on_slot_worn(void *arg, const char *worker, const char *reason)
{
	struct pst_front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "worn", worker, reason, NULL);
}

static void
on_slot_late(void *arg, const char *worker, const char *request)
{
	struct pst_front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "late", worker, request, NULL);
}

static void
on_slot_broken(void *arg, const char *worker, const char *reason)
{
	struct pst_front *front = arg;

	pst_uplink_send(front->uplink, "SLOT", "broken", worker, reason, NULL);
}

/* What the settings say in a language of their own. */
static bool
compile_settings(struct pst_front *front)
{
	struct pst_exchange_context *context = &front->context;
	const char *reason;
	char text[256];
	size_t at;

	context->trust = pst_trust_parse(front->settings.forwarded_allow_ips, &reason, &at);
	if (context->trust == NULL) {
		snprintf(text, sizeof(text),
		    "--forwarded-allow-ips (or FORWARDED_ALLOW_IPS) at byte %zu: %s", at, reason);
		pst_front_refuse(front, text);
		return false;
	}
	if (context->access_log_writer == NULL)
		return true;
	context->access_log =
	    pst_access_log_compile(front->settings.access_logformat, &reason, &at);
	if (context->access_log == NULL) {
		snprintf(text, sizeof(text), "--access-logformat at byte %zu: %s", at, reason);
		pst_front_refuse(front, text);
		return false;
	}
	return true;
}

/* Of the descriptors that are kept for bodies, see acceptor.c, some are for those in memory. */
static unsigned
sheets_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 16 * SHEETS_MOST)
		return SHEETS_MOST;
	return (unsigned)limit.rlim_cur / 16;
}

/* Bodies that cannot be stored are found out about now, not with the first large upload. */
static bool
open_spool(struct pst_front *front)
{
	struct pst_spool_budget *budget = &front->context.budget;
	const char *variable = getenv("TMPDIR");
	char text[512];
	int err;

	budget->memory_limit = SPOOL_MEMORY;
	budget->file_limit = front->settings.spool_size;
	budget->sheets_limit = sheets_limit();
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
		pst_front_refuse(front, text);
	else
		pst_log_warning("%s: larger bodies are refused; see --spool-dir", text);
	return front->settings.spool_dir == NULL;
}

static int
start_clients(struct pst_front *front)
{
	const struct pst_settings *settings = &front->settings;
	const struct pst_client_limits limits = {
	    .head = settings->client_header_timeout,
	    .body = settings->client_body_timeout,
	    .idle = settings->keep_alive,
	    .writing = settings->send_timeout,
	    .min_rate = settings->min_rate,
	};

	if (pst_tunnels_init(&front->context.tunnels, front->loop,
		settings->websocket_max_message_size, settings->websocket_ping_interval,
		settings->websocket_deflate) == -1 ||
	    pst_leaving_init(&front->context.leaving, front->loop, pst_exchange_on_leave) == -1)
		return -1;
	return pst_clients_init(&front->clients, &front->context, &limits, on_client_left, front);
}

/* Without a ROUTE line everything goes to the only pool. */
static bool
complete_routes(struct pst_front *front)
{
	struct pst_front_pool *first = TAILQ_FIRST(&front->pools);
	const char *reason = NULL;

	if (first == NULL)
		reason = "there is no pool";
	else if (front->routes.count == 0 && TAILQ_NEXT(first, link) != NULL)
		reason = "there are several pools and no routes";
	else if (front->routes.count == 0)
		reason = pst_routes_add(&front->routes, "", "/", false, first);
	if (reason != NULL)
		pst_front_refuse(front, reason);
	return reason == NULL;
}

static bool
start_pools(struct pst_front *front)
{
	static const struct pst_pool_events events = {
	    .usable = on_slot_usable,
	    .drained = on_slot_drained,
	    .worn = on_slot_worn,
	    .late = on_slot_late,
	    .broken = on_slot_broken,
	};
	const struct pst_front_pool *wrong;
	const char *reason =
	    pst_front_pools_start(&front->pools, front->loop, &events, front, &wrong);
	char text[512];

	if (reason == NULL)
		return true;
	snprintf(text, sizeof(text), "pool %s%s%.200s: %s", wrong->name,
	    wrong->kind == PST_POOL_REMOTE && wrong->settings.fastcgi != NULL ? ": fastcgi " : "",
	    wrong->settings.fastcgi != NULL ? wrong->settings.fastcgi : "", reason);
	pst_front_refuse(front, text);
	return false;
}

void
pst_front_start(struct pst_front *front)
{
	struct pst_exchange_context *context = &front->context;

	if (!complete_routes(front) || !compile_settings(front) || !open_spool(front))
		return;
	if (front->settings.runtime_dir != NULL)
		front->runtime_dir = pst_runtime_dir_hold(front->settings.runtime_dir);
	context->limits = front->settings.limits;
	context->keep_alive = front->settings.keep_alive > 0;
	context->routes = &front->routes;
	context->pools = &front->pools;
	context->health_path = front->settings.health_path;
	context->succeeds = front->settings.successor;
	if (!start_pools(front))
		return;
	if (start_clients(front) == -1) {
		pst_front_give_up(front, "out of memory");
		return;
	}
	set_state(front, PST_FRONT_SERVING);
	pst_acceptor_start(front->acceptor);
	pst_uplink_send(front->uplink, "READY", NULL);
}

static void
on_lost(void *arg, const char *reason)
{
	struct pst_front *front = arg;

	pst_log_error("the arbiter is lost (%s): nothing new is accepted, requests in progress are "
		      "finished within %" PRIu64 " s",
	    reason, front->settings.graceful_timeout / 1000);
	front->orphaned = true;
	pst_front_drain(front);
}

/* --- life --- */

static bool
set_up(struct pst_front *front, int control_fd)
{
	static const struct pst_uplink_callbacks callbacks = {
	    .line = pst_front_on_line, .lost = on_lost};

	TAILQ_INIT(&front->pools);
	front->loop = pst_loop_new();
	if (front->loop == NULL || pst_settings_init(&front->settings) == -1)
		return false;
	front->context.loop = front->loop;
	front->acceptor = pst_acceptor_new(front->loop, &front->clients);
	front->listening = event_new(pst_loop_base(front->loop), -1, 0, on_listening_end, front);
	front->graceful = event_new(pst_loop_base(front->loop), -1, 0, on_graceful_end, front);
	if (front->acceptor == NULL || front->listening == NULL || front->graceful == NULL)
		return false;
	front->uplink = pst_uplink_new(front->loop, control_fd, &callbacks, front);
	return front->uplink != NULL;
}

static void
tear_down(struct pst_front *front)
{
	struct pst_exchange_context *context = &front->context;

	pst_uplink_free(front->uplink);
	pst_acceptor_free(front->acceptor);
	pst_front_drop_page(front);
	pst_front_pools_free(&front->pools);
	pst_routes_free(&front->routes);
	pst_clients_free(&front->clients);
	pst_tunnels_free(&front->context.tunnels);
	pst_leaving_free(&front->context.leaving);
	if (front->listening != NULL)
		event_free(front->listening);
	if (front->graceful != NULL)
		event_free(front->graceful);
	pst_loop_free(front->loop);
	pst_exchange_context_clear(context);
	pst_log_writer_free(context->access_log_writer, LOG_WAIT_MS);
	pst_access_log_free(context->access_log);
	pst_trust_free(context->trust);
	pst_buf_free(&context->access_line);
	pst_buf_free(&context->params);
	if (front->orphaned && front->settings.runtime_dir != NULL)
		pst_runtime_dir_remove(front->settings.runtime_dir, front->runtime_dir);
	else if (front->runtime_dir != -1)
		close(front->runtime_dir);
	pst_settings_free(&front->settings);
}

int
pst_front_run(int control_fd)
{
	struct pst_front front = {.state = PST_FRONT_SETTING, .runtime_dir = -1, .page = -1};

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
