#include "gateway/front/pool.h"

#include "gateway/front/container.h"
#include "gateway/front/foreign.h"
#include "gateway/front/queue.h"
#include "gateway/front/upstream.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 *	            GET_VALUES_RESULT         given
 *	 STARTING ─────────────────► IDLE ◄─────────► BUSY
 *	                              ▲      over      │ deadline passed: no more is given
 *	                              └── DRAINING ◄───┘
 *	                          over       │ grace passed: the arbiter was told
 *	                                     ▼
 *	                                 CONDEMNED
 *
 * When the arbiter retires it: BUSY and DRAINING become RETIRING, which is given nothing more and
 * becomes RETIRED with its last job; STARTING and IDLE are RETIRED at once. A RETIRING one whose
 * job outlasts deadline and grace is CONDEMNED. From everywhere to DEAD: the process exited, or
 * the connection is lost.
 */
enum slot_state {
	STARTING,
	IDLE,
	BUSY,
	DRAINING,
	RETIRING,
	RETIRED, /* the arbiter was told */
	CONDEMNED,
	DEAD,
};

struct slot {
	enum slot_state state;
	TAILQ_ENTRY(slot) link;
	struct slot_list *list; /* usable, or others */
	struct pst_pool *pool;
	struct pst_upstream *upstream;
	struct pst_task burial;
	unsigned load;
	unsigned capacity;
	uint64_t served;
	uint64_t wears_at; /* so many served; 0: never */
};

TAILQ_HEAD(slot_list, slot);

struct pst_pool {
	struct pst_loop *loop;
	struct pst_queue queue;
	struct slot_list usable; /* may be given a job now; the least recently used first */
	struct slot_list others;
	struct pst_task dispatch;
	struct pst_upstream_deadlines deadlines;
	const char *name;
	enum pst_pool_kind kind;
	const struct pst_pool_settings *settings;
	struct pst_figures figures;
	struct pst_remote *remote; /* NULL: it is no remote pool */
	struct event *again; /* when a full remote is tried again */
	const struct pst_pool_events *events;
	void *arg; /* of the events */
};

/* --- slots --- */

static const unsigned allowed[] = {
    [STARTING] = 1u << IDLE | 1u << RETIRED | 1u << DEAD,
    [IDLE] = 1u << BUSY | 1u << RETIRED | 1u << DEAD,
    [BUSY] = 1u << IDLE | 1u << BUSY | 1u << DRAINING | 1u << RETIRING | 1u << DEAD,
    [DRAINING] = 1u << IDLE | 1u << DRAINING | 1u << RETIRING | 1u << CONDEMNED | 1u << DEAD,
    [RETIRING] = 1u << RETIRING | 1u << RETIRED | 1u << CONDEMNED | 1u << DEAD,
    [RETIRED] = 1u << DEAD,
    [CONDEMNED] = 1u << DEAD,
    [DEAD] = 0,
};

static bool
is_usable(const struct slot *slot)
{
	return slot->state == IDLE || (slot->state == BUSY && slot->load < slot->capacity);
}

/* The one place where the state and the load change: a slot that becomes usable goes last. */
static void
set_state(struct slot *slot, enum slot_state state, unsigned load)
{
	struct pst_pool *pool = slot->pool;

	assert(allowed[slot->state] & 1u << state);
	TAILQ_REMOVE(slot->list, slot, link);
	slot->state = state;
	slot->load = load;
	slot->list = is_usable(slot) ? &pool->usable : &pool->others;
	TAILQ_INSERT_TAIL(slot->list, slot, link);
	if (!pst_queue_is_empty(&pool->queue) && !TAILQ_EMPTY(&pool->usable))
		pst_loop_defer(pool->loop, &pool->dispatch);
}

static void
bury(void *arg)
{
	struct slot *slot = arg;

	assert(slot->state == DEAD);
	TAILQ_REMOVE(slot->list, slot, link);
	pst_upstream_free(slot->upstream);
	free(slot);
}

static void
on_open(void *arg, unsigned capacity)
{
	struct slot *slot = arg;

	/* Until a worker tells that it serves many at once on purpose, one at a time. */
	(void)capacity;
	slot->capacity = 1;
	if (slot->state != STARTING)
		return;
	set_state(slot, IDLE, 0);
	slot->pool->events->usable(slot->pool->arg, pst_upstream_worker(slot->upstream));
}

/* Nothing more is given to it, and LOAD jobs are left. */
static void
retire(struct slot *slot, unsigned load)
{
	set_state(slot, load == 0 ? RETIRED : RETIRING, load);
	if (load == 0)
		slot->pool->events->drained(slot->pool->arg, pst_upstream_worker(slot->upstream));
}

/* One more served: may be told of several times, as the arbiter may have failed to replace it. */
static void
wear(struct slot *slot)
{
	struct pst_pool *pool = slot->pool;

	slot->served++;
	if (slot->wears_at > 0 && slot->served % slot->wears_at == 0)
		pool->events->worn(pool->arg, pst_upstream_worker(slot->upstream), slot->served);
}

/* It has one job less. */
static void
unload(struct slot *slot)
{
	unsigned load = slot->load - 1;

	if (slot->state == BUSY || slot->state == DRAINING)
		set_state(slot, load == 0 ? IDLE : slot->state, load);
	else if (slot->state == RETIRING)
		retire(slot, load);
	else
		slot->load = load;
}

static void
on_over(void *arg)
{
	wear(arg);
	unload(arg);
}

static void
on_unseen(void *arg, struct pst_job *job)
{
	struct slot *slot = arg;
	struct pst_pool *pool = slot->pool;

	unload(slot);
	pst_queue_put_first(&pool->queue, job);
	pst_loop_defer(pool->loop, &pool->dispatch);
}

static void
on_late(void *arg)
{
	struct slot *slot = arg;

	if (slot->state == BUSY)
		set_state(slot, DRAINING, slot->load);
}

static void
on_stuck(void *arg, struct pst_job *job)
{
	struct slot *slot = arg;
	char name[256];

	if (slot->state != DRAINING && slot->state != RETIRING)
		return;
	set_state(slot, CONDEMNED, slot->load);
	job->callbacks->name(job, name, sizeof(name));
	slot->pool->events->late(slot->pool->arg, pst_upstream_worker(slot->upstream), name);
}

static void
on_lost(void *arg, const char *reason)
{
	struct slot *slot = arg;

	if (slot->state != DEAD) {
		set_state(slot, DEAD, slot->load);
		slot->pool->events->broken(
		    slot->pool->arg, pst_upstream_worker(slot->upstream), reason);
	}
	pst_loop_bury(slot->pool->loop, &slot->burial);
}

static void
on_reached(void *arg)
{
	struct slot *slot = arg;

	if (slot->pool->remote != NULL)
		pst_remote_reached(slot->pool->remote, pst_loop_now());
}

static void
on_unreachable(void *arg, bool full, const char *reason)
{
	struct slot *slot = arg;
	struct pst_pool *pool = slot->pool;
	char text[128];

	if (pool->remote != NULL) {
		pst_remote_failed(pool->remote, pst_loop_now(), full, reason);
		pst_loop_defer(pool->loop, &pool->dispatch);
		return;
	}
	snprintf(text, sizeof(text), "cannot connect to it: %s", reason);
	on_lost(slot, text);
}

static const struct pst_upstream_callbacks callbacks = {
    .open = on_open,
    .over = on_over,
    .unseen = on_unseen,
    .late = on_late,
    .stuck = on_stuck,
    .reached = on_reached,
    .unreachable = on_unreachable,
    .lost = on_lost,
};

/* The least loaded of those that may be given a job; of equals the least recently used. */
static struct slot *
choose(struct pst_pool *pool)
{
	struct slot *best = NULL;
	struct slot *slot;

	TAILQ_FOREACH (slot, &pool->usable, link) {
		if (best == NULL || slot->load < best->load)
			best = slot;
		if (best->load == 0)
			break;
	}
	return best;
}

/* The server is down, so nobody will serve what waits. */
static void
refuse_all(struct pst_pool *pool)
{
	struct pst_job *job;

	while ((job = pst_queue_take(&pool->queue)) != NULL) {
		pst_remote_refused(pool->remote);
		pst_job_set_state(job, PST_JOB_IDLE);
		job->callbacks->over(
		    job, PST_JOB_UNREACHABLE, 0, "its FastCGI server cannot be reached");
	}
}

static void
try_again_later(struct pst_pool *pool, uint64_t now)
{
	uint64_t ms = pst_remote_again(pool->remote, now);
	struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	event_add(pool->again, &wait);
}

/* The slot for the next job; NULL when it has to wait. */
static struct slot *
choose_reachable(struct pst_pool *pool)
{
	struct slot *slot = choose(pool);
	uint64_t now;

	if (pool->remote == NULL)
		return slot;
	now = pst_loop_now();
	switch (pst_remote_advise(pool->remote, now, slot != NULL)) {
	case PST_REMOTE_TRY_IT: return slot;
	case PST_REMOTE_REFUSE: refuse_all(pool); break;
	case PST_REMOTE_LET_WAIT:
		if (slot != NULL)
			try_again_later(pool, now);
		break;
	}
	return NULL;
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct pst_pool *pool = arg;

	(void)fd;
	(void)what;
	pst_loop_defer(pool->loop, &pool->dispatch);
}

static void
on_dispatch(void *arg)
{
	struct pst_pool *pool = arg;
	struct slot *slot;

	while (!pst_queue_is_empty(&pool->queue) && (slot = choose_reachable(pool)) != NULL) {
		struct pst_job *job = pst_queue_take(&pool->queue);

		set_state(slot, BUSY, slot->load + 1);
		pst_upstream_give(slot->upstream, job);
	}
}

static struct slot *
find(struct pst_pool *pool, const char *worker)
{
	struct slot_list *const lists[] = {&pool->usable, &pool->others};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct slot *slot;

		TAILQ_FOREACH (slot, lists[i], link) {
			if (strcmp(pst_upstream_worker(slot->upstream), worker) == 0)
				return slot;
		}
	}
	return NULL;
}

/* How many requests a new worker serves before it is worn; 0: no limit. */
static uint64_t
choose_wear(const struct pst_pool_settings *settings)
{
	uint64_t random = 0;

	if (settings->max_requests == 0)
		return 0;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = pst_loop_now();
	return settings->max_requests + random % (settings->max_requests_jitter + 1);
}

static struct slot *
new_slot(struct pst_pool *pool)
{
	struct slot *slot = calloc(1, sizeof(*slot));

	if (slot == NULL)
		return NULL;
	slot->pool = pool;
	slot->state = STARTING;
	slot->list = &pool->others;
	slot->wears_at = choose_wear(pool->settings);
	pst_task_init(&slot->burial, bury, slot);
	return slot;
}

/* The upstream to WORKER, for SLOT; NULL with *WHY set. */
static struct pst_upstream *
connect_worker(struct slot *slot, const char *worker, const char *path, const char **why)
{
	struct pst_pool *pool = slot->pool;
	struct pst_remote_address address;
	struct pst_upstream *upstream;

	if (pool->kind == PST_POOL_APP) {
		upstream =
		    pst_upstream_new(pool->loop, &pool->deadlines, worker, path, &callbacks, slot);
	} else {
		*why = pst_remote_unix(&address, path);
		if (*why != NULL)
			return NULL;
		upstream = pst_foreign_new(
		    pool->loop, &pool->deadlines, worker, &address, &callbacks, slot);
	}
	*why = strerror(errno);
	return upstream;
}

void
pst_pool_slot_up(struct pst_pool *pool, const char *worker, const char *path, int page)
{
	const char *why = "out of memory";
	struct slot *slot;

	if (find(pool, worker) != NULL) {
		pst_log_error("worker %s was announced twice: the second is ignored", worker);
		return;
	}
	slot = new_slot(pool);
	if (slot != NULL)
		slot->upstream = connect_worker(slot, worker, path, &why);
	if (slot == NULL || slot->upstream == NULL) {
		char reason[128];

		snprintf(reason, sizeof(reason), "cannot connect to it: %s", why);
		free(slot);
		pool->events->broken(pool->arg, worker, reason);
		return;
	}
	if (page != -1)
		pst_upstream_share(slot->upstream, page);
	TAILQ_INSERT_TAIL(slot->list, slot, link);
	/* A foreign program is not asked what it can do. */
	if (pool->kind == PST_POOL_PROGRAM)
		on_open(slot, 1);
}

int
pst_pool_connect(struct pst_pool *pool, struct pst_remote *remote)
{
	pool->remote = remote;
	pool->again = event_new(pst_loop_base(pool->loop), -1, 0, on_again, pool);
	if (pool->again == NULL)
		return -1;
	for (uint64_t i = 0; i < pool->settings->connections; i++) {
		struct slot *slot = new_slot(pool);

		if (slot == NULL)
			return -1;
		TAILQ_INSERT_TAIL(slot->list, slot, link);
		slot->wears_at = 0;
		slot->capacity = 1;
		slot->upstream = pst_foreign_new(
		    pool->loop, &pool->deadlines, pool->name, &remote->address, &callbacks, slot);
		if (slot->upstream == NULL)
			return -1;
		set_state(slot, IDLE, 0);
	}
	return 0;
}

void
pst_pool_slot_page(struct pst_pool *pool, const char *worker, int page)
{
	struct slot *slot = find(pool, worker);

	if (slot != NULL && slot->state != DEAD)
		pst_upstream_share(slot->upstream, page);
}

void
pst_pool_slot_down(struct pst_pool *pool, const char *worker)
{
	struct slot *slot = find(pool, worker);

	if (slot == NULL || slot->state == DEAD)
		return;
	set_state(slot, DEAD, slot->load);
	pst_upstream_leave(slot->upstream);
}

void
pst_pool_slot_drain(struct pst_pool *pool, const char *worker)
{
	struct slot *slot = find(pool, worker);

	if (slot == NULL)
		return;
	switch (slot->state) {
	case STARTING:
	case IDLE:
	case BUSY:
	case DRAINING: retire(slot, slot->load); break;
	case RETIRING:
	case RETIRED:
	case CONDEMNED:
	case DEAD: break;
	}
}

/* --- the queue --- */

/* How many more jobs can be given now. */
static size_t
room(const struct pst_pool *pool)
{
	const struct slot *slot;
	size_t sum = 0;

	TAILQ_FOREACH (slot, &pool->usable, link)
		sum += slot->capacity - slot->load;
	return sum;
}

int
pst_pool_submit(struct pst_pool *pool, struct pst_job *job)
{
	if (pst_queue_put(&pool->queue, job, room(pool)) == -1)
		return -1;
	if (!TAILQ_EMPTY(&pool->usable) || pool->remote != NULL)
		pst_loop_defer(pool->loop, &pool->dispatch);
	return 0;
}

void
pst_pool_resubmit(struct pst_pool *pool, struct pst_job *job)
{
	pst_queue_put_first(&pool->queue, job);
	pst_loop_defer(pool->loop, &pool->dispatch);
}

void
pst_pool_withdraw(struct pst_pool *pool, struct pst_job *job)
{
	if (job->state == PST_JOB_QUEUED)
		pst_queue_remove(&pool->queue, job);
	else if (job->state != PST_JOB_IDLE)
		pst_upstream_abort(job);
}

size_t
pst_pool_queued(const struct pst_pool *pool)
{
	return pool->queue.count;
}

const char *
pst_pool_name(const struct pst_pool *pool)
{
	return pool->name;
}

const struct pst_pool_settings *
pst_pool_settings(const struct pst_pool *pool)
{
	return pool->settings;
}

/* --- status --- */

struct pst_figures *
pst_pool_figures(struct pst_pool *pool)
{
	return &pool->figures;
}

static int
put_slot(const struct slot *slot, struct pst_buf *out)
{
	static const char *const names[] = {
	    [STARTING] = "connecting",
	    [IDLE] = "idle",
	    [BUSY] = "busy",
	    [DRAINING] = "late",
	    [RETIRING] = "retiring",
	    [RETIRED] = "retired",
	    [CONDEMNED] = "stuck",
	    [DEAD] = "dead",
	};
	struct pst_job *job = pst_upstream_job(slot->upstream);
	struct pst_status_line line;
	char name[256];

	pst_status_begin(&line, out, "worker", pst_upstream_worker(slot->upstream));
	pst_status_text(&line, "activity", names[slot->state]);
	pst_status_number(&line, "served", slot->served);
	pst_status_number(&line, "running", slot->load);
	if (job != NULL) {
		job->callbacks->name(job, name, sizeof(name));
		pst_status_text(&line, "request", name);
		pst_status_number(&line, "request_ms", pst_loop_now() - job->given_at);
	}
	return pst_status_end(&line);
}

int
pst_pool_status(const struct pst_pool *pool, struct pst_buf *out)
{
	static const char *const kinds[] = {
	    [PST_POOL_APP] = "app",
	    [PST_POOL_PROGRAM] = "program",
	    [PST_POOL_REMOTE] = "remote",
	};
	const struct slot *slot;
	struct pst_status_line line;
	int result;

	pst_status_begin(&line, out, "pool", pool->name);
	pst_status_text(&line, "kind", kinds[pool->kind]);
	pst_status_number(&line, "queued", pool->queue.count);
	pst_figures_put(&pool->figures, &line);
	result = pst_status_end(&line);
	TAILQ_FOREACH (slot, &pool->usable, link)
		result |= put_slot(slot, out);
	TAILQ_FOREACH (slot, &pool->others, link)
		if (slot->state != DEAD)
			result |= put_slot(slot, out);
	return result;
}

/* --- life --- */

struct pst_pool *
pst_pool_new(struct pst_loop *loop, const char *name, enum pst_pool_kind kind,
    const struct pst_pool_settings *settings, const struct pst_pool_events *events, void *arg)
{
	struct pst_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return NULL;
	if (pst_queue_init(&pool->queue, loop, name, settings) == -1) {
		free(pool);
		return NULL;
	}
	if (pst_upstream_deadlines_init(
		&pool->deadlines, loop, settings->timeout, settings->request_timeout) == -1) {
		pst_queue_free(&pool->queue);
		free(pool);
		return NULL;
	}
	pool->loop = loop;
	pool->name = name;
	pool->kind = kind;
	pool->settings = settings;
	pool->events = events;
	pool->arg = arg;
	TAILQ_INIT(&pool->usable);
	TAILQ_INIT(&pool->others);
	pst_task_init(&pool->dispatch, on_dispatch, pool);
	return pool;
}

static void
free_slots(struct slot_list *list)
{
	struct slot *slot;

	while ((slot = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, slot, link);
		pst_task_cancel(&slot->burial);
		pst_upstream_free(slot->upstream);
		free(slot);
	}
}

void
pst_pool_free(struct pst_pool *pool)
{
	if (pool == NULL)
		return;
	assert(pst_queue_is_empty(&pool->queue));
	free_slots(&pool->usable);
	free_slots(&pool->others);
	if (pool->again != NULL)
		event_free(pool->again);
	pst_task_cancel(&pool->dispatch);
	pst_upstream_deadlines_free(&pool->deadlines);
	pst_queue_free(&pool->queue);
	free(pool);
}
