/*
 * What the arbiter's own files share: the whole of its state, and the decisions that gate.c and
 * worker.c leave to phase.c.
 */
#ifndef PST_ARBITER_STATE_H
#define PST_ARBITER_STATE_H

#include "gateway/arbiter/arbiter.h"
#include "gateway/arbiter/child.h"
#include "gateway/arbiter/listener.h"
#include "gateway/arbiter/output.h"
#include "gateway/arbiter/rundir.h"

enum pst_phase {
	PST_PHASE_STARTING, /* no worker was ever usable */
	PST_PHASE_SERVING,
	PST_PHASE_DRAINING, /* the gateway finishes its requests, workers are kept for it */
	PST_PHASE_RETIRING, /* the gateway is gone, workers finish */
	PST_PHASE_ENDING,   /* everything was signalled */
};

/* The gateway process. */
struct pst_gate {
	struct pst_child child;
	struct pst_arbiter *arbiter;
	bool was_usable; /* one gateway of this arbiter came to serve */
};

/* A slot for a worker, and the process that is in it. */
struct pst_worker {
	struct pst_child child;
	struct pst_arbiter *arbiter;
	unsigned number; /* of the slot, from 1 */
	char id[PST_OUTPUT_ID];
	int listener; /* its socket; -1 when there is no process */
	char path[PST_RUNDIR_PATH];
	struct pst_output *output;
	bool announced; /* the present gateway knows it */
	bool late;      /* is being killed for a request that passed its deadline */
};

struct pst_arbiter {
	const struct pst_conf *conf;
	const struct pst_identity *identity;
	int access_log;
	int null;
	struct event_base *base;
	struct event *signals;
	struct pst_listeners listeners;
	struct pst_rundir rundir;
	struct pst_outputs outputs;
	struct pst_gate gate;
	struct pst_worker *workers;
	size_t worker_count;
	unsigned long serial; /* of the last worker process */
	enum pst_phase phase;
	bool finished; /* nothing runs any more, and nothing shall */
	enum pst_exit status;
};

/* ---- phase.c ---- */

/* Finish requests, then end: PST_PHASE_DRAINING and what follows. */
void pst_arbiter_drain(struct pst_arbiter *arbiter);
/* End all at once. NUMBER is SIGTERM, or SIGKILL when that was not quick enough. */
void pst_arbiter_end(struct pst_arbiter *arbiter, int number);

/* The gateway's process was reaped, or could not be started: what now? */
void pst_arbiter_gate_gone(struct pst_arbiter *arbiter, int wait_status);
void pst_arbiter_worker_gone(
    struct pst_arbiter *arbiter, struct pst_worker *worker, int wait_status);
/* The gateway may use WORKER. */
void pst_arbiter_worker_usable(struct pst_arbiter *arbiter, struct pst_worker *worker);
/* Log where it listens, at INFO. */
void pst_arbiter_log_addresses(
    const struct pst_arbiter *arbiter, const char *before, const char *after);
/* What pst_..._gone() gets in place of a wait status when exec failed: the shell's 127. */
#define PST_NOT_STARTED (127 << 8)

/* ---- gate.c ---- */

int pst_gate_init(struct pst_gate *gate, struct pst_arbiter *arbiter);
/* Start a gateway, with settings, listeners and all workers that are ready. */
void pst_gate_start(struct pst_gate *gate);
/* Tell the gateway, if there is one, that WORKER is ready or has exited. */
void pst_gate_announce(struct pst_gate *gate, struct pst_worker *worker);
void pst_gate_withdraw(struct pst_gate *gate, struct pst_worker *worker);

/* ---- worker.c ---- */

int pst_worker_init(struct pst_worker *worker, struct pst_arbiter *arbiter, unsigned number);
void pst_worker_start(struct pst_worker *worker);
/* The process was reaped: release its socket and output. */
void pst_worker_reaped(struct pst_worker *worker);
/* Its request passed its deadline and still runs: dump its stacks and kill it. */
void pst_worker_late(struct pst_worker *worker, const char *request);

#endif
