/*
 * What the files of the session share, and nobody else includes.
 *
 *	session.c                  its life and state; the state of every request
 *	session_table.c            open requests by id
 *	session_recv.c             bytes to records, and which function a record goes to
 *	session_recv_request.c     records of a request
 *	session_recv_management.c  records of the connection
 *	session_submit.c           what the owner queues (as records: outbox.h)
 *	session_credit.c           flow control of extended requests, both ways
 *	session_message.c          messages and closes, both ways
 *	session_file.c             files and their descriptors, both ways
 *	session_shared.c           answers in memory that both ends have
 *	session_notice.c           trailers, usage, drain
 */
#ifndef PST_PROTOCOL_SESSION_INTERNAL_H
#define PST_PROTOCOL_SESSION_INTERNAL_H

#include "protocol/outbox.h"
#include "protocol/params.h"
#include "protocol/record.h"
#include "protocol/session.h"

enum pst_session_side { PST_SESSION_CLIENT, PST_SESSION_SERVER };

/* In this order; a session only moves forward. */
enum pst_session_state {
	PST_SESSION_OPEN,
	PST_SESSION_LAST, /* a request that did not ask to keep has ended: no further ones */
	PST_SESSION_OVER, /* closed or failed */
	PST_SESSION_FREED, /* by its owner, in a callback: destroyed when the outermost call returns
			    */
};

/*
 * The states of a request, the same on both sides.
 *
 *	           BEGIN        end of PARAMS
 *	(nothing) ------> PARAMS -----------> ACTIVE
 *	                    | ABORT             | ABORT
 *	                    +-----> ABORTED <---+
 *	   any of them, by END_REQUEST or the end of the session: ENDED
 */
enum pst_request_state {
	PST_REQUEST_PARAMS,
	PST_REQUEST_ACTIVE,
	PST_REQUEST_ABORTED,
	PST_REQUEST_ENDED,
};
#define PST_REQUEST_STATES 4

enum pst_stream_state {
	PST_STREAM_NONE, /* the role does not have it */
	PST_STREAM_UNUSED, /* open, no bytes yet */
	PST_STREAM_USED,
	PST_STREAM_ENDED,
};
#define PST_STREAMS 4

/* Of the messages of one direction. */
enum pst_message_state {
	PST_MESSAGE_NONE, /* the next piece begins one */
	PST_MESSAGE_IN_TEXT,
	PST_MESSAGE_IN_BINARY,
};

struct pst_session_request {
	struct pst_session_request *next; /* in its bucket, in `ended` or in `spare` */
	void *user;
	struct pst_params_decoder params; /* of a server; of a client the trailers */
	enum pst_request_state state;
	uint16_t id;
	bool keep;
	bool extended; /* both ends use extensions for it */
	bool told_late; /* it was aborted, or aborted again, as it took too long */
	bool closed_in; /* the peer sends no message any more */
	bool closed_out; /* nor do we */
	uint16_t trailers; /* bytes of them that were submitted */
	unsigned char message_in; /* enum pst_message_state */
	unsigned char message_out;
	uint32_t credit_in; /* of an extended one: bytes that the peer may still send */
	uint32_t credit_out; /* bytes that may still be submitted */
	unsigned char streams[PST_STREAMS]; /* enum pst_stream_state */
};

#define PST_TABLE_FIRST 4

/* Open requests by id: chains in a power of two of buckets, which grows with their number. */
struct pst_session_table {
	struct pst_session_request **buckets;
	struct pst_session_request *first[PST_TABLE_FIRST]; /* the buckets of a small table */
	size_t size;
	unsigned count;
	uint16_t free_hint; /* no id below this one is free, 0 apart */
};

struct pst_record_handler;

/* The most content that is gathered: CLOSE with the longest reason. */
#define PST_SESSION_GATHERED (PST_RECORD_CLOSE_HEAD + PST_RECORD_CLOSE_REASON)

/* Descriptors that came and belong to no record yet. */
#define PST_SESSION_FDS 16
struct pst_session_fds {
	int fd[PST_SESSION_FDS];
	unsigned count;
};

/*
 * The record being read: header, content, padding, in this order. HEADER fills up first; LEFT
 * and PADDING count down.
 */
struct pst_session_input {
	unsigned char header[PST_RECORD_HEADER_LEN];
	unsigned char body[PST_SESSION_GATHERED]; /* content of a record that is gathered */
	unsigned flags; /* of a MESSAGE record */
	size_t header_got;
	size_t left;
	size_t padding;
	struct pst_record record;
	const struct pst_record_handler *handler;
};

struct pst_session {
	enum pst_session_side side;
	enum pst_session_state state;
	unsigned depth; /* calls into the session that may make callbacks */
	struct pst_session_callbacks callbacks;
	struct pst_session_limits limits;
	void *arg;
	struct pst_session_input input;
	struct pst_session_fds fds;
	struct pst_outbox output;
	struct pst_session_table table;
	struct pst_session_request *ended; /* until the outermost call returns */
	struct pst_session_request *spare; /* to be used again */
	struct pst_session_request *ending; /* whose `end` is being called */
	struct pst_params_decoder values; /* of GET_VALUES or its result */
	struct pst_buf answer; /* to GET_VALUES */
	size_t answers; /* see pst_session_reserve_answer() */
	unsigned asked; /* GET_VALUES without a result (client side) */
	bool in_get_value; /* the callback is being called */
	bool asked_version; /* PST_SESSION_VERSION_NAME (client side) */
	bool extends; /* the peer, too, knows extensions */
	bool asked_files; /* PST_SESSION_FILES_NAME (client side) */
	bool files; /* the peer, too, takes descriptors */
	bool asked_memory; /* PST_SESSION_MEMORY_NAME (client side) */
	bool lends; /* the peer, too, knows memory that a server lends */
	bool drain; /* was sent, or came */
	enum pst_session_memory memory;
	const unsigned char *shared; /* where SHARED records point to (client side) */
	size_t shared_size; /* of the memory, on both sides */
	uint64_t mark; /* of the last of them */
	char reason[128];
};

/* --- session.c --- */

/* Around everything that makes callbacks. Leaving may destroy the session. */
void pst_session_enter(struct pst_session *session);
void pst_session_leave(struct pst_session *session);

static inline bool
pst_session_is_over(const struct pst_session *session)
{
	return session->state >= PST_SESSION_OVER;
}

/* End the session and all its requests because of ERR, which is returned. */
int pst_session_fail(struct pst_session *session, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A new request: NULL when memory is short. KEEP and EXTENDED are what the client asked for. */
struct pst_session_request *pst_session_begin(
    struct pst_session *session, uint16_t id, enum pst_role role, bool keep, bool extended);

/* The one place where a request's state changes, but for its beginning. */
void pst_session_change(
    struct pst_session *session, struct pst_session_request *request, enum pst_request_state to);

/* An abort for that reason says something new: it is the first, or the first of a late one. */
bool pst_session_is_news(const struct pst_session_request *request, enum pst_session_abort why);
/* Change to ABORTED, unless it is. */
void pst_session_abort(
    struct pst_session *session, struct pst_session_request *request, enum pst_session_abort why);

/* Change to ENDED and call `end`. */
void pst_session_end(struct pst_session *session, struct pst_session_request *request,
    enum pst_end end, uint32_t app_status);

/* A request that did not ask to keep the connection has ended, or was refused. */
void pst_session_not_kept(struct pst_session *session);

/* --- session_submit.c --- */

/* The open request ID in *REQUEST, or the error that a submit function returns. */
int pst_session_find(
    const struct pst_session *session, uint16_t id, struct pst_session_request **request);
/* Whether a stream flows from this side to the other. */
bool pst_session_flows_out(const struct pst_session *session, enum pst_stream stream);
/* Whether bytes of STREAM may be queued, whatever the credit: 0, or PST_ERR_STATE. */
int pst_session_check_data(const struct pst_session *session,
    const struct pst_session_request *request, enum pst_stream stream);
/* Queue a pair, whole if it fits a record. PST_ERR_LIMIT: it cannot be encoded. */
int pst_session_submit_pair(struct pst_session *session, uint8_t type, uint16_t id,
    const char *name, size_t name_len, const char *value, size_t value_len);
/* The record type of a stream. */
uint8_t pst_session_type_of(enum pst_stream stream);

/* --- session_credit.c --- */

/* An answer to GET_VALUES, the peer's or ours, that may agree on something. */
void pst_session_take_value(struct pst_session *session, const char *name, size_t name_len,
    const char *value, size_t value_len);
/* A client asks for NAME. */
void pst_session_note_asked(struct pst_session *session, const char *name, size_t name_len);
/* True when N bytes of STREAM may be submitted for REQUEST now. */
bool pst_session_may_submit(
    const struct pst_session_request *request, enum pst_stream stream, size_t n);
/* They were submitted. */
void pst_session_use_credit(struct pst_session_request *request, enum pst_stream stream, size_t n);
/* A record of STREAM has begun, with N bytes: 0, or the session has failed. */
int pst_session_count_in(struct pst_session *session, struct pst_session_request *request,
    enum pst_stream stream, size_t n);

/* --- session_file.c --- */

/* Close the descriptors that belong to no record. */
void pst_session_fds_free(struct pst_session_fds *fds);
/* Take the first of them, there is one. */
int pst_session_fds_take(struct pst_session_fds *fds);

/* --- session_table.c --- */

void pst_session_table_init(struct pst_session_table *table);
void pst_session_table_free(struct pst_session_table *table);
/* NULL when ID is not open. Inline: every step of a record asks, as callbacks may have ended it. */
static inline struct pst_session_request *
pst_session_table_find(const struct pst_session_table *table, uint16_t id)
{
	struct pst_session_request *request = table->buckets[id & (table->size - 1)];

	while (request != NULL && request->id != id)
		request = request->next;
	return request;
}
void pst_session_table_add(struct pst_session_table *table, struct pst_session_request *request);
void pst_session_table_remove(struct pst_session_table *table, struct pst_session_request *request);
/* Any open request, NULL when there is none. */
struct pst_session_request *pst_session_table_any(const struct pst_session_table *table);
/* The lowest free id; one must be free. */
uint16_t pst_session_table_free_id(struct pst_session_table *table);

/* --- session_recv_*.c: each returns 0 or what pst_session_fail() returned --- */

/* Content as it arrives, in pieces of at least one byte. */
int pst_recv_params(struct pst_session *session, const unsigned char *bytes, size_t n);
int pst_recv_stream(struct pst_session *session, const unsigned char *bytes, size_t n);
int pst_recv_values(struct pst_session *session, const unsigned char *bytes, size_t n);
int pst_recv_abort_why(struct pst_session *session, const unsigned char *bytes, size_t n);
int pst_recv_message(struct pst_session *session, const unsigned char *bytes, size_t n);
int pst_recv_trailers(struct pst_session *session, const unsigned char *bytes, size_t n);

/* All content has arrived. */
int pst_recv_begin(struct pst_session *session);
int pst_recv_credit(struct pst_session *session);
int pst_recv_message_done(struct pst_session *session);
int pst_recv_close(struct pst_session *session);
int pst_recv_trailers_done(struct pst_session *session);
int pst_recv_file(struct pst_session *session);
int pst_recv_usage(struct pst_session *session);
int pst_recv_memory(struct pst_session *session);
int pst_recv_shared(struct pst_session *session);
int pst_recv_drain(struct pst_session *session);
int pst_recv_abort(struct pst_session *session);
int pst_recv_end(struct pst_session *session);
int pst_recv_params_done(struct pst_session *session);
int pst_recv_stream_done(struct pst_session *session);
int pst_recv_get_values_done(struct pst_session *session);
int pst_recv_result_done(struct pst_session *session);
int pst_recv_unknown_type(struct pst_session *session);
int pst_recv_unknown_management(struct pst_session *session);

/* The header has arrived. */
int pst_recv_abort_start(struct pst_session *session);
int pst_recv_message_start(struct pst_session *session);
int pst_recv_trailers_start(struct pst_session *session);
int pst_recv_stream_start(struct pst_session *session);
int pst_recv_get_values_start(struct pst_session *session);
int pst_recv_result_start(struct pst_session *session);

/* 0, or the session has failed: bytes of this stream cannot come now, in a record of its own type
 * or in another one. */
int pst_session_check_stream(
    struct pst_session *session, const struct pst_session_request *request, enum pst_stream stream);

/*
 * Make room for an answer that the peer caused without the owner's doing, of one record with N
 * bytes. What was caused and not yet taken away by the owner's writing is bounded, or a peer
 * that does not read could make us hold any amount: 0, or the session has failed.
 */
int pst_session_reserve_answer(struct pst_session *session, size_t n);

#endif
