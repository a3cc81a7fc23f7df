/*
 * The queue of a pool: jobs that wait for a worker, the oldest first. It has a limit, and so has
 * the time that each may wait; who meets one of them is logged here, at most a line a second for
 * each.
 */
#ifndef PST_FRONT_QUEUE_H
#define PST_FRONT_QUEUE_H

#include "gateway/front/job.h"
#include "gateway/front/settings.h"
#include "gateway/front/tally.h"

struct pst_queue {
	struct pst_job_list jobs;
	size_t count;
	size_t ahead; /* jobs that were taken from it for busy workers: they wait, too */
	struct pst_deadline_list waits;
	struct pst_tally full, expired;
	const char *pool; /* its name, for the log */
	const struct pst_pool_settings *settings;
};

/* 0, or -1 when memory is short. POOL and SETTINGS must outlive the queue. */
int pst_queue_init(struct pst_queue *queue, struct pst_loop *loop, const char *pool,
    const struct pst_pool_settings *settings);
/* It is empty. A queue of zero bytes is allowed. */
void pst_queue_free(struct pst_queue *queue);

/* Queue JOB at the end: 0, or -1 when the queue is full, which is logged: as many as may wait are
 * in it or ahead. ROOM: so many will be taken in this turn, and do not wait. */
int pst_queue_put(struct pst_queue *queue, struct pst_job *job, size_t room);
/* Queue one that has waited before, or is QUEUED and in no queue: at the head, and however many are
 * waiting. */
void pst_queue_put_first(struct pst_queue *queue, struct pst_job *job);

/* Queue one at the head that was sent ahead and called back: it goes on waiting as it did. */
void pst_queue_put_back(struct pst_queue *queue, struct pst_job *job);

/* The first job, which stays QUEUED but is in no queue any more; NULL when there is none. */
struct pst_job *pst_queue_take(struct pst_queue *queue);
/* The one that pst_queue_take() would return. */
struct pst_job *pst_queue_first(const struct pst_queue *queue);
/* JOB, which is queued, is IDLE. */
void pst_queue_remove(struct pst_queue *queue, struct pst_job *job);

/* How many jobs wait for a worker: in the queue, or sent to one that is still busy. */
static inline size_t
pst_queue_waiting(const struct pst_queue *queue)
{
	return queue->count + queue->ahead;
}

/* How long the first has waited, in milliseconds; 0 when there is none. */
uint64_t pst_queue_age(const struct pst_queue *queue);

static inline bool
pst_queue_is_empty(const struct pst_queue *queue)
{
	return queue->count == 0;
}

#endif
