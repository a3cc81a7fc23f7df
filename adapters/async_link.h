/*
 * One connection of a client to an async adapter: a socket that never blocks and its FastCGI
 * session, which may carry many requests. A gateway of ours grants credit for each of them. The
 * connection of any other client is not read while a request's body waits to be read, and all its
 * requests wait while much output does.
 */
#ifndef PST_ADAPTERS_ASYNC_LINK_H
#define PST_ADAPTERS_ASYNC_LINK_H

#include "adapters/async_core.h"
#include "adapters/share.h"
#include "protocol/session.h"

/* Output that waits to be written: above it no request adds any. */
#define PST_ASYNC_OUT_HIGH 131072
/* Above this the connection is not read either: what is read makes answers. */
#define PST_ASYNC_OUT_MAX (4 * PST_ASYNC_OUT_HIGH)

enum pst_async_link_state {
	PST_ASYNC_LINK_OPEN,
	PST_ASYNC_LINK_LINGER, /* closing at once would reset what the client has not read yet */
	PST_ASYNC_LINK_OVER,
};

struct pst_async_link {
	TAILQ_ENTRY(pst_async_link) all; /* the server's */
	TAILQ_ENTRY(pst_async_link) attending; /* the core's */
	struct pst_async_core *core;
	struct pst_session *session;
	struct pst_share share;
	struct pst_async_requests dirty; /* to be pumped */
	enum pst_async_link_state state;
	int fd;
	unsigned events; /* that are watched */
	unsigned count; /* of open requests */
	unsigned full; /* of those whose bodies hold up the connection */
	unsigned begun; /* of those that began within this read */
	bool is_attended;
	bool blocked; /* the socket takes no more */
	bool files; /* descriptors may come along, and go */
	bool penstock; /* the client asked for PENSTOCK_VERSION */
	bool heard_all; /* the last request's body had arrived whole when it ended */
	bool failed; /* what had to be queued was not: only closing can tell the client */
	bool cut; /* a response broke off, and the client can only be told by an error */
	uint64_t active; /* when something last happened, in microseconds */
};

/* Takes *FD, a connected socket, and sets it to -1. NULL (closed as well): memory is short. */
struct pst_async_link *pst_async_link_new(int *fd, struct pst_async_core *core);
/* Close it; what the plugin has of it is aborted. */
void pst_async_link_free(struct pst_async_link *link);

/* The socket is ready for EVENTS, bits of enum pst_event. */
void pst_async_link_ready(struct pst_async_link *link, unsigned events);

enum pst_async_turn {
	PST_ASYNC_TURN_DONE,
	PST_ASYNC_TURN_MORE, /* there is more to write, but others wait */
	PST_ASYNC_TURN_OVER, /* the connection is over: free it */
};

/* The end of the turn: write, and watch for what is to come. */
enum pst_async_turn pst_async_link_turn(struct pst_async_link *link);

/* Ask for no more requests, and read those that have come. */
void pst_async_link_drain(struct pst_async_link *link);

/* Nothing more is said in either direction; it is over at the end of the turn. */
void pst_async_link_close(struct pst_async_link *link);

/* True while no request is open and nothing waits to be written. */
bool pst_async_link_idle(const struct pst_async_link *link);

/* --- for its requests --- */

/* How many bytes may be added to the output now. */
size_t pst_async_link_room(const struct pst_async_link *link);
/* REQUEST has something to be pumped at the end of the turn. */
void pst_async_link_touch(struct pst_async_link *link, struct pst_async_request *request);
/* Something is to be done for the link itself at the end of the turn. */
void pst_async_link_attend(struct pst_async_link *link);

#endif
