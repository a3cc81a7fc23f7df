#include "adapters/held.h"
#include "adapters/link_internal.h"
#include "adapters/link_values.h"

#include <poll.h>

/* Of those that follow each other, the second is charged with sending what the first said. */
static void
begin_usage(struct pst_link *link)
{
	if (link->penstock && !link->usage_runs)
		pst_usage_begin(&link->usage);
	link->usage_runs = false;
}

/* Wait until all is written, or the client is lost. */
static void
write_rest(struct pst_link *link)
{
	pst_link_write(link);
	while (link->state == PST_LINK_OPEN && pst_session_want_write(link->session)) {
		struct pollfd pfd = {.fd = link->fd, .events = POLLOUT};
		link->usage_runs = false;
		poll(&pfd, 1, -1);
		pst_link_write(link);
	}
}

/* The application is about to run, for nobody knows how long. */
static void
give_held(struct pst_link *link)
{
	if (link->held == 0 || pst_link_give_held(link))
		return;
	link->held = 0;
	link->held_for = 0;
	write_rest(link);
}

struct pst_request *
pst_link_ready(struct pst_link *link)
{
	struct pst_link_turn *turn;

	while (link->state == PST_LINK_OPEN && (turn = pst_link_next_turn(link)) != NULL) {
		if (pst_offer_claim(&turn->offer, link->common->page, turn->request->id)) {
			link->running = turn;
			begin_usage(link);
			give_held(link);
			return turn->request;
		}
		link->held = 0;
		link->held_for = 0;
		pst_link_refuse(link, turn->request->id, PST_END_OVERLOADED);
		pst_link_step(link, 0);
	}
	return NULL;
}

/* Tell a client that the response is not whole. */
static void
cut_off(struct pst_link *link)
{
	if (link->state == PST_LINK_OPEN)
		pst_link_send_no_record(link->fd);
	pst_link_lose(link);
}

/* What it cost goes first: the end frees the slot. */
static int
submit_end(struct pst_link *link, uint16_t id, enum pst_outcome outcome)
{
	struct pst_session_usage usage;

	link->took = UINT64_MAX;
	if (link->penstock) {
		usage = pst_usage_end(&link->usage);
		link->usage_runs = true;
		link->took = usage.cpu + usage.waited;
		pst_session_submit_usage(link->session, id, &usage); /* else it is not told */
	}
	if (outcome == PST_OUTCOME_WHOLE &&
	    pst_request_submit_trailers(link->running->request, link->session) < 0)
		return -1;
	return pst_session_submit_end(
	    link->session, id, PST_END_COMPLETE, outcome == PST_OUTCOME_WHOLE ? 0 : 1);
}

/* Two further requests are there, which only a gateway of ours can have sent: one to run before
 * what is held is written, and one that keeps this process busy while the gateway reads it. */
static bool
has_more(const struct pst_link *link)
{
	const struct pst_link_turn *next = TAILQ_NEXT(link->running, next);

	if (next)
		next = TAILQ_NEXT(next, next);
	return next && next->ready;
}

/* Whether the answer that was queued may leave with that of the next request. */
static bool
may_hold(const struct pst_link *link)
{
	return link->held < PST_HELD_MOST && link->took <= PST_HELD_WAIT - link->held_for &&
	       has_more(link) && link->state == PST_LINK_OPEN && !link->failed &&
	       pst_session_pending(link->session) < PST_LINK_OUT_HIGH / 8;
}

/* Hold it, if it may be: false, and what is held is to be written. */
static bool
hold(struct pst_link *link)
{
	uint64_t left = PST_HELD_WAIT - link->held_for;

	if (link->held > 0)
		link->held_for += link->took < left ? link->took : left;
	if (may_hold(link) && pst_link_can_hold(link)) {
		link->held++;
		return true;
	}
	link->held = 0;
	link->held_for = 0;
	return false;
}

void
pst_link_end(struct pst_link *link, enum pst_outcome outcome)
{
	struct pst_request *request = link->running->request;
	bool cut = outcome == PST_OUTCOME_BROKEN && !link->penstock;

	pst_link_take_held(link);
	pst_offer_done(&link->running->offer, link->common->page, request->id);
	if (link->state == PST_LINK_OPEN && !cut)
		link->failed = submit_end(link, request->id, outcome) < 0;
	if (!hold(link))
		write_rest(link);
	link->heard_all = request->body_ended;
	if (cut || link->failed)
		cut_off(link);
	pst_link_release_turn(link, link->running);
	link->running = NULL;
	pst_link_settle(link);
}
