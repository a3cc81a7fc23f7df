#include "gateway/front/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

/* Tasks in one turn before sockets are looked at again: a client that pipelines without end
 * makes one for each request. */
#define TASKS 4096

struct pst_loop {
	struct event_base *base;
	struct pst_task_list prompt;
	struct pst_task_list tasks;
	struct pst_task_list burials;
	bool stopped;
	unsigned char scratch[PST_LOOP_SCRATCH];
};

/* Run up to LIMIT tasks; false when the list is empty before. */
static bool
run_some(struct pst_task_list *list, unsigned limit)
{
	struct pst_task *task;

	for (; (task = TAILQ_FIRST(list)) != NULL && limit > 0; limit--) {
		TAILQ_REMOVE(list, task, link);
		task->list = NULL;
		task->run(task->arg);
	}
	return task != NULL;
}

static struct event_base *
base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config == NULL)
		return NULL;
	if (event_config_require_features(
		config, EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE) == 0 &&
	    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

struct pst_loop *
pst_loop_new(void)
{
	struct pst_loop *loop = malloc(sizeof(*loop));

	if (loop == NULL)
		return NULL;
	loop->base = base_new();
	if (loop->base == NULL) {
		free(loop);
		return NULL;
	}
	TAILQ_INIT(&loop->prompt);
	TAILQ_INIT(&loop->tasks);
	TAILQ_INIT(&loop->burials);
	loop->stopped = false;
	return loop;
}

void
pst_loop_free(struct pst_loop *loop)
{
	if (loop == NULL)
		return;
	while (run_some(&loop->burials, TASKS))
		;
	event_base_free(loop->base);
	free(loop);
}

struct event_base *
pst_loop_base(struct pst_loop *loop)
{
	return loop->base;
}

/* --- clocks --- */

static struct {
	bool turning; /* what was read is good until the turn's end */
	bool known; /* it was read in this turn */
	uint64_t us;
	uint64_t ms;
	struct timespec wall;
} clocks;

static void
read_clocks(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	clocks.us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	clocks.ms = clocks.us / 1000;
	clock_gettime(CLOCK_REALTIME, &clocks.wall);
	clocks.known = clocks.turning;
}

uint64_t
pst_loop_now(void)
{
	if (!clocks.known)
		read_clocks();
	return clocks.ms;
}

uint64_t
pst_loop_now_us(void)
{
	if (!clocks.known)
		read_clocks();
	return clocks.us;
}

struct timespec
pst_loop_wall(void)
{
	if (!clocks.known)
		read_clocks();
	return clocks.wall;
}

/* --- turns --- */

unsigned char *
pst_loop_scratch(struct pst_loop *loop)
{
	return loop->scratch;
}

static void
finish_turn(struct pst_loop *loop)
{
	run_some(&loop->tasks, TASKS);
	while (run_some(&loop->burials, TASKS))
		;
}

void
pst_loop_run(struct pst_loop *loop)
{
	clocks.turning = true;
	finish_turn(loop);
	while (!loop->stopped) {
		int flags = EVLOOP_ONCE;

		if (!TAILQ_EMPTY(&loop->tasks))
			flags |= EVLOOP_NONBLOCK;
		clocks.known = false;
		if (event_base_loop(loop->base, flags) == -1)
			abort();
		finish_turn(loop);
	}
	clocks.turning = clocks.known = false;
}

void
pst_loop_stop(struct pst_loop *loop)
{
	loop->stopped = true;
}

void
pst_task_init(struct pst_task *task, void (*run)(void *arg), void *arg)
{
	task->run = run;
	task->arg = arg;
	task->list = NULL;
}

static void
ask_for(struct pst_task_list *list, struct pst_task *task)
{
	if (task->list != NULL)
		return;
	task->list = list;
	TAILQ_INSERT_TAIL(list, task, link);
}

void
pst_loop_defer(struct pst_loop *loop, struct pst_task *task)
{
	ask_for(&loop->tasks, task);
}

void
pst_loop_prompt(struct pst_loop *loop, struct pst_task *task)
{
	ask_for(&loop->prompt, task);
}

void
pst_loop_settle(struct pst_loop *loop)
{
	while (run_some(&loop->prompt, TASKS))
		;
}

void
pst_loop_bury(struct pst_loop *loop, struct pst_task *task)
{
	assert(task->list == NULL);
	task->list = &loop->burials;
	TAILQ_INSERT_TAIL(&loop->burials, task, link);
}

void
pst_task_cancel(struct pst_task *task)
{
	if (task->list == NULL)
		return;
	TAILQ_REMOVE(task->list, task, link);
	task->list = NULL;
}
