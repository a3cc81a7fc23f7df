/*
 * The server of a remote pool: where it is, and whether it is worth a try. Sans I/O, but for
 * pst_remote_resolve() and the log: one line when it goes away, one when it is back.
 *
 *	        failed               again_at has come: one try
 *	 UP ─────────────► DOWN ◄──────────────┐
 *	 ▲ │                 └─────────────────┘ failed: twice the wait
 *	 │ └───► FULL ───┐
 *	 └───────────────┴── reached
 *
 * While it is DOWN requests are answered 502 at once; who asks first when again_at has come is the
 * try. While it is FULL (its backlog is) they wait, and all try again when again_at has come.
 */
#ifndef PST_FRONT_REMOTE_H
#define PST_FRONT_REMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Waits in milliseconds: the first, and the longest that doubling leads to. */
#define PST_REMOTE_WAIT     100
#define PST_REMOTE_WAIT_MAX 1000
/* Between tries while it is FULL. */
#define PST_REMOTE_FULL_WAIT 10
/* How long one try may take. */
#define PST_REMOTE_TRY 5000

struct pst_remote_address {
	struct sockaddr_storage socket;
	socklen_t length;
};

enum pst_remote_state {
	PST_REMOTE_UP,
	PST_REMOTE_FULL,
	PST_REMOTE_DOWN,
};

/* A zeroed struct with the two names set is a server that is UP. */
struct pst_remote {
	const char *pool; /* for the log */
	const char *where; /* as it was configured */
	struct pst_remote_address address;

	/* Private to remote.c, but for the figures. */
	enum pst_remote_state state;
	uint64_t again_at; /* pst_loop_now() */
	uint64_t wait;
	uint64_t since; /* when it went down */
	uint64_t refused; /* requests, since then */
	uint64_t told_full_at; /* the last time that it was found so */
};

/* Find the address of unix:PATH or HOST:PORT: NULL, or a phrase. May ask a name server. */
const char *pst_remote_resolve(struct pst_remote_address *address, const char *where);
/* The unix socket at PATH: NULL, or a phrase. */
const char *pst_remote_unix(struct pst_remote_address *address, const char *path);

enum pst_remote_advice {
	PST_REMOTE_TRY_IT,
	PST_REMOTE_LET_WAIT, /* for a free connection; while FULL until pst_remote_again() */
	PST_REMOTE_REFUSE, /* and count it with pst_remote_refused() */
};

/* What to do with the next request, for which a connection is FREE or not. PST_REMOTE_TRY_IT is to
 * be followed by a try. */
enum pst_remote_advice pst_remote_advise(struct pst_remote *remote, uint64_t now, bool free);
/* Milliseconds until FULL is tried again, at least 1. */
uint64_t pst_remote_again(const struct pst_remote *remote, uint64_t now);
void pst_remote_refused(struct pst_remote *remote);

/* How a try ended. FULL: it is there, but takes no more connections now. */
void pst_remote_reached(struct pst_remote *remote, uint64_t now);
void pst_remote_failed(struct pst_remote *remote, uint64_t now, bool full, const char *reason);

#endif
