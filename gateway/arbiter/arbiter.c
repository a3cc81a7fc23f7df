#include "gateway/arbiter/arbiter.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/pidfile.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* libevent's priorities: what workers print comes after everything else. */
enum { PRIORITY_LIFE, PRIORITY_OUTPUT, PRIORITIES };

/* What the gateway gets on top of --graceful-timeout, which it keeps itself. */
#define GATEWAY_MARGIN_MS 2000
/* Workers are idle when they are asked: what they get to clean up. */
#define WORKER_DRAIN_MS 5000
/* A process that died so soon by a signal was never going to work. */
#define FAILED_START_MS 1000

/* ---- the end ---- */

static void
enter_phase(struct pst_arbiter *arbiter, enum pst_phase phase)
{
	assert(phase > arbiter->phase);
	arbiter->phase = phase;
}

static void
stop_when_empty(struct pst_arbiter *arbiter)
{
	if (arbiter->phase < PST_PHASE_RETIRING || pst_slot_has_process(&arbiter->gate.child.slot))
		return;
	for (size_t i = 0; i < arbiter->worker_count; i++)
		if (pst_slot_has_process(&arbiter->workers[i].child.slot))
			return;
	arbiter->finished = true;
	event_base_loopbreak(arbiter->base);
}

/* A slot that waits to be filled again is not filled any more. */
static void
give_up_slot(struct pst_child *child)
{
	if (child->slot.state != PST_SLOT_BACKOFF)
		return;
	event_del(child->timer);
	pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
}

static void
end_child(struct pst_child *child, int number)
{
	give_up_slot(child);
	if (pst_slot_has_process(&child->slot))
		pst_child_end(child, number, PST_CHILD_GRACE);
}

/* End all at once. NUMBER is SIGTERM, or SIGKILL when that was not quick enough. */
static void
end_now(struct pst_arbiter *arbiter, int number)
{
	if (arbiter->phase != PST_PHASE_ENDING)
		enter_phase(arbiter, PST_PHASE_ENDING);
	end_child(&arbiter->gate.child, number);
	for (size_t i = 0; i < arbiter->worker_count; i++)
		end_child(&arbiter->workers[i].child, number);
	stop_when_empty(arbiter);
}

static void
fail(struct pst_arbiter *arbiter, enum pst_exit status)
{
	if (arbiter->phase == PST_PHASE_ENDING)
		return;
	arbiter->status = status;
	end_now(arbiter, SIGTERM);
}

static void
retire_worker(struct pst_child *child)
{
	give_up_slot(child);
	switch (child->slot.state) {
	case PST_SLOT_STARTING: /* it loads its application and hears nothing else */
		pst_child_end(child, SIGTERM, PST_CHILD_GRACE);
		break;
	case PST_SLOT_READY:
	case PST_SLOT_USABLE: pst_child_drain(child, WORKER_DRAIN_MS); break;
	default: break;
	}
}

static void
retire(struct pst_arbiter *arbiter)
{
	enter_phase(arbiter, PST_PHASE_RETIRING);
	for (size_t i = 0; i < arbiter->worker_count; i++)
		retire_worker(&arbiter->workers[i].child);
	stop_when_empty(arbiter);
}

static void
drain(struct pst_arbiter *arbiter)
{
	struct pst_child *gate = &arbiter->gate.child;
	unsigned long seconds = pst_conf_number(arbiter->conf, PST_OPT_GRACEFUL_TIMEOUT);
	unsigned grace = (unsigned)(seconds > 86400 ? 86400 : seconds) * 1000;

	enter_phase(arbiter, PST_PHASE_DRAINING);
	give_up_slot(gate);
	if (pst_slot_is_wanted(&gate->slot))
		pst_child_drain(gate, grace + GATEWAY_MARGIN_MS);
	else if (!pst_slot_has_process(&gate->slot))
		retire(arbiter);
}

/* ---- what children do ---- */

/* What follows a failure at the start; -1: it is tried again. */
static int
start_failure(struct pst_child *child, int wait_status)
{
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	return pst_clock_ms() - child->slot.started_at < FAILED_START_MS ? 1 : -1;
}

static void
retry(struct pst_child *child, const char *name, long pid, int wait_status)
{
	unsigned delay = pst_slot_fail(&child->slot, pst_clock_ms());
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (pid)
		pst_log_error("%s (pid %ld) %s; another is started in %u.%u s", name, pid, words,
		    delay / 1000, delay % 1000 / 100);
	else
		pst_log_error("%s could not be started; another try in %u.%u s", name,
		    delay / 1000, delay % 1000 / 100);
	pst_child_retry_later(child, delay);
}

void
pst_arbiter_gate_gone(struct pst_arbiter *arbiter, int wait_status)
{
	struct pst_child *child = &arbiter->gate.child;
	long pid = child->pid;
	char words[128];
	int code;

	pst_child_reaped(child);
	pst_child_describe(wait_status, words, sizeof(words));
	if (arbiter->phase >= PST_PHASE_DRAINING) {
		if (child->slot.state == PST_SLOT_DRAINING && wait_status != 0)
			pst_log_error("gateway (pid %ld) %s while it finished requests", pid, words);
		if (child->slot.state != PST_SLOT_EMPTY)
			pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
		if (arbiter->phase == PST_PHASE_DRAINING)
			retire(arbiter);
		stop_when_empty(arbiter);
		return;
	}
	code = start_failure(child, wait_status);
	if (!arbiter->gate.was_usable && code >= 0) {
		pst_log_critical("the gateway (pid %ld) %s before it could serve: giving up", pid,
		    words);
		if (pst_slot_has_process(&child->slot))
			pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
		fail(arbiter, code == PST_EXIT_USAGE ? PST_EXIT_USAGE : PST_EXIT_FAILED);
		return;
	}
	retry(child, "gateway", pid, wait_status);
}

static void
give_up_start(
    struct pst_arbiter *arbiter, struct pst_worker *worker, long pid, int wait_status, int code)
{
	const char *app = pst_conf_app(arbiter->conf);
	char words[128];

	pst_child_describe(wait_status, words, sizeof(words));
	if (code == PST_EXIT_APP)
		pst_log_critical("the application '%s' did not load: what worker %s (pid %ld) "
				 "printed above says why; giving up", app, worker->id, pid);
	else
		pst_log_critical("worker %s (pid %ld) for '%s' %s before it was ready: what it "
				 "printed above should say why; giving up",
		    worker->id, pid, app, words);
	if (pst_slot_has_process(&worker->child.slot))
		pst_slot_enter(&worker->child.slot, PST_SLOT_EMPTY, pst_clock_ms());
	fail(arbiter, code == PST_EXIT_APP ? PST_EXIT_APP : PST_EXIT_FAILED);
}

void
pst_arbiter_worker_gone(struct pst_arbiter *arbiter, struct pst_worker *worker, int wait_status)
{
	struct pst_child *child = &worker->child;
	long pid = child->pid;
	int code;

	pst_worker_reaped(worker);
	pst_gate_withdraw(&arbiter->gate, worker);
	if (arbiter->phase >= PST_PHASE_RETIRING) {
		if (child->slot.state != PST_SLOT_EMPTY)
			pst_slot_enter(&child->slot, PST_SLOT_EMPTY, pst_clock_ms());
		stop_when_empty(arbiter);
		return;
	}
	if (worker->late) {
		pst_log_info("worker %s (pid %ld) is gone; another is started", worker->id, pid);
		pst_child_retry_later(child, 0);
		return;
	}
	code = start_failure(child, wait_status);
	if (arbiter->phase == PST_PHASE_STARTING && code >= 0)
		give_up_start(arbiter, worker, pid, wait_status, code);
	else
		retry(child, child->name, pid, wait_status);
}

static void
log_addresses(const struct pst_arbiter *arbiter, const char *before, const char *after)
{
	const struct pst_listeners *listeners = &arbiter->listeners;
	char text[2048], url[400];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < listeners->count && used + sizeof(url) < sizeof(text); i++) {
		pst_listener_url(&listeners->list[i], url, sizeof(url));
		used += (size_t)snprintf(
		    text + used, sizeof(text) - used, "%s%s", i ? "," : "", url);
	}
	pst_log_info("%s%s%s", before, text, after);
}

void
pst_arbiter_worker_usable(struct pst_arbiter *arbiter, struct pst_worker *worker)
{
	pst_log_info("worker %s ready (pid %ld)", worker->id, (long)worker->child.pid);
	if (arbiter->phase != PST_PHASE_STARTING)
		return;
	enter_phase(arbiter, PST_PHASE_SERVING);
	log_addresses(arbiter, "Penstock " PACKAGE_VERSION " serves at ", "");
}

static void
reaped(struct pst_arbiter *arbiter, pid_t pid, int wait_status)
{
	if (pid == arbiter->gate.child.pid) {
		pst_arbiter_gate_gone(arbiter, wait_status);
		return;
	}
	for (size_t i = 0; i < arbiter->worker_count; i++) {
		if (pid == arbiter->workers[i].child.pid) {
			pst_arbiter_worker_gone(arbiter, &arbiter->workers[i], wait_status);
			return;
		}
	}
	/* Somebody's orphan: we are process 1 of a container, or a subreaper. */
	pst_log_debug("reaped pid %ld, which is none of ours", (long)pid);
}

static void
reap(struct pst_arbiter *arbiter)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		reaped(arbiter, pid, wait_status);
}

/* ---- signals ---- */

static void
set_signals(sigset_t *set)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGHUP, SIGUSR1,
	    SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(set, numbers[i]);
}

static void
on_term(struct pst_arbiter *arbiter, unsigned sender)
{
	pst_log_info("SIGTERM from pid %u: requests are finished within %s s, then all ends",
	    sender, pst_conf_text(arbiter->conf, PST_OPT_GRACEFUL_TIMEOUT));
	drain(arbiter);
}

/* INT and QUIT, and whatever comes after the first of TERM, INT and QUIT. */
static void
on_quick(struct pst_arbiter *arbiter, int number, unsigned sender)
{
	bool again = arbiter->phase == PST_PHASE_ENDING;

	pst_log_info("SIG%s from pid %u: %s", sigabbrev_np(number), sender,
	    again ? "all is killed" : "all ends at once");
	end_now(arbiter, again ? SIGKILL : SIGTERM);
}

static void
on_signal(struct pst_arbiter *arbiter, const struct signalfd_siginfo *info)
{
	int number = (int)info->ssi_signo;

	switch (number) {
	case SIGCHLD: reap(arbiter); break;
	case SIGTERM:
		if (arbiter->phase < PST_PHASE_DRAINING) {
			on_term(arbiter, info->ssi_pid);
			break;
		}
		/* fallthrough */
	case SIGINT:
	case SIGQUIT: on_quick(arbiter, number, info->ssi_pid); break;
	default:
		pst_log_warning("SIG%s from pid %u is ignored: this version of Penstock has no "
				"use for it yet", sigabbrev_np(number), info->ssi_pid);
	}
}

static void
on_signals(evutil_socket_t fd, short what, void *arg)
{
	struct pst_arbiter *arbiter = arg;
	struct signalfd_siginfo info;

	(void)what;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		on_signal(arbiter, &info);
	/* Signals of one kind merge, and a child may have been reaped twice over. */
	reap(arbiter);
}

void
pst_arbiter_block_signals(void)
{
	struct sigaction ignore;
	sigset_t set;

	set_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	memset(&ignore, 0, sizeof(ignore));
	ignore.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &ignore, NULL);
}

/* ---- the whole ---- */

static int
open_signals(struct pst_arbiter *arbiter)
{
	sigset_t set;
	int fd;

	set_signals(&set);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -1;
	arbiter->signals =
	    event_new(arbiter->base, fd, EV_READ | EV_PERSIST, on_signals, arbiter);
	if (!arbiter->signals) {
		close(fd);
		return -1;
	}
	return event_add(arbiter->signals, NULL);
}

static void
close_signals(struct pst_arbiter *arbiter)
{
	if (!arbiter->signals)
		return;
	close(event_get_fd(arbiter->signals));
	event_free(arbiter->signals);
}

static int
make_children(struct pst_arbiter *arbiter)
{
	size_t count = pst_conf_number(arbiter->conf, PST_OPT_WORKERS);

	arbiter->workers = calloc(count, sizeof(*arbiter->workers));
	if (!arbiter->workers || pst_gate_init(&arbiter->gate, arbiter) < 0)
		return -1;
	for (; arbiter->worker_count < count; arbiter->worker_count++) {
		size_t i = arbiter->worker_count;

		if (pst_worker_init(&arbiter->workers[i], arbiter, (unsigned)i + 1) < 0)
			return -1;
	}
	return 0;
}

/* The event loop and what hangs on it: 0, or -1 after a line was logged. */
static int
open_machinery(struct pst_arbiter *arbiter)
{
	arbiter->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	arbiter->base = event_base_new();
	if (arbiter->null < 0 || !arbiter->base ||
	    event_base_priority_init(arbiter->base, PRIORITIES) < 0)
		goto failed;
	arbiter->outputs.base = arbiter->base;
	arbiter->outputs.priority = PRIORITY_OUTPUT;
	if (open_signals(arbiter) < 0 || make_children(arbiter) < 0)
		goto failed;
	return 0;

failed:
	pst_log_critical("cannot set up the event loop: %s", strerror(errno));
	return -1;
}

static void
close_machinery(struct pst_arbiter *arbiter)
{
	for (size_t i = 0; i < arbiter->worker_count; i++)
		pst_child_close(&arbiter->workers[i].child);
	pst_child_close(&arbiter->gate.child);
	free(arbiter->workers);
	pst_outputs_close(&arbiter->outputs);
	close_signals(arbiter);
	if (arbiter->base)
		event_base_free(arbiter->base);
	if (arbiter->null >= 0)
		close(arbiter->null);
}

static void
start_children(struct pst_arbiter *arbiter)
{
	pst_gate_start(&arbiter->gate);
	for (size_t i = 0; i < arbiter->worker_count && arbiter->phase == PST_PHASE_STARTING; i++)
		pst_worker_start(&arbiter->workers[i]);
}

static void
serve(struct pst_arbiter *arbiter)
{
	char pid[32];

	pst_log_info("Starting penstock %s", PACKAGE_VERSION);
	snprintf(pid, sizeof(pid), " (%ld)", (long)getpid());
	log_addresses(arbiter, "Listening at: ", pid);
	pst_log_info("Using worker: %s", pst_conf_text(arbiter->conf, PST_OPT_WORKER_CLASS));
	/* Every child finds out by this that descriptor 3 is its control channel. */
	setenv("PENSTOCK_CONTROL", "3", 1);
	start_children(arbiter);
	if (!arbiter->finished)
		event_base_dispatch(arbiter->base);
	pst_log_info("Shutting down: penstock (pid %ld), exit status %d", (long)getpid(),
	    (int)arbiter->status);
}

static void
run_in_rundir(struct pst_arbiter *arbiter)
{
	if (pst_rundir_make(&arbiter->rundir, arbiter->identity) < 0) {
		arbiter->status = PST_EXIT_FAILED;
		return;
	}
	if (open_machinery(arbiter) == 0)
		serve(arbiter);
	else
		arbiter->status = PST_EXIT_FAILED;
	close_machinery(arbiter);
	pst_rundir_remove(&arbiter->rundir);
}

static void
run_with_pidfile(struct pst_arbiter *arbiter)
{
	const char *pidfile = pst_conf_text(arbiter->conf, PST_OPT_PID);

	if (pidfile && pst_pidfile_write(pidfile) < 0) {
		arbiter->status = PST_EXIT_FAILED;
		return;
	}
	run_in_rundir(arbiter);
	if (pidfile)
		pst_pidfile_remove(pidfile);
}

enum pst_exit
pst_arbiter_run(const struct pst_conf *conf, const struct pst_identity *identity, int access_log)
{
	struct pst_arbiter arbiter = {
	    .conf = conf,
	    .identity = identity,
	    .access_log = access_log,
	    .null = -1,
	};

	switch (pst_listeners_open(&arbiter.listeners, conf, identity)) {
	case PST_LISTENERS_FAILED: return PST_EXIT_FAILED;
	case PST_LISTENERS_INTERRUPTED: return PST_EXIT_OK;
	case PST_LISTENERS_OPEN: break;
	}
	run_with_pidfile(&arbiter);
	pst_listeners_close(&arbiter.listeners);
	return arbiter.status;
}
