#include "gateway/front/upstream_internal.h"

#include <assert.h>
#include <stdlib.h>

unsigned
pst_upstream_ahead(const struct pst_upstream *up)
{
	return up->page.bytes != NULL && pst_session_extends(up->session) ? up->ahead : 0;
}

void
pst_upstream_give_ahead(struct pst_upstream *up, struct pst_job *job)
{
	pst_upstream_take_in(up, job);
	job->ahead = true;
	if (up->first_ahead == NULL)
		up->first_ahead = job;
	up->kind->give(up, job);
}

struct pst_job *
pst_upstream_last_ahead(const struct pst_upstream *up)
{
	return up->first_ahead == NULL ? NULL : TAILQ_LAST(&up->jobs, pst_job_list);
}

void
pst_upstream_next_turn(struct pst_upstream *up)
{
	struct pst_job *job = up->first_ahead;

	if (job == NULL)
		return;
	up->first_ahead = TAILQ_NEXT(job, link);
	job->ahead = false;
	if (job->state == PST_JOB_ABORTED)
		return;
	pst_upstream_begin_turn(up, job);
	job->callbacks->turn(job);
}

/* Its word in the page is free when the worker has ended it, which it is asked to. */
bool
pst_upstream_recall(struct pst_job *job)
{
	struct pst_upstream *up = job->upstream;
	struct pst_recalled *recalled;

	assert(job->ahead);
	if (job->ticket == 0)
		return false;
	recalled = malloc(sizeof(*recalled));
	if (recalled == NULL)
		return false;
	if (!pst_upstream_withdraw(up, job)) {
		free(recalled);
		return false;
	}
	*recalled = (struct pst_recalled){.id = job->id, .ticket = job->ticket};
	TAILQ_INSERT_TAIL(&up->recalled, recalled, link);
	pst_session_set_user(up->session, job->id, NULL);
	up->kind->abort(up, job);
	pst_upstream_detach(up, job);
	job->ahead = false;
	pst_job_set_state(job, PST_JOB_QUEUED);
	return true;
}

void
pst_upstream_end_recalled(struct pst_upstream *up, uint16_t id)
{
	struct pst_recalled *recalled;

	TAILQ_FOREACH (recalled, &up->recalled, link)
		if (recalled->id == id)
			break;
	if (recalled == NULL)
		return;
	TAILQ_REMOVE(&up->recalled, recalled, link);
	pst_page_clear(&up->page, id, recalled->ticket);
	free(recalled);
}
