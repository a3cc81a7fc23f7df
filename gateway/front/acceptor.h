/*
 * The client listeners: accepts while there are descriptors for it, and pauses when there are
 * none. A share of the process's descriptors is kept for workers and spool files.
 *
 * Where other gateways accept at the same listeners, whoever has clearly more clients than another
 * leaves the next to that one for a moment.
 */
#ifndef PST_FRONT_ACCEPTOR_H
#define PST_FRONT_ACCEPTOR_H

#include "gateway/board.h"
#include "gateway/front/client.h"

struct pst_acceptor;

/* NULL: no memory. CLIENTS must outlive it. */
struct pst_acceptor *pst_acceptor_new(struct pst_loop *loop, struct pst_clients *clients);
/* Closes what is left open. NULL is allowed. */
void pst_acceptor_free(struct pst_acceptor *acceptor);

/* Others accept, too: those at MATES of BOARD, which is taken over and set to none. We are at
 * PLACE. Before anything is added. */
void pst_acceptor_share(
    struct pst_acceptor *acceptor, struct pst_board *board, unsigned place, uint64_t mates);

/* The listening socket FD, named NAME in the log, belongs to the acceptor: 0, or -1: no memory. */
int pst_acceptor_add(struct pst_acceptor *acceptor, int fd, const char *name);

/* Accept from now on. */
void pst_acceptor_start(struct pst_acceptor *acceptor);
/* Accept who has connected by now, then stop. */
void pst_acceptor_drain(struct pst_acceptor *acceptor);
/* Close those called NAME: another process has them, too, and accepts. */
void pst_acceptor_leave(struct pst_acceptor *acceptor, const char *name);
/* Close all listeners: nothing is accepted any more. */
void pst_acceptor_stop(struct pst_acceptor *acceptor);
/* It has listeners. */
bool pst_acceptor_is_open(const struct pst_acceptor *acceptor);
/* A client has left: there is room. */
void pst_acceptor_room(struct pst_acceptor *acceptor);

#endif
