/*
 * The lane of a connection: memory (sealed.h) in which a worker puts bytes of answers, so that its
 * gateway sends them on from there. The worker makes it and lends it to the gateway for as long as
 * the connection lasts; where bytes are, records say (PROTOCOL.md, MEMORY and SHARED).
 *
 *	0     8         64                                     size
 *	done  reserved  | free | lent, oldest first | free     |
 *	                       ^ done               ^ put       positions of a ring, which never
 *wrap
 *
 * Each side trusts the other with nothing: the worker only loses room if `done` is wrong, and the
 * gateway reads what may change under its eyes.
 */
#ifndef PST_PROTOCOL_LANE_H
#define PST_PROTOCOL_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PST_LANE_HEADER 64
/* The largest that a gateway maps. */
#define PST_LANE_MAX 16777216

struct pst_lane {
	unsigned char *bytes; /* all of it; NULL: there is none */
	size_t size;
	uint64_t put; /* the worker's: where the next piece goes */
	uint64_t emptied; /* ... and where it last found that all was done with */
};

/* Where a piece lies. */
struct pst_lane_place {
	uint32_t offset;
	uint32_t length;
	uint64_t mark; /* what `done` becomes once the piece, and all before it, are done with */
};

/* --- the worker --- */

/* Make one of SIZE bytes: the descriptor to be lent, close-on-exec; -1 with errno. */
int pst_lane_create(struct pst_lane *lane, size_t size);
/* Copy N bytes (at least 1) to where they may be lent: false when there is no room. */
bool pst_lane_put(struct pst_lane *lane, const void *bytes, size_t n, struct pst_lane_place *place);

/* --- the gateway --- */

/* Map what is behind FD, which stays open: 0; -1 with errno, EINVAL when it is not SIZE bytes of
 * sealed memory in ordinary pages. */
int pst_lane_map(struct pst_lane *lane, int fd, size_t size);
/* All up to MARK is done with. */
void pst_lane_done(struct pst_lane *lane, uint64_t mark);

/* --- both --- */

/* Afterwards there is none. */
void pst_lane_unmap(struct pst_lane *lane);

#endif
