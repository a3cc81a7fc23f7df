/*
 * What the files of a pool share: pool.c (the queue and who gets what of it), pool_slot.c (slots
 * and what their upstreams say), pool_ahead.c (what is sent to workers that are busy yet),
 * pool_status.c (what is told of all).
 */
#ifndef PST_FRONT_POOL_INTERNAL_H
#define PST_FRONT_POOL_INTERNAL_H

#include "gateway/front/heap.h"
#include "gateway/front/pool.h"
#include "gateway/front/queue.h"
#include "gateway/front/refusals.h"
#include "gateway/front/upstream.h"

/*
 *	            GET_VALUES_RESULT         given
 *	 STARTING ─────────────────► IDLE ◄─────────► BUSY
 *	                              ▲      over      │ deadline passed: no more is given
 *	                              └── DRAINING ◄───┘
 *	                          over       │ grace passed: the arbiter was told
 *	                                     ▼
 *	                                 CONDEMNED
 *
 * One that takes several jobs goes on with the others: it stays BUSY with that much less room, the
 * arbiter is asked for another worker when a job is stuck (its grace passed), and it is CONDEMNED
 * when stuck jobs are all that it takes or, RETIRING, all that it has, or when its loop stands
 *still.
 *
 * When the arbiter retires it: BUSY and DRAINING become RETIRING, which is given nothing more and
 * becomes RETIRED with its last job; STARTING and IDLE are RETIRED at once. A RETIRING one whose
 * job outlasts deadline and grace is CONDEMNED. From everywhere to DEAD: the process exited, or
 * the connection is lost.
 */
enum pst_pool_slot_state {
	PST_POOL_SLOT_STARTING,
	PST_POOL_SLOT_IDLE,
	PST_POOL_SLOT_BUSY,
	PST_POOL_SLOT_DRAINING,
	PST_POOL_SLOT_RETIRING,
	PST_POOL_SLOT_RETIRED, /* the arbiter was told */
	PST_POOL_SLOT_CONDEMNED,
	PST_POOL_SLOT_DEAD,
};

struct pst_pool_slot {
	enum pst_pool_slot_state state;
	TAILQ_ENTRY(pst_pool_slot) link;
	struct pst_heap_item rank; /* among the usable ones */
	struct pst_pool *pool;
	struct pst_upstream *upstream;
	struct pst_task burial;
	struct pst_heap_item depth; /* among those that may be sent one ahead */
	unsigned load; /* jobs that its worker has */
	unsigned capacity; /* ... at once; what it has beyond that is ahead */
	unsigned behind; /* of those that are ahead, counted in the queue */
	unsigned room; /* how many more it may be given now */
	unsigned stuck; /* jobs that do not end though they were to */
	bool stalled; /* its loop was seen not to come round */
	unsigned risked; /* jobs that it was given since */
	struct pst_heap_item excess; /* in pool->overfull */
	bool slow; /* a job has run for long: none is sent ahead before one is over quickly */
	uint64_t turn_at; /* pst_loop_now(), when its worker last came to a job */
	uint64_t served;
	uint64_t wears_at; /* so many served; 0: never */
};

TAILQ_HEAD(pst_pool_slots, pst_pool_slot);

struct pst_pool {
	struct pst_loop *loop;
	struct pst_queue queue;
	struct pst_pool_slots slots;
	size_t slot_count;
	struct pst_heap usable; /* may be given a job now; the least loaded first */
	uint64_t changes; /* of slots: of equals the one that changed first is first */
	bool streams; /* the worker that came last does */
	size_t room; /* how many jobs the usable ones can be given */
	size_t stalled; /* slots */
	struct event *look; /* pending while there are some: have they come round? */
	struct pst_heap deep; /* may be sent one ahead; those with the fewest jobs first */
	struct pst_heap overfull; /* slots with jobs ahead, most first */
	struct event *tick; /* pending while there are such */
	struct pst_task dispatch;
	struct pst_upstream_deadlines deadlines;
	const char *name;
	enum pst_pool_kind kind;
	struct pst_sheets *sheets; /* NULL unless the workers are ours */
	const struct pst_pool_settings *settings;
	struct pst_figures figures;
	struct pst_refusals refusals;
	struct pst_remote *remote; /* NULL: it is no remote pool */
	struct event *again; /* when a full remote is tried again */
	const struct pst_pool_events *events;
	void *arg; /* of the events */
};

/* --- pool_slot.c --- */

/* Give it JOB, which was taken from the queue; the slot is among the usable ones. */
void pst_pool_slot_give(struct pst_pool_slot *slot, struct pst_job *job);

/* Its loop stands still, or has come round again. */
void pst_pool_slot_set_stalled(struct pst_pool_slot *slot, bool stalled);
/* ... which is looked up here. */
bool pst_pool_slot_is_stalled(const struct pst_pool_slot *slot);

/* One more connection to a remote pool's server: 0, or -1 when memory is short. */
int pst_pool_slot_add_remote(struct pst_pool *pool);

void pst_pool_slots_free(struct pst_pool *pool);

/* The one place where the state and the load of a slot change. */
void pst_pool_slot_change(
    struct pst_pool_slot *slot, enum pst_pool_slot_state state, unsigned load);

/* --- pool_ahead.c --- */

/* 0, or -1 when memory is short. */
int pst_pool_ahead_init(struct pst_pool *pool);
void pst_pool_ahead_free(struct pst_pool *pool);

/* The state or the load of the slot has changed. */
void pst_pool_ahead_follow(struct pst_pool_slot *slot);
/* A job of its worker is over. */
void pst_pool_ahead_count(struct pst_pool_slot *slot);
/* Call back what is ahead of it: to the head of the queue, in order. */
void pst_pool_ahead_recall(struct pst_pool_slot *slot, unsigned most);
/* A slot is free, and nothing is queued: call back what waits behind a busy worker. */
void pst_pool_ahead_share(struct pst_pool *pool);
/* Nobody is free: send ahead what is queued, as far as that is good. */
void pst_pool_ahead_fill(struct pst_pool *pool);

#endif
