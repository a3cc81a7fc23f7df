/*
 * What the arbiter's own files share: the whole of its state, and the decisions that gate.c and
 * worker.c leave to phase.c and turnover.c.
 */
#ifndef PST_ARBITER_STATE_H
#define PST_ARBITER_STATE_H

#include "gateway/arbiter/arbiter.h"
#include "gateway/arbiter/child.h"
#include "gateway/arbiter/listener.h"
#include "gateway/arbiter/output.h"
#include "gateway/arbiter/rundir.h"

#include <sys/queue.h>

enum pst_phase {
	PST_PHASE_STARTING, /* no worker was ever usable */
	PST_PHASE_SERVING,
	PST_PHASE_DRAINING, /* the gateway finishes its requests, workers are kept for it */
	PST_PHASE_RETIRING, /* the gateway is gone, workers finish */
	PST_PHASE_ENDING, /* everything was signalled */
};

/* The gateway process. */
struct pst_gate {
	struct pst_child child;
	struct pst_arbiter *arbiter;
	bool was_usable; /* one gateway of this arbiter came to serve */
};

/*
 * What a worker is to its slot. A slot has one holder, at most one heir, and any number that
 * leave. In the whole arbiter there is one heir at most.
 *
 *	heir ──────► holder ──► leaving ──► gone
 *	  └─ failed, or not wanted any more ──▲
 */
enum pst_worker_role {
	PST_WORKER_HOLDER, /* when it exits another is started */
	PST_WORKER_HEIR, /* becomes the holder once it is usable */
	PST_WORKER_LEAVING, /* finishes what it has and exits */
	PST_WORKER_GONE, /* has no process, and is freed after the turn */
};

/* Why a worker is to be replaced. */
enum pst_worker_due {
	PST_DUE_NOT,
	PST_DUE_WORN, /* has served enough */
	PST_DUE_RELOAD, /* started before the last HUP */
};

/* A place for a worker, and the process that is in it. */
struct pst_worker {
	TAILQ_ENTRY(pst_worker) link;
	struct pst_child child;
	struct pst_arbiter *arbiter;
	enum pst_worker_role role;
	enum pst_worker_due due;
	unsigned number; /* of the slot, from 1 */
	char id[PST_OUTPUT_ID];
	int listener; /* its socket; -1 when there is no process */
	char path[PST_RUNDIR_PATH];
	struct pst_output *output;
	bool announced; /* the present gateway knows it */
	struct event *age; /* until it is too old; NULL without --max-lifetime */
	bool late; /* is being killed for a request that passed its deadline */
};

TAILQ_HEAD(pst_worker_list, pst_worker);

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
	struct pst_worker_list workers;
	struct event *sweep; /* frees the workers that are gone */
	unsigned long serial; /* of the last worker process */
	int64_t reload_begun; /* 0: no reload is under way */
	unsigned reload_replaced; /* workers, by that reload */
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

/* --graceful-timeout in milliseconds, a day at most. */
unsigned pst_arbiter_grace(const struct pst_arbiter *arbiter);

/* ---- turnover.c: workers are replaced, one at a time ---- */

/* HUP: every worker is replaced by one that loads the application anew. */
void pst_turnover_reload(struct pst_arbiter *arbiter);
/* WORKER became usable: --max-lifetime runs. */
void pst_turnover_age(struct pst_worker *worker);
/* WORKER, for the reason WHY ("has served 1000 requests"), is to be replaced. */
void pst_turnover_worn(struct pst_worker *worker, const char *why);
/* HEIR is usable: it holds the slot, and who held it leaves. */
void pst_turnover_usable(struct pst_worker *heir);
/* HEIR's process, which was PID (0: there was none), ended as WAIT_STATUS says. */
void pst_turnover_failed(struct pst_worker *heir, long pid, int wait_status);
/* A worker has left, or something else has changed: see whether another is to be replaced. */
void pst_turnover_next(struct pst_arbiter *arbiter);

/* ---- operate.c ---- */

/* USR1: open the log files again by their names. */
void pst_arbiter_reopen_logs(struct pst_arbiter *arbiter);
/* TTIN, TTOU: one worker more or less. */
void pst_arbiter_more(struct pst_arbiter *arbiter);
void pst_arbiter_less(struct pst_arbiter *arbiter);

/* ---- gate.c ---- */

int pst_gate_init(struct pst_gate *gate, struct pst_arbiter *arbiter);
/* Start a gateway, with settings, listeners and all workers that are ready. */
void pst_gate_start(struct pst_gate *gate);
/* Tell the gateway, if there is one, that WORKER is ready or has exited. */
void pst_gate_announce(struct pst_gate *gate, struct pst_worker *worker);
void pst_gate_withdraw(struct pst_gate *gate, struct pst_worker *worker);
/* Ask it to give WORKER nothing more. -1: no gateway has ever heard of it. */
int pst_gate_drain(struct pst_gate *gate, struct pst_worker *worker);

/* ---- worker.c ---- */

/* One more worker, without a process, among the arbiter's; NULL without memory. */
struct pst_worker *pst_worker_new(
    struct pst_arbiter *arbiter, unsigned number, enum pst_worker_role role);
/* Free those that are gone. */
void pst_workers_sweep(struct pst_arbiter *arbiter);
void pst_workers_free(struct pst_arbiter *arbiter);
/* The one place where the role changes. */
void pst_worker_set_role(struct pst_worker *worker, enum pst_worker_role role);
void pst_worker_start(struct pst_worker *worker);
/* It leaves: the gateway gives it nothing more, it finishes what it has and exits. */
void pst_worker_leave(struct pst_worker *worker);
/* The gateway has given it nothing more, and it has nothing left: ask it to exit. */
void pst_worker_drained(struct pst_worker *worker);
/* The process was reaped: release its socket and output. */
void pst_worker_reaped(struct pst_worker *worker);
/* Its request passed its deadline and still runs: dump its stacks and kill it. */
void pst_worker_late(struct pst_worker *worker, const char *request);

#endif
