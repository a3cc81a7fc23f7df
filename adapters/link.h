/*
 * One connection of a client (a gateway, a web server) to a sync adapter: a socket and its
 * FastCGI session. One request is handled at a time; a gateway of ours may send a few ahead, which
 * wait for their turn, so that this process need not sleep between them. The socket never blocks;
 * while a request is handled, the functions of its carrier poll that one socket.
 *
 *	pst_link_step() ──► pst_link_ready() ──► the application ──► pst_link_end()
 *	                        ▲                                          │ while there are more
 *	                        └──────────────────────────────────────────┘
 */
#ifndef PST_ADAPTERS_LINK_H
#define PST_ADAPTERS_LINK_H

#include "adapters/request.h"
#include "protocol/page.h"

#include <stdbool.h>

/* Output that waits to be written: above it submit() waits, and the link is not read. */
#define PST_LINK_OUT_HIGH 131072

/* Buffers larger than this are given back by all but one of the requests that are kept. */
#define PST_LINK_KEEP 65536

struct pst_held;
struct pst_link;
struct pst_link_turn; /* a request and its place in the line */

/* What the links of one adapter share. It outlives them. */
struct pst_link_common {
	unsigned connections; /* the answer to FCGI_MAX_CONNS */
	struct pst_page *page; /* shared with the gateway; NULL: there is none */
	bool holds; /* answers may be held back */
	struct pst_held *held; /* NULL: none was yet */
	struct pst_link_turn *spare; /* kept for the next requests, with their memory */
	unsigned spares; /* 1 + PST_LINK_AHEAD at most */
	unsigned char bytes[65536]; /* what one recv() brings */
};

/* Free what is kept, when no link is left. */
void pst_link_common_clear(struct pst_link_common *common);

/* Takes *FD, a connected socket, and sets it to -1. NULL (closed as well): memory is short. */
struct pst_link *pst_link_new(int *fd, struct pst_link_common *common);
/* Close it; a request that is open ends with it. It must not be one that is being handled. */
void pst_link_free(struct pst_link *link);

int pst_link_fd(const struct pst_link *link);
/* The events to poll for; 0: the connection is over, free it. */
short pst_link_events(const struct pst_link *link);
/* Read once and write what can be written, as far as REVENTS says that it goes. */
void pst_link_step(struct pst_link *link, short revents);
/* True while no request is open and nothing waits to be written. */
bool pst_link_idle(const struct pst_link *link);
/* True once all is answered, and only what the client still sends is awaited and discarded. */
bool pst_link_lingers(const struct pst_link *link);

/* The request that is to be handled next, or NULL. pst_link_end() must follow. */
struct pst_request *pst_link_ready(struct pst_link *link);
/* It has been handled: END_REQUEST is sent; waits until all is written, unless it is held back. */
void pst_link_end(struct pst_link *link, enum pst_outcome outcome);

#endif
