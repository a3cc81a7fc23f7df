/*
 * The phases of the arbiter's life: what is decided when a child comes to serve or goes, and how
 * all ends.
 */
#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* What the gateway gets on top of --graceful-timeout, which it keeps itself. */
#define GATEWAY_MARGIN_MS 2000
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

static void
stop_when_empty(struct pst_arbiter *arbiter)
{
	if (arbiter->phase < PST_PHASE_RETIRING || pst_slot_has_process(&arbiter->gate.child.slot))
		return;
	for (size_t i = 0; i < arbiter->worker_count; i++)
		if (pst_slot_has_process(&arbiter->workers[i].child.slot))
			return;
	arbiter->finished = true;
	event_base_loopbreak(arbiter->base);
}

/* A slot that waits to be filled again is not filled any more. */
static void
give_up_slot(struct pst_child *child)
{
	if (child->slot.state != PST_SLOT_BACKOFF)
		return;
	event_del(child->timer);
	pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
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
	if (arbiter->phase != PST_PHASE_ENDING)
		enter_phase(arbiter, PST_PHASE_ENDING);
	end_child(&arbiter->gate.child, number);
	for (size_t i = 0; i < arbiter->worker_count; i++)
		end_child(&arbiter->workers[i].child, number);
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
	case PST_SLOT_USABLE: pst_child_drain(child, WORKER_DRAIN_MS); break;
	default: break;
	}
}

static void
retire(struct pst_arbiter *arbiter)
{
	enter_phase(arbiter, PST_PHASE_RETIRING);
	for (size_t i = 0; i < arbiter->worker_count; i++)
		retire_worker(&arbiter->workers[i].child);
	stop_when_empty(arbiter);
}

void
pst_arbiter_drain(struct pst_arbiter *arbiter)
{
	struct pst_child *gate = &arbiter->gate.child;
	unsigned long seconds = pst_conf_number(arbiter->conf, PST_OPT_GRACEFUL_TIMEOUT);
	unsigned grace = (unsigned)(seconds > 86400 ? 86400 : seconds) * 1000;

	enter_phase(arbiter, PST_PHASE_DRAINING);
	give_up_slot(gate);
	if (pst_slot_is_wanted(&gate->slot))
		pst_child_drain(gate, grace + GATEWAY_MARGIN_MS);
	else if (!pst_slot_has_process(&gate->slot))
		retire(arbiter);
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
		pst_log_error("%s could not be started; another try in %u.%u s", name,
		    delay / 1000, delay % 1000 / 100);
	pst_child_retry_later(child, delay);
}

void
pst_arbiter_gate_gone(struct pst_arbiter *arbiter, int wait_status)
{
	struct pst_child *child = &arbiter->gate.child;
	long pid = child->pid;
	char words[128];
	int code;

	pst_child_reaped(child);
	pst_child_describe(wait_status, words, sizeof(words));
	if (arbiter->phase >= PST_PHASE_DRAINING) {
		if (child->slot.state == PST_SLOT_DRAINING && wait_status != 0)
			pst_log_error("gateway (pid %ld) %s while it finished requests", pid, words);
		if (child->slot.state != PST_SLOT_EMPTY)
			pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
		if (arbiter->phase == PST_PHASE_DRAINING)
			retire(arbiter);
		stop_when_empty(arbiter);
		return;
	}
	code = start_failure(child, wait_status);
	if (!arbiter->gate.was_usable && code >= 0) {
		pst_log_critical("the gateway (pid %ld) %s before it could serve: giving up", pid,
		    words);
		if (pst_slot_has_process(&child->slot))
			pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
		fail(arbiter, code == PST_EXIT_USAGE ? PST_EXIT_USAGE : PST_EXIT_FAILED);
		return;
	}
	retry(child, "gateway", pid, wait_status);
}

static void
give_up_start(
    struct pst_arbiter *arbiter, struct pst_worker *worker, long pid, int wait_status, int code)
{
	const char *app = pst_conf_app(arbiter->conf);
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (code == PST_EXIT_APP)
		pst_log_critical("the application '%s' did not load: what worker %s (pid %ld) "
				 "printed above says why; giving up", app, worker->id, pid);
	else
		pst_log_critical("worker %s (pid %ld) for '%s' %s before it was ready: what it "
				 "printed above should say why; giving up",
		    worker->id, pid, app, words);
	if (pst_slot_has_process(&worker->child.slot))
		pst_slot_enter(&worker->child.slot, PST_SLOT_EMPTY, pst_clock_ms());
	fail(arbiter, code == PST_EXIT_APP ? PST_EXIT_APP : PST_EXIT_FAILED);
}

void
pst_arbiter_worker_gone(struct pst_arbiter *arbiter, struct pst_worker *worker, int wait_status)
{
	struct pst_child *child = &worker->child;
	long pid = child->pid;
	int code;

	pst_worker_reaped(worker);
	pst_gate_withdraw(&arbiter->gate, worker);
	if (arbiter->phase >= PST_PHASE_RETIRING) {
		if (child->slot.state != PST_SLOT_EMPTY)
			pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
		stop_when_empty(arbiter);
		return;
	}
	if (worker->late) {
		pst_log_info("worker %s (pid %ld) is gone; another is started", worker->id, pid);
		pst_child_retry_later(child, 0);
		return;
	}
	code = start_failure(child, wait_status);
	if (arbiter->phase == PST_PHASE_STARTING && code >= 0)
		give_up_start(arbiter, worker, pid, wait_status, code);
	else
		retry(child, child->name, pid, wait_status);
}

void
pst_arbiter_log_addresses(
    const struct pst_arbiter *arbiter, const char *before, const char *after)
{
	const struct pst_listeners *listeners = &arbiter->listeners;
	char text[2048], url[400];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < listeners->count && used + sizeof(url) < sizeof(text); i++) {
		pst_listener_url(&listeners->list[i], url, sizeof(url));
		used += (size_t)snprintf(
		    text + used, sizeof(text) - used, "%s%s", i ? "," : "", url);
	}
	pst_log_info("%s%s%s", before, text, after);
}

void
pst_arbiter_worker_usable(struct pst_arbiter *arbiter, struct pst_worker *worker)
{
	pst_log_info("worker %s ready (pid %ld)", worker->id, (long)worker->child.pid);
	if (arbiter->phase != PST_PHASE_STARTING)
		return;
	enter_phase(arbiter, PST_PHASE_SERVING);
	pst_arbiter_log_addresses(arbiter, "Penstock " PACKAGE_VERSION " serves at ", "");
}
