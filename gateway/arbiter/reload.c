#include "gateway/arbiter/reload.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/state.h"
#include "gateway/arbiter/turnover.h"
#include "gateway/log.h"

#include <stdio.h>

void
pst_reload_begin(struct pst_arbiter *arbiter)
{
	struct pst_reload *reload = &arbiter->reload;
	struct pst_crew *crew;

	if (!reload->begun) {
		reload->begun = pst_clock_ms();
		reload->replaced = 0;
	}
	TAILQ_FOREACH (crew, &arbiter->crews, link) {
		pst_crew_rouse(crew);
		pst_turnover_reload(crew);
	}
	pst_reload_go_on(arbiter);
}

void
pst_reload_count(struct pst_arbiter *arbiter)
{
	if (arbiter->reload.begun)
		arbiter->reload.replaced++;
}

void
pst_reload_go_on(struct pst_arbiter *arbiter)
{
	struct pst_reload *reload = &arbiter->reload;
	const struct pst_crew *crew;
	int64_t ms = pst_clock_ms() - reload->begun;

	if (!reload->begun || arbiter->phase != PST_PHASE_SERVING)
		return;
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		if (!pst_turnover_is_done(crew))
			return;
	reload->begun = 0;
	pst_log_info("reload done: %u worker%s replaced in %d.%d s", reload->replaced,
	    reload->replaced == 1 ? "" : "s", (int)(ms / 1000), (int)(ms % 1000 / 100));
	pst_ctl_reload_over(arbiter, NULL);
}

void
pst_reload_fail(struct pst_arbiter *arbiter, const char *why)
{
	struct pst_reload *reload = &arbiter->reload;
	struct pst_crew *crew;
	char text[1024];
	unsigned old = 0;

	if (!reload->begun)
		return;
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		old += pst_turnover_stop(crew);
	pst_log_error("reload failed: %u worker%s of the new version serve, %u of the old one "
		      "serve on; mend what is said above and send HUP again",
	    reload->replaced, reload->replaced == 1 ? "" : "s", old);
	reload->begun = 0;
	snprintf(text, sizeof(text), "%s; %u worker%s of the new version serve, %u of the old one",
	    why, reload->replaced, reload->replaced == 1 ? "" : "s", old);
	pst_ctl_reload_over(arbiter, text);
}
