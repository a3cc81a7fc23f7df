/*
 * A job: what the pool queues and an upstream carries to a worker. It is part of its owner (an
 * exchange), who says by the callbacks what is sent and what becomes of the answer.
 *
 *	            submit           dispatch           it was started
 *	  IDLE ───────────► QUEUED ───────────► GIVEN ───────────────────► STARTED
 *	   ▲                  │  ▲                │                          │  │ deadline, or
 *	   │ withdrawn        │  └────────────────┤ worker lost: unseen      │  │ owner left
 *	   └──────────────────┴───────────────────┴──────────── over ────────┤  ▼
 *	                                                                     └─ ABORTED
 *
 * Whether it was started the worker's page says, when somebody has to know. A worker without a
 * page may have started with it once a byte was written.
 *
 * The owner must not free it before it is IDLE again.
 */
#ifndef PST_FRONT_JOB_H
#define PST_FRONT_JOB_H

#include "gateway/front/deadline.h"
#include "gateway/front/http.h"
#include "gateway/front/spool.h"
#include "protocol/page.h"
#include "protocol/session.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum pst_job_state {
	PST_JOB_IDLE,
	PST_JOB_QUEUED,
	PST_JOB_GIVEN,
	PST_JOB_STARTED,
	PST_JOB_ABORTED, /* the worker was asked to end it, and has not */
};

/* How a job ended, for over(). */
enum pst_job_end {
	PST_JOB_COMPLETE, /* END_REQUEST: app_status is valid */
	PST_JOB_REFUSED, /* END_REQUEST: the worker would not serve it; nothing was run */
	PST_JOB_LOST, /* the worker died or broke the protocol */
	PST_JOB_UNREACHABLE, /* the pool's server is down, which was logged: nobody was asked */
};

struct pst_job;
struct pst_queue;
struct pst_upstream;

struct pst_job_callbacks {
	/*
	 * WORKER ("3.17") takes the job: submit its params, without their end, to SESSION as
	 * request ID. Nonzero (an enum pst_error): the job is over, as lost. Called again when the
	 * worker was lost before it could see the job.
	 */
	int (*start)(
	    struct pst_job *job, struct pst_session *session, uint16_t id, const char *worker);
	/* Bytes of STDOUT; N is 0 at its end. */
	void (*output)(struct pst_job *job, const void *bytes, size_t n);
	/* Bytes of STDOUT that lie in the worker's memory, which may change them: N is not 0. */
	void (*shared)(struct pst_job *job, const void *bytes, size_t n);
	/* A part of a file in place of bytes of STDOUT. The callee owns its descriptor, and says
	 * when it is done with by pst_upstream_files_done(). */
	void (*file)(struct pst_job *job, const struct pst_session_file *file);
	/* A field that follows what STDOUT brings. */
	void (*trailer)(struct pst_job *job, struct pst_http_text name, struct pst_http_text value);
	/* What it cost the worker. */
	void (*usage)(struct pst_job *job, const struct pst_session_usage *usage);
	/* A piece of a message, FLAGS of enum pst_session_message; and the end of messages. */
	void (*message)(struct pst_job *job, unsigned flags, const void *bytes, size_t n);
	void (*closed)(struct pst_job *job, unsigned code, const char *reason, size_t n);
	/* The worker that has it is to leave: what could go on for ever should end soon. */
	void (*retire)(struct pst_job *job);
	/* Bytes of STDERR. */
	void (*error)(struct pst_job *job, const void *bytes, size_t n);
	/* A deadline passed, REASON is a phrase for the log: the job was aborted. over() is still
	 * to come. */
	void (*late)(struct pst_job *job, const char *reason);
	/* It waited in the queue for too long, which was logged. The job is IDLE, over() does not
	 * come. */
	void (*expired)(struct pst_job *job);
	/* The last callback. REASON is a phrase for the log. The job is IDLE and may be freed after
	 * the turn, or given to the pool again. */
	void (*over)(
	    struct pst_job *job, enum pst_job_end end, uint32_t app_status, const char *reason);
	/* Something of a body that is still open was taken: there is room for more of it; or for
	 * more of messages. */
	void (*taken)(struct pst_job *job);
	/* Of one that is ahead when start() is called: the worker comes to it now, until here it
	 * has waited. Others do not wait any more when they start. */
	void (*turn)(struct pst_job *job);
	/* "GET /path" into TEXT, for the arbiter and the log. */
	void (*name)(struct pst_job *job, char *text, size_t size);
};

/* The most of a job's output that may be on its way when it is paused: where that is too much, the
 * worker has 64 KiB. */
#define PST_JOB_WINDOW ((uint32_t)262144)

struct pst_job {
	const struct pst_job_callbacks *callbacks;
	/* The owner's, made as PST_SPOOL_KEEP; NULL: none. It is kept whole until over(), but for
	 * an open one, of which nothing is kept once the worker has asked for more. */
	struct pst_spool *body;
	bool body_open; /* the owner's: more of the body is to come, see pst_upstream_supply() */
	enum pst_job_state state;
	bool streams; /* the worker that has it streams both ways */
	bool idempotent; /* the owner's: who cannot tell whether it was run may run it again */
	bool untimed; /* the owner's: it may take any time for the next piece of its output */
	bool roomy; /* the owner's: output() can take PST_JOB_WINDOW bytes beyond a pause */
	uint64_t given_at; /* pst_loop_now(), when a worker last got it */

	/* Private to queue.c and upstream.c. */
	TAILQ_ENTRY(pst_job) link;
	TAILQ_ENTRY(pst_job) supply;
	bool supplies; /* it has something of a body to send */
	struct pst_queue *queue; /* where it waits */
	uint64_t queued_at; /* pst_loop_now() */
	bool ahead; /* the worker has it, and others before it */
	struct pst_upstream *upstream; /* who carries it */
	struct pst_deadline deadline;
	struct pst_deadline limit; /* --request-timeout */
	uint16_t id;
	uint8_t untaken; /* connections that were closed before the job was read from them */
	pst_page_ticket ticket; /* by which the worker claims it; 0: it has no page */
	bool body_sent;
	bool output_ended; /* the end of STDOUT has come */
	bool late; /* a deadline passed */
	bool stuck; /* ... and the grace after it */
	bool messages; /* they have taken the place of body and output */
	bool paused;
	uint32_t window; /* what the worker may send ahead */
	uint32_t taken; /* bytes of STDOUT that were not granted again */
};

TAILQ_HEAD(pst_job_list, pst_job);

/* Another worker can be given all of it: nothing of its body is gone. */
bool pst_job_is_whole(const struct pst_job *job);

/* The one place where the state changes; asserts that the picture above allows it. */
void pst_job_set_state(struct pst_job *job, enum pst_job_state state);

#endif
