#include "gateway/arbiter/arbiter.h"

#include "gateway/arbiter/pidfile.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

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

/* ---- children that exited ---- */

static struct pst_worker *
find_worker(const struct pst_arbiter *arbiter, pid_t pid)
{
	struct pst_crew *crew;
	struct pst_worker *worker;

	TAILQ_FOREACH (crew, &arbiter->crews, link)
		TAILQ_FOREACH (worker, &crew->workers, link)
			if (pid == worker->child.pid)
				return worker;
	return NULL;
}

static struct pst_gate *
find_gate(const struct pst_arbiter *arbiter, pid_t pid)
{
	struct pst_gate *gate;

	TAILQ_FOREACH (gate, &arbiter->gates, link)
		if (pid == gate->child.pid)
			return gate;
	return NULL;
}

static void
reaped(struct pst_arbiter *arbiter, pid_t pid, int wait_status)
{
	struct pst_gate *gate;
	struct pst_worker *worker;

	gate = find_gate(arbiter, pid);
	if (gate) {
		pst_arbiter_gate_gone(gate, wait_status);
		return;
	}
	worker = find_worker(arbiter, pid);
	if (worker) {
		pst_arbiter_worker_gone(arbiter, worker, wait_status);
		return;
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
	static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2,
	    SIGTTIN, SIGTTOU, SIGWINCH};

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(set, numbers[i]);
}

static void
on_term(struct pst_arbiter *arbiter, unsigned sender)
{
	const struct pst_conf *conf = arbiter->generation->conf;
	char delay[96] = "";

	if (pst_conf_number(conf, PST_OPT_DRAIN_DELAY) > 0)
		snprintf(delay, sizeof(delay), "clients are accepted for %.20s s more, then ",
		    pst_conf_text(conf, PST_OPT_DRAIN_DELAY));
	pst_log_info("SIGTERM from pid %u: %srequests are finished within %s s, then all ends",
	    sender, delay, pst_conf_text(conf, PST_OPT_GRACEFUL_TIMEOUT));
	pst_arbiter_drain(arbiter);
}

/* INT and QUIT, and whatever comes after the first of TERM, INT and QUIT. */
static void
on_quick(struct pst_arbiter *arbiter, int number, unsigned sender)
{
	bool again = arbiter->phase == PST_PHASE_ENDING;

	pst_log_info("SIG%s from pid %u: %s", sigabbrev_np(number), sender,
	    again ? "all is killed" : "all ends at once");
	pst_arbiter_end(arbiter, again ? SIGKILL : SIGTERM);
}

static void
on_hup(struct pst_arbiter *arbiter, unsigned sender)
{
	if (arbiter->phase > PST_PHASE_SERVING) {
		pst_log_warning("SIGHUP from pid %u is ignored: all ends", sender);
		return;
	}
	pst_log_info("SIGHUP from pid %u: the configuration is read again, and every worker is "
		     "replaced by one that loads the "
		     "application anew%s",
	    sender,
	    arbiter->reload.step != PST_RELOAD_OFF ? ", also those that this reload has replaced"
						   : "");
	pst_reload_begin(arbiter);
}

/* One, or after WINCH one for each gateway. */
static void
add_worker(struct pst_crew *crew)
{
	unsigned gateways = pst_generation_gateways(crew->arbiter->generation);

	pst_crew_more(crew);
	for (unsigned count = pst_crew_size(crew); count < gateways; count++)
		pst_crew_more(crew);
}

static void
on_scale(struct pst_arbiter *arbiter, int number, unsigned sender)
{
	struct pst_crew *first = pst_crew_first(arbiter);
	bool more = number == SIGTTIN;

	if (arbiter->phase > PST_PHASE_SERVING) {
		pst_log_warning(
		    "SIG%s from pid %u is ignored: all ends", sigabbrev_np(number), sender);
		return;
	}
	pst_log_info("SIG%s from pid %u: one worker %s", sigabbrev_np(number), sender,
	    more ? "more" : "less");
	if (first && more)
		add_worker(first);
	else if (first)
		pst_crew_less(first);
	else
		pst_log_warning("no pool has workers of its own: nothing is changed");
}

/* A terminal says so, too, when its window changes. */
static void
on_winch(struct pst_arbiter *arbiter, unsigned sender)
{
	struct pst_crew *crew;

	if (!pst_conf_text(arbiter->generation->conf, PST_OPT_DAEMON) ||
	    arbiter->phase != PST_PHASE_SERVING) {
		pst_log_debug("SIGWINCH from pid %u is ignored", sender);
		return;
	}
	pst_log_info("SIGWINCH from pid %u: all workers finish what they have and leave; requests "
		     "wait until HUP starts workers again, or TTIN one",
	    sender);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		pst_crew_rest(crew);
}

static void
on_signal(struct pst_arbiter *arbiter, const struct signalfd_siginfo *info)
{
	int number = (int)info->ssi_signo;

	switch (number) {
	case SIGCHLD: reap(arbiter); break;
	case SIGTERM:
		if (arbiter->phase <= PST_PHASE_SERVING)
			on_term(arbiter, info->ssi_pid);
		else
			on_quick(arbiter, number, info->ssi_pid);
		break;
	case SIGINT:
	case SIGQUIT: on_quick(arbiter, number, info->ssi_pid); break;
	case SIGHUP: on_hup(arbiter, info->ssi_pid); break;
	case SIGUSR1:
		pst_arbiter_reopen_logs(arbiter);
		pst_log_info("SIGUSR1 from pid %u: the log files were opened again", info->ssi_pid);
		break;
	case SIGTTIN:
	case SIGTTOU: on_scale(arbiter, number, info->ssi_pid); break;
	case SIGWINCH: on_winch(arbiter, info->ssi_pid); break;
	default:
		pst_log_warning("SIG%s from pid %u is ignored: a running Penstock does not change "
				"into a newly installed one: start it again (penstock(8), "
				"UPGRADES); HUP loads a new configuration and application",
		    sigabbrev_np(number), info->ssi_pid);
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
	arbiter->signals = event_new(arbiter->base, fd, EV_READ | EV_PERSIST, on_signals, arbiter);
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

static void
sweep_gates(struct pst_arbiter *arbiter)
{
	struct pst_gate *gate, *next;

	for (gate = TAILQ_FIRST(&arbiter->gates); gate; gate = next) {
		next = TAILQ_NEXT(gate, link);
		if (gate->role == PST_GATE_GONE)
			pst_gate_free(gate);
	}
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pst_crews_sweep(arg);
	sweep_gates(arg);
}

static int
make_children(struct pst_arbiter *arbiter)
{
	struct pst_generation *generation = arbiter->generation;

	if (pst_gates_new(arbiter, generation, PST_GATE_SERVING) < 0)
		return -1;
	for (size_t i = 0; i < generation->count; i++)
		if (generation->pools[i]->kind != PST_POOL_REMOTE &&
		    !pst_crew_new(arbiter, generation, generation->pools[i]))
			return -1;
	arbiter->sweep = event_new(arbiter->base, -1, 0, on_sweep, arbiter);
	return arbiter->sweep ? 0 : -1;
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
	if (open_signals(arbiter) < 0 || make_children(arbiter) < 0 || pst_weigh_open(arbiter) < 0)
		goto failed;
	return 0;

failed:
	pst_log_critical("cannot set up the event loop: %s", strerror(errno));
	return -1;
}

static void
close_machinery(struct pst_arbiter *arbiter)
{
	while (!TAILQ_EMPTY(&arbiter->crews))
		pst_crew_free(TAILQ_FIRST(&arbiter->crews));
	while (!TAILQ_EMPTY(&arbiter->gates))
		pst_gate_free(TAILQ_FIRST(&arbiter->gates));
	pst_weigh_close(arbiter);
	if (arbiter->sweep)
		event_free(arbiter->sweep);
	pst_outputs_close(&arbiter->outputs);
	close_signals(arbiter);
	if (arbiter->base)
		event_base_free(arbiter->base);
	if (arbiter->null >= 0)
		close(arbiter->null);
	pst_board_unmap(&arbiter->board);
	if (arbiter->board_fd >= 0)
		close(arbiter->board_fd);
}

static void
start_children(struct pst_arbiter *arbiter)
{
	struct pst_gate *gate;
	struct pst_crew *crew;

	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		pst_gate_start(gate);
	TAILQ_FOREACH (crew, &arbiter->crews, link)
		pst_crew_start(crew);
}

/* What kind of worker an application gets that nobody has said -k for is not known yet. */
static void
log_app(struct pst_arbiter *arbiter, const struct pst_scope *scope)
{
	struct pst_worker_class class;

	pst_worker_class_of(scope->conf, &class);
	if (!class.is_auto)
		pst_crew_tell_model(pst_crew_find(arbiter, scope->name), class.model, NULL);
}

static void
log_pools(struct pst_arbiter *arbiter)
{
	const struct pst_generation *generation = arbiter->generation;

	for (size_t i = 0; i < generation->count; i++) {
		const struct pst_scope *scope = generation->pools[i];

		switch (scope->kind) {
		case PST_POOL_APP: log_app(arbiter, scope); break;
		case PST_POOL_PROGRAM:
			pst_log_info("Pool %s: %lu workers of %.200s", scope->name,
			    pst_conf_number(scope->conf, PST_OPT_WORKERS),
			    pst_conf_item(scope->conf, PST_OPT_COMMAND, 0));
			break;
		case PST_POOL_REMOTE:
			pst_log_info("Pool %s: the FastCGI server at %.200s", scope->name,
			    pst_conf_text(scope->conf, PST_OPT_FASTCGI));
		}
	}
}

static void
serve(struct pst_arbiter *arbiter)
{
	char pid[32];

	pst_log_info("Starting penstock %s", PACKAGE_VERSION);
	snprintf(pid, sizeof(pid), " (%ld)", (long)getpid());
	pst_arbiter_log_addresses(arbiter, "Listening at: ", pid);
	log_pools(arbiter);
	pst_source_watch_set(arbiter);
	start_children(arbiter);
	if (!arbiter->finished)
		event_base_dispatch(arbiter->base);
	pst_log_info("Shutting down: penstock (pid %ld), exit status %d", (long)getpid(),
	    (int)arbiter->status);
}

static void
run_in_rundir(struct pst_arbiter *arbiter)
{
	if (pst_rundir_make(&arbiter->rundir, &arbiter->first->top->identity) < 0) {
		arbiter->status = PST_EXIT_FAILED;
		return;
	}
	if (open_machinery(arbiter) == 0 && pst_ctl_open(arbiter) == 0)
		serve(arbiter);
	else
		arbiter->status = PST_EXIT_FAILED;
	pst_ctl_close(arbiter);
	pst_source_watch_end(arbiter);
	close_machinery(arbiter);
	pst_rundir_remove(&arbiter->rundir);
}

static void
run_with_pidfile(struct pst_arbiter *arbiter)
{
	const char *pidfile = pst_conf_text(arbiter->generation->conf, PST_OPT_PID);

	if (pidfile && pst_pidfile_write(pidfile) < 0) {
		arbiter->status = PST_EXIT_FAILED;
		return;
	}
	run_in_rundir(arbiter);
	if (pidfile)
		pst_pidfile_remove(pidfile);
}

static void
run_with_listeners(struct pst_arbiter *arbiter)
{
	struct pst_generation *generation = arbiter->generation;

	switch (pst_listeners_open(
	    &generation->listeners, generation->conf, &generation->top->identity)) {
	case PST_LISTENERS_FAILED: arbiter->status = PST_EXIT_FAILED; break;
	case PST_LISTENERS_INTERRUPTED: arbiter->status = PST_EXIT_OK; break;
	case PST_LISTENERS_OPEN: run_with_pidfile(arbiter);
	}
}

enum pst_exit
pst_arbiter_run(struct pst_generation **generation, const struct pst_start *start, int *daemon)
{
	struct pst_arbiter arbiter = {
	    .start = start,
	    .first = pst_generation_hold(*generation),
	    .generation = *generation,
	    .null = -1,
	    .board_fd = -1,
	    .daemon = *daemon,
	};

	*generation = NULL;
	TAILQ_INIT(&arbiter.gates);
	TAILQ_INIT(&arbiter.crews);
	run_with_listeners(&arbiter);
	pst_generation_release(&arbiter.generation);
	pst_generation_release(&arbiter.first);
	*daemon = arbiter.daemon;
	return arbiter.status;
}
