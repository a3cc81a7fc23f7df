/*
 * What the parts of a connection to a sync adapter share.
 *
 *	link            the connection: life, state, bytes
 *	link_turns      the requests of it that are open, and what its session tells of them
 *	link_handle     the one that is handled: its beginning and its end
 *	link_carrier    how that one reaches its client meanwhile (struct pst_carrier)
 */
#ifndef PST_ADAPTERS_LINK_INTERNAL_H
#define PST_ADAPTERS_LINK_INTERNAL_H

#include "adapters/link.h"
#include "adapters/offer.h"
#include "adapters/share.h"
#include "adapters/usage.h"
#include "protocol/session.h"

#include <sys/queue.h>
#include <time.h>

enum pst_link_state {
	PST_LINK_OPEN,
	PST_LINK_LINGER, /* closing at once would reset what the client has not read yet */
	PST_LINK_OVER,
};

/* An open request: one is handled, those that a gateway of ours sent ahead wait for their turn. */
struct pst_link_turn {
	TAILQ_ENTRY(pst_link_turn) next;
	struct pst_link_turn *spare; /* the next one that is kept */
	struct pst_request *request;
	bool ready; /* its params are complete */
	struct pst_offer offer;
};

struct pst_link {
	int fd;
	enum pst_link_state state;
	struct pst_session *session;
	struct pst_link_common *common;
	struct pst_share share;
	TAILQ_HEAD(, pst_link_turn) turns; /* in order of arrival */
	struct pst_link_turn *running; /* the one that is being handled, or NULL */
	struct pst_piece *piece; /* where the session's external bytes are, while there are any */
	struct timespec looked; /* when it was last read while an application wrote */
	bool penstock; /* the client asked for PENSTOCK_VERSION */
	bool is_unix; /* its socket is one that carries descriptors */
	struct pst_usage usage; /* of the request that is being handled */
	uint64_t took; /* the last one, in microseconds; UINT64_MAX: nobody knows */
	bool usage_runs; /* it began with the end of the last one: nothing was waited for since */
	unsigned held; /* answers that wait to be written with the next */
	uint64_t held_for; /* ... the first of them for so long, in microseconds */
	bool given; /* they are, to common->held: the session is not to be touched */
	bool heard_all; /* the last request's body had arrived whole when it ended */
	bool failed; /* END_REQUEST could not be queued: only closing can tell the client */
};

/* --- link --- */

/* The peer closed, or broke the protocol, or reading or writing failed. */
void pst_link_lose(struct pst_link *link);
/* Once nothing is left to be said in either direction, part with the client. */
void pst_link_settle(struct pst_link *link);
bool pst_link_wants_read(const struct pst_link *link);
/* Read once. */
void pst_link_read(struct pst_link *link);
/* Write until nothing is left or the socket takes no more. */
void pst_link_write(struct pst_link *link);

/* --- link_turns --- */

extern const struct pst_session_callbacks pst_link_callbacks;

/* The request that is to be handled next; NULL: there is none. */
struct pst_link_turn *pst_link_next_turn(const struct pst_link *link);
/* It has ended. */
void pst_link_release_turn(struct pst_link *link, struct pst_link_turn *turn);
/* End request ID, of which nothing was run. */
void pst_link_refuse(struct pst_link *link, uint16_t id, enum pst_end end);

/* --- link_carrier --- */

extern const struct pst_carrier pst_link_carrier;

/* There is a watcher for what is held, and it is about. */
bool pst_link_can_hold(struct pst_link *link);
/* All that is queued is the watcher's, which sends it if it is not taken soon; false: it cannot
 * be. */
bool pst_link_give_held(struct pst_link *link);
/* The application wants something, or is done: what was held is the session's again. */
void pst_link_take_held(struct pst_link *link);

#endif
