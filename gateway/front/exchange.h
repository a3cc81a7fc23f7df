/*
 * An exchange: one request and its response, from the first byte to the log line.
 *
 *	 HEAD ───► BODY ───► QUEUED ───► RUNNING ───► ANSWERING ───► FLUSHING ───► ENDED
 *	  of the    to the    no slot     a worker     the head       nothing       the client's
 *	  request   spool     is free     has it       was sent       more comes    side is over
 *
 * Steps may be skipped: a refused request goes straight to FLUSHING, a lost client to ENDED. One
 * whose upgrade the worker accepts is OPEN (tunnel.h) in the place of ANSWERING. An
 * ENDED exchange lives on while a worker still has its job; then it frees itself.
 *
 * The client (client.h) owns the connection and feeds it; the exchange writes to the client's
 * output buffer and says when there is something.
 */
#ifndef PST_FRONT_EXCHANGE_H
#define PST_FRONT_EXCHANGE_H

#include "gateway/front/access_log.h"
#include "gateway/front/answer_lent.h"
#include "gateway/front/forwarded.h"
#include "gateway/front/http.h"
#include "gateway/front/http_date.h"
#include "gateway/front/leaving.h"
#include "gateway/front/loop.h"
#include "gateway/front/route.h"
#include "gateway/front/spool.h"
#include "gateway/front/tunnel.h"
#include "gateway/log_writer.h"

struct pst_client;
struct pst_front_pools;

/* What all exchanges share. */
struct pst_exchange;

struct pst_exchange_context {
	struct pst_loop *loop;
	const struct pst_routes *routes; /* to a struct pst_front_pool */
	const struct pst_front_pools *pools;
	const char *health_path; /* NULL: none */
	bool succeeds; /* another serves, too, until each pool has had a worker */
	struct pst_http_limits limits;
	struct pst_spool_budget budget;
	struct pst_trust *trust;
	struct pst_access_log *access_log; /* NULL: there is no access log */
	struct pst_log_writer *access_log_writer;
	struct pst_buf access_line; /* memory for the line that is being made */
	struct pst_buf params; /* memory for those of one request */
	struct pst_exchange *spare; /* kept for requests to come, with their memory */
	unsigned spares;
	struct pst_http_date date;
	struct pst_tunnels tunnels;
	struct pst_leaving leaving; /* see pst_exchange_leave() */
	uint64_t requests; /* that are over, or were refused */
	bool keep_alive; /* --keep-alive is not 0 */
	bool draining; /* every answer is the last of its connection */
};

enum pst_exchange_state {
	PST_EXCHANGE_HEAD,
	PST_EXCHANGE_BODY,
	PST_EXCHANGE_QUEUED,
	PST_EXCHANGE_RUNNING,
	PST_EXCHANGE_ANSWERING,
	PST_EXCHANGE_OPEN, /* it is a tunnel: see tunnel.h */
	PST_EXCHANGE_FLUSHING,
	PST_EXCHANGE_ENDED,
};

/* Free what CONTEXT keeps for requests to come, when none is open. */
void pst_exchange_context_clear(struct pst_exchange_context *context);

/* A request is about to come from CLIENT. NULL when memory is short. */
struct pst_exchange *pst_exchange_new(
    struct pst_exchange_context *context, struct pst_client *client);

enum pst_exchange_state pst_exchange_state(const struct pst_exchange *exchange);

/* Feed N bytes: how many belonged to this request. Fewer than N: it is complete, or refused. */
size_t pst_exchange_input(struct pst_exchange *exchange, const void *bytes, size_t n);

/* The head was read, and not all of the body that follows it. */
bool pst_exchange_is_receiving(const struct pst_exchange *exchange);
/* At least so many bytes of the body are still to come. */
uint64_t pst_exchange_due(const struct pst_exchange *exchange);
/* How many bytes of the body it takes now; 0: the worker is waited for, or the request failed. */
size_t pst_exchange_wants(const struct pst_exchange *exchange);
/* The client is waited for: it may send bytes of the body, which are wanted now. */
bool pst_exchange_is_owed_body(const struct pst_exchange *exchange);
/*
 * The whole answer was sent before the body came: nobody wants the rest. True: it is so little that
 * it is read, so that the connection can be kept.
 */
bool pst_exchange_forgo_body(struct pst_exchange *exchange);

/* The client takes too long to send the request: 408, or the connection is closed when the answer
 * has begun; and a line that says WHAT it did. */
void pst_exchange_late_input(struct pst_exchange *exchange, const char *what);

/* One info line: the client is too slow in WHAT it does, and what FOLLOWS. */
void pst_exchange_log_slow(
    const struct pst_exchange *exchange, const char *what, const char *follows);

/* One warning line: the graceful timeout has cut it off. */
void pst_exchange_log_cut(const struct pst_exchange *exchange);

/* One error line: the rest of the answer cannot be read from its file for REASON. */
void pst_exchange_log_unreadable(const struct pst_exchange *exchange, const char *reason);

/* The client has shut down its sending side while it waits: ask by a 100 (Continue), or in
 * the middle of an answer by a part of a chunk, which is answered by a reset if it is gone
 * altogether. Nothing is done where that is not possible. */
void pst_exchange_probe(struct pst_exchange *exchange);

/*
 * Append more of the answer to the client's output, whether the turn ends or the client took all
 * that was there: 0, or -1 when the answer cannot be completed: break the connection.
 */
int pst_exchange_refill(struct pst_exchange *exchange);
/* The same for bytes of a file, see pst_answer_file(). */
bool pst_exchange_file(const struct pst_exchange *exchange, struct pst_spool_piece *piece);
int pst_exchange_file_sent(struct pst_exchange *exchange, uint64_t n);

/*
 * Bytes of the answer that come after all that is in the client's output, and are to be sent from
 * where they are (answer_lent.h): true, there are some. Frame a part of them, whose begin goes to
 * the output: it takes so many of PIECES, or -1. N bytes of those were sent, what is left of them
 * is in the output: 0, or -1 when memory is short.
 */
#define PST_EXCHANGE_LENT (PST_ANSWER_LENT + 1)
bool pst_exchange_is_lent(const struct pst_exchange *exchange);
int pst_exchange_frame(struct pst_exchange *exchange, struct iovec *pieces);
int pst_exchange_frame_sent(struct pst_exchange *exchange, size_t n);

/* The whole request was read: nothing of it is still on its way. */
bool pst_exchange_took_request(const struct pst_exchange *exchange);

/* Everything that there will be is in the client's output. */
bool pst_exchange_is_whole(const struct pst_exchange *exchange);
/* Of a whole one: the connection serves further requests. */
bool pst_exchange_keep_alive(const struct pst_exchange *exchange);
/* The end of the answer is the end of the connection: to break it takes a reset. */
bool pst_exchange_ends_by_close(const struct pst_exchange *exchange);

/* Its worker, or the gateway, is to leave: what would go on for ever, a WebSocket or a stream of
 * events, ends soon. */
void pst_exchange_leave(struct pst_exchange *exchange);
/* The time of one of them has come, for pst_leaving_init(). */
void pst_exchange_on_leave(struct pst_leaver *leaver);

/*
 * The client's side is over: everything was sent, or the connection is lost. The exchange is
 * logged, a worker that still makes its answer is told to stop, and EXCHANGE is not the caller's
 * any more.
 */
void pst_exchange_end(struct pst_exchange **exchange);

#endif
