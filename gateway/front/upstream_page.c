#include "gateway/front/upstream_internal.h"

#include "gateway/log.h"
#include "protocol/page_map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void
pst_upstream_share(struct pst_upstream *up, int fd)
{
	if (up->page.bytes != NULL)
		pst_log_warning("worker %s: a second page is ignored", up->worker);
	else if (pst_page_map(&up->page, fd) == 0)
		pst_page_begin_epoch(&up->page);
	else
		pst_log_warning("worker %s: the memory that it shares with the gateway cannot be "
				"mapped: %s; requests count as started once they are written to it",
		    up->worker, strerror(errno));
}

int
pst_upstream_offer(struct pst_upstream *up, struct pst_job *job)
{
	/* The parameter as it is encoded, whose lengths are known. */
	char pair[2 + sizeof(PST_PAGE_PARAM) - 1 + PST_PAGE_DIGITS] = {
	    sizeof(PST_PAGE_PARAM) - 1, PST_PAGE_DIGITS};

	job->ticket = 0;
	if (up->page.bytes != NULL && pst_session_extends(up->session))
		job->ticket = pst_page_offer(&up->page, job->id);
	if (job->ticket == 0)
		return PST_OK;
	memcpy(pair + 2, PST_PAGE_PARAM, strlen(PST_PAGE_PARAM));
	pst_page_print_ticket(job->ticket, pair + 2 + strlen(PST_PAGE_PARAM));
	return pst_session_submit_params(up->session, job->id, pair, sizeof(pair));
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
	pst_log_error("worker %s: %s: its page, the memory that it shares with the gateway, holds "
		      "what its adapter does not write there: something in that process writes "
		      "where it should not; its requests count as started",
	    up->worker, name);
}

const char *
pst_upstream_settle(struct pst_upstream *up, struct pst_job *job, enum pst_end end)
{
	enum pst_page_state said;

	if (job->ticket == 0)
		return NULL;
	said = pst_page_clear(&up->page, job->id, job->ticket);
	if (said == PST_PAGE_BAD || (said == PST_PAGE_OFFERED && end == PST_END_COMPLETE))
		note_spoilt(up, job);
	if (end == PST_END_COMPLETE)
		return NULL;
	switch (said) {
	case PST_PAGE_FREE:
	case PST_PAGE_OFFERED:
	case PST_PAGE_WITHDRAWN: return NULL;
	case PST_PAGE_CLAIMED:
	case PST_PAGE_DONE: return "it refused the request, but had begun with it";
	case PST_PAGE_BAD: break;
	}
	return "it refused the request, but its page is spoilt, so it may have begun with it";
}

/* The clock of what a worker says of itself. */
static uint64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- the worker's loop --- */

/* True when it has come round since the first bytes that it may not have seen. */
static bool
has_turned(struct pst_upstream *up)
{
	struct pst_page_vitals vitals;

	pst_page_read_vitals(&up->page, &vitals);
	return vitals.turned >= up->written;
}

void
pst_upstream_note_writing(struct pst_upstream *up)
{
	if (up->streams && up->page.bytes != NULL && (up->written == 0 || has_turned(up)))
		up->written = now_us();
}

uint64_t
pst_upstream_stalled(struct pst_upstream *up)
{
	if (up->written == 0)
		return 0;
	if (has_turned(up)) {
		up->written = 0;
		return 0;
	}
	return (now_us() - up->written) / 1000;
}

/* --- a late request --- */

/* Seconds since AT, which the worker has said; 0 when that cannot be. */
static double
seconds_since(uint64_t at)
{
	uint64_t now = now_us();

	return at < now ? (double)(now - at) / 1e6 : 0;
}

const char *
pst_upstream_late_reason(
    struct pst_upstream *up, struct pst_job *job, const char *reason, char *text, size_t size)
{
	struct pst_page_vitals vitals;

	if (job->ticket == 0 || !pst_upstream_withdraw(up, job))
		return reason;
	pst_page_read_vitals(&up->page, &vitals);
	snprintf(text, size,
	    "%s; it never began with the request: its loop last came round %.1f s ago, and it has "
	    "used %.1f s of CPU in the %.0f s since it was ready",
	    reason, seconds_since(vitals.turned), (double)vitals.cpu / 1e6,
	    seconds_since(vitals.started));
	return text;
}

void
pst_upstream_log_unseen(const struct pst_upstream *up, struct pst_job *job)
{
	char name[256];

	job->callbacks->name(job, name, sizeof(name));
	pst_log_info("worker %s: %s: %s, and had not %s: it is given %s", up->worker, name,
	    up->reason[0] != '\0' ? up->reason : "its session failed",
	    up->repeats ? "answered, as it may close a connection that is kept"
			: "begun with the request",
	    up->repeats ? "once more, on a fresh connection" : "to the next free worker");
}
