/* What the files of an exchange share: exchange.c (the client's side), exchange_body.c (the body
 * of its request), exchange_job.c (the worker's side), exchange_route.c (where it goes),
 * exchange_log.c (the lines it leaves). */
#ifndef PST_FRONT_EXCHANGE_INTERNAL_H
#define PST_FRONT_EXCHANGE_INTERNAL_H

#include "gateway/front/answer.h"
#include "gateway/front/client.h"
#include "gateway/front/exchange.h"
#include "gateway/front/front_pools.h"
#include "gateway/front/http_body.h"
#include "gateway/front/http_request.h"
#include "gateway/front/script.h"
#include "gateway/front/worker_lines.h"

#define PST_WORKER_ID 64
/* Seconds for a client that is sent 503. */
#define PST_RETRY_AFTER 10

struct pst_exchange {
	struct pst_exchange_context *context;
	struct pst_exchange *spare; /* the next one that is kept */
	struct pst_http_request request;

	/* What follows is zeroed for the next request, as far as the answer. */
	enum pst_exchange_state state;
	struct pst_client *client; /* NULL when ENDED */
	struct pst_task burial;
	struct pst_task settle; /* what the answer was lent is sent, or kept */
	struct pst_http_body body;
	bool receiving; /* there is a body, and not all of it was read */
	bool expecting; /* the client waits for 100 (Continue) before it sends any of it */
	bool body_failed; /* nothing more is taken of it */
	uint64_t unwanted; /* bytes of it that nobody had a use for */
	struct pst_forwarded from; /* who the client is, behind proxies */
	struct pst_http_text host; /* of the request, without its port */
	uint16_t port; /* ... which it said; 0: none */

	struct pst_pool *pool; /* that its route leads to; NULL: not known, or there is none */
	struct pst_http_text script_name;
	struct pst_http_text path_info; /* data NULL: see struct pst_cgi_facts */
	char *normal_path; /* memory for the above, where that of others will not do */
	char *full_script_name;
	struct pst_script script; /* of a pool that has a root; else all zero */

	struct pst_job job;
	struct pst_worker_lines lines;
	struct pst_websocket_handshake *handshake; /* it asks for a WebSocket, in this way */
	struct pst_leaver leaver; /* it would go on for ever, and is to end soon */
	struct pst_tunnel *tunnel; /* since a worker accepted that */
	bool refused_once; /* by a worker that ran nothing: the next one is the last */
	bool retried; /* after its worker was lost: the next one is the last */
	char worker[PST_WORKER_ID]; /* who got the job; "" before */

	struct pst_session_usage usage; /* what it cost the worker */
	bool has_usage; /* ... which has told */

	unsigned refused; /* the status of our own answer; 0: it is the worker's */
	bool keep_alive; /* after our own answer */
	bool broken; /* the worker failed when the answer had begun */

	struct timespec began; /* CLOCK_REALTIME */
	uint64_t began_us; /* of the monotonic clock, as the next two */
	uint64_t queued_us; /* 0: not yet */
	uint64_t given_us;
	bool waited; /* that was counted */
	struct pst_answer answer; /* the worker's, which has been cleared for the next request */
};

extern const struct pst_job_callbacks pst_exchange_job_callbacks;

/* The one place where the state changes. */
void pst_exchange_set_state(struct pst_exchange *exchange, enum pst_exchange_state state);

/* We are willing to serve further requests on the client's connection. */
bool pst_exchange_keeps_alive(const struct pst_exchange *exchange);

/* Answer with STATUS ourselves; nothing of another answer has begun. DETAIL: for the client. */
void pst_exchange_refuse(
    struct pst_exchange *exchange, unsigned status, const char *detail, unsigned retry_after);

/* The worker's answer failed for REASON: answer with STATUS if nothing was sent, else break the
 * client's connection; one error line. A worker that still makes it is told to stop. */
void pst_exchange_fail(struct pst_exchange *exchange, unsigned status, const char *reason);

/* The worker is granted again what the files have cost that are done with. */
void pst_exchange_files_done(struct pst_exchange *exchange);

/* The same for an error of the answer, ERR: what the worker sent is no response, or it cannot be
 * kept until the client takes it. */
void pst_exchange_reject(struct pst_exchange *exchange, int err);

/* What was lent to the answer is about to be gone: send it, or keep it. A task. */
void pst_exchange_settle(void *arg);

/* Which pool serves the request, whose head is complete, and which script: 1, 0 when there is
 * none, or PST_ERR_NOMEM. */
int pst_exchange_route(struct pst_exchange *exchange);
/* Take the host of the request and its port apart. */
void pst_exchange_split_host(struct pst_exchange *exchange);

/* The host that was asked for, without its port. */
struct pst_http_text pst_exchange_host(const struct pst_exchange *exchange);

/* It is a GET or HEAD of --health-path, which no route leads to. */
bool pst_exchange_asks_health(const struct pst_exchange *exchange);
/* Answer it: 200, or 503 when all ends or a pool has no worker. */
void pst_exchange_tell_health(struct pst_exchange *exchange);

/* One info line: what the client sent is refused, and why. */
void pst_exchange_log_refused(
    const struct pst_exchange *exchange, const struct pst_http_refusal *refusal);
/* The same, and the answer. */
void pst_exchange_refuse_for(struct pst_exchange *exchange, const struct pst_http_refusal *refusal);
/* One info line: there is no route, or no script, for the request. */
void pst_exchange_log_no_route(const struct pst_exchange *exchange);

/* Give it to its pool. */
void pst_exchange_submit(struct pst_exchange *exchange);
/* The head announces a body: read it whole first, or give the request to its pool at once. */
void pst_exchange_begin_body(struct pst_exchange *exchange, bool some_has_come);
/* A worker has got the request, and may ask for a body that is streamed. */
void pst_exchange_expect_body(struct pst_exchange *exchange);
/* Bytes that come now belong to the body. */
bool pst_exchange_takes_body(const struct pst_exchange *exchange);
/* As pst_exchange_input(), N is not 0. */
size_t pst_exchange_input_body(struct pst_exchange *exchange, const void *bytes, size_t n);
/* As pst_exchange_late_input(). */
void pst_exchange_late_body(struct pst_exchange *exchange, const char *what);

/* The status that tells the client why a body was not stored. */
unsigned pst_exchange_status_of(int spool_error);

/* "GET /path" for a log line: SIZE bytes with the NUL. */
void pst_exchange_name(const struct pst_exchange *exchange, char *text, size_t size);

/* Write the line of the access log. */
void pst_exchange_log(struct pst_exchange *exchange);

/* Count: a worker comes to it, of which the first time counts; it is over. */
void pst_exchange_count_wait(struct pst_exchange *exchange);
void pst_exchange_count_end(struct pst_exchange *exchange);

const char *pst_exchange_date(struct pst_exchange *exchange);

/* The CGI parameters of the request, encoded, in the context's memory until the next call: 0, or
 * PST_ERR_NOMEM. */
int pst_exchange_params(struct pst_exchange *exchange, const struct pst_buf **params);

#endif
