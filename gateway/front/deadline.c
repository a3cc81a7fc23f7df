#include "gateway/front/deadline.h"

#include <stddef.h>

static void
set_timer(struct pst_deadline_list *list, uint64_t ms)
{
	struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000),
	    .tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};

	list->timing = event_add(list->timer, &wait) == 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pst_deadline_list *list = arg;
	struct pst_deadline *first;
	uint64_t now = pst_loop_now();

	(void)fd;
	(void)what;
	list->timing = false;
	while ((first = TAILQ_FIRST(&list->armed)) != NULL && first->at <= now) {
		pst_deadline_cancel(first);
		list->passed(first);
	}
	if (first != NULL)
		set_timer(list, first->at - now);
}

int
pst_deadline_list_init(
    struct pst_deadline_list *list, struct pst_loop *loop, uint64_t after, pst_deadline_fn *passed)
{
	TAILQ_INIT(&list->armed);
	list->after = after;
	list->passed = passed;
	list->timing = false;
	list->timer = event_new(pst_loop_base(loop), -1, 0, on_timer, list);
	return list->timer == NULL ? -1 : 0;
}

void
pst_deadline_list_free(struct pst_deadline_list *list)
{
	if (list->timer == NULL)
		return;
	while (!TAILQ_EMPTY(&list->armed))
		pst_deadline_cancel(TAILQ_FIRST(&list->armed));
	event_free(list->timer);
	list->timer = NULL;
	list->timing = false;
}

void
pst_deadline_arm(struct pst_deadline *deadline, struct pst_deadline_list *list)
{
	uint64_t at = pst_loop_now() + list->after;

	/* What is armed again and again, as by each piece of an answer, is mostly so in one turn.
	 */
	if (deadline->list == list && deadline->at == at)
		return;
	pst_deadline_cancel(deadline);
	if (list->after == 0)
		return;
	deadline->list = list;
	deadline->at = at;
	TAILQ_INSERT_TAIL(&list->armed, deadline, link);
	if (!list->timing)
		set_timer(list, list->after);
}

void
pst_deadline_arm_at(struct pst_deadline *deadline, struct pst_deadline_list *list, uint64_t at)
{
	struct pst_deadline *later;
	uint64_t now = pst_loop_now();

	pst_deadline_cancel(deadline);
	if (list->after == 0)
		return;
	deadline->list = list;
	deadline->at = at;
	TAILQ_FOREACH (later, &list->armed, link)
		if (later->at > at)
			break;
	if (later == NULL)
		TAILQ_INSERT_TAIL(&list->armed, deadline, link);
	else
		TAILQ_INSERT_BEFORE(later, deadline, link);
	if (TAILQ_FIRST(&list->armed) == deadline)
		set_timer(list, at > now ? at - now : 0);
}

void
pst_deadline_cancel(struct pst_deadline *deadline)
{
	if (deadline->list == NULL)
		return;
	TAILQ_REMOVE(&deadline->list->armed, deadline, link);
	deadline->list = NULL;
}

uint64_t
pst_deadline_elapsed(const struct pst_deadline *deadline)
{
	if (deadline->list == NULL)
		return 0;
	return pst_loop_now() - (deadline->at - deadline->list->after);
}
