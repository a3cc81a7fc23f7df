#include "gateway/front/queue.h"

#include "gateway/front/container.h"
#include "gateway/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* --- the log --- */

/* How long the oldest has waited, in seconds. */
static double
age(const struct pst_queue *queue)
{
	return (double)pst_queue_age(queue) / 1000;
}

static void
log_full(const struct pst_queue *queue, const char *who)
{
	pst_log_error("pool %s: the queue is full: %s answered 503: %zu requests wait for a worker "
		      "(--queue-limit), the oldest for %.1f s",
	    queue->pool, who, pst_queue_waiting(queue), age(queue));
}

static void
log_expired(const struct pst_queue *queue, const char *who)
{
	pst_log_error("pool %s: no worker was free for %" PRIu64
		      " s (--queue-timeout): %s answered "
		      "503; %zu more wait, the oldest for %.1f s",
	    queue->pool, queue->settings->queue_timeout / 1000, who, pst_queue_waiting(queue),
	    age(queue));
}

static void
say_more(char *text, size_t size, uint64_t more)
{
	snprintf(text, size, "%" PRIu64 " more request%s within a second %s", more,
	    more == 1 ? "" : "s", more == 1 ? "was" : "were");
}

static void
tell_full(void *arg, uint64_t more)
{
	char who[80];

	say_more(who, sizeof(who), more);
	log_full(arg, who);
}

static void
tell_expired(void *arg, uint64_t more)
{
	char who[80];

	say_more(who, sizeof(who), more);
	log_expired(arg, who);
}

static void
say_one(struct pst_job *job, char *text, size_t size)
{
	char name[256];

	job->callbacks->name(job, name, sizeof(name));
	snprintf(text, size, "%s was", name);
}

/* --- jobs --- */

static void
came(struct pst_queue *queue, struct pst_job *job)
{
	job->queue = queue;
	job->queued_at = pst_loop_now();
	pst_deadline_arm(&job->deadline, &queue->waits);
	queue->count++;
}

static void
left(struct pst_queue *queue, struct pst_job *job)
{
	assert(job->queue == queue);
	TAILQ_REMOVE(&queue->jobs, job, link);
	pst_deadline_cancel(&job->deadline);
	job->queue = NULL;
	queue->count--;
}

int
pst_queue_put(struct pst_queue *queue, struct pst_job *job, size_t room)
{
	size_t waiting = pst_queue_waiting(queue);

	if (waiting >= room && waiting - room >= queue->settings->queue_limit) {
		char who[272];

		if (pst_tally_one(&queue->full)) {
			say_one(job, who, sizeof(who));
			log_full(queue, who);
		}
		return -1;
	}
	pst_job_set_state(job, PST_JOB_QUEUED);
	TAILQ_INSERT_TAIL(&queue->jobs, job, link);
	came(queue, job);
	return 0;
}

void
pst_queue_put_first(struct pst_queue *queue, struct pst_job *job)
{
	if (job->state != PST_JOB_QUEUED)
		pst_job_set_state(job, PST_JOB_QUEUED);
	TAILQ_INSERT_HEAD(&queue->jobs, job, link);
	came(queue, job);
}

void
pst_queue_put_back(struct pst_queue *queue, struct pst_job *job)
{
	uint64_t since = job->queued_at;

	pst_queue_put_first(queue, job);
	job->queued_at = since;
	pst_deadline_arm_at(&job->deadline, &queue->waits, since + queue->waits.after);
}

struct pst_job *
pst_queue_first(const struct pst_queue *queue)
{
	return TAILQ_FIRST(&queue->jobs);
}

struct pst_job *
pst_queue_take(struct pst_queue *queue)
{
	struct pst_job *job = TAILQ_FIRST(&queue->jobs);

	if (job != NULL)
		left(queue, job);
	return job;
}

void
pst_queue_remove(struct pst_queue *queue, struct pst_job *job)
{
	left(queue, job);
	pst_job_set_state(job, PST_JOB_IDLE);
}

static void
wait_passed(struct pst_deadline *deadline)
{
	struct pst_job *job = PST_CONTAINER(deadline, struct pst_job, deadline);
	struct pst_queue *queue = job->queue;
	char who[272];

	pst_queue_remove(queue, job);
	if (pst_tally_one(&queue->expired)) {
		say_one(job, who, sizeof(who));
		log_expired(queue, who);
	}
	job->callbacks->expired(job);
}

uint64_t
pst_queue_age(const struct pst_queue *queue)
{
	const struct pst_job *first = TAILQ_FIRST(&queue->jobs);

	return first == NULL ? 0 : pst_loop_now() - first->queued_at;
}

/* --- life --- */

int
pst_queue_init(struct pst_queue *queue, struct pst_loop *loop, const char *pool,
    const struct pst_pool_settings *settings)
{
	TAILQ_INIT(&queue->jobs);
	queue->pool = pool;
	queue->settings = settings;
	if (pst_deadline_list_init(&queue->waits, loop, settings->queue_timeout, wait_passed) ==
		0 &&
	    pst_tally_init(&queue->full, loop, tell_full, queue) == 0 &&
	    pst_tally_init(&queue->expired, loop, tell_expired, queue) == 0)
		return 0;
	pst_queue_free(queue);
	return -1;
}

void
pst_queue_free(struct pst_queue *queue)
{
	assert(queue->count == 0);
	pst_tally_free(&queue->full);
	pst_tally_free(&queue->expired);
	pst_deadline_list_free(&queue->waits);
}
