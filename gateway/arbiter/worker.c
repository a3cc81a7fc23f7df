#include "gateway/arbiter/worker.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/command.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"
#include "protocol/page_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a worker without requests gets to clean up and exit, at least. */
#define EXIT_MS 5000
/* Between SIGABRT, at which a worker dumps its stacks, and SIGKILL. */
#define DUMP_MS 1000

/* As in gunicorn --timeout limits the start, too, but who sets a short one means requests. */
#define START_LEAST_S 30

/* Then whoever waits for a start hears what it waits for. */
#define NOTE_S 5

/* How often in a row a worker may turn out to be of the wrong kind: threaded, sync, async. */
#define CHANGES_MOST 2

/* A program that has lived so long has started well: it cannot say so itself. */
#define PROOF_MS 1000

/* Seconds that a worker may take to load its application; 0: no limit. */
static unsigned
start_limit(const struct pst_conf *conf)
{
	unsigned long timeout = pst_conf_number(conf, PST_OPT_TIMEOUT);

	if (timeout > 0 && timeout < START_LEAST_S)
		return START_LEAST_S;
	return (unsigned)(timeout > 86400 ? 86400 : timeout);
}

/* An heir is of what a reload brings, if there is one, and who was one still is. */
static const struct pst_scope *
scope_of(const struct pst_worker *worker)
{
	const struct pst_crew *crew = worker->crew;
	bool is_next = worker->role == PST_WORKER_HEIR || worker->is_next;

	return is_next && crew->next ? crew->next : crew->scope;
}

/* ---- what it says ---- */

/* It has loaded, or at least it runs: the gateway may connect. */
static void
enter_ready(struct pst_worker *worker, const char *kind)
{
	pst_child_ready(&worker->child, PST_SLOT_READY);
	if (worker->crew->scope->kind == PST_POOL_APP)
		pst_crew_tell_model(worker->crew, worker->model, kind);
	pst_gates_announce(worker);
	if (worker->crew->arbiter->phase == PST_PHASE_DRAINING)
		pst_worker_say_closing(worker);
	pst_reload_go_on(worker->crew->arbiter);
}

/* The application wants another kind of worker than the one that was tried: it exits, and that kind
 * is started in its place. */
static void
change_model(struct pst_worker *worker, const struct pst_control *line)
{
	struct pst_worker_class class;
	enum pst_model model;

	pst_worker_class_of(scope_of(worker)->conf, &class);
	if (worker->child.slot.state != PST_SLOT_STARTING || !class.is_auto || line->count != 2 ||
	    pst_model_find(line->words[1], &model) < 0) {
		pst_child_unknown_line(&worker->child, line);
		return;
	}
	if (worker->changed >= CHANGES_MOST) {
		pst_log_error("worker %s (pid %ld): '%s' wants %s workers now, after others that "
			      "did not suit it either: say with -k which ones it is to have",
		    worker->id, (long)worker->child.pid, pst_conf_app(scope_of(worker)->conf),
		    line->words[1]);
		return;
	}
	worker->changes = true;
	pst_crew_found(worker->crew, &class, worker->model, model);
}

static void
on_line(void *owner, const struct pst_control *line)
{
	struct pst_worker *worker = owner;

	if (pst_control_is(line, "READY")) {
		if (worker->child.slot.state != PST_SLOT_STARTING)
			return;
		enter_ready(worker, line->count > 1 ? line->words[1] : NULL);
	} else if (pst_control_is(line, "MODEL")) {
		change_model(worker, line);
	} else if (!pst_control_is(line, "PONG")) {
		pst_child_unknown_line(&worker->child, line);
	}
}

/* It takes long to load, which may be right: say so once. */
static void
note_start(struct pst_worker *worker)
{
	const struct pst_conf *conf = scope_of(worker)->conf;
	unsigned limit = start_limit(conf);

	worker->noted = true;
	if (limit == 0) {
		pst_log_info("worker %s (pid %ld): '%s' is not loaded yet, after %d s; no "
			     "--timeout limits that",
		    worker->id, (long)worker->child.pid, pst_conf_app(conf), NOTE_S);
		return;
	}
	pst_log_info("worker %s (pid %ld): '%s' is not loaded yet, after %d s of %u s that it may "
		     "take",
	    worker->id, (long)worker->child.pid, pst_conf_app(conf), NOTE_S, limit);
	pst_child_limit_start(&worker->child, (limit - NOTE_S) * 1000);
}

static void
on_late_start(void *owner)
{
	struct pst_worker *worker = owner;
	const struct pst_conf *conf = scope_of(worker)->conf;

	if (!worker->child.channel) {
		enter_ready(worker, NULL);
		return;
	}
	if (!worker->noted) {
		note_start(worker);
		return;
	}
	pst_log_error("worker %s (pid %ld): '%s' is still not loaded after %u s (the limit "
		      "is --timeout, or %d s if that is longer): the worker dumps its stacks, is "
		      "killed and replaced",
	    worker->id, (long)worker->child.pid, pst_conf_app(conf), start_limit(conf),
	    START_LEAST_S);
	pst_child_end(&worker->child, SIGABRT, DUMP_MS);
}

static void
on_retry(void *owner)
{
	pst_worker_start(owner);
}

/* ---- its process ---- */

/* Spawn with the descriptors that were made. */
static int
execute(struct pst_worker *worker, int output)
{
	const struct pst_scope *scope = scope_of(worker);
	struct pst_command command;
	struct pst_spawn spawn = {
	    .fds = {worker->listener, output, output, -1, worker->page},
	    .identity = &scope->identity,
	    .environment = scope->environment,
	    .base = scope->base,
	    .directory = scope->directory,
	    .has_control = scope->has_control,
	};
	char name[sizeof(worker->child.name)];
	int result;

	if (pst_command_make(&command, scope->conf, worker->id, worker->model) < 0) {
		pst_log_error("worker %s: cannot start: %s", worker->id, strerror(errno));
		return -1;
	}
	spawn.file = command.file;
	spawn.argv = command.argv;
	snprintf(name, sizeof(name), "worker %s", worker->id);
	result = pst_child_start(&worker->child, &spawn, name);
	pst_command_free(&command);
	return result;
}

/* A pipe for what it prints; the writing end is returned. */
static int
open_output(struct pst_worker *worker)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
		worker->output =
		    pst_output_new(&worker->crew->arbiter->outputs, ends[0], worker->id);
	if (!worker->output) {
		close(ends[0]);
		close(ends[1]);
		errno = ENOMEM;
		return -1;
	}
	return ends[1];
}

/*
 * Ours says when it is ready, in limited time. Of another program we know that it runs; that it
 * goes on doing so it has to prove where it is the first, or where somebody leaves for it.
 */
static void
limit_start(struct pst_worker *worker)
{
	worker->noted = false;
	if (worker->child.channel)
		pst_child_limit_start(&worker->child, NOTE_S * 1000);
	else if (!worker->child.channel &&
		 (worker->role == PST_WORKER_HEIR || !worker->crew->was_usable))
		pst_child_limit_start(&worker->child, PROOF_MS);
	else if (!worker->child.channel)
		enter_ready(worker, NULL);
}

static int
try_to_start(struct pst_worker *worker)
{
	struct pst_arbiter *arbiter = worker->crew->arbiter;
	int output, result;

	worker->listener = pst_rundir_listen(&arbiter->rundir, worker->socket, worker->path);
	if (worker->listener < 0) {
		pst_log_error("worker %s: cannot make its socket %s: %s", worker->id, worker->path,
		    strerror(errno));
		return -1;
	}
	/* Programs that are not ours know nothing of it. */
	if (worker->crew->scope->has_control)
		worker->page = pst_page_create(pst_worker_class_words(scope_of(worker)->conf));
	if (worker->crew->scope->has_control && worker->page < 0) {
		pst_log_error(
		    "worker %s: cannot make the memory that it shares with the gateway: %s",
		    worker->id, strerror(errno));
		return -1;
	}
	output = open_output(worker);
	if (output < 0) {
		pst_log_error("worker %s: cannot make a pipe for its output: %s", worker->id,
		    strerror(errno));
		return -1;
	}
	result = execute(worker, output);
	close(output);
	if (result < 0)
		return -1;
	pst_output_set_pid(worker->output, worker->child.pid);
	limit_start(worker);
	return 0;
}

/* ---- its life ---- */

struct pst_worker *
pst_worker_new(struct pst_crew *crew, unsigned number, enum pst_worker_role role)
{
	static const struct pst_child_events events = {
	    .line = on_line, .late = on_late_start, .retry = on_retry};
	struct pst_worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->crew = crew;
	worker->role = role;
	worker->number = number;
	worker->listener = -1;
	worker->page = -1;
	if (pst_child_init(&worker->child, crew->arbiter->base, &events, worker) < 0) {
		free(worker);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&crew->workers, worker, link);
	return worker;
}

void
pst_worker_free(struct pst_worker *worker)
{
	TAILQ_REMOVE(&worker->crew->workers, worker, link);
	pst_child_close(&worker->child);
	if (worker->age)
		event_free(worker->age);
	free(worker);
}

void
pst_worker_set_role(struct pst_worker *worker, enum pst_worker_role role)
{
	static const unsigned next[] = {
	    [PST_WORKER_HOLDER] = 1u << PST_WORKER_LEAVING,
	    [PST_WORKER_HEIR] = 1u << PST_WORKER_HOLDER | 1u << PST_WORKER_LEAVING,
	    [PST_WORKER_LEAVING] = 1u << PST_WORKER_GONE,
	    [PST_WORKER_GONE] = 0,
	};

	assert(next[worker->role] & (1u << role));
	worker->role = role;
	if (role != PST_WORKER_GONE)
		return;
	assert(!pst_slot_has_process(&worker->child.slot));
	event_active(worker->crew->arbiter->sweep, EV_TIMEOUT, 0);
}

void
pst_worker_start(struct pst_worker *worker)
{
	struct pst_arbiter *arbiter = worker->crew->arbiter;

	snprintf(
	    worker->socket, sizeof(worker->socket), "%u.%lu", worker->number, ++arbiter->serial);
	snprintf(worker->id, sizeof(worker->id), "%s%s", worker->crew->prefix, worker->socket);
	snprintf(worker->child.name, sizeof(worker->child.name), "worker %s", worker->id);
	if (scope_of(worker)->kind == PST_POOL_APP)
		worker->model = pst_crew_model(worker->crew, scope_of(worker));
	worker->changed = worker->changes ? worker->changed + 1 : 0;
	worker->changes = false;
	worker->late = false;
	/* One more of what a reload is to replace, as its slot was added meanwhile. */
	if (worker->role == PST_WORKER_HOLDER && worker->crew->next && !worker->is_next)
		worker->due = PST_DUE_RELOAD;
	worker->said[0] = '\0';
	if (worker->age)
		event_del(worker->age);
	if (try_to_start(worker) == 0)
		return;
	pst_worker_reaped(worker);
	pst_arbiter_worker_gone(arbiter, worker, PST_NOT_STARTED);
}

void
pst_worker_reaped(struct pst_worker *worker)
{
	pst_child_reaped(&worker->child);
	if (worker->output)
		pst_output_finish(worker->output, worker->said);
	worker->output = NULL;
	if (worker->page >= 0)
		close(worker->page);
	worker->page = -1;
	if (worker->listener < 0)
		return;
	close(worker->listener);
	worker->listener = -1;
	pst_rundir_forget(&worker->crew->arbiter->rundir, worker->socket);
}

void
pst_worker_late(struct pst_worker *worker, const char *request)
{
	if (!pst_slot_is_wanted(&worker->child.slot))
		return;
	worker->late = true;
	/* Which deadline that was the gateway has said. */
	pst_log_error("worker %s (pid %ld): %s passed its deadline and still runs: the worker %sis "
		      "killed and replaced",
	    worker->id, (long)worker->child.pid, request,
	    worker->child.channel ? "dumps its stacks, " : "");
	pst_child_end(&worker->child, worker->child.channel ? SIGABRT : SIGTERM, DUMP_MS);
}

void
pst_worker_kill(struct pst_worker *worker, const char *why)
{
	worker->late = true;
	pst_log_warning("%s: worker %s (pid %ld) dumps its stacks and is killed", why, worker->id,
	    (long)worker->child.pid);
	pst_child_end(&worker->child, SIGABRT, DUMP_MS);
}

/* ---- its leave ---- */

static void
drain(struct pst_worker *worker)
{
	unsigned grace = pst_arbiter_grace(worker->crew->arbiter);

	pst_child_drain(&worker->child, grace > EXIT_MS ? grace : EXIT_MS);
}

/* Adapters of the other models end what they have as soon as their clients are gone. */
void
pst_worker_say_closing(struct pst_worker *worker)
{
	if (worker->child.channel && worker->crew->scope->kind == PST_POOL_APP &&
	    worker->model == PST_MODEL_ASYNC)
		pst_channel_send(worker->child.channel, "CLOSING", NULL);
}

void
pst_worker_leave(struct pst_worker *worker)
{
	struct pst_child *child = &worker->child;

	pst_worker_set_role(worker, PST_WORKER_LEAVING);
	switch (child->slot.state) {
	case PST_SLOT_BACKOFF:
		pst_child_give_up(child);
		pst_worker_set_role(worker, PST_WORKER_GONE);
		break;
	case PST_SLOT_EMPTY: pst_worker_set_role(worker, PST_WORKER_GONE); break;
	case PST_SLOT_STARTING: /* it loads its application and hears nothing else */
		pst_child_end(child, SIGTERM, PST_CHILD_GRACE);
		break;
	case PST_SLOT_READY:
	case PST_SLOT_USABLE:
		if (pst_gates_drain(worker) == 0) {
			pst_worker_say_closing(worker);
			pst_child_retire(child, pst_arbiter_grace(worker->crew->arbiter));
		} else {
			drain(worker);
		}
		break;
	default: break; /* it is on its way out */
	}
}

void
pst_worker_drained(struct pst_worker *worker)
{
	if (worker->child.slot.state == PST_SLOT_RETIRING)
		drain(worker);
}
