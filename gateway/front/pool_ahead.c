#include "gateway/front/container.h"
#include "gateway/front/pool_internal.h"

#include <limits.h>

/*
 * When no worker is free, a few of the requests that are queued are sent ahead to busy ones, so
 * that a worker which is done with one finds the next there and need not be woken for it. Nothing
 * is lost by that: what is ahead is called back by way of the page as soon as another worker is
 * free, and when the request before it turns out to run for long.
 */

/* A request that runs for longer lets none wait behind it. */
#define TICK_MS 10
/* A body that may be sent along; one that is lent takes no room in a socket. */
#define BODY_MOST 16384

/* How many jobs it has ahead. */
static unsigned
depth_of(const struct pst_pool_slot *slot)
{
	return slot->load > slot->capacity ? slot->load - slot->capacity : 0;
}

static bool
takes_ahead(const struct pst_pool_slot *slot)
{
	return slot->state == PST_POOL_SLOT_BUSY && !slot->slow && slot->load >= slot->capacity &&
	       depth_of(slot) < pst_upstream_ahead(slot->upstream);
}

static void
start_ticking(struct pst_pool *pool)
{
	struct timeval wait = {.tv_usec = TICK_MS * 1000};

	if (!event_pending(pool->tick, EV_TIMEOUT, NULL))
		event_add(pool->tick, &wait);
}

void
pst_pool_ahead_follow(struct pst_pool_slot *slot)
{
	struct pst_pool *pool = slot->pool;
	bool overfull = slot->state == PST_POOL_SLOT_BUSY && depth_of(slot) > 0;
	bool was = slot->excess.place != 0;
	unsigned behind = slot->state == PST_POOL_SLOT_DEAD ? 0 : depth_of(slot);

	pool->queue.ahead += behind;
	pool->queue.ahead -= slot->behind;
	slot->behind = behind;
	if (takes_ahead(slot))
		pst_heap_put(&pool->deep, &slot->depth, depth_of(slot), pool->changes);
	else
		pst_heap_remove(&pool->deep, &slot->depth);
	if (overfull)
		pst_heap_put(&pool->overfull, &slot->excess, UINT_MAX - depth_of(slot), 0);
	else
		pst_heap_remove(&pool->overfull, &slot->excess);
	if (overfull && !was)
		start_ticking(pool);
}

void
pst_pool_ahead_count(struct pst_pool_slot *slot)
{
	uint64_t now = pst_loop_now();

	slot->slow = slot->slow && now - slot->turn_at >= TICK_MS;
	slot->turn_at = now;
}

void
pst_pool_ahead_recall(struct pst_pool_slot *slot, unsigned most)
{
	struct pst_pool *pool = slot->pool;
	struct pst_job *job;

	while (most-- > 0 && (job = pst_upstream_last_ahead(slot->upstream)) != NULL &&
	       pst_upstream_recall(job)) {
		pool->figures.called_back++;
		pst_queue_put_back(&pool->queue, job);
		pst_pool_slot_change(slot, slot->state, slot->load - 1);
	}
}

/* The free one gets a share: half, so that both go on for as long. */
void
pst_pool_ahead_share(struct pst_pool *pool)
{
	struct pst_heap_item *fullest = pst_heap_first(&pool->overfull);
	struct pst_pool_slot *slot;

	if (fullest == NULL)
		return;
	slot = PST_CONTAINER(fullest, struct pst_pool_slot, excess);
	pst_pool_ahead_recall(slot, (depth_of(slot) + 1) / 2);
}

static bool
is_small(const struct pst_job *job)
{
	return job->body == NULL || (!job->body_open && (pst_spool_total(job->body) <= BODY_MOST ||
							    pst_spool_lends_all(job->body)));
}

void
pst_pool_ahead_fill(struct pst_pool *pool)
{
	struct pst_heap_item *first;
	struct pst_job *job;

	while (pool->room == 0 && (first = pst_heap_first(&pool->deep)) != NULL &&
	       (job = pst_queue_first(&pool->queue)) != NULL && is_small(job)) {
		struct pst_pool_slot *slot = PST_CONTAINER(first, struct pst_pool_slot, depth);

		pst_queue_take(&pool->queue);
		pool->figures.sent_ahead++;
		pst_pool_slot_change(slot, slot->state, slot->load + 1);
		pst_upstream_give_ahead(slot->upstream, job);
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct pst_pool *pool = arg;
	struct pst_pool_slot *slot;
	uint64_t now = pst_loop_now();

	(void)fd;
	(void)what;
	TAILQ_FOREACH (slot, &pool->slots, link) {
		if (slot->excess.place == 0 || now - slot->turn_at < TICK_MS)
			continue;
		slot->slow = true;
		pst_pool_ahead_recall(slot, UINT_MAX);
	}
	if (pst_heap_first(&pool->overfull) != NULL)
		start_ticking(pool);
}

int
pst_pool_ahead_init(struct pst_pool *pool)
{
	pool->tick = event_new(pst_loop_base(pool->loop), -1, 0, on_tick, pool);
	return pool->tick == NULL ? -1 : 0;
}

void
pst_pool_ahead_free(struct pst_pool *pool)
{
	if (pool->tick != NULL)
		event_free(pool->tick);
	pst_heap_free(&pool->deep);
	pst_heap_free(&pool->overfull);
}
