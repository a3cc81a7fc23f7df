/*
 * The listener of an async adapter, all connections of its clients, and what they need of the
 * event loop. One for each process, on one thread, but for what is marked.
 */
#ifndef PST_ADAPTERS_ASYNC_SERVER_H
#define PST_ADAPTERS_ASYNC_SERVER_H

#include "adapters/load.h"
#include "protocol/page.h"

#include <stdbool.h>
#include <stddef.h>

struct pst_async_server;

struct pst_async_config {
	int listener; /* a listening stream socket: it is made non-blocking, and stays the caller's
		       */
	unsigned capacity; /* requests at a time */
	struct pst_page
	    *page; /* shared with the gateway, outlives the server; NULL: there is none */
};

/* FCGI_WEB_SERVER_ADDRS is heeded. NULL after the reason was logged. */
struct pst_async_server *pst_async_server_new(const struct pst_async_config *config);
void pst_async_server_free(struct pst_async_server *server);

/*
 * Serve with PLUGIN, on its own loop or libevent's, until pst_async_server_drain(), and then until
 * what had arrived by then is answered; DRAINING is called in between, and before that by
 * pst_async_server_closing(). 0, or -1 after the reason was logged.
 */
int pst_async_server_run(struct pst_async_server *server, const struct pst_loaded *plugin,
    void *app, void (*draining)(void *arg), void *arg);

/* A drain is to come: call DRAINING, and serve on. Any thread. */
void pst_async_server_closing(struct pst_async_server *server);
/* Make it end. Any thread, and async-signal-safe. */
void pst_async_server_drain(struct pst_async_server *server);
/* Nobody else will serve what the clients of now still have to ask: end when they have closed
 * their connections. Any thread. */
void pst_async_server_outlive(struct pst_async_server *server);
/* Requests are open. Any thread, and async-signal-safe. */
bool pst_async_server_busy(struct pst_async_server *server);

/* Bytes that all connections and requests hold, for tests. */
size_t pst_async_server_held(const struct pst_async_server *server);

/* The table of functions that a plugin is given, for the server that was made last. */
extern const struct pst_host pst_async_host;

#endif
