/* What the files of the front share: front.c (its states and life), front_lines.c (what the arbiter
 * says). */
#ifndef PST_FRONT_FRONT_INTERNAL_H
#define PST_FRONT_FRONT_INTERNAL_H

#include "gateway/front/acceptor.h"
#include "gateway/front/front.h"
#include "gateway/front/front_pools.h"
#include "gateway/front/route.h"
#include "gateway/front/settings.h"
#include "gateway/front/uplink.h"

enum pst_front_state {
	PST_FRONT_SETTING,
	PST_FRONT_SERVING,
	PST_FRONT_CLOSING,
	PST_FRONT_DRAINING,
	PST_FRONT_OVER,
};

struct pst_front {
	enum pst_front_state state;
	int status; /* of the process */
	bool orphaned;
	struct pst_loop *loop;
	struct pst_uplink *uplink;
	struct pst_settings settings;
	struct pst_front_pools pools;
	struct pst_routes routes;
	struct pst_acceptor *acceptor;
	struct pst_clients clients;
	struct pst_exchange_context context;
	struct event *listening; /* the end of accepting in a drain */
	struct event *graceful; /* the end of the graceful timeout */
	int runtime_dir; /* held while we need it; -1: that failed */
	int page; /* of the worker that the next SLOT up is about; -1: it has none */
	char page_of[64];
};

/* --- front.c --- */

/* It cannot run, or what was asked for is wrong (penstock's status for that): say WHAT, and end. */
void pst_front_give_up(struct pst_front *front, const char *what);
void pst_front_refuse(struct pst_front *front, const char *what);

/* All was said: serve. */
void pst_front_start(struct pst_front *front);
/* A drain is to come: let clients know. */
void pst_front_close(struct pst_front *front);
/* Accept who has connected and nobody more, finish what there is. */
void pst_front_drain(struct pst_front *front);

/* --- front_lines.c --- */

void pst_front_on_line(void *front, const struct pst_control *line);
/* Close the page that waits for its SLOT up. */
void pst_front_drop_page(struct pst_front *front);

#endif
