/* What the files of an upstream share: upstream.c (the connection), upstream_jobs.c (what it
 * carries). */
#ifndef PST_FRONT_UPSTREAM_INTERNAL_H
#define PST_FRONT_UPSTREAM_INTERNAL_H

#include "gateway/front/upstream.h"

enum pst_upstream_state {
	PST_UPSTREAM_CONNECTED,
	PST_UPSTREAM_OPEN,
	PST_UPSTREAM_LEAVING,
	PST_UPSTREAM_LOST,
};

struct pst_upstream {
	enum pst_upstream_state state;
	int fd;
	struct pst_loop *loop;
	struct pst_session *session;
	struct event *readable;
	struct event *writable; /* pending only while the socket is full */
	struct pst_task flush;
	struct pst_upstream_deadlines *deadlines;
	struct pst_deadline handshake;
	struct pst_job_list jobs;
	unsigned capacity; /* of the answer to GET_VALUES */
	bool multiplexes; /* FCGI_MPXS_CONNS */
	unsigned paused; /* jobs that take no output */
	char reason[160]; /* why it was lost */
	char worker[32];
	const struct pst_upstream_callbacks *callbacks;
	void *arg;
};

/* --- upstream.c --- */

/* Why the session ended, ERR if it does not say, into TEXT, which is returned. */
const char *pst_upstream_session_reason(
    const struct pst_upstream *upstream, int err, char *text, size_t size);

/* --- upstream_jobs.c --- */

/* Keep the session supplied with bodies; each piece is sent before the next is taken. */
void pst_upstream_feed(struct pst_upstream *upstream);
/* Bytes went out: from now on the worker may have seen every job. */
void pst_upstream_mark_started(struct pst_upstream *upstream);

/* Callbacks of the session, and of deadlines. */
void pst_upstream_on_data(
    void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n);
void pst_upstream_on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status);
void pst_upstream_timeout_passed(struct pst_deadline *deadline);
void pst_upstream_grace_passed(struct pst_deadline *deadline);

#endif
