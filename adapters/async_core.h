/*
 * What the parts of an async adapter share: the plugin, the requests and what is to be done at the
 * end of the turn. One thread.
 *
 *	async_server   the listener, all connections, the loop's timer
 *	async_link     one connection: its socket, its session, its requests
 *	async_request  one request: what the plugin calls for it
 *	async_output   ... its response, on its way to the session
 *	async_message  ... its messages, if it is a WebSocket
 *
 * Callbacks change state and leave work for the turn's end: links in `attend`, requests and
 * links that are over in `buried`. Nothing is freed or written before.
 */
#ifndef PST_ADAPTERS_ASYNC_CORE_H
#define PST_ADAPTERS_ASYNC_CORE_H

#include "adapters/loop.h"
#include "protocol/page.h"

#include <penstock/plugin.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct pst_async_link;
struct pst_async_request;

TAILQ_HEAD(pst_async_links, pst_async_link);
TAILQ_HEAD(pst_async_requests, pst_async_request);

struct pst_async_core {
	const struct pst_plugin_async *plugin;
	void *app;
	struct pst_loop *loop; /* NULL until it runs */
	struct pst_page *page; /* shared with the gateway; NULL: there is none */
	unsigned connections; /* the answer to FCGI_MAX_CONNS */
	unsigned capacity; /* requests that a client may have open */

	struct pst_async_requests open; /* what the plugin has, oldest first */
	atomic_uint open_count;
	struct pst_async_requests buried;
	struct pst_async_requests spare; /* kept for further requests, with their memory */
	unsigned spare_count;

	struct pst_async_links attend; /* to be written, read again, or freed */
	bool deferred; /* the loop was asked for turn() */

	uint64_t timer_due; /* when the loop's timer is, as pst_async_now(); 0: none is set */
	unsigned char bytes[65536]; /* what one recv() or pread() brings */
};

/* The turn's end is wanted. */
void pst_async_core_defer(struct pst_async_core *core);

/* For how many microseconds the timer has been due: so late is the loop. */
uint64_t pst_async_core_late(const struct pst_async_core *core);

/* CLOCK_MONOTONIC in microseconds. */
uint64_t pst_async_now(void);

#endif
