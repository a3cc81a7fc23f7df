#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/ctl_internal.h"
#include "gateway/arbiter/memory.h"
#include "gateway/log.h"
#include "gateway/status_line.h"

#include <stdio.h>
#include <unistd.h>

/* What the measuring of memory may take: workers that come later are told without. */
#define MEASURE_MS 50

static const char *
phase_name(const struct pst_arbiter *arbiter)
{
	static const char *const names[] = {
	    [PST_PHASE_STARTING] = "starting",
	    [PST_PHASE_SERVING] = "serving",
	    [PST_PHASE_LINGERING] = "lingering",
	    [PST_PHASE_DRAINING] = "draining",
	    [PST_PHASE_RETIRING] = "draining",
	    [PST_PHASE_ENDING] = "ending",
	};

	return names[arbiter->phase];
}

static const char *
reload_state(const struct pst_arbiter *arbiter)
{
	if (arbiter->reload.step != PST_RELOAD_OFF)
		return "running";
	if (arbiter->ctl->reloads == 0)
		return "none";
	return arbiter->ctl->reload_failed ? "failed" : "done";
}

static int
put_instance(const struct pst_arbiter *arbiter, struct pst_buf *out)
{
	const char *level = arbiter->log_level
				? arbiter->log_level
				: pst_conf_text(arbiter->generation->conf, PST_OPT_LOG_LEVEL);
	struct pst_status_line line;
	const struct pst_gate *gate;
	unsigned leaving = 0;

	PST_GATES_FOREACH (gate, arbiter, PST_GATE_LEAVING)
		leaving++;
	pst_status_begin(&line, out, "instance", "-");
	pst_status_text(&line, "version", PACKAGE_VERSION);
	pst_status_number(&line, "pid", (uint64_t)getpid());
	pst_status_text(&line, "title", pst_conf_title(arbiter->generation->conf));
	pst_status_text(&line, "phase", phase_name(arbiter));
	pst_status_number(
	    &line, "uptime_ms", (uint64_t)(pst_clock_ms() - arbiter->ctl->started_at));
	pst_status_number(&line, "generation", arbiter->generation->number);
	pst_status_number(&line, "reloads", arbiter->ctl->reloads);
	pst_status_text(&line, "reload", reload_state(arbiter));
	pst_status_number(&line, "gateways_leaving", leaving);
	pst_status_text(&line, "log_level", level);
	pst_status_number(&line, "log_lines_dropped", pst_log_dropped());
	return pst_status_end(&line);
}

static int
put_listeners(const struct pst_arbiter *arbiter, struct pst_buf *out)
{
	const struct pst_listeners *listeners = &arbiter->generation->listeners;
	struct pst_status_line line;
	char url[400];
	int result = 0;

	for (size_t i = 0; i < listeners->count; i++) {
		pst_listener_url(listeners->list[i], url, sizeof(url));
		pst_status_begin(&line, out, "listener", url);
		pst_status_text(&line, "url", url);
		result |= pst_status_end(&line);
	}
	return result;
}

/* What is known of a process that the arbiter keeps. */
static void
put_child(struct pst_status_line *line, const struct pst_child *child)
{
	const struct pst_slot *slot = &child->slot;
	int64_t now = pst_clock_ms();

	pst_status_text(line, "state", pst_slot_state_name(slot->state));
	if (pst_slot_has_process(slot)) {
		pst_status_number(line, "pid", (uint64_t)child->pid);
		pst_status_number(line, "age_ms", (uint64_t)(now - slot->started_at));
	}
	pst_status_number(line, "failures", slot->failures);
	if (slot->state == PST_SLOT_BACKOFF)
		pst_status_number(line, "retry_ms", (uint64_t)pst_child_retry_in(child));
}

static int
put_gate(const struct pst_gate *gate, struct pst_buf *out)
{
	struct pst_status_line line;
	char number[16];

	snprintf(number, sizeof(number), "%u", gate->share.number);
	pst_status_begin(&line, out, "gateway", number);
	put_child(&line, &gate->child);
	return pst_status_end(&line);
}

static int
put_gates(const struct pst_arbiter *arbiter, struct pst_buf *out)
{
	const struct pst_gate *gate;
	int result = 0;

	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		result |= put_gate(gate, out);
	return result;
}

static void
put_app(struct pst_status_line *line, const struct pst_crew *crew)
{
	const struct pst_conf *conf = crew->scope->conf;

	pst_status_text(line, "app", pst_conf_app(conf));
	pst_status_text(
	    line, "adapter", pst_worker_class_label(conf, pst_crew_model(crew, crew->scope)));
}

static int
put_crew(const struct pst_crew *crew, struct pst_buf *out)
{
	static const char *const kinds[] = {
	    [PST_POOL_APP] = "app",
	    [PST_POOL_PROGRAM] = "program",
	    [PST_POOL_REMOTE] = "remote",
	};
	const struct pst_scope *scope = crew->scope;
	struct pst_status_line line;

	pst_status_begin(&line, out, "pool", pst_crew_name(crew));
	pst_status_text(&line, "kind", kinds[scope->kind]);
	if (scope->kind == PST_POOL_APP)
		put_app(&line, crew);
	pst_status_number(&line, "workers", pst_crew_size(crew));
	return pst_status_end(&line);
}

static const char *
role_name(enum pst_worker_role role)
{
	static const char *const names[] = {
	    [PST_WORKER_HOLDER] = "holder",
	    [PST_WORKER_HEIR] = "heir",
	    [PST_WORKER_LEAVING] = "leaving",
	    [PST_WORKER_GONE] = "gone",
	};

	return names[role];
}

static void
put_memory(struct pst_status_line *line, pid_t pid, int64_t until)
{
	uint64_t bytes;

	if (pid <= 0 || pst_clock_ms() >= until)
		return;
	bytes = pst_memory_rss(pid);
	if (bytes)
		pst_status_number(line, "memory.rss", bytes);
	bytes = pst_memory_pss(pid);
	if (bytes)
		pst_status_number(line, "memory.pss", bytes);
}

static int
put_worker(const struct pst_worker *worker, struct pst_buf *out, int64_t until)
{
	unsigned gateways = pst_generation_gateways(worker->crew->arbiter->generation);
	struct pst_status_line line;

	pst_status_begin(&line, out, "worker", worker->id);
	pst_status_text(&line, "pool", pst_crew_name(worker->crew));
	pst_status_number(&line, "slot", worker->number);
	if (gateways > 1)
		pst_status_number(&line, "gateway", pst_share_number(worker->number, gateways));
	pst_status_text(&line, "role", role_name(worker->role));
	if (worker->crew->scope->kind == PST_POOL_APP)
		pst_status_text(&line, "adapter", pst_model_name(worker->model));
	put_child(&line, &worker->child);
	put_memory(&line, worker->child.pid, until);
	return pst_status_end(&line);
}

int
pst_ctl_status(const struct pst_arbiter *arbiter, struct pst_buf *out)
{
	int64_t until = pst_clock_ms() + MEASURE_MS;
	const struct pst_worker *worker;
	const struct pst_crew *crew;
	int result =
	    put_instance(arbiter, out) | put_listeners(arbiter, out) | put_gates(arbiter, out);

	TAILQ_FOREACH (crew, &arbiter->crews, link) {
		result |= put_crew(crew, out);
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (worker->role != PST_WORKER_GONE)
				result |= put_worker(worker, out, until);
	}
	return result;
}
