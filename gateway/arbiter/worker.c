#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Between SIGABRT, at which a worker dumps its stacks, and SIGKILL. */
#define DUMP_MS 1000

/* As in gunicorn --timeout limits the start, too, but who sets a short one means requests. */
#define START_LEAST_S 30

/* Seconds that a worker may take to load its application; 0: no limit. */
static unsigned
start_limit(const struct pst_conf *conf)
{
	unsigned long timeout = pst_conf_number(conf, PST_OPT_TIMEOUT);

	if (timeout > 0 && timeout < START_LEAST_S)
		return START_LEAST_S;
	return (unsigned)(timeout > 86400 ? 86400 : timeout);
}

/* ---- what it says ---- */

static void
on_line(void *owner, const struct pst_control *line)
{
	struct pst_worker *worker = owner;

	if (pst_control_is(line, "READY")) {
		if (worker->child.slot.state != PST_SLOT_STARTING)
			return;
		pst_child_ready(&worker->child, PST_SLOT_READY);
		pst_gate_announce(&worker->arbiter->gate, worker);
	} else if (!pst_control_is(line, "PONG")) {
		pst_child_unknown_line(&worker->child, line);
	}
}

static void
on_late_start(void *owner)
{
	struct pst_worker *worker = owner;

	pst_log_error("worker %s (pid %ld): '%s' is still not loaded after %u s (the limit "
		      "is --timeout, or %d s if that is longer): the worker dumps its stacks, is "
		      "killed and replaced",
	    worker->id, (long)worker->child.pid, pst_conf_app(worker->arbiter->conf),
	    start_limit(worker->arbiter->conf), START_LEAST_S);
	pst_child_end(&worker->child, SIGABRT, DUMP_MS);
}

static void
on_retry(void *owner)
{
	pst_worker_start(owner);
}

/* ---- its command line ---- */

struct command {
	char title[128];
	char workers[32]; /* "workers=4" */
	char **argv;
	size_t count;
};

static void
add_word(struct command *command, const char *word)
{
	command->argv[command->count++] = (char *)(uintptr_t)word;
}

/* Every option that goes to workers, as --name value. ROOM names are kept in NAMES. */
static void
add_options(struct command *command, const struct pst_conf *conf, char (*names)[40])
{
	for (int id = 0; id < PST_OPT_COUNT; id++) {
		if (pst_options[id].to != PST_TO_WORKER)
			continue;
		snprintf(names[id], sizeof(names[id]), "--%s", pst_options[id].name);
		for (size_t i = 0; i < pst_conf_count(conf, (enum pst_option_id)id); i++) {
			add_word(command, names[id]);
			add_word(command, pst_conf_item(conf, (enum pst_option_id)id, i));
		}
	}
}

static size_t
count_words(const struct pst_conf *conf)
{
	size_t count = 8; /* title, --worker-id, ID, --option, workers=N, --, APP, NULL */

	for (int id = 0; id < PST_OPT_COUNT; id++)
		if (pst_options[id].to == PST_TO_WORKER)
			count += 2 * pst_conf_count(conf, (enum pst_option_id)id);
	return count;
}

/* ---- its process ---- */

/* Spawn with the descriptors that were made. */
static int
execute(struct pst_worker *worker, int output)
{
	struct pst_arbiter *arbiter = worker->arbiter;
	const struct pst_conf *conf = arbiter->conf;
	char names[PST_OPT_COUNT][40], name[40], file[512];
	struct command command = {
	    .argv = calloc(count_words(conf), sizeof(char *)),
	};
	struct pst_spawn spawn = {
	    .file = file,
	    .argv = command.argv,
	    .fds = {worker->listener, output, output, -1},
	    .identity = arbiter->identity,
	};
	int result = -1;

	if (!command.argv) {
		pst_log_error("worker %s: cannot start: out of memory", worker->id);
		return -1;
	}
	snprintf(file, sizeof(file), "%s/%s", PST_LIBEXECDIR,
	    pst_conf_text(conf, PST_OPT_WORKER_CLASS));
	snprintf(command.title, sizeof(command.title), "penstock: %s [%s]",
	    pst_conf_text(conf, PST_OPT_WORKER_CLASS), pst_conf_title(conf));
	add_word(&command, command.title);
	add_word(&command, "--worker-id");
	add_word(&command, worker->id);
	snprintf(command.workers, sizeof(command.workers), "workers=%lu",
	    pst_conf_number(conf, PST_OPT_WORKERS));
	add_word(&command, "--option");
	add_word(&command, command.workers);
	add_options(&command, conf, names);
	add_word(&command, "--");
	add_word(&command, pst_conf_app(conf));
	snprintf(name, sizeof(name), "worker %s", worker->id);
	result = pst_child_start(&worker->child, &spawn, name);
	free(command.argv);
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
		worker->output = pst_output_new(&worker->arbiter->outputs, ends[0], worker->id);
	if (!worker->output) {
		close(ends[0]);
		close(ends[1]);
		errno = ENOMEM;
		return -1;
	}
	return ends[1];
}

static int
try_to_start(struct pst_worker *worker)
{
	int output, result;

	worker->listener =
	    pst_rundir_listen(&worker->arbiter->rundir, worker->id, worker->path);
	if (worker->listener < 0) {
		pst_log_error("worker %s: cannot make its socket %s: %s", worker->id,
		    worker->path, strerror(errno));
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
	if (start_limit(worker->arbiter->conf) > 0)
		pst_child_limit_start(&worker->child, start_limit(worker->arbiter->conf) * 1000);
	return 0;
}

int
pst_worker_init(struct pst_worker *worker, struct pst_arbiter *arbiter, unsigned number)
{
	static const struct pst_child_events events = {
	    .line = on_line, .late = on_late_start, .retry = on_retry};

	worker->arbiter = arbiter;
	worker->number = number;
	worker->listener = -1;
	return pst_child_init(&worker->child, arbiter->base, &events, worker);
}

void
pst_worker_start(struct pst_worker *worker)
{
	snprintf(worker->id, sizeof(worker->id), "%u.%lu", worker->number,
	    ++worker->arbiter->serial);
	worker->announced = false;
	worker->late = false;
	if (try_to_start(worker) == 0)
		return;
	pst_worker_reaped(worker);
	pst_arbiter_worker_gone(worker->arbiter, worker, PST_NOT_STARTED);
}

void
pst_worker_reaped(struct pst_worker *worker)
{
	pst_child_reaped(&worker->child);
	if (worker->output)
		pst_output_finish(worker->output);
	worker->output = NULL;
	if (worker->listener < 0)
		return;
	close(worker->listener);
	worker->listener = -1;
	pst_rundir_forget(&worker->arbiter->rundir, worker->id);
}

void
pst_worker_late(struct pst_worker *worker, const char *request)
{
	if (!pst_slot_is_wanted(&worker->child.slot))
		return;
	worker->late = true;
	pst_log_error("worker %s (pid %ld): %s passed the timeout of %s s and still runs: the "
		      "worker dumps its stacks, is killed and replaced",
	    worker->id, (long)worker->child.pid, request,
	    pst_conf_text(worker->arbiter->conf, PST_OPT_TIMEOUT));
	pst_child_end(&worker->child, SIGABRT, DUMP_MS);
}
