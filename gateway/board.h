/*
 * What gateways that share listeners show each other: for each place one word in memory that all of
 * them and the arbiter have mapped, so that the one with the fewest clients takes the next. The
 * kernel does not do that: it wakes the first that sleeps, which on a quiet machine is always the
 * same one.
 *
 * The memory is a memfd, sealed, so that no access can fail. What others write there is a
 * number like any other; it decides who accepts first, never who accepts at all.
 */
#ifndef PST_GATEWAY_BOARD_H
#define PST_GATEWAY_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PST_BOARD_PLACES 64

struct pst_board {
	_Atomic uint64_t *words; /* NULL: it is none */
};

/* A new board, on which nobody shows anything: its descriptor, close-on-exec; -1 with errno. */
int pst_board_create(void);
/* Map the board behind FD, which stays open and is the caller's: 0, or -1 with errno. */
int pst_board_map(struct pst_board *board, int fd);
/* Afterwards BOARD is none. */
void pst_board_unmap(struct pst_board *board);

/* The gateway of PLACE has so many CLIENTS, and accepts more. */
void pst_board_show(const struct pst_board *board, unsigned place, uint64_t clients);
/* It does not. */
void pst_board_hide(const struct pst_board *board, unsigned place);

/*
 * Of the gateways whose places are the bits of MATES none that accepts has clearly fewer clients
 * than CLIENTS: few more than the fewest do not count, or of a crowd that comes at once each would
 * take one and wait for the others.
 */
bool pst_board_is_turn(const struct pst_board *board, uint64_t mates, uint64_t clients);

#endif
