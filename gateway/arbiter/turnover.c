/*
 * Workers are replaced without a request being lost: the heir of a slot is started, and only when
 * it is usable its holder leaves. One mechanism serves reloads and worn workers, and has one heir
 * at a time: what an application costs to load is paid for one worker more, and a new
 * version that does not load is found out about while all holders still serve.
 */
#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <stdio.h>
#include <sys/random.h>

static struct pst_worker *
find_role(const struct pst_arbiter *arbiter, enum pst_worker_role role)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &arbiter->workers, link)
		if (worker->role == role)
			return worker;
	return NULL;
}

static struct pst_worker *
find_holder(const struct pst_arbiter *arbiter, unsigned number)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &arbiter->workers, link)
		if (worker->role == PST_WORKER_HOLDER && worker->number == number)
			return worker;
	return NULL;
}

static struct pst_worker *
find_due(const struct pst_arbiter *arbiter, enum pst_worker_due due)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &arbiter->workers, link)
		if (worker->role == PST_WORKER_HOLDER && worker->due == due)
			return worker;
	return NULL;
}

/* Who is to be replaced next; NULL for nobody now. Worn ones wait until the last one has left. */
static struct pst_worker *
choose(const struct pst_arbiter *arbiter)
{
	struct pst_worker *worker = find_due(arbiter, PST_DUE_RELOAD);

	if (worker || find_role(arbiter, PST_WORKER_LEAVING))
		return worker;
	return find_due(arbiter, PST_DUE_WORN);
}

static void
end_reload_if_done(struct pst_arbiter *arbiter)
{
	int64_t ms = pst_clock_ms() - arbiter->reload_begun;

	if (!arbiter->reload_begun || find_due(arbiter, PST_DUE_RELOAD))
		return;
	arbiter->reload_begun = 0;
	pst_log_info("reload done: %u worker%s replaced in %d.%d s", arbiter->reload_replaced,
	    arbiter->reload_replaced == 1 ? "" : "s", (int)(ms / 1000), (int)(ms % 1000 / 100));
}

void
pst_turnover_next(struct pst_arbiter *arbiter)
{
	struct pst_worker *worker, *heir;

	if (arbiter->phase != PST_PHASE_SERVING || find_role(arbiter, PST_WORKER_HEIR))
		return;
	end_reload_if_done(arbiter);
	worker = choose(arbiter);
	if (!worker)
		return;
	heir = pst_worker_new(arbiter, worker->number, PST_WORKER_HEIR);
	if (heir) {
		pst_worker_start(heir);
		return;
	}
	pst_log_error("worker %s (pid %ld) is not replaced: out of memory", worker->id,
	    (long)worker->child.pid);
	worker->due = PST_DUE_NOT;
}

void
pst_turnover_reload(struct pst_arbiter *arbiter)
{
	struct pst_worker *worker;

	if (!arbiter->reload_begun) {
		arbiter->reload_begun = pst_clock_ms();
		arbiter->reload_replaced = 0;
	}
	TAILQ_FOREACH (worker, &arbiter->workers, link) {
		bool has_process = pst_slot_has_process(&worker->child.slot);

		if (worker->role == PST_WORKER_HEIR && !has_process)
			pst_worker_leave(worker);
		else if (has_process && worker->role != PST_WORKER_LEAVING)
			worker->due = PST_DUE_RELOAD;
	}
	pst_turnover_next(arbiter);
}

/* A tenth of SECONDS at most, at random, so that workers of one age do not end together. */
static unsigned long
jitter(unsigned long seconds)
{
	unsigned long random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (unsigned long)pst_clock_ms();
	return random % (seconds / 10 + 1);
}

static void
on_age(evutil_socket_t fd, short what, void *arg)
{
	struct pst_worker *worker = arg;
	char why[64];

	(void)fd;
	(void)what;
	if (worker->child.slot.state != PST_SLOT_USABLE)
		return;
	snprintf(why, sizeof(why), "has served for %lld s",
	    (long long)(pst_clock_ms() - worker->child.slot.usable_since) / 1000);
	/* Should nobody replace it, it is as old again some time. */
	pst_turnover_age(worker);
	pst_turnover_worn(worker, why);
}

void
pst_turnover_age(struct pst_worker *worker)
{
	struct pst_arbiter *arbiter = worker->arbiter;
	unsigned long seconds = pst_conf_number(arbiter->conf, PST_OPT_MAX_LIFETIME);
	struct timeval wait = {.tv_sec = (time_t)(seconds + jitter(seconds))};

	/* A worker becomes usable again with each new gateway, and no younger by it. */
	if (seconds == 0 || (worker->age && event_pending(worker->age, EV_TIMEOUT, NULL)))
		return;
	if (!worker->age)
		worker->age = event_new(arbiter->base, -1, 0, on_age, worker);
	if (!worker->age || event_add(worker->age, &wait) < 0)
		pst_log_warning("worker %s (pid %ld) is not replaced when it is old: out of memory",
		    worker->id, (long)worker->child.pid);
}

void
pst_turnover_worn(struct pst_worker *worker, const char *why)
{
	if (worker->role != PST_WORKER_HOLDER || worker->due != PST_DUE_NOT)
		return;
	pst_log_info("worker %s (pid %ld) %s: another is started in its place", worker->id,
	    (long)worker->child.pid, why);
	worker->due = PST_DUE_WORN;
	pst_turnover_next(worker->arbiter);
}

void
pst_turnover_usable(struct pst_worker *heir)
{
	struct pst_arbiter *arbiter = heir->arbiter;
	struct pst_worker *holder = find_holder(arbiter, heir->number);

	if (arbiter->reload_begun)
		arbiter->reload_replaced++;
	pst_worker_set_role(heir, PST_WORKER_HOLDER);
	if (holder)
		pst_worker_leave(holder);
	pst_turnover_next(arbiter);
}

/* Nobody is replaced by this reload any more. */
static void
give_up_reload(struct pst_arbiter *arbiter)
{
	struct pst_worker *worker;
	unsigned old = 0;

	TAILQ_FOREACH (worker, &arbiter->workers, link) {
		if (worker->due != PST_DUE_RELOAD)
			continue;
		worker->due = PST_DUE_NOT;
		old++;
	}
	pst_log_error("reload failed: %u worker%s of the new version serve, %u of the old one "
		      "serve on; mend what is said above and send HUP again",
	    arbiter->reload_replaced, arbiter->reload_replaced == 1 ? "" : "s", old);
	arbiter->reload_begun = 0;
}

/* A worn worker's heir has failed: try again, less and less often. */
static void
retry(struct pst_worker *heir)
{
	unsigned delay = pst_slot_fail(&heir->child.slot, pst_clock_ms());

	pst_log_warning("the worn worker in slot %u serves on; another try in %u.%u s",
	    heir->number, delay / 1000, delay % 1000 / 100);
	pst_child_retry_later(&heir->child, delay);
}

void
pst_turnover_failed(struct pst_worker *heir, long pid, int wait_status)
{
	struct pst_arbiter *arbiter = heir->arbiter;
	bool is_outdated = heir->due == PST_DUE_RELOAD;
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (pid)
		pst_log_error("worker %s (pid %ld) %s before it was usable: what it printed "
			      "above should say why",
		    heir->id, pid, words);
	if (!arbiter->reload_begun && arbiter->phase == PST_PHASE_SERVING) {
		retry(heir);
		return;
	}
	if (pst_slot_has_process(&heir->child.slot))
		pst_slot_enter(&heir->child.slot, PST_SLOT_EMPTY, pst_clock_ms());
	pst_worker_leave(heir);
	if (arbiter->reload_begun && !is_outdated)
		give_up_reload(arbiter);
	pst_turnover_next(arbiter);
}
