/*
 * A pool: one queue of jobs, and the slots whose workers take them. Each slot is known by its
 * worker's id ("3.17"): another process in the same place is another slot here.
 */
#ifndef PST_FRONT_POOL_H
#define PST_FRONT_POOL_H

#include "gateway/front/figures.h"
#include "gateway/front/job.h"
#include "gateway/front/loop.h"
#include "gateway/front/refusals.h"
#include "gateway/front/remote.h"
#include "gateway/front/settings.h"

/* What the arbiter is to be told; see "Control lines" in docs/architecture.md. */
struct pst_pool_events {
	void (*usable)(void *arg, const char *worker);
	void (*drained)(void *arg, const char *worker);
	/* It is to be replaced, as it "has served 1000 requests" or the like. May be told again. */
	void (*worn)(void *arg, const char *worker, const char *reason);
	void (*late)(void *arg, const char *worker, const char *request);
	void (*broken)(void *arg, const char *worker, const char *reason);
};

enum pst_pool_kind {
	PST_POOL_APP, /* our adapters */
	PST_POOL_PROGRAM, /* FastCGI programs that the arbiter starts */
	PST_POOL_REMOTE, /* a FastCGI server that nobody of ours starts */
};

struct pst_pool;

/* NULL when memory is short. NAME, SETTINGS and EVENTS must outlive the pool. */
struct pst_pool *pst_pool_new(struct pst_loop *loop, const char *name, enum pst_pool_kind kind,
    const struct pst_pool_settings *settings, const struct pst_pool_events *events, void *arg);
/* No job is left in it. NULL is allowed. */
void pst_pool_free(struct pst_pool *pool);

/*
 * Make the slots of a remote pool: as many as it may have connections, each usable at once. 0, or
 * -1 when memory is short. REMOTE must outlive the pool.
 */
int pst_pool_connect(struct pst_pool *pool, struct pst_remote *remote);

/*
 * Worker WORKER listens at PATH; PAGE is the descriptor of its page and stays the caller's, -1: it
 * has none. An id that is there already is logged and ignored.
 */
void pst_pool_slot_up(struct pst_pool *pool, const char *worker, const char *path, int page);
/* It has a page now, which another gateway had till now. An id that is not known is ignored. */
void pst_pool_slot_page(struct pst_pool *pool, const char *worker, int page);
/* Its process has exited. An id that is not known (any more) is ignored. */
void pst_pool_slot_down(struct pst_pool *pool, const char *worker);
/*
 * Give it no more jobs; drained() comes when it has none left, maybe from within this call. An id
 * that is not known (any more), or whose worker is lost or about to be killed, is ignored.
 */
void pst_pool_slot_drain(struct pst_pool *pool, const char *worker);

/* There is one that takes requests, now or when it is done with what it has. */
bool pst_pool_has_worker(const struct pst_pool *pool);

/* Another gateway may need the workers: keep no connections to foreign ones beyond a request. */
void pst_pool_let_go(struct pst_pool *pool);

/* Queue an IDLE job: 0, or -1 when the queue is full, which is logged. */
int pst_pool_submit(struct pst_pool *pool, struct pst_job *job);
/* Queue one again that has waited before: at the head, and however many are waiting. */
void pst_pool_resubmit(struct pst_pool *pool, struct pst_job *job);

/*
 * The owner wants no answer any more: a queued job is IDLE when this returns; one that a worker
 * has is aborted, and its over() is still to come. Others are left alone.
 */
void pst_pool_withdraw(struct pst_pool *pool, struct pst_job *job);

/* What bodies are stored in for its workers, in memory; NULL: they are no workers of ours. */
struct pst_sheets *pst_pool_sheets(const struct pst_pool *pool);
/* Its workers stream both ways: bodies and answers are not to be stored. */
bool pst_pool_streams(const struct pst_pool *pool);
size_t pst_pool_queued(const struct pst_pool *pool);
/* For exchanges to add to. */
struct pst_figures *pst_pool_figures(struct pst_pool *pool);
/* A request for it is refused: true when the caller is to log that. */
bool pst_pool_refuses(struct pst_pool *pool, enum pst_refusal refusal);
/* Append the STATUS lines of the pool and its workers to OUT: 0, or -1 when memory is short. */
int pst_pool_status(const struct pst_pool *pool, struct pst_buf *out);
enum pst_pool_kind pst_pool_kind(const struct pst_pool *pool);
const char *pst_pool_name(const struct pst_pool *pool);
const struct pst_pool_settings *pst_pool_settings(const struct pst_pool *pool);

#endif
