/*
 * The listener, the connections and the threads of a threaded adapter. Each thread handles one
 * request at a time; one epoll covers all connections, and whichever thread has nothing to do waits
 * there and reads.
 *
 * One lock protects connections, sessions and streams. The handler is called without it.
 */
#ifndef PST_ADAPTERS_THREADED_SERVER_H
#define PST_ADAPTERS_THREADED_SERVER_H

#include "adapters/request.h"
#include "protocol/page.h"

#include <stdbool.h>

struct pst_threaded_server;

/* What is done with requests. */
struct pst_threaded_handler {
	void *arg;
	/* On each thread, before its first request and after its last. -1 after the reason was
	 * logged. */
	int (*start)(void *arg);
	void (*stop)(void *arg);
	/* Handle REQUEST and finish it. */
	enum pst_outcome (*handle)(void *arg, struct pst_request *request);
	/* A lock lets one thread run at a time: wake others only when it does not get on. */
	bool serial;
};

/*
 * LISTENER must be a listening stream socket; it is made non-blocking. FCGI_WEB_SERVER_ADDRS is
 * heeded. NULL after the reason was logged. The listener stays the caller's.
 */
struct pst_threaded_server *pst_threaded_server_new(int listener, unsigned threads);
void pst_threaded_server_free(struct pst_threaded_server *server);

/* Requests with a ticket are claimed from PAGE, which outlives the server. Not while it runs. */
void pst_threaded_server_share(struct pst_threaded_server *server, struct pst_page *page);

/*
 * Serve with the threads, of which the calling one is the first, until
 * pst_threaded_server_drain(), and then until what had arrived by then is answered. 0, or -1 when
 * the listener, or a thread, failed, after the reason was logged.
 */
int pst_threaded_server_run(
    struct pst_threaded_server *server, const struct pst_threaded_handler *handler);

/* Make pst_threaded_server_run() end. Any thread, and async-signal-safe. */
void pst_threaded_server_drain(struct pst_threaded_server *server);

/* Nobody else will serve what the clients of now still have to ask: make pst_threaded_server_run()
 * end when they have closed their connections. Any thread. */
void pst_threaded_server_outlive(struct pst_threaded_server *server);

/* True while a request is handled. As drain(). */
bool pst_threaded_server_busy(struct pst_threaded_server *server);

#endif
