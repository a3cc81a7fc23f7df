/*
 * The event loop of the gateway: libevent's, plus what is done at the end of each turn. A turn
 * is: wait, run the callbacks of all events that came, run the tasks that they left, run the
 * burials. So a callback never frees anything and never calls deep into another object; it
 * leaves a task, and everything that one wakeup brought is written out once.
 */
#ifndef PST_FRONT_LOOP_H
#define PST_FRONT_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include <event2/event.h>

/* Bytes of pst_loop_scratch(): what one read takes at most. */
#define PST_LOOP_SCRATCH 65536

struct pst_loop;

TAILQ_HEAD(pst_task_list, pst_task);

/* Something to do at the end of the turn; part of the object that it is about. */
struct pst_task {
	TAILQ_ENTRY(pst_task) link;
	struct pst_task_list *list; /* NULL: it is not going to run */
	void (*run)(void *arg);
	void *arg;
};

/* NULL when libevent cannot do what we need (edge-triggered epoll), or memory is short. */
struct pst_loop *pst_loop_new(void);
void pst_loop_free(struct pst_loop *loop);

struct event_base *pst_loop_base(struct pst_loop *loop);

/*
 * The clocks of a turn: they are read once in it, when they are first asked for after the wait, so
 * asking costs nothing. Outside of pst_loop_run() they are read each time.
 */

/* Milliseconds and microseconds on the monotonic clock. */
uint64_t pst_loop_now(void);
uint64_t pst_loop_now_us(void);
/* CLOCK_REALTIME. */
struct timespec pst_loop_wall(void);

/* PST_LOOP_SCRATCH bytes for whoever is running; they are another's once it returns. */
unsigned char *pst_loop_scratch(struct pst_loop *loop);

/*
 * Run TASK as soon as what was read has been taken apart: it works with bytes where they were read,
 * which are gone when the turn ends. Once, as with pst_loop_defer().
 */
void pst_loop_prompt(struct pst_loop *loop, struct pst_task *task);
/* Whoever reads has taken apart what came: run those tasks. */
void pst_loop_settle(struct pst_loop *loop);

/* Turn until pst_loop_stop(); that turn is finished. */
void pst_loop_run(struct pst_loop *loop);
void pst_loop_stop(struct pst_loop *loop);

void pst_task_init(struct pst_task *task, void (*run)(void *arg), void *arg);

/* Run TASK in this turn; once, however often it is asked for before it runs. */
void pst_loop_defer(struct pst_loop *loop, struct pst_task *task);

/* Run TASK, which must not be queued and is the object's last, after all others: it frees. */
void pst_loop_bury(struct pst_loop *loop, struct pst_task *task);

/* TASK will not run, unless it is asked for again. */
void pst_task_cancel(struct pst_task *task);

#endif
