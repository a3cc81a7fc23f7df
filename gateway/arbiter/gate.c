#include "gateway/arbiter/gate.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/state.h"
#include "gateway/arbiter/turnover.h"
#include "gateway/log.h"

#include <stdio.h>
#include <string.h>

/* ---- what it is told ---- */

void
pst_gate_announce(struct pst_gate *gate, struct pst_worker *worker)
{
	if (!gate->child.channel)
		return;
	worker->announced = true;
	if (worker->page >= 0)
		pst_channel_send_fd(
		    gate->child.channel, worker->page, "SLOT", "page", worker->id, NULL);
	pst_channel_send(gate->child.channel, "SLOT", "up", worker->id, worker->path,
	    pst_crew_name(worker->crew), NULL);
}

void
pst_gate_withdraw(struct pst_gate *gate, struct pst_worker *worker)
{
	if (!gate->child.channel || !worker->announced)
		return;
	worker->announced = false;
	pst_channel_send(gate->child.channel, "SLOT", "down", worker->id, NULL);
}

int
pst_gate_drain(struct pst_gate *gate, struct pst_worker *worker)
{
	if (!gate->child.channel || !worker->announced)
		return -1;
	pst_channel_send(gate->child.channel, "SLOT", "drain", worker->id, NULL);
	return 0;
}

/* Whatever the last gateway thought of the workers, this one has to find out. */
static void
announce_crew(struct pst_gate *gate, struct pst_crew *crew)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link) {
		worker->announced = false;
		if (worker->child.slot.state == PST_SLOT_USABLE)
			pst_slot_enter(&worker->child.slot, PST_SLOT_READY, pst_clock_ms());
		if (worker->child.slot.state == PST_SLOT_READY)
			pst_gate_announce(gate, worker);
	}
}

/* ---- what it says ---- */

static struct pst_worker *
find_worker(struct pst_arbiter *arbiter, const char *id)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (worker->announced && strcmp(worker->id, id) == 0)
				return worker;
	return NULL;
}

static void
on_usable(struct pst_gate *gate, struct pst_worker *worker)
{
	if (worker->child.slot.state != PST_SLOT_READY)
		return;
	pst_slot_enter(&worker->child.slot, PST_SLOT_USABLE, pst_clock_ms());
	pst_arbiter_worker_usable(gate->arbiter, worker);
}

/*
 * SLOT usable ID, SLOT drained ID, SLOT worn ID REASON, SLOT late ID REQUEST, SLOT broken ID
 * REASON. A worker may be gone by now.
 */
static void
on_slot(struct pst_gate *gate, const struct pst_control *line)
{
	struct pst_worker *worker =
	    line->count > 2 ? find_worker(gate->arbiter, line->words[2]) : NULL;
	const char *more = line->count > 3 ? line->words[3] : "(it did not say)";

	if (!worker)
		return;
	if (pst_control_is(line, "SLOT usable"))
		on_usable(gate, worker);
	else if (pst_control_is(line, "SLOT drained"))
		pst_worker_drained(worker);
	else if (pst_control_is(line, "SLOT worn"))
		pst_turnover_worn(worker, more);
	else if (pst_control_is(line, "SLOT late"))
		pst_worker_late(worker, more);
	else if (pst_control_is(line, "SLOT broken"))
		pst_child_suspect(&worker->child, more);
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
		pst_log_debug("gateway ready (pid %ld)", (long)gate->child.pid);
	} else if (pst_control_is(line, "STATUS")) {
		pst_ctl_gate_line(gate->arbiter, line);
	} else if (pst_control_is(line, "PONG")) {
		pst_gate_answered(gate);
	} else {
		pst_child_unknown_line(&gate->child, line);
	}
}

static void
on_retry(void *owner)
{
	pst_gate_start(owner);
}

/* ---- its process ---- */

int
pst_gate_init(struct pst_gate *gate, struct pst_arbiter *arbiter)
{
	static const struct pst_child_events events = {.line = on_line, .retry = on_retry};

	gate->arbiter = arbiter;
	gate->watch = event_new(arbiter->base, -1, 0, pst_gate_on_watch, gate);
	if (!gate->watch)
		return -1;
	return pst_child_init(&gate->child, arbiter->base, &events, gate);
}

void
pst_gate_close(struct pst_gate *gate)
{
	pst_child_close(&gate->child);
	if (gate->watch)
		event_free(gate->watch);
	gate->watch = NULL;
}

void
pst_gate_start(struct pst_gate *gate)
{
	struct pst_arbiter *arbiter = gate->arbiter;
	struct pst_crew *crew;
	char title[128];
	char *argv[] = {title, NULL};
	struct pst_spawn spawn = {
	    .file = PST_LIBEXECDIR "/gateway",
	    .argv = argv,
	    .fds = {arbiter->null, pst_log_fd(), pst_log_fd(), -1, -1},
	    .identity = &arbiter->generation->top->identity,
	    .environment = arbiter->generation->top->environment,
	    .has_control = true,
	    .raise_nofile = true,
	};

	snprintf(title, sizeof(title), "penstock: gateway [%s]",
	    pst_conf_title(arbiter->generation->conf));
	if (pst_child_start(&gate->child, &spawn, "gateway") < 0) {
		pst_arbiter_gate_gone(arbiter, PST_NOT_STARTED);
		return;
	}
	pst_gate_send_settings(gate);
	pst_gate_send_listeners(gate);
	if (arbiter->access_log >= 0)
		pst_channel_send_fd(gate->child.channel, arbiter->access_log, "ACCESS_LOG", NULL);
	pst_channel_send(gate->child.channel, "START", NULL);
	pst_gate_watch(gate);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		announce_crew(gate, crew);
}
