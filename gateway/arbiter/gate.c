#include "gateway/arbiter/gate.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/ctl.h"
#include "gateway/arbiter/state.h"
#include "gateway/arbiter/turnover.h"
#include "gateway/log.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A gateway that is not ready by then is not what a reload waits for. */
#define SUCCESSOR_START_MS 30000
/* What a gateway gets on top of --graceful-timeout, which it keeps itself. */
#define MARGIN_MS 2000
/* All that it is told at its start, before it reads any of it: a file of 1 MiB, of which a byte may
 * become three, with some words around each route. */
#define TOLD_MOST ((size_t)8 << 20)

/* ---- what it is told of workers ---- */

bool
pst_gate_has(const struct pst_gate *gate, const struct pst_crew *crew)
{
	return crew->since <= gate->generation->number && gate->generation->number < crew->until;
}

bool
pst_gate_serves(const struct pst_gate *gate, const struct pst_worker *worker)
{
	return pst_gate_has(gate, worker->crew) && pst_share_has(gate->share, worker->number);
}

/*
 * A page is one gateway's at a time: what another had offered there could not be claimed any more.
 * So a successor gets it once the one that knew WORKER before has exited.
 */
static void
share_page(struct pst_gate *gate, struct pst_worker *worker)
{
	if (worker->page < 0 || worker->paged)
		return;
	worker->paged = gate->bit;
	pst_channel_send_fd(gate->child.channel, worker->page, "SLOT", "page", worker->id, NULL);
}

static void
announce(struct pst_gate *gate, struct pst_worker *worker)
{
	worker->told |= gate->bit;
	share_page(gate, worker);
	pst_channel_send(gate->child.channel, "SLOT", "up", worker->id, worker->path,
	    pst_crew_name(worker->crew), NULL);
}

void
pst_gates_announce(struct pst_worker *worker)
{
	struct pst_gate *gate;

	TAILQ_FOREACH (gate, &worker->crew->arbiter->gates, link)
		if (gate->child.channel && pst_gate_serves(gate, worker))
			announce(gate, worker);
}

void
pst_gates_withdraw(struct pst_worker *worker)
{
	struct pst_gate *gate;

	TAILQ_FOREACH (gate, &worker->crew->arbiter->gates, link)
		if (worker->told & gate->bit)
			pst_channel_send(gate->child.channel, "SLOT", "down", worker->id, NULL);
	worker->told = worker->usable = worker->busy = worker->paged = 0;
}

int
pst_gates_drain(struct pst_worker *worker)
{
	struct pst_gate *gate;

	TAILQ_FOREACH (gate, &worker->crew->arbiter->gates, link)
		if (worker->told & gate->bit)
			pst_channel_send(gate->child.channel, "SLOT", "drain", worker->id, NULL);
	worker->busy = worker->told;
	return worker->busy ? 0 : -1;
}

static void
announce_crew(struct pst_gate *gate, struct pst_crew *crew)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link)
		if (pst_gate_serves(gate, worker) &&
		    (worker->child.slot.state == PST_SLOT_READY ||
			worker->child.slot.state == PST_SLOT_USABLE))
			announce(gate, worker);
}

/* ---- what it says ---- */

static struct pst_worker *
find_worker(const struct pst_gate *gate, const char *id)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	TAILQ_FOREACH (crew, &gate->arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if ((worker->told & gate->bit) && strcmp(worker->id, id) == 0)
				return worker;
	return NULL;
}

/* The gateway that serves and that WORKER is for; NULL: none that serves has that pool. */
static struct pst_gate *
find_serving(const struct pst_worker *worker)
{
	struct pst_gate *gate;

	PST_GATES_FOREACH (gate, worker->crew->arbiter, PST_GATE_SERVING)
		if (pst_gate_serves(gate, worker))
			return gate;
	return NULL;
}

/* What it finds usable is so: it serves, or nobody who serves has that pool. */
static bool
decides(const struct pst_gate *gate, const struct pst_worker *worker)
{
	return gate->role == PST_GATE_SERVING || !find_serving(worker);
}

static void
on_usable(struct pst_gate *gate, struct pst_worker *worker)
{
	worker->usable |= gate->bit;
	if (worker->child.slot.state == PST_SLOT_READY && decides(gate, worker)) {
		pst_slot_enter(&worker->child.slot, PST_SLOT_USABLE, pst_clock_ms());
		pst_arbiter_worker_usable(gate->arbiter, worker);
	}
	pst_reload_go_on(gate->arbiter);
}

static void
on_drained(struct pst_gate *gate, struct pst_worker *worker)
{
	worker->busy &= ~gate->bit;
	if (!worker->busy)
		pst_worker_drained(worker);
}

/*
 * While WORKER handles a request of one gateway it may leave another's connection waiting: as long
 * as somebody else knows it, that is no reason to end it, but one to try again.
 */
static void
on_broken(struct pst_gate *gate, struct pst_worker *worker, const char *why)
{
	bool is_wanted = worker->child.slot.state == PST_SLOT_READY ||
			 worker->child.slot.state == PST_SLOT_USABLE;

	if (!(worker->told & ~gate->bit) || !is_wanted) {
		pst_child_suspect(&worker->child, why);
		return;
	}
	pst_log_debug("worker %s (pid %ld): gateway (pid %ld) tries again, another uses it: %s",
	    worker->id, (long)worker->child.pid, (long)gate->child.pid, why);
	worker->usable &= ~gate->bit;
	worker->paged &= ~gate->bit;
	announce(gate, worker);
}

/*
 * SLOT usable ID, SLOT drained ID, SLOT worn ID REASON, SLOT late ID REQUEST, SLOT broken ID
 * REASON. A worker may be gone by now.
 */
static void
on_slot(struct pst_gate *gate, const struct pst_control *line)
{
	struct pst_worker *worker = line->count > 2 ? find_worker(gate, line->words[2]) : NULL;
	const char *more = line->count > 3 ? line->words[3] : "(it did not say)";

	if (!worker)
		return;
	if (pst_control_is(line, "SLOT usable"))
		on_usable(gate, worker);
	else if (pst_control_is(line, "SLOT drained"))
		on_drained(gate, worker);
	else if (pst_control_is(line, "SLOT worn"))
		pst_turnover_worn(worker, more);
	else if (pst_control_is(line, "SLOT late"))
		pst_worker_late(worker, more);
	else if (pst_control_is(line, "SLOT broken"))
		on_broken(gate, worker, more);
	else
		pst_child_unknown_line(&gate->child, line);
}

static void
on_line(void *owner, const struct pst_control *line)
{
	struct pst_gate *gate = owner;

	if (pst_control_is(line, "SLOT")) {
		on_slot(gate, line);
	} else if (pst_control_is(line, "READY")) {
		if (gate->child.slot.state != PST_SLOT_STARTING)
			return;
		pst_child_ready(&gate->child, PST_SLOT_USABLE);
		gate->was_usable = true;
		pst_log_debug("%s ready (pid %ld)", gate->child.name, (long)gate->child.pid);
		pst_arbiter_gate_usable(gate);
	} else if (pst_control_is(line, "STATUS")) {
		pst_ctl_gate_line(gate, line);
	} else if (pst_control_is(line, "PONG")) {
		pst_gate_answered(gate);
	} else {
		pst_child_unknown_line(&gate->child, line);
	}
}

static void
on_late(void *owner)
{
	struct pst_gate *gate = owner;

	pst_log_error("the new gateway (pid %ld) is not ready after %d s: it is ended",
	    (long)gate->child.pid, SUCCESSOR_START_MS / 1000);
	pst_child_end(&gate->child, SIGTERM, PST_CHILD_GRACE);
}

static void
on_retry(void *owner)
{
	pst_gate_start(owner);
}

/* ---- its life ---- */

/* A bit that no gate of the arbiter has; 0: there is none. */
static pst_gate_set
free_bit(const struct pst_arbiter *arbiter)
{
	const struct pst_gate *gate;
	pst_gate_set taken = 0;

	TAILQ_FOREACH (gate, &arbiter->gates, link)
		taken |= gate->bit;
	return ~taken & (taken + 1);
}

static struct pst_gate *
gate_new(struct pst_arbiter *arbiter, struct pst_generation *generation, struct pst_share share,
    enum pst_gate_role role)
{
	static const struct pst_child_events events = {
	    .line = on_line, .late = on_late, .retry = on_retry};
	struct pst_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return NULL;
	gate->bit = free_bit(arbiter);
	gate->watch = event_new(arbiter->base, -1, 0, pst_gate_on_watch, gate);
	if (!gate->bit || !gate->watch ||
	    pst_child_init(&gate->child, arbiter->base, &events, gate) < 0) {
		if (gate->watch)
			event_free(gate->watch);
		free(gate);
		return NULL;
	}
	gate->arbiter = arbiter;
	gate->role = role;
	gate->share = share;
	gate->generation = pst_generation_hold(generation);
	TAILQ_INSERT_TAIL(&arbiter->gates, gate, link);
	return gate;
}

static int
open_board(struct pst_arbiter *arbiter)
{
	if (arbiter->board.words)
		return 0;
	if (arbiter->board_fd < 0)
		arbiter->board_fd = pst_board_create();
	return arbiter->board_fd < 0 ? -1 : pst_board_map(&arbiter->board, arbiter->board_fd);
}

int
pst_gates_new(
    struct pst_arbiter *arbiter, struct pst_generation *generation, enum pst_gate_role role)
{
	struct pst_share share = {.of = pst_generation_gateways(generation)};

	if (share.of > 1 && open_board(arbiter) < 0)
		return -1;
	for (share.number = 1; share.number <= share.of; share.number++)
		if (!gate_new(arbiter, generation, share, role))
			return -1;
	return 0;
}

struct pst_gate *
pst_gates_next(
    const struct pst_arbiter *arbiter, enum pst_gate_role role, const struct pst_gate *gate)
{
	struct pst_gate *next = gate ? TAILQ_NEXT(gate, link) : TAILQ_FIRST(&arbiter->gates);

	while (next && next->role != role)
		next = TAILQ_NEXT(next, link);
	return next;
}

void
pst_gate_free(struct pst_gate *gate)
{
	TAILQ_REMOVE(&gate->arbiter->gates, gate, link);
	pst_child_close(&gate->child);
	event_free(gate->watch);
	pst_generation_release(&gate->generation);
	free(gate);
}

void
pst_gate_set_role(struct pst_gate *gate, enum pst_gate_role role)
{
	static const unsigned next[] = {
	    [PST_GATE_SUCCESSOR] = 1u << PST_GATE_SERVING | 1u << PST_GATE_LEAVING,
	    [PST_GATE_SERVING] = 1u << PST_GATE_LEAVING,
	    [PST_GATE_LEAVING] = 1u << PST_GATE_GONE,
	    [PST_GATE_GONE] = 0,
	};

	assert(next[gate->role] & (1u << role));
	gate->role = role;
	if (role != PST_GATE_GONE)
		return;
	assert(!pst_slot_has_process(&gate->child.slot));
	event_active(gate->arbiter->sweep, EV_TIMEOUT, 0);
}

void
pst_gate_say_closing(struct pst_gate *gate)
{
	if (gate->child.channel)
		pst_channel_send(gate->child.channel, "CLOSING", NULL);
}

void
pst_gate_start(struct pst_gate *gate)
{
	struct pst_arbiter *arbiter = gate->arbiter;
	const struct pst_generation *generation = gate->generation;
	struct pst_crew *crew;
	char name[32] = "gateway", title[128];
	char *argv[] = {title, NULL};
	struct pst_spawn spawn = {
	    .file = PST_LIBEXECDIR "/gateway",
	    .argv = argv,
	    .fds = {arbiter->null, pst_log_fd(), pst_log_fd(), -1, -1},
	    .identity = &arbiter->first->top->identity,
	    .environment = generation->top->environment,
	    .base = generation->directory,
	    .has_control = true,
	    .raise_nofile = true,
	};

	if (gate->share.of > 1)
		snprintf(name, sizeof(name), "gateway %u", gate->share.number);
	snprintf(
	    title, sizeof(title), "penstock: %s [%.80s]", name, pst_conf_title(generation->conf));
	if (pst_child_start(&gate->child, &spawn, name) < 0) {
		pst_arbiter_gate_gone(gate, PST_NOT_STARTED);
		return;
	}
	if (gate->role == PST_GATE_SUCCESSOR)
		pst_child_limit_start(&gate->child, SUCCESSOR_START_MS);
	pst_channel_allow(gate->child.channel, TOLD_MOST);
	pst_gate_send_settings(gate);
	pst_gate_send_board(gate);
	pst_gate_send_listeners(gate);
	if (generation->access_log >= 0)
		pst_channel_send_fd(
		    gate->child.channel, generation->access_log, "ACCESS_LOG", NULL);
	pst_channel_send(gate->child.channel, "START", NULL);
	if (arbiter->phase == PST_PHASE_LINGERING)
		pst_gate_say_closing(gate);
	pst_gate_watch(gate);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		if (pst_gate_has(gate, crew))
			announce_crew(gate, crew);
}

void
pst_gate_leave(struct pst_gate *gate)
{
	struct pst_child *child = &gate->child;

	pst_gate_set_role(gate, PST_GATE_LEAVING);
	switch (child->slot.state) {
	case PST_SLOT_BACKOFF:
		pst_child_give_up(child);
		pst_gate_set_role(gate, PST_GATE_GONE);
		break;
	case PST_SLOT_EMPTY: pst_gate_set_role(gate, PST_GATE_GONE); break;
	case PST_SLOT_STARTING: pst_child_end(child, SIGTERM, PST_CHILD_GRACE); break;
	case PST_SLOT_USABLE:
		pst_child_drain(child, pst_arbiter_grace(gate->arbiter) + MARGIN_MS);
		break;
	default: break; /* it is on its way out */
	}
}

/* What it had begun with WORKER is over, and what it thought of it was lost with it. */
static void
forget(struct pst_gate *gate, struct pst_worker *worker)
{
	bool was_busy = worker->busy & gate->bit;
	struct pst_gate *serving = find_serving(worker);

	worker->told &= ~gate->bit;
	worker->usable &= ~gate->bit;
	worker->busy &= ~gate->bit;
	worker->paged &= ~gate->bit;
	if (was_busy && !worker->busy)
		pst_worker_drained(worker);
	if (serving && (worker->told & serving->bit))
		share_page(serving, worker);
	if (worker->child.slot.state == PST_SLOT_USABLE && decides(gate, worker))
		pst_slot_enter(&worker->child.slot, PST_SLOT_READY, pst_clock_ms());
}

void
pst_gate_reaped(struct pst_gate *gate)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	pst_child_reaped(&gate->child);
	pst_gate_hide(gate);
	TAILQ_FOREACH (crew, &gate->arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (worker->told & gate->bit)
				forget(gate, worker);
}
