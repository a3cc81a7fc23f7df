/*
 * One connection of a client to a threaded adapter: a socket that never blocks and its FastCGI
 * session, which may carry many requests. Nothing here waits. All of it is under the server's lock
 * (threaded_server.h).
 *
 * A request of it is a *stream*. The thread that runs it owns its struct pst_request; whichever
 * thread reads the connection leaves what comes for it in the stream, and the owner takes it over
 * from there with pst_threaded_stream_pull().
 *
 *	ARRIVING ──► READY ──► RUNNING ──► (spare)
 *	    └──────────┴───────────────────────┘ aborted, refused, connection lost
 */
#ifndef PST_ADAPTERS_THREADED_LINK_H
#define PST_ADAPTERS_THREADED_LINK_H

#include "adapters/offer.h"
#include "adapters/request.h"
#include "adapters/share.h"
#include "protocol/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

/* Output that waits to be written: above it who adds to it waits, and the link is not read. */
#define PST_THREADED_OUT_HIGH 131072

struct pst_threaded_link;
struct pst_threaded_thread;

enum pst_threaded_state {
	PST_THREADED_ARRIVING, /* its parameters come */
	PST_THREADED_READY, /* it waits for a thread */
	PST_THREADED_RUNNING, /* a thread has it */
};

struct pst_threaded_stream {
	TAILQ_ENTRY(pst_threaded_stream) entry; /* of those that are ready, or spare */
	struct pst_threaded_link *link;
	struct pst_threaded_thread *thread; /* the owner, once it is running */
	struct pst_request *request; /* the owner's then */
	enum pst_threaded_state state;
	uint16_t id;
	bool extended; /* its body comes under credit */
	struct pst_offer offer;
	struct pst_session_usage cost; /* filled before it ends, for a gateway of ours */

	/* What has come and was not pulled. */
	struct pst_body body;
	bool body_ended;
	bool gone;
};

TAILQ_HEAD(pst_threaded_streams, pst_threaded_stream);

/* What the links of one adapter share. It outlives them. */
struct pst_threaded_common {
	unsigned connections; /* the answer to FCGI_MAX_CONNS */
	unsigned requests; /* and to FCGI_MAX_REQS; PST_LINK_AHEAD may wait behind them */
	struct pst_page *page; /* shared with the gateway; NULL: there is none */
	const struct pst_carrier *carrier; /* of the requests */
	struct pst_threaded_streams ready; /* oldest first */
	struct pst_threaded_streams spare; /* kept for further requests, with their memory */
	unsigned spares;
	unsigned char bytes[65536]; /* what one recv() brings */
};

enum pst_threaded_link_state {
	PST_THREADED_LINK_OPEN,
	PST_THREADED_LINK_LINGER, /* closing at once would reset what the client has not read yet */
	PST_THREADED_LINK_OVER,
};

struct pst_threaded_link {
	int fd;
	enum pst_threaded_link_state state;
	struct pst_session *session;
	struct pst_threaded_common *common;
	struct pst_share share;
	unsigned open; /* streams, of any state */
	unsigned running;
	unsigned full; /* streams whose bodies hold up the connection */
	uint64_t sent; /* bytes written so far */
	struct pst_piece *piece; /* where the session's external bytes are, while there are any */
	struct timespec looked; /* when it was last read while an application wrote */
	bool blocked; /* the socket takes no more */
	unsigned held; /* answers that wait to be written with the next */
	bool writing; /* a thread does, without the lock: others leave what they add to it */
	bool cut; /* once that is written the client is told that a response is not whole */
	bool penstock; /* the client asked for PENSTOCK_VERSION */
	bool is_unix; /* its socket is one that carries descriptors */
	bool heard_all; /* the last request's body had arrived whole when it ended */
	bool failed; /* END_REQUEST could not be queued: only closing can tell the client */

	/* The server's. */
	uint32_t slot;
	uint32_t armed; /* the events that epoll waits for; 0: none */
	struct pst_threaded_thread *owner; /* who will read it next, while it is not armed */
	time_t active; /* when something last happened but for lingering, in seconds */
};

void pst_threaded_common_free(struct pst_threaded_common *common);

/* Takes *FD, a connected socket, and sets it to -1. NULL (closed as well): memory is short. */
struct pst_threaded_link *pst_threaded_link_new(int *fd, struct pst_threaded_common *common);
/* Close it. No stream of it may be running; others end with it. */
void pst_threaded_link_free(struct pst_threaded_link *link);

/* True while it can and should be read, or written. Neither, and no stream open: it is over. */
bool pst_threaded_link_wants_read(const struct pst_threaded_link *link);
bool pst_threaded_link_wants_write(const struct pst_threaded_link *link);
/* True once it can be freed. */
bool pst_threaded_link_over(const struct pst_threaded_link *link);
/* True while no request is open and nothing waits to be written. */
bool pst_threaded_link_idle(const struct pst_threaded_link *link);

/* Read once, if it wants that: true when something came, or an end. */
bool pst_threaded_link_read(struct pst_threaded_link *link);
/* Write until nothing is left or the socket takes no more. */
void pst_threaded_link_write(struct pst_threaded_link *link);
/* The same, without LOCK, which is held, while the socket is at work: a client that it wakes, or
 * that takes its time, holds nobody up. LINK is there afterwards, but may be lost. */
void pst_threaded_link_write_out(struct pst_threaded_link *link, pthread_mutex_t *lock);
/* Once nothing is left to be said in either direction, part with the client. */
void pst_threaded_link_settle(struct pst_threaded_link *link);
/* The connection is of no use any more: all its requests are gone. */
void pst_threaded_link_lose(struct pst_threaded_link *link);

/* The request that has waited for longest, RUNNING now, or NULL. _end() must follow. */
struct pst_threaded_stream *pst_threaded_stream_take(struct pst_threaded_common *common);
/* What has come becomes the request's. By its owner. */
void pst_threaded_stream_pull(struct pst_threaded_stream *stream);
/* It has been handled: END_REQUEST is queued, and the stream is gone. Its link is to be written and
 * settled. */
void pst_threaded_stream_end(struct pst_threaded_stream *stream, enum pst_outcome outcome);

#endif
