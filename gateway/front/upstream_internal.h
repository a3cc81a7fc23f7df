/* What the files of an upstream share: upstream.c (the kept connection to a worker of ours),
 * foreign.c (a connection for each request to any other), upstream_jobs.c (what both carry),
 * upstream_page.c (what of that was started), upstream_ahead.c (what it is not to come to yet). */
#ifndef PST_FRONT_UPSTREAM_INTERNAL_H
#define PST_FRONT_UPSTREAM_INTERNAL_H

#include "gateway/front/upstream.h"
#include "protocol/lane.h"

enum pst_upstream_state {
	PST_UPSTREAM_CONNECTED,
	PST_UPSTREAM_OPEN,
	PST_UPSTREAM_LEAVING,
	PST_UPSTREAM_LOST,
};

/* What differs between a worker of ours and a foreign one. */
struct pst_upstream_kind {
	/* JOB is GIVEN and in the list: write it. */
	void (*give)(struct pst_upstream *upstream, struct pst_job *job);
	/* JOB is ABORTED: over() is still to come, not from within this call. */
	void (*abort)(struct pst_upstream *upstream, struct pst_job *job);
	/* The connection is over. Not within a callback of the session. */
	void (*lost)(struct pst_upstream *upstream, const char *reason);
	/* The process has exited. */
	void (*leave)(struct pst_upstream *upstream);
	/* Keep no connection without a job from now on. NULL: it goes with the process. */
	void (*let_go)(struct pst_upstream *upstream);
	void (*free)(struct pst_upstream *upstream);
};

/* The id of a job that was called back: it is free when the worker has ended it. */
struct pst_recalled {
	TAILQ_ENTRY(pst_recalled) link;
	uint16_t id;
	pst_page_ticket ticket;
};

struct pst_upstream {
	const struct pst_upstream_kind *kind;
	enum pst_upstream_state state;
	int fd;
	struct pst_loop *loop;
	struct pst_session *session;
	struct event *readable;
	struct event *writable; /* pending only while the socket is full */
	struct pst_task flush;
	struct pst_upstream_deadlines *deadlines;
	struct pst_deadline handshake; /* of a foreign one: until it is connected */
	struct pst_job_list jobs; /* in the order in which they were given */
	struct pst_job *first_ahead; /* it and all behind it are ahead; NULL: none is */
	TAILQ_HEAD(, pst_recalled) recalled;
	unsigned ahead; /* PENSTOCK_AHEAD */
	uint32_t wide; /* what jobs may send ahead beyond their first credit, of all */
	struct pst_job *unwritten; /* the first of which no byte may have gone out; NULL: none */
	struct pst_job_list supplies; /* that have something of a body to send, by turns */
	unsigned capacity; /* of the answer to GET_VALUES */
	bool multiplexes; /* FCGI_MPXS_CONNS */
	bool streams; /* PENSTOCK_STREAMS */
	uint64_t written; /* of those that stream: when bytes went out first that its loop may not
			   have seen, in µs of CLOCK_MONOTONIC; 0: it has seen all */
	bool retiring;
	bool repeats; /* its job was sent on a connection that was kept, and may be sent again */
	unsigned paused; /* jobs that take no output, of a worker that knows no credit */
	struct pst_page page; /* shared with the worker */
	struct pst_lane lane; /* the worker's, with bytes of answers */
	bool spoilt; /* somebody has written over the page, which was logged */
	char reason[160]; /* why it was lost */
	char worker[64];
	const struct pst_upstream_callbacks *callbacks;
	void *arg;
};

/* --- upstream.c --- */

/* Set the members that have to do with no connection. UPSTREAM is zeroed. */
void pst_upstream_init(struct pst_upstream *upstream, const struct pst_upstream_kind *kind,
    struct pst_loop *loop, struct pst_upstream_deadlines *deadlines, const char *worker,
    const struct pst_upstream_callbacks *callbacks, void *arg);

/* The one place where the state changes. */
void pst_upstream_set_state(struct pst_upstream *upstream, enum pst_upstream_state state);

/* Write what is queued, and what bodies can be taken. */
void pst_upstream_flush(struct pst_upstream *upstream);
/* Read once. */
void pst_upstream_read(struct pst_upstream *upstream);

/* Why the session ended, ERR if it does not say, into TEXT, which is returned. */
const char *pst_upstream_session_reason(
    const struct pst_upstream *upstream, int err, char *text, size_t size);

/* --- upstream_jobs.c --- */

/* Keep the session supplied with bodies, a piece of each by turns. */
void pst_upstream_feed(struct pst_upstream *upstream);
/* Bytes went out: from now on a worker without a page may have seen every job. */
void pst_upstream_mark_started(struct pst_upstream *upstream);

/*
 * Begin JOB in the session and submit its head: false when that failed, and the job is over or is
 * going to be. KEEP: the connection is kept.
 */
bool pst_upstream_begin(struct pst_upstream *upstream, struct pst_job *job, bool keep);

/* What a kept connection does of its kind. */
void pst_upstream_give_kept(struct pst_upstream *upstream, struct pst_job *job);
void pst_upstream_abort_kept(struct pst_upstream *upstream, struct pst_job *job);

/* Callbacks of the session, and of deadlines. */
void pst_upstream_on_data(
    void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n);
void pst_upstream_on_shared(void *arg, uint16_t id, const void *bytes, size_t n);
void pst_upstream_on_file(
    void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file);
void pst_upstream_on_trailer(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len);
void pst_upstream_on_usage(void *arg, uint16_t id, const struct pst_session_usage *usage);
void pst_upstream_on_credit(void *arg, uint16_t id);
void pst_upstream_on_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n);
void pst_upstream_on_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n);
void pst_upstream_on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status);
void pst_upstream_timeout_passed(struct pst_deadline *deadline);
void pst_upstream_request_passed(struct pst_deadline *deadline);
void pst_upstream_grace_passed(struct pst_deadline *deadline);

/* Bytes are about to go out: from now on its loop is expected to come round. */
void pst_upstream_note_writing(struct pst_upstream *upstream);
/* JOB is GIVEN, and put behind those that the upstream has. */
void pst_upstream_take_in(struct pst_upstream *upstream, struct pst_job *job);
/* The worker comes to JOB now: its clocks start. */
void pst_upstream_begin_turn(struct pst_upstream *upstream, struct pst_job *job);
/* JOB is not the upstream's any more. */
void pst_upstream_detach(struct pst_upstream *upstream, struct pst_job *job);

/* --- upstream_ahead.c --- */

/* The worker is done with a job: the turn of the first that is ahead has come. */
void pst_upstream_next_turn(struct pst_upstream *upstream);
/* A request without a job has ended. */
void pst_upstream_end_recalled(struct pst_upstream *upstream, uint16_t id);

/* --- foreign.c --- */

void pst_foreign_connect_passed(struct pst_deadline *deadline);

/* --- upstream_page.c --- */

/* JOB has its id: offer it, and submit the ticket. 0, or an error of the session. */
int pst_upstream_offer(struct pst_upstream *upstream, struct pst_job *job);
/* True: the worker has not begun with JOB, and cannot any more. */
bool pst_upstream_withdraw(struct pst_upstream *upstream, struct pst_job *job);
/* The worker has ended JOB as END says: free its word. NULL; or, when it says that it ran nothing,
 * why that is not to be believed. */
const char *pst_upstream_settle(
    struct pst_upstream *upstream, struct pst_job *job, enum pst_end end);
/* JOB is late for REASON: more exactly so, into TEXT, if the worker has not even begun with it, and
 * cannot any more. The reason is returned. */
const char *pst_upstream_late_reason(struct pst_upstream *upstream, struct pst_job *job,
    const char *reason, char *text, size_t size);
/* One info line: JOB goes to another worker, as this one was lost. */
void pst_upstream_log_unseen(const struct pst_upstream *upstream, struct pst_job *job);

#endif
