/*
 * The listener of a sync adapter and all connections of its clients. One poll() covers them, so
 * a connection that is kept open and idle pins nothing. In each round every connection that has a
 * request gets one handled, and one new connection is accepted: nobody waits longer than a
 * round, and adapters that share a listener take work only as they can do it. With as many open as
 * pst_listener_limit() says, the one that has been idle for longest makes room for a new one.
 */
#ifndef PST_ADAPTERS_SERVER_H
#define PST_ADAPTERS_SERVER_H

#include "adapters/request.h"
#include "protocol/page.h"

#include <stdbool.h>

struct pst_server;

/* Handle REQUEST and finish it. */
typedef enum pst_outcome pst_server_fn(void *arg, struct pst_request *request);

/*
 * LISTENER must be a listening stream socket; it is made non-blocking. FCGI_WEB_SERVER_ADDRS is
 * heeded. NULL after the reason was logged. The listener stays the caller's.
 */
struct pst_server *pst_server_new(int listener, pst_server_fn *handle, void *arg);
void pst_server_free(struct pst_server *server);

/* Requests with a ticket are claimed from PAGE, which outlives the server. Not while it runs. */
void pst_server_share(struct pst_server *server, struct pst_page *page);

/*
 * Serve until pst_server_drain(), and then until what had arrived by then is answered. 0, or -1
 * when the listener fails, after the reason was logged.
 */
int pst_server_run(struct pst_server *server);

/* Make pst_server_run() end. Any thread, and async-signal-safe. */
void pst_server_drain(struct pst_server *server);

/* Nobody else will serve what the clients of now still have to ask: make pst_server_run() end when
 * they have closed their connections. Any thread. */
void pst_server_outlive(struct pst_server *server);

#endif
