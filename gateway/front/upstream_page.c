#include "gateway/front/upstream_internal.h"

#include "gateway/log.h"
#include "protocol/page_map.h"

#include <errno.h>
#include <string.h>

void
pst_upstream_share(struct pst_upstream *up, int fd)
{
	if (pst_page_map(&up->page, fd) == 0)
		pst_page_begin_epoch(&up->page);
	else
		pst_log_warning("worker %s: the memory that it shares with the gateway cannot be "
				"mapped: %s; requests count as started once they are written to it",
		    up->worker, strerror(errno));
}

int
pst_upstream_offer(struct pst_upstream *up, struct pst_job *job)
{
	char digits[PST_PAGE_DIGITS];

	job->ticket = 0;
	if (up->page.bytes != NULL && pst_session_extends(up->session))
		job->ticket = pst_page_offer(&up->page, job->id);
	if (job->ticket == 0)
		return PST_OK;
	pst_page_print_ticket(job->ticket, digits);
	return pst_session_submit_param(
	    up->session, job->id, PST_PAGE_PARAM, strlen(PST_PAGE_PARAM), digits, sizeof(digits));
}

bool
pst_upstream_withdraw(struct pst_upstream *up, struct pst_job *job)
{
	if (job->state != PST_JOB_GIVEN)
		return false;
	return job->ticket == 0 || pst_page_withdraw(&up->page, job->id, job->ticket);
}

/* What is in the page is nothing that the worker's adapter writes. */
static void
note_spoilt(struct pst_upstream *up, struct pst_job *job)
{
	char name[256];

	if (up->spoilt)
		return;
	up->spoilt = true;
	job->callbacks->name(job, name, sizeof(name));
	pst_log_error("worker %s: %s: the memory that it shares with the gateway holds what its "
		      "adapter does not write there: something in that process writes where it "
		      "should not; its requests count as started",
	    up->worker, name);
}

bool
pst_upstream_settle(struct pst_upstream *up, struct pst_job *job, enum pst_end end)
{
	enum pst_page_state said;

	if (job->ticket == 0)
		return true;
	said = pst_page_clear(&up->page, job->id, job->ticket);
	if (said == PST_PAGE_BAD || (said == PST_PAGE_OFFERED && end == PST_END_COMPLETE))
		note_spoilt(up, job);
	return end == PST_END_COMPLETE || said == PST_PAGE_FREE || said == PST_PAGE_OFFERED ||
	       said == PST_PAGE_WITHDRAWN;
}
