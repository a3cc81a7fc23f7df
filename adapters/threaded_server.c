#include "adapters/threaded_server.h"

#include "adapters/crash.h"
#include "adapters/held.h"
#include "adapters/log.h"
#include "adapters/threaded_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Once a request was found to wait for one that does not get on, others are not made to wait for
 * so long; in nanoseconds. */
#define EAGER 20000000

/* After so many ticks without a move what runs does not get on. */
#define STILL 2
/* And after so many the guard goes anyway. */
#define CALM 8

/* A request that slept took this long at least, in nanoseconds: shorter ones are not asked. */
#define SLEPT 1000000

/* So often a thread reads a connection that it owns before it looks at others. */
#define READS 16

/* --- life --- */

static void
set_up_threads(struct pst_threaded_server *server)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < server->count; i++) {
		server->threads[i].server = server;
		server->threads[i].number = i;
		pthread_cond_init(&server->threads[i].changed, &attributes);
	}
	pthread_condattr_destroy(&attributes);
}

struct pst_threaded_server *
pst_threaded_server_new(int listener, unsigned threads)
{
	struct pst_threaded_server *server = calloc(1, sizeof(*server));

	if (server)
		server->threads = calloc(threads, sizeof(*server->threads));
	if (!server || !server->threads) {
		pst_log(PST_LOG_CRITICAL, "memory is short");
		free(server);
		return NULL;
	}
	server->count = threads;
	pthread_mutex_init(&server->lock, NULL);
	TAILQ_INIT(&server->waiting);
	TAILQ_INIT(&server->common.ready);
	TAILQ_INIT(&server->common.spare);
	server->common.requests = threads;
	server->common.carrier = &pst_threaded_carrier;
	set_up_threads(server);
	if (pst_threaded_members_begin(server, listener) < 0) {
		pst_threaded_server_free(server);
		return NULL;
	}
	return server;
}

void
pst_threaded_server_free(struct pst_threaded_server *server)
{
	if (!server)
		return;
	pst_threaded_members_end(server);
	pst_held_free(server->held);
	pst_threaded_common_free(&server->common);
	for (unsigned i = 0; i < server->count; i++)
		pthread_cond_destroy(&server->threads[i].changed);
	pthread_mutex_destroy(&server->lock);
	free(server->threads);
	free(server);
}

void
pst_threaded_server_share(struct pst_threaded_server *server, struct pst_page *page)
{
	server->common.page = page;
}

/* --- waking --- */

static void
ring(struct pst_threaded_server *server)
{
	uint64_t one = 1;

	if (write(server->bell, &one, sizeof(one)) < 0) {
		/* Full, after 2^64 requests. */
	}
}

void
pst_threaded_ring(struct pst_threaded_server *server)
{
	if (server->idle > 0 && !TAILQ_EMPTY(&server->common.ready))
		ring(server);
}

void
pst_threaded_server_drain(struct pst_threaded_server *server)
{
	int saved = errno;

	atomic_store(&server->drain, true);
	ring(server);
	errno = saved;
}

void
pst_threaded_server_outlive(struct pst_threaded_server *server)
{
	atomic_store(&server->outlive, true);
	ring(server);
}

bool
pst_threaded_server_busy(struct pst_threaded_server *server)
{
	return atomic_load(&server->running) > 0;
}

/* --- the guard --- */

static uint64_t
nanoseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* THREAD has taken a request, or ended one. The clock that said what one took is not asked again.
 */
static void
note_move(struct pst_threaded_server *server, const struct pst_threaded_thread *thread)
{
	server->taken++;
	if (!server->handler.serial)
		return;
	if (thread->usage_runs)
		server->moved = thread->usage.wall * 1000;
	else
		server->moved = nanoseconds();
}

/* What is ready is better left to the threads that run already, as long as they get on. */
static bool
is_lazy(const struct pst_threaded_server *server)
{
	return server->handler.serial && TAILQ_EMPTY(&server->waiting) && !server->draining &&
	       server->moved >= server->eager_until;
}

/* True while those who run get on. */
static bool
gets_on(struct pst_threaded_server *server)
{
	return atomic_load(&server->running) > 0 && is_lazy(server) &&
	       nanoseconds() - server->moved < PST_THREADED_TICK;
}

/* For STILL ticks nothing moved: what is ready, or comes, is held up. Once may be that who runs
 * was without a processor: then another thread would only get in its way, too. */
static bool
is_stuck(struct pst_threaded_server *server, unsigned still)
{
	return still >= STILL &&
	       (atomic_load(&server->running) > 0 || !TAILQ_EMPTY(&server->common.ready));
}

/* Watch those who run until they do not get on, or nothing is left to be done. Between two batches
 * nobody may run for a moment: the guard stays, or it would have to be woken for the next one. */
static void
guard(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	struct timespec until;
	unsigned still = 0;
	uint64_t seen;

	pst_threaded_members_disown(server, thread);
	server->guarded = true;
	do {
		pst_threaded_held_write(server);
		seen = server->taken;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += PST_THREADED_TICK;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		while (pthread_cond_timedwait(&thread->changed, &server->lock, &until) == 0) {
			/* Nobody signals this: it was no reason. */
		}
		pst_threaded_held_take(server);
		still = server->taken == seen ? still + 1 : 0;
	} while (is_lazy(server) && !is_stuck(server, still) && still < CALM);
	server->guarded = false;
	if (!TAILQ_EMPTY(&server->common.ready) && still > 0)
		server->eager_until = nanoseconds() + EAGER;
	pst_threaded_members_disown_all(server);
}

/* How often the calling thread has slept so far. */
static long
sleeps(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

/* THREAD has ended a request. While there are such as sleep, others are not made to wait until the
 * guard has found that out again. */
static void
note_sleep(struct pst_threaded_server *server, const struct pst_threaded_thread *thread)
{
	if (server->handler.serial && server->moved - thread->began >= SLEPT &&
	    sleeps() != thread->sleeps)
		server->eager_until = server->moved + EAGER;
}

/* --- a thread's turn --- */

/* What comes next to THREAD, or NULL. */
static struct pst_threaded_stream *
next(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	struct pst_threaded_link *link = thread->owned;

	if (TAILQ_EMPTY(&server->common.ready) && thread->runs && link && thread->reads < READS) {
		thread->reads++;
		if (pst_threaded_link_read(link)) {
			pst_threaded_link_write(link);
			pst_threaded_members_settle(server, link);
		}
	}
	if (TAILQ_EMPTY(&server->common.ready))
		return NULL;
	if (!thread->runs && gets_on(server)) {
		if (server->guarded)
			return NULL;
		guard(server, thread);
	}
	return pst_threaded_stream_take(&server->common);
}

/*
 * This thread leaves for the application, and the lock: who shall see to what it leaves behind? Who
 * is woken would run at once where there is one core, so the lock is free by then.
 */
static void
leave(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	bool wanted = false;

	if (!server->guarded || !is_lazy(server)) {
		pst_threaded_members_disown(server, thread);
		wanted = server->idle > 0 && !TAILQ_EMPTY(&server->common.ready);
		pst_threaded_wait_relieve(server);
	}
	pst_threaded_held_give(server);
	pthread_mutex_unlock(&server->lock);
	if (wanted)
		ring(server);
}

static void
run(struct pst_threaded_server *server, struct pst_threaded_thread *thread,
    struct pst_threaded_stream *stream)
{
	struct pst_threaded_link *link = stream->link;
	bool told = link->penstock; /* what it costs */
	bool quick;
	enum pst_outcome outcome;

	stream->thread = thread;
	thread->stream = stream;
	atomic_fetch_add(&server->running, 1);
	note_move(server, thread);
	thread->began = server->moved;
	if (server->handler.serial && !thread->usage_runs)
		thread->sleeps = sleeps();
	leave(server, thread);
	if (told && !thread->usage_runs)
		pst_usage_begin(&thread->usage);
	outcome = server->handler.handle(server->handler.arg, stream->request);
	if (told)
		stream->cost = pst_usage_end(&thread->usage);
	thread->usage_runs = told;
	quick = told && stream->cost.cpu + stream->cost.waited <= PST_HELD_QUICK;
	pthread_mutex_lock(&server->lock);
	pst_threaded_held_take(server);
	note_move(server, thread);
	note_sleep(server, thread);
	outcome = pst_threaded_finish(server, thread, outcome);
	atomic_fetch_sub(&server->running, 1);
	thread->stream = NULL;
	thread->runs = true;
	pst_threaded_stream_end(stream, outcome);
	if (!quick || !pst_threaded_held_keep(server, link)) {
		pst_threaded_link_write_out(link, &server->lock);
		pst_threaded_held_take(server);
	}
	/* What kept it from being read, or written, may be over. */
	if (pst_threaded_members_settle(server, link) && !link->owner)
		pst_threaded_members_arm(server, link);
}

static void
idle(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	thread->runs = thread->usage_runs = false;
	thread->reads = 0;
	pst_threaded_members_disown(server, thread);
	pst_threaded_members_listen(server);
	pst_threaded_wait_relieved(server);
	server->idle++;
	pst_threaded_members_poll(server, thread, pst_threaded_members_timeout(server));
	server->idle--;
}

/* Nothing is left to be done. Begins to drain when it is time to. */
static bool
is_over(struct pst_threaded_server *server)
{
	if (!server->draining && (atomic_load(&server->drain) ||
				     (atomic_load(&server->outlive) && server->connected == 0)))
		pst_threaded_members_drain(server);
	return server->draining && server->connected == 0;
}

static void
work(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	struct pst_threaded_stream *stream;

	while (!is_over(server)) {
		stream = next(server, thread);
		if (stream)
			run(server, thread, stream);
		else if (!is_over(server))
			idle(server, thread);
	}
	ring(server); /* the next one */
}

/* --- all threads --- */

static void
fail(struct pst_threaded_server *server)
{
	server->failed = true;
	atomic_store(&server->drain, true);
	ring(server);
}

static void *
serve(void *arg)
{
	struct pst_threaded_thread *thread = arg;
	struct pst_threaded_server *server = thread->server;
	const struct pst_threaded_handler *handler = &server->handler;

	pst_crash_thread_begin(thread->number);
	if (handler->start && handler->start(handler->arg) < 0) {
		pthread_mutex_lock(&server->lock);
		fail(server);
		pthread_mutex_unlock(&server->lock);
		return NULL;
	}
	pthread_mutex_lock(&server->lock);
	pst_threaded_held_take(server);
	work(server, thread);
	pthread_mutex_unlock(&server->lock);
	if (handler->stop)
		handler->stop(handler->arg);
	pst_crash_thread_end();
	return NULL;
}

int
pst_threaded_server_run(
    struct pst_threaded_server *server, const struct pst_threaded_handler *handler)
{
	unsigned created = 1;
	int err = 0;

	server->handler = *handler;
	while (created < server->count && err == 0) {
		struct pst_threaded_thread *thread = &server->threads[created];
		err = pthread_create(&thread->thread, NULL, serve, thread);
		created += err == 0;
	}
	if (err != 0) {
		pst_log(PST_LOG_CRITICAL, "thread %u of %u cannot be started: %s", created + 1,
		    server->count, strerror(err));
		pthread_mutex_lock(&server->lock);
		fail(server);
		pthread_mutex_unlock(&server->lock);
	}
	serve(&server->threads[0]);
	for (unsigned i = 1; i < created; i++)
		pthread_join(server->threads[i].thread, NULL);
	return server->failed ? -1 : 0;
}
