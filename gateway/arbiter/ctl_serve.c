#include "gateway/arbiter/ctl_internal.h"
#include "gateway/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void answer(struct pst_ctl_client *client, bool done, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
answer(struct pst_ctl_client *client, bool done, const char *format, ...)
{
	char text[1024];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	pst_ctl_answer(client, done, text);
}

/* True when all ends, or is to after --drain-delay, which CLIENT was told. */
static bool
is_too_late(struct pst_arbiter *arbiter, struct pst_ctl_client *client)
{
	if (arbiter->phase <= PST_PHASE_SERVING)
		return false;
	pst_ctl_answer(client, false, "this penstock is ending");
	return true;
}

static void
serve_status(struct pst_arbiter *arbiter, struct pst_ctl_client *client, char *const *words)
{
	(void)words;
	pst_ctl_request_status(arbiter, client);
}

static void
serve_reload(struct pst_arbiter *arbiter, struct pst_ctl_client *client, char *const *words)
{
	(void)words;
	if (is_too_late(arbiter, client))
		return;
	pst_log_info("RELOAD over the control socket: every worker is replaced by one that loads "
		     "the application anew%s",
	    arbiter->reload.step != PST_RELOAD_OFF ? ", also those that this reload has replaced"
						   : "");
	pst_ctl_client_set_waits(client, PST_CTL_WAITS_RELOAD);
	pst_reload_begin(arbiter);
}

static void
serve_drain(struct pst_arbiter *arbiter, struct pst_ctl_client *client, char *const *words)
{
	(void)words;
	if (is_too_late(arbiter, client))
		return;
	pst_log_info("DRAIN over the control socket: requests are finished within %s s, then all "
		     "ends",
	    pst_conf_text(arbiter->generation->conf, PST_OPT_GRACEFUL_TIMEOUT));
	answer(client, true, "requests are finished within %s s, then all ends",
	    pst_conf_text(arbiter->generation->conf, PST_OPT_GRACEFUL_TIMEOUT));
	pst_arbiter_drain(arbiter);
}

/* ---- SCALE ---- */

/* "web, api" */
static void
list_pools(const struct pst_arbiter *arbiter, char *text, size_t size)
{
	const struct pst_crew *crew;
	size_t used = 0;

	text[0] = '\0';
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		if (used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
			    pst_crew_name(crew));
}

static void
scale(struct pst_crew *crew, struct pst_ctl_client *client, unsigned count)
{
	unsigned before = pst_crew_size(crew), now;

	pst_log_info("SCALE over the control socket: pool %s is to have %u worker%s, and has %u",
	    pst_crew_name(crew), count, count == 1 ? "" : "s", before);
	for (now = before; now < count; now++)
		pst_crew_more(crew);
	for (; now > count; now--)
		pst_crew_less(crew);
	now = pst_crew_size(crew);
	answer(client, now == count, "pool %s has %u worker%s, had %u%s", pst_crew_name(crew), now,
	    now == 1 ? "" : "s", before, now == count ? "" : ": the log says why");
}

static void
serve_scale(struct pst_arbiter *arbiter, struct pst_ctl_client *client, char *const *words)
{
	struct pst_crew *crew = pst_crew_find(arbiter, words[1]);
	char *end, list[512];
	unsigned long count = strtoul(words[2], &end, 10);

	if (is_too_late(arbiter, client))
		return;
	if (!crew) {
		list_pools(arbiter, list, sizeof(list));
		answer(client, false, "no pool '%.64s' with workers; there is: %s", words[1], list);
	} else if (words[2][0] < '0' || words[2][0] > '9' || *end || count < 1 ||
		   count > PST_WORKERS_MOST) {
		answer(client, false, "'%.64s' is no number of workers: 1 to %d", words[2],
		    PST_WORKERS_MOST);
	} else {
		scale(crew, client, (unsigned)count);
	}
}

/* ---- KILL ---- */

static struct pst_worker *
find_worker(const struct pst_arbiter *arbiter, const char *id)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (strcmp(worker->id, id) == 0 &&
			    pst_slot_has_process(&worker->child.slot))
				return worker;
	return NULL;
}

struct list {
	char text[512];
	size_t used;
	unsigned left_out;
};

static void
list_crew(const struct pst_crew *crew, struct list *list)
{
	const struct pst_worker *worker;

	TAILQ_FOREACH (worker, &crew->workers, link) {
		if (!pst_slot_has_process(&worker->child.slot))
			continue;
		if (list->used + sizeof(worker->id) + 32 > sizeof(list->text))
			list->left_out++;
		else
			list->used += (size_t)snprintf(list->text + list->used,
			    sizeof(list->text) - list->used, "%s%s", list->used ? ", " : "",
			    worker->id);
	}
}

/* "1.1, 2.2 and 7 more" */
static void
list_workers(const struct pst_arbiter *arbiter, struct list *list)
{
	const struct pst_crew *crew;

	*list = (struct list){.text = "none"};
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		list_crew(crew, list);
	if (list->left_out)
		snprintf(list->text + list->used, sizeof(list->text) - list->used, " and %u more",
		    list->left_out);
}

static void
serve_kill(struct pst_arbiter *arbiter, struct pst_ctl_client *client, char *const *words)
{
	struct pst_worker *worker = find_worker(arbiter, words[1]);
	struct list list;

	if (!worker) {
		list_workers(arbiter, &list);
		answer(client, false, "no worker '%.64s'; there are: %s", words[1], list.text);
	} else if (worker->child.slot.state == PST_SLOT_DYING) {
		answer(client, false, "worker %s (pid %ld) is being ended already", worker->id,
		    (long)worker->child.pid);
	} else {
		bool replaced =
		    worker->role == PST_WORKER_HOLDER && arbiter->phase < PST_PHASE_RETIRING;

		answer(client, true,
		    "worker %s (pid %ld) dumps its stacks to the log and is killed%s", worker->id,
		    (long)worker->child.pid, replaced ? "; another is started" : "");
		pst_worker_kill(worker, "KILL over the control socket");
	}
}

/* ---- LOG ---- */

static void
serve_log(struct pst_arbiter *arbiter, struct pst_ctl_client *client, char *const *words)
{
	static const char *const names[] = {"debug", "info", "warning", "error", "critical"};
	const struct pst_gate *gate;
	enum pst_log_level level;

	if (!pst_log_level_parse(words[1], &level)) {
		answer(client, false,
		    "'%.64s' is no level: debug, info, warning, error or critical", words[1]);
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(names[i], words[1]) == 0)
			arbiter->log_level = names[i];
	pst_log_info(
	    "LOG over the control socket: the log's level is %s from now on", arbiter->log_level);
	pst_log_set_level(level);
	TAILQ_FOREACH (gate, &arbiter->gates, link)
		if (gate->child.channel)
			pst_channel_send(gate->child.channel, "LOG", arbiter->log_level, NULL);
	answer(client, true, "the log's level is %s", arbiter->log_level);
}

/* ---- which one ---- */

static const struct {
	const char *name;
	unsigned count; /* of words */
	const char *usage;
	void (*serve)(
	    struct pst_arbiter *arbiter, struct pst_ctl_client *client, char *const *words);
} requests[] = {
    {"STATUS", 1, "STATUS", serve_status},
    {"RELOAD", 1, "RELOAD", serve_reload},
    {"DRAIN", 1, "DRAIN", serve_drain},
    {"SCALE", 3, "SCALE POOL N", serve_scale},
    {"KILL", 2, "KILL WORKER", serve_kill},
    {"LOG", 2, "LOG LEVEL", serve_log},
};

void
pst_ctl_serve(
    struct pst_arbiter *arbiter, struct pst_ctl_client *client, const struct pst_control *line)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (strcmp(requests[i].name, line->words[0]) != 0)
			continue;
		if (line->count == requests[i].count)
			requests[i].serve(arbiter, client, line->words);
		else
			answer(client, false, "the request is %s", requests[i].usage);
		return;
	}
	answer(client, false, "'%.64s' is no request: STATUS, RELOAD, DRAIN, SCALE, KILL or LOG",
	    line->words[0]);
}
