#include "gateway/front/pool_internal.h"

struct pst_figures *
pst_pool_figures(struct pst_pool *pool)
{
	return &pool->figures;
}

static int
put_slot(const struct pst_pool_slot *slot, struct pst_buf *out)
{
	static const char *const names[] = {
	    [PST_POOL_SLOT_STARTING] = "connecting",
	    [PST_POOL_SLOT_IDLE] = "idle",
	    [PST_POOL_SLOT_BUSY] = "busy",
	    [PST_POOL_SLOT_DRAINING] = "late",
	    [PST_POOL_SLOT_RETIRING] = "retiring",
	    [PST_POOL_SLOT_RETIRED] = "retired",
	    [PST_POOL_SLOT_CONDEMNED] = "stuck",
	    [PST_POOL_SLOT_DEAD] = "dead",
	};
	struct pst_job *job = pst_upstream_job(slot->upstream);
	struct pst_status_line line;
	char name[256];

	pst_status_begin(&line, out, "worker", pst_upstream_worker(slot->upstream));
	pst_status_text(&line, "activity", slot->stalled ? "stalled" : names[slot->state]);
	pst_status_number(&line, "served", slot->served);
	pst_status_number(
	    &line, "running", slot->load < slot->capacity ? slot->load : slot->capacity);
	pst_status_number(
	    &line, "ahead", slot->load < slot->capacity ? 0 : slot->load - slot->capacity);
	pst_status_number(&line, "capacity", slot->capacity);
	if (slot->stuck > 0)
		pst_status_number(&line, "stuck", slot->stuck);
	if (job != NULL) {
		job->callbacks->name(job, name, sizeof(name));
		pst_status_text(&line, "request", name);
		pst_status_number(&line, "request_ms", pst_loop_now() - job->given_at);
	}
	return pst_status_end(&line);
}

int
pst_pool_status(const struct pst_pool *pool, struct pst_buf *out)
{
	static const char *const kinds[] = {
	    [PST_POOL_APP] = "app",
	    [PST_POOL_PROGRAM] = "program",
	    [PST_POOL_REMOTE] = "remote",
	};
	const struct pst_pool_slot *slot;
	struct pst_status_line line;
	int result;

	pst_status_begin(&line, out, "pool", pool->name);
	pst_status_text(&line, "kind", kinds[pool->kind]);
	pst_status_number(&line, "queued", pool->queue.count);
	pst_status_number(&line, "oldest_ms", pst_queue_age(&pool->queue));
	pst_figures_put(&pool->figures, &line);
	result = pst_status_end(&line);
	TAILQ_FOREACH (slot, &pool->slots, link)
		if (slot->state != PST_POOL_SLOT_DEAD)
			result |= put_slot(slot, out);
	return result;
}
