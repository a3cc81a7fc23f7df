#include "gateway/arbiter/weigh.h"

#include "gateway/arbiter/memory.h"
#include "gateway/arbiter/state.h"
#include "gateway/arbiter/turnover.h"
#include "gateway/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EVERY_S 2

#define MIB(bytes) ((double)(bytes) / (1 << 20))

static unsigned long
limit_of(const struct pst_worker *worker)
{
	return pst_conf_number(worker->crew->scope->conf, PST_OPT_MAX_MEMORY);
}

/* Bytes of WORKER's PSS, or of its RSS where only that is to be had, when they are above LIMIT;
 * else 0. RSS is never below PSS, and is cheap to read. */
static uint64_t
excess_of(const struct pst_worker *worker, unsigned long limit)
{
	struct pst_weigh *weigh = &worker->crew->arbiter->weigh;
	uint64_t rss = pst_memory_rss(worker->child.pid), pss;

	if (rss <= limit)
		return 0;
	errno = 0;
	pss = pst_memory_pss(worker->child.pid);
	if (pss)
		return pss > limit ? pss : 0;
	if (errno != EACCES && errno != EPERM)
		return 0; /* it has just exited */
	if (!weigh->told_rss)
		pst_log_warning(
		    "--max-memory counts what workers share whole (RSS): their PSS cannot be "
		    "read (%s)",
		    strerror(errno));
	weigh->told_rss = true;
	return rss;
}

void
pst_weigh_new(struct pst_worker *worker)
{
	struct pst_crew *crew = worker->crew;
	unsigned long limit = limit_of(worker);
	uint64_t bytes = limit ? excess_of(worker, limit) : 0;

	worker->heavy = bytes > 0;
	if (!worker->heavy || crew->told_heavy)
		return;
	crew->told_heavy = true;
	pst_log_warning(
	    "worker %s (pid %ld) uses %.1f MiB when its application is just loaded, more "
	    "than --max-memory allows (%.1f MiB): it is not replaced for that; set a "
	    "higher limit",
	    worker->id, (long)worker->child.pid, MIB(bytes), MIB(limit));
}

static void
weigh(struct pst_worker *worker)
{
	unsigned long limit = limit_of(worker);
	uint64_t bytes;
	char why[128];

	if (limit == 0 || worker->heavy || worker->role != PST_WORKER_HOLDER ||
	    worker->due != PST_DUE_NOT || worker->child.slot.state != PST_SLOT_USABLE)
		return;
	bytes = excess_of(worker, limit);
	if (bytes == 0)
		return;
	snprintf(why, sizeof(why), "uses %.1f MiB, more than --max-memory allows (%.1f MiB)",
	    MIB(bytes), MIB(limit));
	pst_turnover_worn(worker, why);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pst_arbiter *arbiter = arg;
	struct pst_worker *worker;
	struct pst_crew *crew;

	(void)fd;
	(void)what;
	if (arbiter->phase != PST_PHASE_SERVING)
		return;
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			weigh(worker);
}

int
pst_weigh_open(struct pst_arbiter *arbiter)
{
	static const struct timeval every = {.tv_sec = EVERY_S};
	struct pst_weigh *weigh = &arbiter->weigh;

	weigh->timer = event_new(arbiter->base, -1, EV_PERSIST, on_timer, arbiter);
	return weigh->timer ? event_add(weigh->timer, &every) : -1;
}

void
pst_weigh_close(struct pst_arbiter *arbiter)
{
	if (arbiter->weigh.timer)
		event_free(arbiter->weigh.timer);
	arbiter->weigh.timer = NULL;
}
