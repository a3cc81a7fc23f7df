/*
 * What an exchange becomes when its worker has accepted an upgrade (status 101): a connection that
 * is open both ways, for as long as both want.
 *
 * Messages (of a WebSocket): the client's frames are taken apart here, the worker gets pieces of
 * messages, and the other way. A stream (for programs that speak WebSocket themselves): bytes both
 * ways, as body and answer.
 *
 * Neither side is read faster than the other takes: frames wait in the client's buffer for the
 * worker's credit, and a worker is granted nothing while 64 KiB wait for the client. Its clocks do
 * not run. A WebSocket of which nothing comes is pinged; one that is to leave, as its worker does
 * or we do, is closed with 1012, all of them over a few seconds. Of a stream that is to leave the
 * worker finds the end, as if its client had sent the last: how it says farewell is its own.
 *
 * The worker is told once how the client closed: by its code, by ours if we did, by 1006 if the
 * connection was lost.
 */
#ifndef PST_FRONT_TUNNEL_H
#define PST_FRONT_TUNNEL_H

#include "gateway/front/deadline.h"
#include "gateway/front/job.h"
#include "gateway/front/tally.h"
#include "gateway/front/websocket.h"
#include "gateway/front/websocket_framer.h"

struct pst_exchange;
struct pst_tunnel;

/* All tunnels of the process: zero, then pst_tunnels_init(). */
struct pst_tunnels {
	struct pst_websocket_limits limits;
	struct pst_websocket_spares spares;
	bool deflate;
	size_t count; /* that are open */
	struct pst_deadline_list quiet; /* nothing comes from the client: ping */
	struct pst_deadline_list pong; /* ... nor after that */
	struct pst_deadline_list closing; /* from our close to its */
	struct pst_tally broken; /* by their clients, for the log */
};

/* MESSAGE_MOST in bytes, PING_INTERVAL in milliseconds; 0, or -1 when memory is short. */
int pst_tunnels_init(struct pst_tunnels *tunnels, struct pst_loop *loop, uint64_t message_most,
    uint64_t ping_interval, bool deflate);
/* None is left. */
void pst_tunnels_free(struct pst_tunnels *tunnels);

/* The worker has accepted, and its head is in the client's output. */
void pst_tunnel_open(struct pst_exchange *exchange);

/* The exchange is a tunnel whose ends are both there. */
bool pst_tunnel_is_open(const struct pst_exchange *exchange);
/* It takes bytes of the client now. */
bool pst_tunnel_wants(const struct pst_exchange *exchange);
/* N bytes of the client, also 0 when there is room again for what waits: how many were taken. */
size_t pst_tunnel_input(struct pst_exchange *exchange, const void *bytes, size_t n);
/* The client sends no more, and all that it sent was taken: false when that is its end. */
bool pst_tunnel_end_input(struct pst_exchange *exchange);
/* The client took bytes. */
void pst_tunnel_refill(struct pst_exchange *exchange);
/* It is open both ways, and can be asked to leave. */
bool pst_tunnel_may_leave(const struct pst_exchange *exchange);
/* Close such a one, or end what its worker gets, as its worker or the gateway is to leave. */
void pst_tunnel_leave(struct pst_exchange *exchange);

/* What the worker says of it: see struct pst_job_callbacks. */
void pst_tunnel_on_message(
    struct pst_exchange *exchange, unsigned flags, const void *bytes, size_t n);
void pst_tunnel_on_closed(
    struct pst_exchange *exchange, unsigned code, const char *reason, size_t n);
void pst_tunnel_on_over(
    struct pst_exchange *exchange, enum pst_job_end end, uint32_t app_status, const char *reason);

/* The client's side is over. True: the worker was told, and need not be aborted. */
bool pst_tunnel_end(struct pst_exchange *exchange);
/* The exchange leaves the state of being open: what a tunnel holds is given back. */
void pst_tunnel_shut(struct pst_exchange *exchange);

#endif
