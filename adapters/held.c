#include "adapters/held.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* After so many ticks in which nobody wanted it the watcher sleeps. */
#define IDLE_TICKS 100

/* What `given` says, beside a number that is another each time. */
#define GIVEN  1U /* the bytes wait */
#define TAKEN  2U /* the watcher, or a crash, is sending them */
#define STATES 3U

struct pst_held {
	pthread_t thread;
	pthread_mutex_t lock; /* held by the watcher but while it waits */
	pthread_cond_t changed; /* one of the next two */
	bool quit;
	bool asleep;
	atomic_bool sleeps; /* as asleep, for the main thread */
	atomic_uint wakes; /* how often it was wanted */
	pid_t pid; /* a child of the application's has no watcher, and must not send anything */
	atomic_uint_fast64_t given;
	/* Written before `given`, by the main thread: */
	int fd;
	const char *bytes;
	size_t n;
	size_t sent; /* of them; whoever set TAKEN writes it */
};

/* The one of this process, for the handler. */
static struct pst_held *_Atomic crash_held;

/* --- sending --- */

/* From GIVEN as it was SEEN to TAKEN, which is ours to change back. */
static bool
seize(struct pst_held *held, uint_fast64_t seen)
{
	return (seen & STATES) == GIVEN && atomic_compare_exchange_strong_explicit(&held->given,
					       &seen, (seen & ~(uint_fast64_t)STATES) | TAKEN,
					       memory_order_acquire, memory_order_relaxed);
}

/* Send what was caught, as much as the socket takes. */
static void
send_caught(struct pst_held *held, uint_fast64_t seen)
{
	ssize_t done = send(
	    held->fd, held->bytes + held->sent, held->n - held->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	bool again = done < 0 && (errno == EAGAIN || errno == EINTR);

	if (done > 0)
		held->sent += (size_t)done;
	/* What is wrong with the socket the main thread sees when it sends the rest. */
	if (held->sent == held->n || (done < 0 && !again))
		seen &= ~(uint_fast64_t)STATES;
	atomic_store_explicit(&held->given, seen, memory_order_release);
}

/* --- the watcher --- */

static void
wait_tick(struct pst_held *held)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PST_HELD_TICK * 1000L;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&held->changed, &held->lock, &until);
}

/* WANTED is how often it was wanted when it was decided: whoever wanted it since then may not have
 * seen that it sleeps. Both write first and look then, in one order for all. */
static void
sleep_on(struct pst_held *held, unsigned wanted)
{
	held->asleep = true;
	atomic_store(&held->sleeps, true);
	if (atomic_load(&held->wakes) != wanted) {
		held->asleep = false;
		atomic_store(&held->sleeps, false);
	}
	while (held->asleep && !held->quit)
		pthread_cond_wait(&held->changed, &held->lock);
}

static void *
watch(void *arg)
{
	struct pst_held *held = arg;
	uint_fast64_t seen = 0, now;
	unsigned wanted = 0, wakes, idle = 0;

	pthread_mutex_lock(&held->lock);
	while (!held->quit) {
		now = atomic_load_explicit(&held->given, memory_order_relaxed);
		wakes = atomic_load_explicit(&held->wakes, memory_order_relaxed);
		idle = wakes == wanted ? idle + 1 : 0;
		wanted = wakes;
		if (now == seen && seize(held, now)) {
			send_caught(held, now);
			idle = 0;
		}
		seen = now;
		if (idle <= IDLE_TICKS) {
			wait_tick(held);
			continue;
		}
		sleep_on(held, wanted);
		idle = 0;
	}
	pthread_mutex_unlock(&held->lock);
	return NULL;
}

/* --- life --- */

static int
start(struct pst_held *held)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int err;

	pthread_mutex_init(&held->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&held->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&held->thread, NULL, watch, held);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

struct pst_held *
pst_held_new(void)
{
	struct pst_held *held = calloc(1, sizeof(*held));

	if (!held || start(held) != 0) {
		free(held);
		return NULL;
	}
	held->pid = getpid();
	atomic_store(&crash_held, held);
	return held;
}

void
pst_held_free(struct pst_held *held)
{
	if (!held)
		return;
	atomic_store(&crash_held, NULL);
	pthread_mutex_lock(&held->lock);
	held->quit = true;
	pthread_cond_signal(&held->changed);
	pthread_mutex_unlock(&held->lock);
	pthread_join(held->thread, NULL);
	pthread_cond_destroy(&held->changed);
	pthread_mutex_destroy(&held->lock);
	free(held);
}

void
pst_held_wake(struct pst_held *held)
{
	unsigned wakes = atomic_load_explicit(&held->wakes, memory_order_relaxed);

	atomic_store(&held->wakes, wakes + 1);
	if (!atomic_load(&held->sleeps))
		return;
	pthread_mutex_lock(&held->lock);
	held->asleep = false;
	atomic_store_explicit(&held->sleeps, false, memory_order_relaxed);
	pthread_cond_signal(&held->changed);
	pthread_mutex_unlock(&held->lock);
}

/* --- the main thread --- */

void
pst_held_give(struct pst_held *held, int fd, const void *bytes, size_t n)
{
	uint_fast64_t last = atomic_load_explicit(&held->given, memory_order_relaxed);

	held->fd = fd;
	held->bytes = bytes;
	held->n = n;
	held->sent = 0;
	atomic_store_explicit(&held->given, (last & ~(uint_fast64_t)STATES) + STATES + 1 + GIVEN,
	    memory_order_release);
}

size_t
pst_held_take(struct pst_held *held)
{
	uint_fast64_t now = atomic_load_explicit(&held->given, memory_order_relaxed);

	while ((now & STATES) == GIVEN)
		if (atomic_compare_exchange_weak_explicit(&held->given, &now,
			now & ~(uint_fast64_t)STATES, memory_order_acq_rel, memory_order_relaxed))
			return held->sent;
	/* The watcher has them, or is done. */
	pthread_mutex_lock(&held->lock);
	now = atomic_load_explicit(&held->given, memory_order_acquire);
	atomic_store_explicit(&held->given, now & ~(uint_fast64_t)STATES, memory_order_relaxed);
	pthread_mutex_unlock(&held->lock);
	return held->sent;
}

/* --- a crash --- */

void
pst_held_crash(void)
{
	struct pst_held *held = atomic_load(&crash_held);
	uint_fast64_t seen;

	if (!held || held->pid != getpid())
		return;
	seen = atomic_load_explicit(&held->given, memory_order_relaxed);
	if (seize(held, seen))
		send_caught(held, seen);
}
