/*
 * The phases of the arbiter's life: what is decided when a child comes to serve or goes, and how
 * all ends.
 */
#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/ctl.h"
#include "gateway/arbiter/state.h"
#include "gateway/arbiter/turnover.h"
#include "gateway/log.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* Workers are idle when they are asked: what they get to clean up. */
#define WORKER_DRAIN_MS 5000
/* A process that died so soon by a signal was never going to work. */
#define FAILED_START_MS 1000

/* ---- the end ---- */

static void
enter_phase(struct pst_arbiter *arbiter, enum pst_phase phase)
{
	assert(phase > arbiter->phase);
	arbiter->phase = phase;
}

static bool
has_worker(const struct pst_arbiter *arbiter)
{
	const struct pst_crew *crew;
	const struct pst_worker *worker;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (pst_slot_has_process(&worker->child.slot))
				return true;
	return false;
}

static bool
has_gate(const struct pst_arbiter *arbiter)
{
	const struct pst_gate *gate;

	TAILQ_FOREACH (gate, &arbiter->gates, link)
		if (pst_slot_has_process(&gate->child.slot))
			return true;
	return false;
}

static void
stop_when_empty(struct pst_arbiter *arbiter)
{
	if (arbiter->phase < PST_PHASE_RETIRING || has_gate(arbiter) || has_worker(arbiter))
		return;
	arbiter->finished = true;
	event_base_loopbreak(arbiter->base);
}

/* A slot that waits to be filled again is not filled any more. */
static void
give_up_slot(struct pst_child *child)
{
	if (child->slot.state == PST_SLOT_BACKOFF)
		pst_child_give_up(child);
}

static void
end_child(struct pst_child *child, int number)
{
	give_up_slot(child);
	if (pst_slot_has_process(&child->slot))
		pst_child_end(child, number, PST_CHILD_GRACE);
}

/* End all at once. NUMBER is SIGTERM, or SIGKILL when that was not quick enough. */
void
pst_arbiter_end(struct pst_arbiter *arbiter, int number)
{
	struct pst_gate *gate;
	struct pst_crew *crew;
	struct pst_worker *worker;

	pst_reload_stop(arbiter);
	if (arbiter->phase != PST_PHASE_ENDING)
		enter_phase(arbiter, PST_PHASE_ENDING);
	TAILQ_FOREACH (gate, &arbiter->gates, link)
		end_child(&gate->child, number);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			end_child(&worker->child, number);
	stop_when_empty(arbiter);
}

static void
fail(struct pst_arbiter *arbiter, enum pst_exit status)
{
	if (arbiter->phase == PST_PHASE_ENDING)
		return;
	arbiter->status = status;
	pst_arbiter_end(arbiter, SIGTERM);
}

static void
retire_worker(struct pst_child *child)
{
	give_up_slot(child);
	switch (child->slot.state) {
	case PST_SLOT_STARTING: /* it loads its application and hears nothing else */
		pst_child_end(child, SIGTERM, PST_CHILD_GRACE);
		break;
	case PST_SLOT_READY:
	case PST_SLOT_USABLE:
	case PST_SLOT_RETIRING: pst_child_drain(child, WORKER_DRAIN_MS); break;
	default: break;
	}
}

static void
retire(struct pst_arbiter *arbiter)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	enter_phase(arbiter, PST_PHASE_RETIRING);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			retire_worker(&worker->child);
	stop_when_empty(arbiter);
}

unsigned
pst_arbiter_grace(const struct pst_arbiter *arbiter)
{
	unsigned long seconds =
	    pst_conf_number(arbiter->generation->conf, PST_OPT_GRACEFUL_TIMEOUT);

	return (unsigned)(seconds > 86400 ? 86400 : seconds) * 1000;
}

/* Workers serve until the gateways have finished; what goes on for ever would keep those. */
static void
say_closing(struct pst_arbiter *arbiter)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (worker->child.slot.state == PST_SLOT_READY ||
			    worker->child.slot.state == PST_SLOT_USABLE)
				pst_worker_say_closing(worker);
}

static void
drain(struct pst_arbiter *arbiter)
{
	struct pst_gate *gate;

	enter_phase(arbiter, PST_PHASE_DRAINING);
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		give_up_slot(&gate->child);
	/* First, so that nobody connects whom no gateway accepts. */
	pst_listeners_close(&arbiter->generation->listeners);
	say_closing(arbiter);
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		if (pst_slot_is_wanted(&gate->child.slot))
			pst_gate_leave(gate);
	if (!has_gate(arbiter))
		retire(arbiter);
}

static void
on_delay(evutil_socket_t fd, short what, void *arg)
{
	struct pst_arbiter *arbiter = arg;

	(void)fd;
	(void)what;
	if (arbiter->phase == PST_PHASE_LINGERING)
		drain(arbiter);
}

void
pst_arbiter_drain(struct pst_arbiter *arbiter)
{
	unsigned long delay = pst_conf_number(arbiter->generation->conf, PST_OPT_DRAIN_DELAY);
	struct timeval wait = {.tv_sec = (time_t)(delay > 86400 ? 86400 : delay)};
	struct pst_gate *gate;
	struct pst_crew *crew;
	struct pst_worker *worker;

	enter_phase(arbiter, PST_PHASE_LINGERING);
	pst_reload_stop(arbiter);
	if (delay > 0)
		PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
			pst_gate_say_closing(gate);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (worker->role == PST_WORKER_HEIR)
				pst_worker_leave(worker);
	if (delay == 0 ||
	    event_base_once(arbiter->base, -1, EV_TIMEOUT, on_delay, arbiter, &wait) < 0)
		drain(arbiter);
}

/* ---- what children do ---- */

/* What follows a failure at the start; -1: it is tried again. */
static int
start_failure(struct pst_child *child, int wait_status)
{
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	return pst_clock_ms() - child->slot.started_at < FAILED_START_MS ? 1 : -1;
}

static void
retry(struct pst_child *child, const char *name, long pid, int wait_status)
{
	unsigned delay = pst_slot_fail(&child->slot, pst_clock_ms());
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	/* A line before said why it was ended. */
	if (child->slot.state == PST_SLOT_DYING)
		pst_log_info("%s (pid %ld) is gone; another is started in %u.%u s", name, pid,
		    delay / 1000, delay % 1000 / 100);
	else if (pid)
		pst_log_error("%s (pid %ld) %s; another is started in %u.%u s", name, pid, words,
		    delay / 1000, delay % 1000 / 100);
	else
		pst_log_error("%s could not be started; another try in %u.%u s", name, delay / 1000,
		    delay % 1000 / 100);
	pst_child_retry_later(child, delay);
}

/* It has no process any more. */
static void
empty_slot(struct pst_child *child)
{
	if (child->slot.state != PST_SLOT_EMPTY)
		pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
}

/* All ends: once the last gateway has left it is the workers' turn. */
static void
gate_left_at_end(struct pst_gate *gate, long pid, int wait_status)
{
	struct pst_arbiter *arbiter = gate->arbiter;
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (gate->child.slot.state == PST_SLOT_DRAINING && wait_status != 0)
		pst_log_error(
		    "%s (pid %ld) %s while it finished requests", gate->child.name, pid, words);
	empty_slot(&gate->child);
	if (arbiter->phase == PST_PHASE_DRAINING && !has_gate(arbiter))
		retire(arbiter);
	stop_when_empty(arbiter);
}

/* Another one had taken over, or it was not wanted any more. */
static void
gate_left(struct pst_gate *gate, long pid, int wait_status)
{
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (gate->child.slot.state == PST_SLOT_DRAINING && wait_status != 0)
		pst_log_error("the old gateway (pid %ld) %s before it had finished its requests: "
			      "those are lost",
		    pid, words);
	else
		pst_log_info("the old gateway (pid %ld) has left: it %s", pid, words);
	empty_slot(&gate->child);
	pst_gate_set_role(gate, PST_GATE_GONE);
	pst_crews_release(gate->arbiter);
}

static void
successor_failed(struct pst_gate *gate, long pid, int wait_status)
{
	char words[128], why[256];

	pst_child_describe(wait_status, words, sizeof(words));
	snprintf(
	    why, sizeof(why), "the new gateway (pid %ld) %s before it could take over", pid, words);
	pst_log_error("%s", why);
	empty_slot(&gate->child);
	pst_reload_fail(gate->arbiter, why);
}

static void
gate_failed(struct pst_gate *gate, long pid, int wait_status)
{
	struct pst_child *child = &gate->child;
	int code = start_failure(child, wait_status);
	char words[128];

	if (gate->was_usable || code < 0) {
		retry(child, child->name, pid, wait_status);
		return;
	}
	pst_child_describe(wait_status, words, sizeof(words));
	if (pid)
		pst_log_critical(
		    "the gateway (pid %ld) %s before it could serve: giving up", pid, words);
	else
		pst_log_critical("the gateway could not be started: giving up");
	empty_slot(child);
	fail(gate->arbiter, code == PST_EXIT_USAGE ? PST_EXIT_USAGE : PST_EXIT_FAILED);
}

void
pst_arbiter_gate_gone(struct pst_gate *gate, int wait_status)
{
	long pid = gate->child.pid;

	pst_gate_reaped(gate);
	pst_ctl_gate_gone(gate);
	if (gate->arbiter->phase >= PST_PHASE_DRAINING) {
		gate_left_at_end(gate, pid, wait_status);
		return;
	}
	switch (gate->role) {
	case PST_GATE_SUCCESSOR: successor_failed(gate, pid, wait_status); break;
	case PST_GATE_SERVING: gate_failed(gate, pid, wait_status); break;
	case PST_GATE_LEAVING: gate_left(gate, pid, wait_status); break;
	case PST_GATE_GONE: assert(!"a gateway that is gone has no process");
	}
}

static void
give_up_start(
    struct pst_arbiter *arbiter, struct pst_worker *worker, long pid, int wait_status, int code)
{
	const struct pst_conf *conf = worker->crew->scope->conf;
	const char *app = worker->crew->scope->kind == PST_POOL_APP
			      ? pst_conf_app(conf)
			      : pst_conf_item(conf, PST_OPT_COMMAND, 0);
	enum pst_exit status = code == PST_EXIT_APP && worker->crew->scope->kind == PST_POOL_APP
				   ? PST_EXIT_APP
				   : PST_EXIT_FAILED;
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (status == PST_EXIT_APP)
		pst_log_critical("the application '%s' did not load: what worker %s (pid %ld) "
				 "printed above says why; giving up",
		    app, worker->id, pid);
	else if (pid)
		pst_log_critical("worker %s (pid %ld) for '%s' %s before it was ready: %s; giving "
				 "up",
		    worker->id, pid, app, words,
		    worker->said[0] ? "what it printed above should say why"
				    : "it printed nothing");
	else
		pst_log_critical(
		    "worker %s for '%s' could not be started: giving up", worker->id, app);
	empty_slot(&worker->child);
	fail(arbiter, status);
}

/* One that was not needed any more has exited. */
static void
worker_left(struct pst_worker *worker, long pid, int wait_status)
{
	struct pst_child *child = &worker->child;
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (wait_status != 0 && pst_slot_is_wanted(&child->slot))
		pst_log_error("worker %s (pid %ld) %s before it had finished its requests: those "
			      "are lost",
		    worker->id, pid, words);
	else
		pst_log_info("worker %s (pid %ld) has left: it %s", worker->id, pid, words);
	empty_slot(child);
	pst_worker_set_role(worker, PST_WORKER_GONE);
	pst_turnover_next(worker->crew);
}

/* A worker of a pool that a reload brings. */
static void
newcomer_failed(struct pst_worker *worker, long pid, int wait_status)
{
	char words[128], why[384 + PST_OUTPUT_SAID];

	pst_child_describe(wait_status, words, sizeof(words));
	if (pid)
		pst_log_error("worker %s (pid %ld) of the new pool %s %s before that pool could "
			      "serve: what it printed above should say why",
		    worker->id, pid, pst_crew_name(worker->crew), words);
	snprintf(why, sizeof(why), "worker %s of the new pool %s %s before that could serve: %s",
	    worker->id, pst_crew_name(worker->crew), words,
	    worker->said[0] ? worker->said : "it printed nothing");
	empty_slot(&worker->child);
	pst_reload_fail(worker->crew->arbiter, why);
}

void
pst_arbiter_worker_gone(struct pst_arbiter *arbiter, struct pst_worker *worker, int wait_status)
{
	struct pst_child *child = &worker->child;
	long pid = child->pid;
	int code;

	pst_worker_reaped(worker);
	pst_gates_withdraw(worker);
	if (arbiter->phase >= PST_PHASE_RETIRING) {
		empty_slot(child);
		stop_when_empty(arbiter);
		return;
	}
	if (worker->role == PST_WORKER_LEAVING) {
		worker_left(worker, pid, wait_status);
		return;
	}
	if (worker->changes) {
		pst_log_debug(
		    "worker %s (pid %ld) gives way to one of another kind", worker->id, pid);
		pst_child_retry_later(child, 0);
		return;
	}
	if (worker->role == PST_WORKER_HEIR) {
		pst_turnover_failed(worker, pid, wait_status);
		return;
	}
	if (pst_reload_brings(worker->crew)) {
		newcomer_failed(worker, pid, wait_status);
		return;
	}
	/* Whoever comes next is fresh; what a reload brings is not the holder's to try. */
	if (worker->due == PST_DUE_WORN)
		worker->due = PST_DUE_NOT;
	if (worker->late) {
		pst_log_info("worker %s (pid %ld) is gone; another is started", worker->id, pid);
		pst_child_retry_later(child, 0);
		return;
	}
	code = start_failure(child, wait_status);
	if (!worker->crew->was_usable && arbiter->phase == PST_PHASE_STARTING && code >= 0)
		give_up_start(arbiter, worker, pid, wait_status, code);
	else
		retry(child, child->name, pid, wait_status);
}

void
pst_arbiter_log_addresses(const struct pst_arbiter *arbiter, const char *before, const char *after)
{
	const struct pst_listeners *listeners = &arbiter->generation->listeners;
	char text[2048], url[400];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < listeners->count && used + sizeof(url) < sizeof(text); i++) {
		pst_listener_url(listeners->list[i], url, sizeof(url));
		used +=
		    (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? "," : "", url);
	}
	pst_log_info("%s%s%s", before, text, after);
}

/* What a reload brings, or has brought in vain, is no part of the start. */
static bool
is_of_start(const struct pst_crew *crew)
{
	return crew->since <= crew->arbiter->generation->number;
}

static bool
every_crew_was_usable(const struct pst_arbiter *arbiter)
{
	const struct pst_crew *crew;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		if (is_of_start(crew) && !crew->was_usable)
			return false;
	return true;
}

/* Where each has a share of the workers only, it needs one of these. */
static bool
has_usable(const struct pst_gate *gate, const struct pst_crew *crew)
{
	const struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link)
		if (worker->usable & gate->bit)
			return true;
	return false;
}

static bool
every_gate_was_usable(const struct pst_arbiter *arbiter)
{
	const struct pst_gate *gate;
	const struct pst_crew *crew;

	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING) {
		if (!gate->was_usable)
			return false;
		TAILQ_FOREACH (crew, &arbiter->crews, link)
			if (gate->share.of > 1 && is_of_start(crew) && !has_usable(gate, crew))
				return false;
	}
	return true;
}

/* At the start: all can be served once all gateways are ready and each crew has a usable worker. */
static void
serve_if_complete(struct pst_arbiter *arbiter)
{
	struct pst_crew *crew;

	if (arbiter->phase != PST_PHASE_STARTING || !every_gate_was_usable(arbiter) ||
	    !every_crew_was_usable(arbiter))
		return;
	enter_phase(arbiter, PST_PHASE_SERVING);
	pst_arbiter_log_addresses(arbiter, "Penstock " PACKAGE_VERSION " serves at ", "");
	pst_arbiter_detach(arbiter);
	/* Nobody is replaced before, whoever has asked for it. */
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		pst_turnover_next(crew);
}

void
pst_arbiter_gate_usable(struct pst_gate *gate)
{
	serve_if_complete(gate->arbiter);
	pst_reload_go_on(gate->arbiter);
}

void
pst_arbiter_worker_usable(struct pst_arbiter *arbiter, struct pst_worker *worker)
{
	pst_log_info("worker %s ready (pid %ld)", worker->id, (long)worker->child.pid);
	worker->crew->was_usable = true;
	serve_if_complete(arbiter);
	pst_turnover_age(worker);
	pst_weigh_new(worker);
	if (worker->role == PST_WORKER_HEIR)
		pst_turnover_usable(worker);
	else
		pst_turnover_next(worker->crew);
}
