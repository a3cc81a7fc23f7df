#include "gateway/front/job.h"

#include <assert.h>

#define TO(state) (1u << PST_JOB_##state)

/* From each state, the states that may follow. */
static const unsigned allowed[] = {
    [PST_JOB_IDLE] = TO(QUEUED),
    [PST_JOB_QUEUED] = TO(IDLE) | TO(GIVEN),
    [PST_JOB_GIVEN] = TO(IDLE) | TO(QUEUED) | TO(STARTED) | TO(ABORTED),
    [PST_JOB_STARTED] = TO(IDLE) | TO(ABORTED),
    [PST_JOB_ABORTED] = TO(IDLE),
};

bool
pst_job_is_whole(const struct pst_job *job)
{
	return job->body == NULL || pst_spool_keeps(job->body);
}

void
pst_job_set_state(struct pst_job *job, enum pst_job_state state)
{
	assert(allowed[job->state] & 1u << state);
	job->state = state;
	if (state == PST_JOB_GIVEN)
		job->given_at = pst_loop_now();
}
