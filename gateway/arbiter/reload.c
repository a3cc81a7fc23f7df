#include "gateway/arbiter/reload.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/ctl.h"
#include "gateway/arbiter/state.h"
#include "gateway/arbiter/turnover.h"
#include "gateway/log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The pids of all gateways that serve. */
#define PST_GATES_TEXT 256

/* ---- state ---- */

static void
enter(struct pst_reload *reload, enum pst_reload_step step)
{
	static const unsigned next[] = {
	    [PST_RELOAD_OFF] = 1u << PST_RELOAD_WORKERS,
	    [PST_RELOAD_WORKERS] = 1u << PST_RELOAD_GATEWAY | 1u << PST_RELOAD_OFF,
	    [PST_RELOAD_GATEWAY] = 1u << PST_RELOAD_OFF,
	};

	assert(next[reload->step] & (1u << step));
	reload->step = step;
}

bool
pst_reload_brings(const struct pst_crew *crew)
{
	const struct pst_reload *reload = &crew->arbiter->reload;

	return reload->step != PST_RELOAD_OFF && crew->since == reload->next->number;
}

/* More of them are started once those that there are were replaced: from then on all are new. */
unsigned
pst_reload_least(const struct pst_crew *crew)
{
	const struct pst_reload *reload = &crew->arbiter->reload;

	return crew->next && reload->step == PST_RELOAD_WORKERS
		   ? pst_generation_gateways(reload->next)
		   : 0;
}

void
pst_reload_count(struct pst_arbiter *arbiter)
{
	if (arbiter->reload.step != PST_RELOAD_OFF)
		arbiter->reload.replaced++;
}

/* ---- the end that leaves what serves ---- */

/* What was begun for the next generation goes, in the order in which it depends on each other. */
static void
abandon(struct pst_arbiter *arbiter)
{
	struct pst_reload *reload = &arbiter->reload;
	struct pst_gate *gate;
	struct pst_crew *crew;

	TAILQ_FOREACH (crew, &arbiter->crews, link) {
		crew->next = NULL;
		if (crew->until == reload->next->number)
			crew->until = PST_CREW_STAYS;
		else if (crew->since == reload->next->number)
			crew->until = crew->since + 1;
	}
	/* As at the end of any gateway: what is wanted again is shared with others by now. */
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SUCCESSOR)
		pst_gate_send_unlisten(gate, arbiter->generation);
	pst_listeners_close(&reload->next->listeners);
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SUCCESSOR)
		pst_gate_leave(gate);
	pst_crews_release(arbiter);
	pst_generation_release(&reload->next);
	enter(reload, PST_RELOAD_OFF);
}

void
pst_reload_fail(struct pst_arbiter *arbiter, const char *why)
{
	struct pst_reload *reload = &arbiter->reload;
	struct pst_crew *crew;
	char text[1024];
	unsigned old = 0;

	if (reload->step == PST_RELOAD_OFF)
		return;
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		old += pst_turnover_stop(crew);
	pst_log_error("reload failed: %u worker%s of the new version serve, %u of the old one "
		      "serve on; mend what is said above and send HUP again",
	    reload->replaced, reload->replaced == 1 ? "" : "s", old);
	snprintf(text, sizeof(text), "%s; %u worker%s of the new version serve, %u of the old one",
	    why, reload->replaced, reload->replaced == 1 ? "" : "s", old);
	abandon(arbiter);
	pst_ctl_reload_over(arbiter, text);
}

void
pst_reload_stop(struct pst_arbiter *arbiter)
{
	if (arbiter->reload.step == PST_RELOAD_OFF)
		return;
	abandon(arbiter);
	pst_ctl_reload_over(arbiter, "all ends");
}

/* ---- the end that replaces it ---- */

/* Its --workers is another now: TTIN and TTOU are forgotten. */
static void
resize(struct pst_crew *crew)
{
	unsigned long wanted = pst_conf_number(crew->scope->conf, PST_OPT_WORKERS);

	for (unsigned long size = pst_crew_size(crew); size < wanted; size++)
		pst_crew_more(crew);
	for (unsigned long size = pst_crew_size(crew); size > wanted; size--)
		pst_crew_less(crew);
}

static void
commit_crew(struct pst_crew *crew, struct pst_generation *next)
{
	bool resized;

	if (!crew->next)
		return;
	resized = !pst_conf_same(crew->scope->conf, crew->next->conf, PST_OPT_WORKERS);
	pst_crew_adopt(crew, next, crew->next);
	if (resized)
		resize(crew);
}

/* The gateways stay, and have been told nothing else than NEXT would have them told. */
static void
keep_gateways(struct pst_arbiter *arbiter, struct pst_generation *next)
{
	struct pst_gate *gate;

	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING) {
		pst_listeners_close(&gate->generation->listeners);
		pst_generation_release(&gate->generation);
		gate->generation = pst_generation_hold(next);
	}
}

/* "gateway (pid 7)", "gateways (pids 7, 8)" */
static void
name_gateways(const struct pst_arbiter *arbiter, enum pst_gate_role role, char text[PST_GATES_TEXT])
{
	const struct pst_gate *gate = pst_gates_next(arbiter, role, NULL);
	bool are_several = gate && gate->share.of > 1;
	size_t used = (size_t)snprintf(text, PST_GATES_TEXT, "gateway%s (pid%s",
	    are_several ? "s" : "", are_several ? "s" : "");
	const char *before = " ";

	for (; gate && used < PST_GATES_TEXT; gate = pst_gates_next(arbiter, role, gate)) {
		used += (size_t)snprintf(
		    text + used, PST_GATES_TEXT - used, "%s%ld", before, (long)gate->child.pid);
		before = ", ";
	}
	if (used < PST_GATES_TEXT)
		snprintf(text + used, PST_GATES_TEXT - used, ")");
}

static void
log_takeover(const struct pst_arbiter *arbiter, const char *old)
{
	const struct pst_gate *gate = pst_gates_next(arbiter, PST_GATE_SUCCESSOR, NULL);
	char new[PST_GATES_TEXT];

	name_gateways(arbiter, PST_GATE_SUCCESSOR, new);
	pst_log_info("the new %s take%s over; the old %s finish%s what was begun", new,
	    gate->share.of > 1 ? "" : "s", old, strncmp(old, "gateways", 8) == 0 ? "" : "es");
}

/* The successors serve from now on. */
static void
take_over(struct pst_arbiter *arbiter, struct pst_generation *next)
{
	char old[PST_GATES_TEXT];
	struct pst_gate *gate;

	name_gateways(arbiter, PST_GATE_SERVING, old);
	log_takeover(arbiter, old);
	/* Who connects from now on gets what the reload has brought. */
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		pst_gate_send_unlisten(gate, next);
	/* A unix socket has to be gone before its last connections are taken. */
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		pst_listeners_close(&gate->generation->listeners);
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		pst_gate_leave(gate);
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SUCCESSOR)
		pst_gate_set_role(gate, PST_GATE_SERVING);
	pst_arbiter_log_addresses(arbiter, "Listening at: ", "");
}

/* Workers of pools that there were not before. */
static unsigned
count_new(const struct pst_arbiter *arbiter)
{
	const struct pst_crew *crew;
	unsigned count = 0;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		if (crew->since == arbiter->generation->number)
			count += pst_crew_size(crew);
	return count;
}

static void
log_done(const struct pst_reload *reload, unsigned new)
{
	int64_t ms = pst_clock_ms() - reload->begun;
	char more[64] = "";

	if (new > 0)
		snprintf(more, sizeof(more), ", %u started in new pools,", new);
	pst_log_info("reload done: %u worker%s replaced%s in %d.%d s", reload->replaced,
	    reload->replaced == 1 ? "" : "s", more, (int)(ms / 1000), (int)(ms % 1000 / 100));
}

static void
commit(struct pst_arbiter *arbiter)
{
	struct pst_reload *reload = &arbiter->reload;
	struct pst_generation *old = arbiter->generation;
	struct pst_crew *crew;

	arbiter->generation = pst_generation_hold(reload->next);
	(void)!fchdir(arbiter->generation->directory);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		crew->was_usable = true;
	enter(reload, PST_RELOAD_OFF);
	if (pst_gates_next(arbiter, PST_GATE_SUCCESSOR, NULL))
		take_over(arbiter, reload->next);
	else
		keep_gateways(arbiter, reload->next);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		commit_crew(crew, reload->next);
	pst_operate_settings(arbiter, old->conf);
	pst_crews_release(arbiter);
	log_done(reload, count_new(arbiter));
	pst_ctl_reload_over(arbiter, NULL);
	pst_generation_release(&old);
	pst_generation_release(&reload->next);
}

/* ---- on the way ---- */

static bool
is_ready(const struct pst_worker *worker)
{
	return worker->child.slot.state == PST_SLOT_READY ||
	       worker->child.slot.state == PST_SLOT_USABLE;
}

/* CREW has replaced whom it had, or if it is new all of its workers have loaded. */
static bool
has_workers(const struct pst_crew *crew, const struct pst_generation *next)
{
	const struct pst_worker *worker;

	if (crew->next)
		return pst_turnover_is_done(crew);
	if (crew->since != next->number)
		return true;
	TAILQ_FOREACH (worker, &crew->workers, link)
		if (worker->role == PST_WORKER_HOLDER && !is_ready(worker))
			return false;
	return true;
}

/* The successor has found a worker of its share of CREW usable, or there is none that it could. */
static bool
is_connected(const struct pst_crew *crew, const struct pst_gate *successor)
{
	const struct pst_worker *worker;
	bool waits = false;

	TAILQ_FOREACH (worker, &crew->workers, link) {
		if (worker->usable & successor->bit)
			return true;
		waits |= is_ready(worker) && pst_gate_serves(successor, worker);
	}
	return !waits;
}

static bool
is_connected_to_all(const struct pst_gate *successor)
{
	const struct pst_crew *crew;

	if (successor->child.slot.state != PST_SLOT_USABLE)
		return false;
	TAILQ_FOREACH (crew, &successor->arbiter->crews, link)
		if (pst_gate_has(successor, crew) && !is_connected(crew, successor))
			return false;
	return true;
}

static bool
may_take_over(const struct pst_arbiter *arbiter)
{
	const struct pst_gate *gate;

	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SUCCESSOR)
		if (!is_connected_to_all(gate))
			return false;
	return true;
}

static void
start_successors(struct pst_arbiter *arbiter)
{
	static const char why[] = "no other gateway can be started: there is no memory, or too "
				  "many of them still finish requests";
	struct pst_gate *gate;

	enter(&arbiter->reload, PST_RELOAD_GATEWAY);
	if (pst_gates_new(arbiter, arbiter->reload.next, PST_GATE_SUCCESSOR) < 0) {
		pst_log_error("%s", why);
		pst_reload_fail(arbiter, why);
		return;
	}
	/* One that cannot be started ends the reload, and all others are successors no more. */
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SUCCESSOR)
		pst_gate_start(gate);
}

void
pst_reload_go_on(struct pst_arbiter *arbiter)
{
	struct pst_reload *reload = &arbiter->reload;
	const struct pst_crew *crew;

	if (arbiter->phase != PST_PHASE_SERVING)
		return;
	if (reload->step == PST_RELOAD_WORKERS) {
		TAILQ_FOREACH (crew, &arbiter->crews, link)
			if (!has_workers(crew, reload->next))
				return;
		if (pst_generation_differs(arbiter->generation, reload->next))
			start_successors(arbiter);
		else
			commit(arbiter);
	} else if (reload->step == PST_RELOAD_GATEWAY && may_take_over(arbiter)) {
		commit(arbiter);
	}
}

/* ---- the beginning ---- */

/* Each mistake is a line. */
static void
log_mistakes(const struct pst_conf *conf)
{
	for (size_t i = 0; i < pst_conf_mistake_count(conf); i++)
		pst_log_error("%s", pst_conf_mistake_text(conf, i));
	for (size_t i = 0; i < pst_conf_warning_count(conf); i++)
		pst_log_warning("%s", pst_conf_warning_text(conf, i));
}

/* The next generation, without its listeners; NULL after a line was logged, and WHY filled. */
static struct pst_generation *
read_next(struct pst_arbiter *arbiter, char why[PST_CONF_WHY])
{
	const struct pst_start *start = arbiter->start;
	struct pst_conf *conf = pst_conf_new();
	struct pst_generation *next = NULL;
	enum pst_conf_wish wish = PST_CONF_ERROR;

	snprintf(why, PST_CONF_WHY, "out of memory");
	(void)!fchdir(start->directory);
	if (conf) {
		wish = pst_conf_read(conf, start->argc, start->argv);
		log_mistakes(conf);
		if (pst_conf_mistake_count(conf) > 0)
			snprintf(why, PST_CONF_WHY, "%s", pst_conf_mistake_text(conf, 0));
	}
	if (wish == PST_CONF_RUN)
		next = pst_generation_new(&conf, why);
	(void)!fchdir(arbiter->generation->directory);
	if (!next && (!conf || wish == PST_CONF_RUN))
		pst_log_error("%s", why);
	pst_conf_free(conf);
	return next;
}

static int
open_listeners(struct pst_arbiter *arbiter, struct pst_generation *next)
{
	const struct pst_generation *pending = arbiter->reload.next;

	return pst_listeners_open_beside(&next->listeners, next->conf,
	    &arbiter->first->top->identity, &arbiter->generation->listeners,
	    pending ? &pending->listeners : NULL);
}

/* The crew that is to go on for the pool of SCOPE. */
static struct pst_crew *
find_crew(const struct pst_arbiter *arbiter, const struct pst_scope *scope)
{
	struct pst_crew *crew = pst_crew_find(arbiter, scope->name);

	return crew && crew->scope->kind == scope->kind ? crew : NULL;
}

/* Each pool gets its crew; those without a pool are to go. -1 without memory. */
static int
assign_crews(struct pst_arbiter *arbiter, struct pst_generation *next)
{
	struct pst_crew *crew;

	for (size_t i = 0; i < next->count; i++) {
		struct pst_scope *scope = next->pools[i];

		crew = find_crew(arbiter, scope);
		if (crew)
			crew->next = scope;
		else if (scope->kind != PST_POOL_REMOTE && !pst_crew_new(arbiter, next, scope))
			return -1;
	}
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		if (crew->until == PST_CREW_STAYS && !crew->next && crew->since != next->number)
			crew->until = next->number;
	return 0;
}

static void
begin_crews(struct pst_arbiter *arbiter)
{
	struct pst_reload *reload = &arbiter->reload;
	unsigned number = reload->next->number;
	struct pst_crew *crew;

	TAILQ_FOREACH (crew, &arbiter->crews, link) {
		if (reload->step == PST_RELOAD_OFF || reload->next->number != number)
			return; /* it has failed already */
		if (crew->next) {
			pst_crew_rouse(crew);
			pst_turnover_reload(crew);
		} else if (crew->since == number) {
			pst_crew_start(crew);
		}
	}
}

void
pst_reload_begin(struct pst_arbiter *arbiter)
{
	struct pst_reload *reload = &arbiter->reload;
	char why[PST_CONF_WHY], text[PST_CONF_WHY + 64];
	struct pst_generation *next = read_next(arbiter, why);

	if (!next || open_listeners(arbiter, next) < 0) {
		snprintf(text, sizeof(text), "%s; all goes on as it was",
		    next ? "a listener cannot be opened, the error log says which" : why);
		pst_generation_release(&next);
		pst_log_error("nothing is reloaded, all goes on as it was; mend what is said above "
			      "and send HUP again");
		pst_ctl_reload_over(arbiter, text);
		return;
	}
	if (reload->step == PST_RELOAD_OFF) {
		reload->begun = pst_clock_ms();
		reload->replaced = 0;
	} else {
		abandon(arbiter);
	}
	reload->next = next;
	enter(reload, PST_RELOAD_WORKERS);
	pst_source_watch_load(arbiter, next);
	if (assign_crews(arbiter, next) < 0) {
		pst_log_error("the workers of a new pool cannot be started: out of memory");
		pst_reload_fail(arbiter, "out of memory");
		return;
	}
	begin_crews(arbiter);
	pst_reload_go_on(arbiter);
}
