/*
 * What the parts of the threaded server share.
 *
 *	threaded_server    the threads: who runs what, who waits where
 *	threaded_members   the connections: the table, epoll, the listener
 *	threaded_wait      a running thread that needs something of its client
 *	threaded_pump      bytes between an upgraded request and a socket of its application
 *	threaded_carrier   how a request reaches its client (struct pst_carrier)
 *	threaded_held      answers that are held back
 *	threaded_link      one connection
 *
 * Roles of a thread, which changes them itself:
 *
 *	idle ── epoll ──► running ──► idle       handles a request
 *	  └─► guard                              watches those who run, for a moment (serial)
 *	running ──► waiting ──► running          for a body, for credit, for room
 *
 * Idle threads wait in epoll_wait(), of which the kernel wakes the last that came. A connection's
 * events are delivered once and then armed again (EPOLLONESHOT), so one thread reads it. A thread
 * that waits sleeps on a condition of its own, unless nobody is at the epoll: then it goes there,
 * and who leaves the epoll for the application sees to it that somebody does.
 *
 * All under `lock`, but for what is atomic.
 */
#ifndef PST_ADAPTERS_THREADED_INTERNAL_H
#define PST_ADAPTERS_THREADED_INTERNAL_H

#include "adapters/listener.h"
#include "adapters/threaded_link.h"
#include "adapters/threaded_server.h"
#include "adapters/usage.h"
#include "adapters/vitals.h"

#include <pthread.h>
#include <stdatomic.h>

/* How long a request may wait for a thread that runs another, while a lock of the plugin's runtime
 * lets one run at a time and another would only get in its way; in nanoseconds. */
#define PST_THREADED_TICK 250000

/* What a waiting thread waits for. */
enum pst_threaded_need {
	PST_THREADED_BODY, /* more of the body, or its end */
	PST_THREADED_CREDIT, /* that the client takes so much more */
	PST_THREADED_ROOM, /* at most so much waits to be written */
	PST_THREADED_WRITTEN, /* so many bytes were written */
	PST_THREADED_PIECE, /* nobody sends a file on this connection */
	PST_THREADED_PIECE_SENT, /* the file's part was sent */
	PST_THREADED_PUMPED, /* the application has ended its side of the socket */
};

/* A socket of the application's that an upgraded request is joined with, while a thread waits for
 * its end. Who is at the epoll moves the bytes. */
struct pst_threaded_pump {
	int fd;
	bool full; /* the application is to read first: the epoll tells when FD takes more */
	bool told_end; /* that the client sends no more */
	bool over; /* the application has ended its side, and all of that was handed on */
};

struct pst_threaded_thread {
	struct pst_threaded_server *server;
	unsigned number; /* 0 is the main thread */
	pthread_t thread;
	pthread_cond_t changed;
	struct pst_threaded_stream *stream; /* the one that it runs */
	struct pst_threaded_link *owned; /* read by this thread only: not armed */
	unsigned reads; /* of it, since it was at the epoll */
	bool runs; /* it has just run a request, and goes on */
	uint64_t began; /* with the request that it runs, in nanoseconds; of a serial runtime */
	long sleeps; /* how often it had slept when it began with that, or one before it */
	struct pst_usage usage; /* of the request that it runs */
	bool usage_runs; /* it began with the end of the last one: nothing was waited for since */

	TAILQ_ENTRY(pst_threaded_thread) waiting;
	bool woken; /* ... and was told that it need not any more */
	enum pst_threaded_need need;
	uint64_t amount; /* of CREDIT, ROOM and WRITTEN */
	struct pst_threaded_pump *pump; /* of PUMPED; else NULL */
	uint32_t pumps; /* how many there were: events of older ones are void */
};

TAILQ_HEAD(pst_threaded_waiting, pst_threaded_thread);

struct pst_threaded_member {
	struct pst_threaded_link *link; /* NULL: a free place */
	uint32_t serial; /* of the connections that were here: events of older ones are void */
};

struct pst_threaded_server {
	pthread_mutex_t lock;
	struct pst_threaded_common common;
	struct pst_threaded_handler handler;
	struct pst_vitals vitals;

	/* Threads. */
	struct pst_threaded_thread *threads;
	unsigned count; /* of them */
	unsigned started; /* whose start() succeeded */
	unsigned idle; /* at the epoll */
	atomic_uint running;
	bool guarded; /* there is a guard */
	uint64_t taken; /* requests that were taken or ended so far */
	uint64_t moved; /* when that last changed, in nanoseconds */
	uint64_t eager_until; /* since a guard found that nothing moved */
	bool failed; /* pst_threaded_server_run() is to return -1 */

	/* Answers that are held back. */
	struct pst_held *held; /* NULL: none was yet */
	bool unwatched; /* it cannot be had */
	struct pst_threaded_link *holding; /* the one whose answers are, or NULL */
	bool given; /* to `held`: its session is not to be touched */

	/* Waiting threads. */
	struct pst_threaded_waiting waiting; /* in the order in which they came */
	struct pst_threaded_thread *reader; /* the one of them that is at the epoll */
	unsigned pumps; /* how many of them wait for PUMPED */
	int kick; /* eventfd: the reader is to look again */

	/* Connections. */
	struct pst_listener listener;
	bool accepting; /* the listener is in the epoll and armed */
	int epoll;
	int bell; /* eventfd: an idle thread is wanted */
	size_t limit;
	struct pst_threaded_member *members; /* `limit` places */
	size_t connected; /* of those, in use */
	bool lingers; /* one of them does */
	time_t swept;
	atomic_bool drain;
	atomic_bool outlive; /* drain when no connection is left */
	bool draining;
};

/* --- threaded_members --- */

/* 0, or -1 after the reason was logged. */
int pst_threaded_members_begin(struct pst_threaded_server *server, int listener);
void pst_threaded_members_end(struct pst_threaded_server *server);

/* Wait at the epoll for one event, without the lock, and handle it. TIMEOUT in ms. A connection
 * that may be read on becomes THREAD's own. */
void pst_threaded_members_poll(
    struct pst_threaded_server *server, struct pst_threaded_thread *thread, int timeout);
/* How long an idle thread may wait there, in ms; -1: for ever. */
int pst_threaded_members_timeout(struct pst_threaded_server *server);

/* LINK has been read, written or left: wake who waited for it, part with it if it is over. False:
 * it is gone. */
bool pst_threaded_members_settle(
    struct pst_threaded_server *server, struct pst_threaded_link *link);
/* Let the epoll watch LINK for what it wants. */
void pst_threaded_members_arm(struct pst_threaded_server *server, struct pst_threaded_link *link);
/* The same for the one that THREAD owns. */
void pst_threaded_members_disown(
    struct pst_threaded_server *server, struct pst_threaded_thread *thread);
void pst_threaded_members_disown_all(struct pst_threaded_server *server);
/* Let the epoll watch the listener, if it is to be. */
void pst_threaded_members_listen(struct pst_threaded_server *server);

/* Close what has lingered long enough and, when draining, what is idle. */
void pst_threaded_members_sweep(struct pst_threaded_server *server);
/* Accept no more; read what has come. */
void pst_threaded_members_drain(struct pst_threaded_server *server);

/* --- threaded_server --- */

/* Wake an idle thread if there is one and a request is ready. */
void pst_threaded_ring(struct pst_threaded_server *server);

/* --- threaded_held --- */

/*
 * Answers are given to the watcher while the lock is free. Whoever takes the lock takes them back
 * first; whoever lets go of it, or waits, writes them, but for a thread that begins with the next
 * request: it gives them.
 */

/* LINK has an answer, of a quick request, to write: true when it waits for the next. */
bool pst_threaded_held_keep(struct pst_threaded_server *server, struct pst_threaded_link *link);
void pst_threaded_held_give(struct pst_threaded_server *server);
void pst_threaded_held_take(struct pst_threaded_server *server);
/* Take them, if they are given, and write them. */
void pst_threaded_held_write(struct pst_threaded_server *server);
/* LINK is about to be freed. */
void pst_threaded_held_forget(
    struct pst_threaded_server *server, const struct pst_threaded_link *link);

/* --- threaded_wait --- */

/* Wait until NEED of AMOUNT is met for the stream that this thread runs. */
void pst_threaded_wait(struct pst_threaded_server *server, struct pst_threaded_thread *thread,
    enum pst_threaded_need need, uint64_t amount);
/* LINK has changed: wake who waits for it and need not any more. */
void pst_threaded_wait_wake(struct pst_threaded_server *server, struct pst_threaded_link *link);
/* This thread leaves the epoll: somebody who waits takes its place if nobody else is there. */
void pst_threaded_wait_relieve(struct pst_threaded_server *server);
/* An idle thread comes to the epoll: the reader need not be there. */
void pst_threaded_wait_relieved(struct pst_threaded_server *server);

/* --- threaded_pump --- */

/* The bit of an event's place that says that the rest of it is a thread's number. */
#define PST_THREADED_PUMP_PLACE 0x40000000u

/* Join the request that THREAD runs with FD until the application has ended its side, or the
 * client is gone: 0, or PST_RESULT_ERROR without memory. */
int pst_threaded_pump(
    struct pst_threaded_server *server, struct pst_threaded_thread *thread, int fd);
/* LINK has changed: move what can be moved. */
void pst_threaded_pump_move(struct pst_threaded_server *server, struct pst_threaded_link *link);
/* The epoll has told something about a thread's socket. */
void pst_threaded_pump_event(struct pst_threaded_server *server, uint32_t place, uint32_t serial);

/* --- threaded_carrier --- */

extern const struct pst_carrier pst_threaded_carrier;

/* The request that THREAD runs came to OUTCOME: queue what has gathered of its answer, with the
 * lock. What has become of it. */
enum pst_outcome pst_threaded_finish(struct pst_threaded_server *server,
    struct pst_threaded_thread *thread, enum pst_outcome outcome);

#endif
