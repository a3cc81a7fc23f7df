/*
 * What the arbiter's own files share: the whole of its state, and the decisions that gate.c and
 * worker.c leave to phase.c.
 */
#ifndef PST_ARBITER_STATE_H
#define PST_ARBITER_STATE_H

#include "gateway/arbiter/arbiter.h"
#include "gateway/arbiter/crew.h"
#include "gateway/arbiter/ctl.h"
#include "gateway/arbiter/gate.h"
#include "gateway/arbiter/generation.h"
#include "gateway/arbiter/listener.h"
#include "gateway/arbiter/output.h"
#include "gateway/arbiter/reload.h"
#include "gateway/arbiter/rundir.h"
#include "gateway/arbiter/source_watch.h"
#include "gateway/arbiter/weigh.h"

enum pst_phase {
	PST_PHASE_STARTING, /* there is a crew of which no worker was ever usable */
	PST_PHASE_SERVING,
	PST_PHASE_LINGERING, /* will end; still accepts for --drain-delay */
	PST_PHASE_DRAINING, /* the gateways finish their requests, workers are kept for them */
	PST_PHASE_RETIRING, /* the gateways are gone, workers finish */
	PST_PHASE_ENDING, /* everything was signalled */
};

struct pst_arbiter {
	const struct pst_start *start;
	struct pst_generation *first; /* whose user the gateways are, and the runtime directory */
	struct pst_generation *generation; /* that serves */
	int null;
	struct event_base *base;
	struct event *signals;
	struct pst_rundir rundir;
	struct pst_outputs outputs;
	struct pst_gate_list gates;
	int board_fd; /* where several gateways show how many clients they have; -1: not needed yet
		       */
	struct pst_board board;
	struct pst_ctl *ctl; /* NULL without a control socket */
	const char *log_level; /* that an operator set; NULL: the configuration's holds */
	struct pst_crew_list crews;
	struct event *sweep; /* frees what is gone */
	unsigned long serial; /* of the last worker process */
	struct pst_reload reload;
	struct pst_weigh weigh;
	struct pst_source_watch source_watch;
	int daemon; /* who started it waits there for the start's end; -1 for nobody */
	enum pst_phase phase;
	bool finished; /* nothing runs any more, and nothing shall */
	enum pst_exit status;
};

/* ---- phase.c ---- */

/* Finish requests, then end: PST_PHASE_DRAINING and what follows. */
void pst_arbiter_drain(struct pst_arbiter *arbiter);
/* End all at once. NUMBER is SIGTERM, or SIGKILL when that was not quick enough. */
void pst_arbiter_end(struct pst_arbiter *arbiter, int number);

/* GATE is ready. */
void pst_arbiter_gate_usable(struct pst_gate *gate);
/* Its process was reaped, or could not be started: what now? */
void pst_arbiter_gate_gone(struct pst_gate *gate, int wait_status);
void pst_arbiter_worker_gone(
    struct pst_arbiter *arbiter, struct pst_worker *worker, int wait_status);
/* The gateway may use WORKER. */
void pst_arbiter_worker_usable(struct pst_arbiter *arbiter, struct pst_worker *worker);
/* Log where it listens, at INFO. */
void pst_arbiter_log_addresses(
    const struct pst_arbiter *arbiter, const char *before, const char *after);
/* What pst_..._gone() gets in place of a wait status when exec failed: the shell's 127. */
#define PST_NOT_STARTED (127 << 8)

/* --graceful-timeout in milliseconds, a day at most. */
unsigned pst_arbiter_grace(const struct pst_arbiter *arbiter);

/* ---- operate.c ---- */

/* -D: it serves, and needs its terminal no longer. */
void pst_arbiter_detach(struct pst_arbiter *arbiter);
/* USR1: open the log files again by their names. */
void pst_arbiter_reopen_logs(struct pst_arbiter *arbiter);
/* A reload has brought another configuration than OLD: what of it is the arbiter's own. */
void pst_operate_settings(struct pst_arbiter *arbiter, const struct pst_conf *old);

#endif
