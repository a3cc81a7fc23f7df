/*
 * The listening socket of an adapter: who may connect, and what happens when descriptors run out.
 * One thread at a time.
 */
#ifndef PST_ADAPTERS_LISTENER_H
#define PST_ADAPTERS_LISTENER_H

#include "adapters/allow.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Connections that an adapter has at a time, fewer when RLIMIT_NOFILE is low. */
#define PST_LISTENER_CONNECTIONS 1024

struct pst_listener {
	int fd;
	struct pst_allow allow;
	time_t pause_until; /* nothing is accepted before, in seconds of the monotonic clock */
	time_t refusal_logged;
};

enum {
	PST_LISTENER_NONE = -1, /* nobody is there any more, or may connect */
	PST_LISTENER_FAILED = -2, /* the listener is of no use any more */
};

/*
 * FD must be a listening stream socket; it is made non-blocking, and stays the caller's.
 * FCGI_WEB_SERVER_ADDRS is heeded. 0, or -1 after the reason was logged.
 */
int pst_listener_begin(struct pst_listener *listener, int fd);
/* True while connections may be accepted; otherwise ask again in a second. */
bool pst_listener_open(const struct pst_listener *listener);
/* Accept one: its socket, which does not block and is closed on exec, or one of the above. What is
 * worth it was logged. */
int pst_listener_accept(struct pst_listener *listener);

/* How many connections there may be: PST_LISTENER_CONNECTIONS, or what RLIMIT_NOFILE leaves. */
size_t pst_listener_limit(void);

#endif
