/*
 * Who carries jobs to a worker and their answers back. There are two kinds, which are made
 * differently and used alike: this one, and foreign.h.
 *
 * The session with one worker of ours, over one kept connection to its unix socket: connect, ask
 * GET_VALUES, carry jobs.
 *
 *	CONNECTED ──────► OPEN ──────► LEAVING ──► LOST
 *	  GET_VALUES       jobs        its process  no connection
 *	  was asked                    is gone: read what it left
 *
 * From everywhere an error leads to LOST: then all jobs are over, and lost() is called once.
 */
#ifndef PST_FRONT_UPSTREAM_H
#define PST_FRONT_UPSTREAM_H

#include "gateway/front/deadline.h"
#include "gateway/front/job.h"

/* Kinds of deadlines of all upstreams of a pool. */
struct pst_upstream_deadlines {
	struct pst_deadline_list handshake;
	struct pst_deadline_list timeout; /* for the next piece that the application produces */
	struct pst_deadline_list request; /* for all of it */
	struct pst_deadline_list grace; /* from ABORT to the worker's end */
	struct pst_deadline_list connect; /* to a foreign server */
};

/* 0, or -1 when memory is short. TIMEOUT and REQUEST_TIMEOUT are in milliseconds, 0: none. */
int pst_upstream_deadlines_init(struct pst_upstream_deadlines *deadlines, struct pst_loop *loop,
    uint64_t timeout, uint64_t request_timeout);
void pst_upstream_deadlines_free(struct pst_upstream_deadlines *deadlines);

/* Called from the loop, or from within a function of this file. */
struct pst_upstream_callbacks {
	/* GET_VALUES was answered: CAPACITY jobs may be given at once. STREAMS: of each, body and
	 * answer flow both ways as credit allows, and are not to be stored. */
	void (*open)(void *arg, unsigned capacity, bool streams);
	/* A job is over; the callback of the job was made before. STUCK: stuck() was called for it.
	 */
	void (*over)(void *arg, bool stuck);
	/* A job that no worker can have seen is given back, as QUEUED; it goes to the head. */
	void (*unseen)(void *arg, struct pst_job *job);
	/* The deadline of JOB passed, it was aborted. */
	void (*late)(void *arg);
	/* JOB still runs after the grace. STALLED: so does nothing else, the worker's loop stands
	 * still. */
	void (*stuck)(void *arg, struct pst_job *job, bool stalled);
	/* The worker asks for no more jobs. */
	void (*drain)(void *arg);
	/* Of a foreign one: it was connected to. */
	void (*reached)(void *arg);
	/* Of a foreign one: it cannot be connected to; unseen() was called before. FULL: it is
	 * there, but takes no more connections now. */
	void (*unreachable)(void *arg, bool full, const char *reason);
	/* The connection is over, REASON says why. Free the upstream after the turn. */
	void (*lost)(void *arg, const char *reason);
};

struct pst_upstream;

/*
 * Connect to the socket at PATH. NULL with errno set. WORKER is the id for the log, copied;
 * CALLBACKS and DEADLINES must outlive the upstream.
 */
struct pst_upstream *pst_upstream_new(struct pst_loop *loop,
    struct pst_upstream_deadlines *deadlines, const char *worker, const char *path,
    const struct pst_upstream_callbacks *callbacks, void *arg);

/* Not within reach of a callback of its own. Jobs that it still has are over, as lost. */
void pst_upstream_free(struct pst_upstream *upstream);

/*
 * Use the page behind FD, which stays the caller's: of jobs that are given from now on it is known
 * whether they were started. When it cannot be mapped, that is logged, and the worker has none.
 */
void pst_upstream_share(struct pst_upstream *upstream, int fd);

/* Carry a QUEUED job that is in no list. The upstream is OPEN and has capacity. */
void pst_upstream_give(struct pst_upstream *upstream, struct pst_job *job);

/* There is more of JOB's open body, or it is open no more. It need not be with a worker. */
void pst_upstream_supply(struct pst_job *job);

/*
 * JOB's worker has accepted an upgrade: deadlines do not hold for it any more. MESSAGES: they take
 * the place of its body.
 */
void pst_upstream_switch(struct pst_job *job, bool messages);
/* How many bytes of messages the worker takes of JOB now; taken() is called when they may have
 * become more. */
size_t pst_upstream_message_room(struct pst_job *job);
/* Send it a piece, at most so many bytes, FLAGS of enum pst_session_message: 0, or an error of
 * memory. And the end. */
int pst_upstream_send_message(struct pst_job *job, unsigned flags, const void *bytes, size_t n);
void pst_upstream_send_close(struct pst_job *job, unsigned code, const char *reason, size_t n);

/* The worker is to leave when its jobs are over: those are told. */
void pst_upstream_retire(struct pst_upstream *upstream);
/* The worker that has JOB is to leave. */
bool pst_upstream_is_retiring(const struct pst_job *job);

/*
 * Send a QUEUED job that is in no list ahead: the worker has as many as it can run, and comes to
 * this one by itself when it is done with those before. Until then pst_upstream_recall() can have
 * it back. There may be pst_upstream_ahead() of them.
 */
void pst_upstream_give_ahead(struct pst_upstream *upstream, struct pst_job *job);
/* How many may be ahead at once; 0 of a worker that takes none, or has no page to call back by. */
unsigned pst_upstream_ahead(const struct pst_upstream *upstream);
/* The last that is ahead; NULL: none is. */
struct pst_job *pst_upstream_last_ahead(const struct pst_upstream *upstream);
/* True: JOB, which is ahead, is QUEUED again and in no list, and the worker never runs it. False:
 * it has begun with it just now, and keeps it. */
bool pst_upstream_recall(struct pst_job *job);

/* Nobody wants the answer to JOB, which an upstream has: ask the worker to end it. */
void pst_upstream_abort(struct pst_job *job);

/*
 * Grant the worker no more output of JOB for now: what is waited for is the client, so its deadline
 * rests. What was granted still comes: 64 KiB at most, PST_JOB_WINDOW of a roomy job. Of a worker
 * that knows no credit the whole connection is not read meanwhile; that is right while it has one
 * job at a time.
 */
void pst_upstream_pause(struct pst_job *job);
void pst_upstream_resume(struct pst_job *job);

/* COUNT files that file() of JOB brought are closed: the worker may send others in their place. */
void pst_upstream_files_done(struct pst_job *job, unsigned count);

/* Its worker may be needed by another gateway: keep no connection to it that has no job. Only
 * foreign ones are let go. */
void pst_upstream_let_go(struct pst_upstream *upstream);

/* The worker's process has exited: what it wrote before is read, then the connection is lost. */
void pst_upstream_leave(struct pst_upstream *upstream);

/*
 * For how long, in ms, there has been something to read for the worker's loop and it has not come
 * round, as its page says: whatever is given to it now waits, too. 0 of a worker that does not
 * stream. Looked up without a system call.
 */
uint64_t pst_upstream_stalled(struct pst_upstream *upstream);

/* The first of its jobs, the longest there; NULL: it has none. */
struct pst_job *pst_upstream_job(const struct pst_upstream *upstream);

const char *pst_upstream_worker(const struct pst_upstream *upstream);

#endif
