#include "gateway/front/leaving.h"

#define TICKS   50
#define TICK_MS 100

static void
wait_tick(struct pst_leaving *leaving)
{
	static const struct timeval soon = {.tv_usec = (suseconds_t)TICK_MS * 1000};

	event_add(leaving->tick, &soon);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct pst_leaving *leaving = arg;
	size_t n = (leaving->count + leaving->ticks - 1) / leaving->ticks;
	struct pst_leaver *leaver;

	(void)fd;
	(void)what;
	while (n-- > 0 && (leaver = TAILQ_FIRST(&leaving->list)) != NULL) {
		pst_leaving_remove(leaving, leaver);
		leaving->go(leaver);
	}
	if (leaving->ticks > 1)
		leaving->ticks--;
	if (leaving->count > 0)
		wait_tick(leaving);
}

int
pst_leaving_init(
    struct pst_leaving *leaving, struct pst_loop *loop, void (*go)(struct pst_leaver *leaver))
{
	TAILQ_INIT(&leaving->list);
	leaving->go = go;
	leaving->tick = event_new(pst_loop_base(loop), -1, 0, on_tick, leaving);
	return leaving->tick == NULL ? -1 : 0;
}

void
pst_leaving_free(struct pst_leaving *leaving)
{
	if (leaving->tick != NULL)
		event_free(leaving->tick);
	leaving->tick = NULL;
}

void
pst_leaving_add(struct pst_leaving *leaving, struct pst_leaver *leaver)
{
	if (leaver->leaves)
		return;
	leaver->leaves = true;
	TAILQ_INSERT_TAIL(&leaving->list, leaver, link);
	if (leaving->count++ > 0)
		return;
	leaving->ticks = TICKS;
	wait_tick(leaving);
}

void
pst_leaving_remove(struct pst_leaving *leaving, struct pst_leaver *leaver)
{
	if (!leaver->leaves)
		return;
	leaver->leaves = false;
	TAILQ_REMOVE(&leaving->list, leaver, link);
	leaving->count--;
}
