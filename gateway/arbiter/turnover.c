#include "gateway/arbiter/turnover.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/reload.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <stdio.h>
#include <sys/random.h>

static struct pst_worker *
find_role(const struct pst_crew *crew, enum pst_worker_role role)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link)
		if (worker->role == role)
			return worker;
	return NULL;
}

static struct pst_worker *
find_holder(const struct pst_crew *crew, unsigned number)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link)
		if (worker->role == PST_WORKER_HOLDER && worker->number == number)
			return worker;
	return NULL;
}

static struct pst_worker *
find_due(const struct pst_crew *crew, enum pst_worker_due due)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link)
		if (worker->role == PST_WORKER_HOLDER && worker->due == due)
			return worker;
	return NULL;
}

/* Who is to be replaced next; NULL for nobody now. Worn ones wait until the last one has left. */
static struct pst_worker *
choose(const struct pst_crew *crew)
{
	struct pst_worker *worker = find_due(crew, PST_DUE_RELOAD);

	if (worker || find_role(crew, PST_WORKER_LEAVING))
		return worker;
	return find_due(crew, PST_DUE_WORN);
}

/* A reload wants more workers, which are heirs of nobody. */
static bool
is_short(const struct pst_crew *crew)
{
	return pst_crew_size(crew) < pst_reload_least(crew);
}

static void
not_replaced(struct pst_worker *worker)
{
	pst_log_error("worker %s (pid %ld) is not replaced: out of memory", worker->id,
	    (long)worker->child.pid);
	worker->due = PST_DUE_NOT;
}

void
pst_turnover_next(struct pst_crew *crew)
{
	struct pst_arbiter *arbiter = crew->arbiter;
	struct pst_worker *worker, *heir;

	if (arbiter->phase != PST_PHASE_SERVING || find_role(crew, PST_WORKER_HEIR))
		return;
	worker = choose(crew);
	if (!worker && !is_short(crew)) {
		pst_reload_go_on(arbiter);
		return;
	}
	heir = pst_worker_new(
	    crew, worker ? worker->number : pst_crew_next_number(crew), PST_WORKER_HEIR);
	if (heir)
		pst_worker_start(heir);
	else if (worker)
		not_replaced(worker);
	else
		pst_reload_fail(arbiter, "out of memory");
}

/* ---- a reload ---- */

void
pst_turnover_reload(struct pst_crew *crew)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link) {
		bool has_process = pst_slot_has_process(&worker->child.slot);

		if (worker->role == PST_WORKER_HEIR && !has_process)
			pst_worker_leave(worker);
		else if (worker->role == PST_WORKER_HEIR || worker->role == PST_WORKER_HOLDER)
			worker->due = PST_DUE_RELOAD;
		worker->is_next = false;
	}
	pst_turnover_next(crew);
}

unsigned
pst_turnover_stop(struct pst_crew *crew)
{
	struct pst_worker *worker;
	unsigned count = 0;

	TAILQ_FOREACH (worker, &crew->workers, link) {
		if (worker->role == PST_WORKER_HEIR)
			pst_worker_leave(worker);
		if (worker->due != PST_DUE_RELOAD)
			continue;
		worker->due = PST_DUE_NOT;
		count += worker->role == PST_WORKER_HOLDER;
	}
	return count;
}

bool
pst_turnover_is_done(const struct pst_crew *crew)
{
	return !find_due(crew, PST_DUE_RELOAD) && !find_role(crew, PST_WORKER_HEIR) &&
	       !is_short(crew);
}

/* ---- the worn ---- */

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
	struct pst_crew *crew = worker->crew;
	unsigned long seconds = pst_conf_number(crew->scope->conf, PST_OPT_MAX_LIFETIME);
	struct timeval wait = {.tv_sec = (time_t)(seconds + jitter(seconds))};

	/* A worker becomes usable again with each new gateway, and no younger by it. */
	if (seconds == 0 || (worker->age && event_pending(worker->age, EV_TIMEOUT, NULL)))
		return;
	if (!worker->age)
		worker->age = event_new(crew->arbiter->base, -1, 0, on_age, worker);
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
	pst_turnover_next(worker->crew);
}

/* ---- what becomes of heirs ---- */

void
pst_turnover_usable(struct pst_worker *heir)
{
	struct pst_worker *holder = find_holder(heir->crew, heir->number);

	if (holder)
		pst_reload_count(heir->crew->arbiter);
	/* One that is due itself had been started before the reload. */
	heir->is_next = heir->crew->next && heir->due != PST_DUE_RELOAD;
	pst_worker_set_role(heir, PST_WORKER_HOLDER);
	if (holder)
		pst_worker_leave(holder);
	pst_turnover_next(heir->crew);
}

/* A worn worker's heir has failed: try again, less and less often. */
static void
retry(struct pst_worker *heir)
{
	unsigned delay = pst_slot_fail(&heir->child.slot, pst_clock_ms());

	pst_log_warning("the worn worker in slot %s%u serves on; another try in %u.%u s",
	    heir->crew->prefix, heir->number, delay / 1000, delay % 1000 / 100);
	pst_child_retry_later(&heir->child, delay);
}

void
pst_turnover_failed(struct pst_worker *heir, long pid, int wait_status)
{
	struct pst_crew *crew = heir->crew;
	const struct pst_worker *holder = find_holder(crew, heir->number);
	bool is_outdated = heir->due == PST_DUE_RELOAD;
	char words[128], why[384 + PST_OUTPUT_SAID];

	pst_child_describe(wait_status, words, sizeof(words));
	if (pid)
		pst_log_error("worker %s (pid %ld) %s before it was usable: what it printed "
			      "above should say why",
		    heir->id, pid, words);
	if (holder && holder->due == PST_DUE_WORN && crew->arbiter->phase == PST_PHASE_SERVING) {
		retry(heir);
		return;
	}
	if (pst_slot_has_process(&heir->child.slot))
		pst_slot_enter(&heir->child.slot, PST_SLOT_EMPTY, pst_clock_ms());
	pst_worker_leave(heir);
	if (!is_outdated) {
		snprintf(why, sizeof(why), "worker %s %s before it was usable: %s", heir->id, words,
		    heir->said[0] ? heir->said : "it printed nothing");
		pst_reload_fail(crew->arbiter, why);
	}
	pst_turnover_next(crew);
}
