#include "gateway/front/container.h"
#include "gateway/front/pool_internal.h"

#include <assert.h>
#include <stdlib.h>

/* --- dispatch --- */

/* The least loaded of those that may be given a job; of equals the least recently used. Those
 * whose loops stand still come last. */
static struct pst_pool_slot *
choose(struct pst_pool *pool)
{
	struct pst_heap_item *first;

	while ((first = pst_heap_first(&pool->usable)) != NULL) {
		struct pst_pool_slot *slot = PST_CONTAINER(first, struct pst_pool_slot, rank);
		bool stalled = pst_pool_slot_is_stalled(slot);

		if (slot->stalled == stalled)
			return slot;
		pst_pool_slot_set_stalled(slot, stalled);
	}
	return NULL;
}

/* The server is down, so nobody will serve what waits. */
static void
refuse_all(struct pst_pool *pool)
{
	struct pst_job *job;

	while ((job = pst_queue_take(&pool->queue)) != NULL) {
		pst_remote_refused(pool->remote);
		pst_job_set_state(job, PST_JOB_IDLE);
		job->callbacks->over(
		    job, PST_JOB_UNREACHABLE, 0, "its FastCGI server cannot be reached");
	}
}

static void
try_again_later(struct pst_pool *pool, uint64_t now)
{
	uint64_t ms = pst_remote_again(pool->remote, now);
	struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	event_add(pool->again, &wait);
}

/* The slot for the next job; NULL when it has to wait. */
static struct pst_pool_slot *
choose_reachable(struct pst_pool *pool)
{
	struct pst_pool_slot *slot = choose(pool);
	uint64_t now;

	if (pool->remote == NULL)
		return slot;
	now = pst_loop_now();
	switch (pst_remote_advise(pool->remote, now, slot != NULL)) {
	case PST_REMOTE_TRY_IT: return slot;
	case PST_REMOTE_REFUSE: refuse_all(pool); break;
	case PST_REMOTE_LET_WAIT:
		if (slot != NULL)
			try_again_later(pool, now);
		break;
	}
	return NULL;
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct pst_pool *pool = arg;

	(void)fd;
	(void)what;
	pst_loop_defer(pool->loop, &pool->dispatch);
}

/* Have any that stood still come round? */
static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct pst_pool *pool = arg;
	struct pst_pool_slot *slot;

	(void)fd;
	(void)what;
	TAILQ_FOREACH (slot, &pool->slots, link) {
		if (slot->stalled && !pst_pool_slot_is_stalled(slot))
			pst_pool_slot_set_stalled(slot, false);
	}
	if (pool->stalled == 0)
		event_del(pool->look);
}

static void
on_dispatch(void *arg)
{
	struct pst_pool *pool = arg;
	struct pst_pool_slot *slot;

	if (pst_queue_is_empty(&pool->queue) && pool->room > 0)
		pst_pool_ahead_share(pool);
	while (!pst_queue_is_empty(&pool->queue) && (slot = choose_reachable(pool)) != NULL) {
		struct pst_job *job = pst_queue_take(&pool->queue);

		pst_pool_slot_give(slot, job);
	}
	pst_pool_ahead_fill(pool);
}

/* --- the queue --- */

/* How many more jobs can be given now. */
static size_t
room(const struct pst_pool *pool)
{
	if (pool->again != NULL && event_pending(pool->again, EV_TIMEOUT, NULL))
		return 0;
	return pool->room;
}

int
pst_pool_submit(struct pst_pool *pool, struct pst_job *job)
{
	if (pst_queue_put(&pool->queue, job, room(pool)) == -1)
		return -1;
	if (pool->room > 0 || pool->remote != NULL || pst_heap_first(&pool->deep) != NULL)
		pst_loop_defer(pool->loop, &pool->dispatch);
	return 0;
}

void
pst_pool_resubmit(struct pst_pool *pool, struct pst_job *job)
{
	pst_queue_put_first(&pool->queue, job);
	pst_loop_defer(pool->loop, &pool->dispatch);
}

void
pst_pool_withdraw(struct pst_pool *pool, struct pst_job *job)
{
	if (job->state == PST_JOB_QUEUED)
		pst_queue_remove(&pool->queue, job);
	else if (job->state != PST_JOB_IDLE)
		pst_upstream_abort(job);
}

struct pst_sheets *
pst_pool_sheets(const struct pst_pool *pool)
{
	return pool->sheets;
}

bool
pst_pool_streams(const struct pst_pool *pool)
{
	return pool->streams;
}

size_t
pst_pool_queued(const struct pst_pool *pool)
{
	return pool->queue.count;
}

bool
pst_pool_refuses(struct pst_pool *pool, enum pst_refusal refusal)
{
	return pst_refusals_one(&pool->refusals, refusal);
}

enum pst_pool_kind
pst_pool_kind(const struct pst_pool *pool)
{
	return pool->kind;
}

const char *
pst_pool_name(const struct pst_pool *pool)
{
	return pool->name;
}

const struct pst_pool_settings *
pst_pool_settings(const struct pst_pool *pool)
{
	return pool->settings;
}

/* --- life --- */

struct pst_pool *
pst_pool_new(struct pst_loop *loop, const char *name, enum pst_pool_kind kind,
    const struct pst_pool_settings *settings, const struct pst_pool_events *events, void *arg)
{
	struct pst_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return NULL;
	if (kind == PST_POOL_APP)
		pool->sheets = pst_sheets_new(); /* without it bodies are sent */
	if (pst_queue_init(&pool->queue, loop, name, settings) == -1) {
		pst_sheets_free(pool->sheets);
		free(pool);
		return NULL;
	}
	pool->look = event_new(pst_loop_base(loop), -1, EV_PERSIST, on_look, pool);
	if (pool->look == NULL || pst_upstream_deadlines_init(&pool->deadlines, loop,
				      settings->timeout, settings->request_timeout) == -1) {
		if (pool->look != NULL)
			event_free(pool->look);
		pst_queue_free(&pool->queue);
		pst_sheets_free(pool->sheets);
		free(pool);
		return NULL;
	}
	pool->loop = loop;
	pool->name = name;
	pool->kind = kind;
	pool->settings = settings;
	pool->events = events;
	pool->arg = arg;
	TAILQ_INIT(&pool->slots);
	pst_task_init(&pool->dispatch, on_dispatch, pool);
	if (pst_pool_ahead_init(pool) == -1 ||
	    pst_refusals_init(&pool->refusals, loop, name) == -1) {
		pst_pool_free(pool);
		return NULL;
	}
	return pool;
}

int
pst_pool_connect(struct pst_pool *pool, struct pst_remote *remote)
{
	pool->remote = remote;
	pool->again = event_new(pst_loop_base(pool->loop), -1, 0, on_again, pool);
	if (pool->again == NULL)
		return -1;
	for (uint64_t i = 0; i < pool->settings->connections; i++) {
		if (pst_pool_slot_add_remote(pool) == -1)
			return -1;
	}
	return 0;
}

void
pst_pool_free(struct pst_pool *pool)
{
	if (pool == NULL)
		return;
	assert(pst_queue_is_empty(&pool->queue));
	pst_pool_slots_free(pool);
	event_free(pool->look);
	pst_pool_ahead_free(pool);
	pst_refusals_free(&pool->refusals);
	if (pool->again != NULL)
		event_free(pool->again);
	pst_task_cancel(&pool->dispatch);
	pst_upstream_deadlines_free(&pool->deadlines);
	pst_queue_free(&pool->queue);
	pst_sheets_free(pool->sheets);
	free(pool);
}
