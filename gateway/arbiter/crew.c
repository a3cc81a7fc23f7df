#include "gateway/arbiter/crew.h"

#include "gateway/arbiter/state.h"
#include "gateway/arbiter/turnover.h"
#include "gateway/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

struct pst_crew *
pst_crew_new(
    struct pst_arbiter *arbiter, struct pst_generation *generation, const struct pst_scope *scope)
{
	unsigned long count = pst_conf_number(scope->conf, PST_OPT_WORKERS);
	struct pst_crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		return NULL;
	crew->arbiter = arbiter;
	crew->since = generation->number;
	crew->until = PST_CREW_STAYS;
	crew->told_model = -1;
	pst_crew_adopt(crew, generation, scope);
	TAILQ_INIT(&crew->workers);
	TAILQ_INSERT_TAIL(&arbiter->crews, crew, link);
	for (unsigned number = 1; number <= count; number++) {
		if (!pst_worker_new(crew, number, PST_WORKER_HOLDER)) {
			pst_crew_free(crew);
			return NULL;
		}
	}
	return crew;
}

void
pst_crew_free(struct pst_crew *crew)
{
	while (!TAILQ_EMPTY(&crew->workers))
		pst_worker_free(TAILQ_FIRST(&crew->workers));
	TAILQ_REMOVE(&crew->arbiter->crews, crew, link);
	pst_generation_release(&crew->generation);
	free(crew);
}

void
pst_crew_adopt(
    struct pst_crew *crew, struct pst_generation *generation, const struct pst_scope *scope)
{
	pst_generation_release(&crew->generation);
	crew->generation = pst_generation_hold(generation);
	crew->scope = scope;
	crew->next = NULL;
	crew->prefix[0] = '\0';
	if (pst_conf_has_named_pools(generation->conf))
		snprintf(crew->prefix, sizeof(crew->prefix), "%.32s.", scope->name);
}

enum pst_model
pst_crew_model(const struct pst_crew *crew, const struct pst_scope *scope)
{
	struct pst_worker_class class;

	pst_worker_class_of(scope->conf, &class);
	return class.is_auto && crew->has_found ? crew->found : class.model;
}

/* What is no async application is served by threads, too, if there are to be some; what does not
 * bear those says so when they were tried. */
void
pst_crew_found(struct pst_crew *crew, const struct pst_worker_class *class, enum pst_model tried,
    enum pst_model model)
{
	if (tried == PST_MODEL_ASYNC && model == PST_MODEL_SYNC)
		model = class->model;
	crew->has_found = model != class->model;
	crew->found = model;
}

/* Where there is one pool without a name as gunicorn says it. */
void
pst_crew_tell_model(struct pst_crew *crew, enum pst_model model, const char *kind)
{
	const struct pst_conf *conf = crew->scope->conf;
	const char *name = pst_worker_class_label(conf, model);
	unsigned long count = pst_conf_number(conf, PST_OPT_WORKERS);
	char more[80] = "";

	if (crew->told_model == (int)model)
		return;
	crew->told_model = (int)model;
	if (kind)
		snprintf(more, sizeof(more), " (%.60s)", kind);
	if (crew->prefix[0])
		pst_log_info("Pool %s: %lu %s worker%s for %.200s%s", crew->scope->name, count,
		    name, count == 1 ? "" : "s", pst_conf_app(conf), more);
	else
		pst_log_info("Using worker: %s%s", name, more);
}

static bool
is_needed(const struct pst_crew *crew)
{
	const struct pst_gate *gate;

	TAILQ_FOREACH (gate, &crew->arbiter->gates, link)
		if (gate->role != PST_GATE_GONE && pst_gate_has(gate, crew))
			return true;
	return false;
}

void
pst_crews_release(struct pst_arbiter *arbiter)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	TAILQ_FOREACH (crew, &arbiter->crews, link) {
		if (crew->until == PST_CREW_STAYS || is_needed(crew))
			continue;
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (worker->role == PST_WORKER_HOLDER || worker->role == PST_WORKER_HEIR)
				pst_worker_leave(worker);
	}
}

void
pst_crew_start(struct pst_crew *crew)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link) {
		/* One that cannot be started may end all, or the reload that wants them. */
		if (crew->arbiter->phase >= PST_PHASE_DRAINING || worker->role != PST_WORKER_HOLDER)
			break;
		pst_worker_start(worker);
	}
}

static void
sweep_workers(struct pst_crew *crew)
{
	struct pst_worker *worker, *next;

	for (worker = TAILQ_FIRST(&crew->workers); worker; worker = next) {
		next = TAILQ_NEXT(worker, link);
		if (worker->role == PST_WORKER_GONE)
			pst_worker_free(worker);
	}
}

void
pst_crews_sweep(struct pst_arbiter *arbiter)
{
	struct pst_crew *crew, *next;

	for (crew = TAILQ_FIRST(&arbiter->crews); crew; crew = next) {
		next = TAILQ_NEXT(crew, link);
		sweep_workers(crew);
		if (crew->until != PST_CREW_STAYS && TAILQ_EMPTY(&crew->workers) &&
		    !is_needed(crew))
			pst_crew_free(crew);
	}
}

/* ---- names ---- */

struct pst_crew *
pst_crew_find(const struct pst_arbiter *arbiter, const char *name)
{
	struct pst_crew *crew;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		if (crew->until == PST_CREW_STAYS && strcmp(pst_crew_name(crew), name) == 0)
			return crew;
	return NULL;
}

struct pst_crew *
pst_crew_first(const struct pst_arbiter *arbiter)
{
	const struct pst_generation *generation = arbiter->generation;

	for (size_t i = 0; i < generation->count; i++)
		if (generation->pools[i]->kind != PST_POOL_REMOTE)
			return pst_crew_find(arbiter, generation->pools[i]->name);
	return NULL;
}

const char *
pst_crew_name(const struct pst_crew *crew)
{
	return crew->scope->name;
}

/* ---- the number of workers ---- */

/* " in pool web", or nothing where there is one pool without a name. */
static const char *
where(const struct pst_crew *crew, char text[64])
{
	text[0] = '\0';
	if (crew->prefix[0])
		snprintf(text, 64, " in pool %.32s", crew->scope->name);
	return text;
}

/* The highest slot that has a holder; NULL for none. */
static struct pst_worker *
find_last(const struct pst_crew *crew)
{
	struct pst_worker *worker, *last = NULL;

	TAILQ_FOREACH (worker, &crew->workers, link)
		if (worker->role == PST_WORKER_HOLDER && (!last || worker->number > last->number))
			last = worker;
	return last;
}

unsigned
pst_crew_size(const struct pst_crew *crew)
{
	const struct pst_worker *worker;
	unsigned count = 0;

	TAILQ_FOREACH (worker, &crew->workers, link)
		count += worker->role == PST_WORKER_HOLDER;
	return count;
}

unsigned
pst_crew_next_number(const struct pst_crew *crew)
{
	const struct pst_worker *last = find_last(crew);

	return last ? last->number + 1 : 1;
}

void
pst_crew_more(struct pst_crew *crew)
{
	struct pst_worker *worker;
	unsigned count = pst_crew_size(crew);
	char text[64];

	if (count >= PST_WORKERS_MOST) {
		pst_log_warning(
		    "there are %u workers%s, and cannot be more", count, where(crew, text));
		return;
	}
	worker = pst_worker_new(crew, pst_crew_next_number(crew), PST_WORKER_HOLDER);
	if (!worker) {
		pst_log_error("no worker is added: out of memory");
		return;
	}
	pst_log_info("a worker is added: %u workers%s", count + 1, where(crew, text));
	pst_worker_start(worker);
}

void
pst_crew_less(struct pst_crew *crew)
{
	struct pst_worker *last = find_last(crew), *heir;
	unsigned count = pst_crew_size(crew);
	unsigned gateways = pst_generation_gateways(crew->arbiter->generation);
	char text[64];

	if (gateways > 1 && count <= gateways) {
		pst_log_warning("no worker%s is taken away: there are %u gateways, and each has to "
				"have one of them",
		    where(crew, text), gateways);
		return;
	}
	if (count <= 1) {
		pst_log_warning(
		    "the last worker%s is kept: there cannot be fewer", where(crew, text));
		return;
	}
	pst_log_info("worker %s (pid %ld) is taken away: %u worker%s%s", last->id,
	    (long)last->child.pid, count - 1, count == 2 ? "" : "s", where(crew, text));
	TAILQ_FOREACH (heir, &crew->workers, link)
		if (heir->role == PST_WORKER_HEIR && heir->number == last->number)
			pst_worker_leave(heir);
	pst_worker_leave(last);
	pst_turnover_next(crew);
}

void
pst_crew_rest(struct pst_crew *crew)
{
	struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link)
		if (worker->role == PST_WORKER_HEIR || worker->role == PST_WORKER_HOLDER)
			pst_worker_leave(worker);
}

void
pst_crew_rouse(struct pst_crew *crew)
{
	unsigned long count = pst_conf_number(crew->scope->conf, PST_OPT_WORKERS);

	if (pst_crew_size(crew) > 0)
		return;
	for (unsigned long i = 0; i < count; i++)
		pst_crew_more(crew);
}
