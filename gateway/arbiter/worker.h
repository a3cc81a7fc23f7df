/*
 * A worker: one process in a slot of a crew, and what it is to that slot.
 */
#ifndef PST_ARBITER_WORKER_H
#define PST_ARBITER_WORKER_H

#include "gateway/arbiter/child.h"
#include "gateway/arbiter/gate.h"
#include "gateway/arbiter/output.h"
#include "gateway/arbiter/rundir.h"
#include "gateway/worker_class.h"

#include <sys/queue.h>

struct pst_arbiter;
struct pst_crew;

/*
 * What a worker is to its slot. A slot has one holder, at most one heir, and any number that
 * leave. In a crew there is one heir at most.
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
	struct pst_crew *crew;
	enum pst_worker_role role;
	enum pst_worker_due due;
	bool is_next; /* of what a reload brings, which has not come to its end */
	unsigned number; /* of the slot, from 1 */
	enum pst_model model; /* of its process, if it is one of our adapters */
	char id[PST_OUTPUT_ID];
	int listener; /* its socket; -1 when there is no process */
	char socket[32]; /* SLOT.SERIAL, as which the runtime directory knows that */
	char path[PST_RUNDIR_PATH];
	int page; /* what it shares with the gateway; -1 when there is no process */
	struct pst_output *output;
	char said[PST_OUTPUT_SAID]; /* by its last process, that may tell why it exited */
	bool heavy; /* beyond --max-memory from the start */
	pst_gate_set told; /* the gateways that know it */
	pst_gate_set paged; /* the one of them that has the page */
	pst_gate_set usable; /* those of them that have found it usable */
	pst_gate_set
	    busy; /* those that were asked to give it nothing more, and finish what it has */
	struct event *age; /* until it is too old; NULL without --max-lifetime */
	bool changes; /* its application wants another kind of worker, which starts at once */
	unsigned changed; /* so many processes before this one, in a row, were of the wrong kind */
	bool noted; /* the log says that it takes long to load */
	bool late; /* is being killed, and another starts at once: its request passed its deadline,
		    * or an operator said so */
};

TAILQ_HEAD(pst_worker_list, pst_worker);

/* One more worker, without a process, of CREW; NULL without memory. */
struct pst_worker *pst_worker_new(
    struct pst_crew *crew, unsigned number, enum pst_worker_role role);
void pst_worker_free(struct pst_worker *worker);
/* The one place where the role changes. */
void pst_worker_set_role(struct pst_worker *worker, enum pst_worker_role role);
void pst_worker_start(struct pst_worker *worker);
/* It leaves: the gateway gives it nothing more, it finishes what it has and exits. */
void pst_worker_leave(struct pst_worker *worker);
/* It is to end soon, and serves on until then: let it end what would go on for ever. */
void pst_worker_say_closing(struct pst_worker *worker);
/* The gateway has given it nothing more, and it has nothing left: ask it to exit. */
void pst_worker_drained(struct pst_worker *worker);
/* The process was reaped: release its socket and output. */
void pst_worker_reaped(struct pst_worker *worker);
/* Its request passed its deadline and still runs: dump its stacks and kill it. */
void pst_worker_late(struct pst_worker *worker, const char *request);
/* Somebody, as WHY says, wants it to dump its stacks and die. It is not dying yet. */
void pst_worker_kill(struct pst_worker *worker, const char *why);

#endif
