/*
 * A client: one accepted connection. It reads, feeds exchanges one after another, writes what they
 * append to its output, and keeps the clock of whatever the client is expected to do next.
 *
 *	         first byte          request complete        socket full
 *	  IDLE ─────────────► HEAD ─► BODY ─────────► WAITING ◄─────────► WRITING
 *	   ▲                                             │
 *	   └────────────────── answered ─────────────────┤ answered, to be closed
 *	                                                 ▼
 *	                                              LINGERING ─────► CLOSED
 *
 * While it waits, what a client sends ahead (pipelining) is read up to a limit, then left in the
 *socket.
 */
#ifndef PST_FRONT_CLIENT_H
#define PST_FRONT_CLIENT_H

#include "gateway/front/deadline.h"
#include "gateway/front/exchange.h"
#include "gateway/front/peer_address.h"
#include "protocol/buf.h"

#include <stddef.h>

/* So many buffers are kept for answers to come, none of them larger than this. */
#define PST_CLIENTS_SPARES 64
#define PST_CLIENTS_KEPT   4096

struct pst_client;
TAILQ_HEAD(pst_client_list, pst_client);

/* What is expected of clients: milliseconds, 0: for ever. */
struct pst_client_limits {
	uint64_t head;
	uint64_t body;
	uint64_t idle;
	uint64_t writing;
	uint64_t min_rate; /* bytes/s, averaged over each BODY and WRITING of waiting; 0: any */
};

/* All clients of the process, and how long each may take; zero, then pst_clients_init(). */
struct pst_clients {
	struct pst_exchange_context *context;
	struct pst_client_list list;
	size_t count;
	struct pst_buf spares[PST_CLIENTS_SPARES]; /* empty ones, of clients that are idle */
	size_t spare_count;
	uint64_t min_rate;
	struct pst_deadline_list head; /* from the first byte of a request to the end of its head */
	struct pst_deadline_list body; /* between two pieces of a body */
	struct pst_deadline_list upload; /* ... of one that is streamed */
	struct pst_deadline_list idle; /* between two requests */
	struct pst_deadline_list grace; /* ... while we drain */
	struct pst_deadline_list writing; /* between two pieces that the client takes */
	struct pst_deadline_list linger; /* from our FIN to the client's */
	struct pst_deadline_list silence; /* ... between two pieces that are thrown away */
	struct pst_deadline_list probe; /* until one that sends no more is asked if it is there */
	/* One is closed; the struct is freed later in the turn. */
	void (*left)(void *arg);
	void *arg;
};

/* 0, or -1 when memory is short. */
int pst_clients_init(struct pst_clients *clients, struct pst_exchange_context *context,
    const struct pst_client_limits *limits, void (*left)(void *arg), void *arg);
/* None is left. */
void pst_clients_free(struct pst_clients *clients);

/*
 * From now on every answer is a connection's last, and says so. A client that was told nothing
 * yet may ask once more: its connection is closed when it has been idle for a grace.
 */
void pst_clients_drain(struct pst_clients *clients);
/* Cut them all off; how many had a request in progress. */
size_t pst_clients_cut(struct pst_clients *clients);

/*
 * Serve the non-blocking socket FD, which belongs to the client from now on (it is closed when
 * memory is short). LOCAL is copied.
 */
void pst_client_new(struct pst_clients *clients, int fd, const struct pst_peer_address *peer,
    const struct pst_peer_address *local);

/* --- for its exchange --- */

/* What is to be sent next; append only, and say so by pst_client_flush(). */
struct pst_buf *pst_client_out(struct pst_client *client);
/* Write at the end of the turn. */
void pst_client_flush(struct pst_client *client);
/* What is appended now would leave with that: the socket is not full. */
bool pst_client_takes(const struct pst_client *client);
/* Write now what was lent to the answer, as far as the socket takes it. */
void pst_client_write_lent(struct pst_client *client);
/* There is room for more of the request's body, or nobody wants it any more. */
void pst_client_want_body(struct pst_client *client);
/* Bytes that the socket still holds: what the client has not acknowledged, on a unix socket not
 * read. */
int pst_client_unsent(const struct pst_client *client);
/* The answer cannot be completed: close so that the client notices. Ends the exchange. */
void pst_client_break(struct pst_client *client);

const struct pst_peer_address *pst_client_peer(const struct pst_client *client);
const struct pst_peer_address *pst_client_local(const struct pst_client *client);

#endif
