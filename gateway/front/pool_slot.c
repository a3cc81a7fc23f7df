#include "gateway/front/container.h"
#include "gateway/front/foreign.h"
#include "gateway/front/pool_internal.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* How long a loop may take to come round before others are preferred, and how often it is looked
 * at then. */
#define STALLED_MS 100
#define LOOK_MS    10
/* What one that stands still is given all the same, if no other is usable. */
#define STALLED_AHEAD 4

/* --- state --- */

#define TO(state) (1u << PST_POOL_SLOT_##state)

static const unsigned allowed[] = {
    [PST_POOL_SLOT_STARTING] = TO(IDLE) | TO(RETIRED) | TO(DEAD),
    [PST_POOL_SLOT_IDLE] = TO(BUSY) | TO(RETIRED) | TO(DEAD),
    [PST_POOL_SLOT_BUSY] =
	TO(IDLE) | TO(BUSY) | TO(DRAINING) | TO(RETIRING) | TO(CONDEMNED) | TO(DEAD),
    [PST_POOL_SLOT_DRAINING] = TO(IDLE) | TO(DRAINING) | TO(RETIRING) | TO(CONDEMNED) | TO(DEAD),
    [PST_POOL_SLOT_RETIRING] = TO(RETIRING) | TO(RETIRED) | TO(CONDEMNED) | TO(DEAD),
    [PST_POOL_SLOT_RETIRED] = TO(DEAD),
    [PST_POOL_SLOT_CONDEMNED] = TO(DEAD),
    [PST_POOL_SLOT_DEAD] = 0,
};

/* How many more jobs it may be given. */
static unsigned
room_of(const struct pst_pool_slot *slot)
{
	bool takes = slot->state == PST_POOL_SLOT_IDLE || slot->state == PST_POOL_SLOT_BUSY;
	unsigned room = takes && slot->load < slot->capacity ? slot->capacity - slot->load : 0;
	unsigned ahead = slot->risked < STALLED_AHEAD ? STALLED_AHEAD - slot->risked : 0;

	return slot->stalled && room > ahead ? ahead : room;
}

/* Its room or its rank may be another now. */
static void
rank(struct pst_pool_slot *slot)
{
	struct pst_pool *pool = slot->pool;

	pool->room -= slot->room;
	slot->room = room_of(slot);
	pool->room += slot->room;
	if (slot->room > 0)
		pst_heap_put(&pool->usable, &slot->rank,
		    slot->load + (slot->stalled ? (uint64_t)1 << 32 : 0), ++pool->changes);
	else
		pst_heap_remove(&pool->usable, &slot->rank);
	pst_pool_ahead_follow(slot);
	if ((!pst_queue_is_empty(&pool->queue) || pst_heap_first(&pool->overfull) != NULL) &&
	    pool->room > 0)
		pst_loop_defer(pool->loop, &pool->dispatch);
}

void
pst_pool_slot_change(struct pst_pool_slot *slot, enum pst_pool_slot_state state, unsigned load)
{
	assert(allowed[slot->state] & 1u << state);
	slot->state = state;
	slot->load = load;
	if (state == PST_POOL_SLOT_DEAD)
		pst_pool_slot_set_stalled(slot, false);
	rank(slot);
}

bool
pst_pool_slot_is_stalled(const struct pst_pool_slot *slot)
{
	return slot->state != PST_POOL_SLOT_DEAD &&
	       pst_upstream_stalled(slot->upstream) >= STALLED_MS;
}

void
pst_pool_slot_set_stalled(struct pst_pool_slot *slot, bool stalled)
{
	static const struct timeval wait = {.tv_usec = LOOK_MS * 1000};
	struct pst_pool *pool = slot->pool;

	if (slot->stalled == stalled)
		return;
	slot->stalled = stalled;
	slot->risked = 0;
	if (stalled)
		pool->stalled++;
	else
		pool->stalled--;
	if (stalled && pool->stalled == 1)
		event_add(pool->look, &wait);
	rank(slot);
}

/* Room for its rank is made first, so that nothing can fail when it becomes usable. */
static int
put_in(struct pst_pool_slot *slot)
{
	struct pst_pool *pool = slot->pool;

	if (pst_heap_reserve(&pool->usable, pool->slot_count + 1) == -1 ||
	    pst_heap_reserve(&pool->deep, pool->slot_count + 1) == -1 ||
	    pst_heap_reserve(&pool->overfull, pool->slot_count + 1) == -1)
		return -1;
	TAILQ_INSERT_TAIL(&pool->slots, slot, link);
	pool->slot_count++;
	return 0;
}

static void
take_out(struct pst_pool_slot *slot)
{
	TAILQ_REMOVE(&slot->pool->slots, slot, link);
	slot->pool->slot_count--;
}

static void
bury(void *arg)
{
	struct pst_pool_slot *slot = arg;

	assert(slot->state == PST_POOL_SLOT_DEAD);
	take_out(slot);
	pst_upstream_free(slot->upstream);
	free(slot);
}

static void
on_open(void *arg, unsigned capacity, bool streams)
{
	struct pst_pool_slot *slot = arg;

	slot->capacity = capacity;
	slot->pool->streams = streams;
	if (slot->state != PST_POOL_SLOT_STARTING)
		return;
	pst_pool_slot_change(slot, PST_POOL_SLOT_IDLE, 0);
	slot->pool->events->usable(slot->pool->arg, pst_upstream_worker(slot->upstream));
}

/* JOB does not end: the arbiter is to kill its worker, with all that it has. */
static void
condemn(struct pst_pool_slot *slot, struct pst_job *job)
{
	char name[256];

	pst_pool_slot_change(slot, PST_POOL_SLOT_CONDEMNED, slot->load);
	job->callbacks->name(job, name, sizeof(name));
	slot->pool->events->late(slot->pool->arg, pst_upstream_worker(slot->upstream), name);
}

/* Nothing more is given to it, and LOAD jobs are left. */
static void
retire(struct pst_pool_slot *slot, unsigned load)
{
	pst_pool_slot_change(
	    slot, load == 0 ? PST_POOL_SLOT_RETIRED : PST_POOL_SLOT_RETIRING, load);
	if (load == 0)
		slot->pool->events->drained(slot->pool->arg, pst_upstream_worker(slot->upstream));
	else if (slot->stuck == load)
		condemn(slot, pst_upstream_job(slot->upstream));
}

/* One more served: may be told of several times, as the arbiter may have failed to replace it. */
static void
wear(struct pst_pool_slot *slot)
{
	struct pst_pool *pool = slot->pool;

	char reason[64];

	slot->served++;
	if (slot->wears_at == 0 || slot->served % slot->wears_at != 0)
		return;
	snprintf(reason, sizeof(reason), "has served %" PRIu64 " requests", slot->served);
	pool->events->worn(pool->arg, pst_upstream_worker(slot->upstream), reason);
}

/* It has one job less. */
static void
unload(struct pst_pool_slot *slot)
{
	unsigned load = slot->load - 1;

	if (slot->state == PST_POOL_SLOT_BUSY || slot->state == PST_POOL_SLOT_DRAINING)
		pst_pool_slot_change(slot, load == 0 ? PST_POOL_SLOT_IDLE : slot->state, load);
	else if (slot->state == PST_POOL_SLOT_RETIRING)
		retire(slot, load);
	else
		slot->load = load;
}

static void
on_over(void *arg, bool stuck)
{
	struct pst_pool_slot *slot = arg;

	if (stuck)
		slot->stuck--;
	pst_pool_ahead_count(slot);
	wear(slot);
	unload(slot);
}

static void
on_unseen(void *arg, struct pst_job *job)
{
	struct pst_pool_slot *slot = arg;
	struct pst_pool *pool = slot->pool;

	unload(slot);
	pst_queue_put_first(&pool->queue, job);
	pst_loop_defer(pool->loop, &pool->dispatch);
}

static void
on_late(void *arg)
{
	struct pst_pool_slot *slot = arg;

	if (slot->state != PST_POOL_SLOT_BUSY || slot->capacity != 1)
		return;
	pst_pool_ahead_recall(slot, UINT_MAX);
	pst_pool_slot_change(slot, PST_POOL_SLOT_DRAINING, slot->load);
}

/* Others go on, but another worker is to take its place when they are done. */
static void
ask_for_another(struct pst_pool_slot *slot, struct pst_job *job)
{
	char name[256], reason[320];

	job->callbacks->name(job, name, sizeof(name));
	snprintf(reason, sizeof(reason), "does not end %s, which is late", name);
	slot->pool->events->worn(slot->pool->arg, pst_upstream_worker(slot->upstream), reason);
}

static void
on_stuck(void *arg, struct pst_job *job, bool stalled)
{
	struct pst_pool_slot *slot = arg;
	bool retiring = slot->state == PST_POOL_SLOT_RETIRING;

	slot->stuck++;
	if (!retiring && slot->state != PST_POOL_SLOT_BUSY && slot->state != PST_POOL_SLOT_DRAINING)
		return;
	if (stalled || slot->stuck == (retiring ? slot->load : slot->capacity))
		condemn(slot, job);
	else if (!retiring && slot->stuck == 1)
		ask_for_another(slot, job);
}

static void
on_lost(void *arg, const char *reason)
{
	struct pst_pool_slot *slot = arg;

	if (slot->state != PST_POOL_SLOT_DEAD) {
		pst_pool_slot_change(slot, PST_POOL_SLOT_DEAD, slot->load);
		slot->pool->events->broken(
		    slot->pool->arg, pst_upstream_worker(slot->upstream), reason);
	}
	pst_loop_bury(slot->pool->loop, &slot->burial);
}

static void
on_drain(void *arg)
{
	struct pst_pool_slot *slot = arg;

	slot->pool->events->worn(
	    slot->pool->arg, pst_upstream_worker(slot->upstream), "asks to be retired");
}

static void
on_reached(void *arg)
{
	struct pst_pool_slot *slot = arg;

	if (slot->pool->remote != NULL)
		pst_remote_reached(slot->pool->remote, pst_loop_now());
}

static void
on_unreachable(void *arg, bool full, const char *reason)
{
	struct pst_pool_slot *slot = arg;
	struct pst_pool *pool = slot->pool;
	char text[128];

	if (pool->remote != NULL) {
		pst_remote_failed(pool->remote, pst_loop_now(), full, reason);
		pst_loop_defer(pool->loop, &pool->dispatch);
		return;
	}
	snprintf(text, sizeof(text), "cannot connect to it: %s", reason);
	on_lost(slot, text);
}

static const struct pst_upstream_callbacks callbacks = {
    .open = on_open,
    .over = on_over,
    .unseen = on_unseen,
    .late = on_late,
    .stuck = on_stuck,
    .drain = on_drain,
    .reached = on_reached,
    .unreachable = on_unreachable,
    .lost = on_lost,
};

/* --- what the arbiter says --- */

static struct pst_pool_slot *
find(struct pst_pool *pool, const char *worker)
{
	struct pst_pool_slot *slot;

	TAILQ_FOREACH (slot, &pool->slots, link) {
		if (strcmp(pst_upstream_worker(slot->upstream), worker) == 0)
			return slot;
	}
	return NULL;
}

/* How many requests a new worker serves before it is worn; 0: no limit. */
static uint64_t
choose_wear(const struct pst_pool_settings *settings)
{
	uint64_t random = 0;

	if (settings->max_requests == 0)
		return 0;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = pst_loop_now();
	return settings->max_requests + random % (settings->max_requests_jitter + 1);
}

static struct pst_pool_slot *
new_slot(struct pst_pool *pool)
{
	struct pst_pool_slot *slot = calloc(1, sizeof(*slot));

	if (slot == NULL)
		return NULL;
	slot->pool = pool;
	slot->state = PST_POOL_SLOT_STARTING;
	slot->wears_at = choose_wear(pool->settings);
	pst_task_init(&slot->burial, bury, slot);
	return slot;
}

/* The upstream to WORKER, for SLOT; NULL with *WHY set. */
static struct pst_upstream *
connect_worker(struct pst_pool_slot *slot, const char *worker, const char *path, const char **why)
{
	struct pst_pool *pool = slot->pool;
	struct pst_remote_address address;
	struct pst_upstream *upstream;

	if (pool->kind == PST_POOL_APP) {
		upstream =
		    pst_upstream_new(pool->loop, &pool->deadlines, worker, path, &callbacks, slot);
	} else {
		*why = pst_remote_unix(&address, path);
		if (*why != NULL)
			return NULL;
		upstream = pst_foreign_new(pool->loop, &pool->deadlines, worker, &address,
		    pool->settings->keep_conn, &callbacks, slot);
	}
	if (upstream == NULL)
		*why = strerror(errno);
	return upstream;
}

void
pst_pool_slot_up(struct pst_pool *pool, const char *worker, const char *path, int page)
{
	const char *why = "out of memory";
	struct pst_pool_slot *slot;

	if (find(pool, worker) != NULL) {
		pst_log_error("worker %s was announced twice: the second is ignored", worker);
		return;
	}
	slot = new_slot(pool);
	if (slot != NULL)
		slot->upstream = connect_worker(slot, worker, path, &why);
	if (slot == NULL || slot->upstream == NULL || put_in(slot) == -1) {
		char reason[128];

		snprintf(reason, sizeof(reason), "cannot connect to it: %s", why);
		if (slot != NULL)
			pst_upstream_free(slot->upstream);
		free(slot);
		pool->events->broken(pool->arg, worker, reason);
		return;
	}
	if (page != -1)
		pst_upstream_share(slot->upstream, page);
	/* A foreign program is not asked what it can do. */
	if (pool->kind == PST_POOL_PROGRAM)
		on_open(slot, 1, false);
}

int
pst_pool_slot_add_remote(struct pst_pool *pool)
{
	struct pst_pool_slot *slot = new_slot(pool);

	if (slot == NULL)
		return -1;
	if (put_in(slot) == -1) {
		free(slot);
		return -1;
	}
	slot->wears_at = 0;
	slot->capacity = 1;
	slot->upstream = pst_foreign_new(pool->loop, &pool->deadlines, pool->name,
	    &pool->remote->address, pool->settings->keep_conn, &callbacks, slot);
	if (slot->upstream == NULL)
		return -1;
	pst_pool_slot_change(slot, PST_POOL_SLOT_IDLE, 0);
	return 0;
}

void
pst_pool_slot_page(struct pst_pool *pool, const char *worker, int page)
{
	struct pst_pool_slot *slot = find(pool, worker);

	if (slot != NULL && slot->state != PST_POOL_SLOT_DEAD)
		pst_upstream_share(slot->upstream, page);
}

void
pst_pool_slot_down(struct pst_pool *pool, const char *worker)
{
	struct pst_pool_slot *slot = find(pool, worker);

	if (slot == NULL || slot->state == PST_POOL_SLOT_DEAD)
		return;
	pst_pool_slot_change(slot, PST_POOL_SLOT_DEAD, slot->load);
	pst_upstream_leave(slot->upstream);
}

void
pst_pool_slot_drain(struct pst_pool *pool, const char *worker)
{
	struct pst_pool_slot *slot = find(pool, worker);

	if (slot == NULL)
		return;
	switch (slot->state) {
	case PST_POOL_SLOT_STARTING:
	case PST_POOL_SLOT_IDLE:
	case PST_POOL_SLOT_BUSY:
	case PST_POOL_SLOT_DRAINING:
		pst_pool_ahead_recall(slot, UINT_MAX);
		retire(slot, slot->load);
		pst_upstream_retire(slot->upstream);
		break;
	case PST_POOL_SLOT_RETIRING:
	case PST_POOL_SLOT_RETIRED:
	case PST_POOL_SLOT_CONDEMNED:
	case PST_POOL_SLOT_DEAD: break;
	}
}

bool
pst_pool_has_worker(const struct pst_pool *pool)
{
	const struct pst_pool_slot *slot;

	TAILQ_FOREACH (slot, &pool->slots, link)
		if (slot->state == PST_POOL_SLOT_IDLE || slot->state == PST_POOL_SLOT_BUSY)
			return true;
	return false;
}

void
pst_pool_let_go(struct pst_pool *pool)
{
	struct pst_pool_slot *slot;

	TAILQ_FOREACH (slot, &pool->slots, link)
		pst_upstream_let_go(slot->upstream);
}

/* --- life --- */

void
pst_pool_slot_give(struct pst_pool_slot *slot, struct pst_job *job)
{
	if (slot->stalled)
		slot->risked++;
	if (slot->load == 0)
		slot->turn_at = pst_loop_now();
	pst_pool_slot_change(slot, PST_POOL_SLOT_BUSY, slot->load + 1);
	pst_upstream_give(slot->upstream, job);
}

void
pst_pool_slots_free(struct pst_pool *pool)
{
	struct pst_pool_slot *slot;

	while ((slot = TAILQ_FIRST(&pool->slots)) != NULL) {
		take_out(slot);
		pst_task_cancel(&slot->burial);
		pst_upstream_free(slot->upstream);
		free(slot);
	}
	pst_heap_free(&pool->usable);
}
