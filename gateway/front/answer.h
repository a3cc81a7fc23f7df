/*
 * The answer of one exchange: what its worker writes to STDOUT goes in, what the client is to read
 * comes out. It is taken off the worker as fast as it comes: what the client has not read goes to
 * a spool, in memory and then in a file. Of one that streams the spool only takes what was granted
 * before the worker could be told to wait.
 *
 *	 HEAD ──────► HELD ──────► BODY ──────► WHOLE
 *	  the CGI      complete,    the head     the last byte is
 *	  head comes   not sent     was sent     in OUT
 *
 * A head without Content-Length is HELD until the end of the turn, or until bytes that were lent
 *are to be sent: when the body has ended by then its length is known, and need not be sent in
 *chunks.
 *
 * No events and no sockets: the bytes for the client are appended to a buffer of the caller's, OUT,
 * except those that lie in a file, and larger pieces that were lent: while those that gave them are
 * still there, the owner sends them from where they are, or keeps what it cannot.
 */
#ifndef PST_FRONT_ANSWER_H
#define PST_FRONT_ANSWER_H

#include "gateway/front/answer_files.h"
#include "gateway/front/answer_lent.h"
#include "gateway/front/cgi_response.h"
#include "gateway/front/http_response.h"
#include "gateway/front/spool.h"
#include "gateway/front/websocket_handshake.h"

enum pst_answer_state {
	PST_ANSWER_HEAD,
	PST_ANSWER_HELD,
	PST_ANSWER_BODY,
	PST_ANSWER_WHOLE,
};

/* What the connection becomes after a status of 101. */
enum pst_answer_switch {
	PST_ANSWER_STAYS, /* there was none */
	PST_ANSWER_TO_MESSAGES, /* of a WebSocket that we speak */
	PST_ANSWER_TO_STREAM, /* whatever the worker speaks */
};

struct pst_answer {
	enum pst_answer_state state;
	struct pst_http_response http; /* status, body_sent, keep_alive: what was sent */
	struct pst_cgi_response *head; /* kept for the access log; NULL before the first byte */
	struct pst_spool *spool; /* NULL until needed */
	struct pst_spool_budget *budget;
	uint64_t in_file; /* bytes at the spool's front whose frame is open: send them from there */
	struct pst_answer_files files; /* of the worker's, among the bytes of the spool */
	bool in_part; /* the frame of the first of them is open */
	bool is_short; /* ... and the rest of it does not fit into Content-Length */
	size_t framed; /* bytes of what is lent, whose frame is open */
	bool lends; /* the owner's: bytes that are taken now may be lent */
	struct pst_buf trailers; /* lines, if the client wants them */
	bool wants_trailers;
	bool to_head; /* the request is HEAD */
	bool streams; /* the owner's: it is not to be stored, the worker waits for the client */
	bool ended; /* the worker has written all of it */
	bool interim; /* an interim response is in OUT, or was */
	bool cut; /* it wrote more than its Content-Length, which is not sent */
	/* The owner's: the worker may answer 101. NULL: nothing else was asked for. */
	const struct pst_websocket_handshake *handshake;
	const struct pst_http_request *request; /* whose answer that is */
	enum pst_answer_switch switches;
	const char *reason; /* after an error: a phrase for the log */
	struct pst_cgi_response *kept; /* memory for `head`; may be NULL */
	/* Bytes behind everything else: the last member, so that its memory need not be zeroed. */
	struct pst_answer_lent lent;
};

/* ANSWER is zero, or as pst_answer_clear() left it. For the answer to REQUEST. BUDGET must outlive
 * it. KEEP_ALIVE: we are willing. */
void pst_answer_init(struct pst_answer *answer, const struct pst_http_request *request,
    bool keep_alive, struct pst_spool_budget *budget);
/* It is over: what it holds is given back, but for what the next one needs as well. */
void pst_answer_clear(struct pst_answer *answer);
void pst_answer_free(struct pst_answer *answer);

/*
 * Take N bytes of the worker's. 0, or an error of enum pst_error or enum pst_spool_error with a
 * reason: nothing more is taken; if pst_answer_begun() is false another answer may be given
 * instead.
 */
int pst_answer_take(
    struct pst_answer *answer, struct pst_buf *out, const void *bytes, size_t n, const char *date);

/* Take a part of a file, whose descriptor is the answer's in any case, when nothing is lent: it
 * stands behind what came before. Errors as above. */
int pst_answer_take_file(struct pst_answer *answer, const struct pst_session_file *file);

/* Take a field that follows the body: 0, or PST_ERR_NOMEM or PST_ERR_PROTOCOL with a reason, as it
 * is left out then. */
int pst_answer_take_trailer(
    struct pst_answer *answer, struct pst_http_text name, struct pst_http_text value);

/* The worker has written all of it: 0, or an error when it ended before its head was complete. */
int pst_answer_end(struct pst_answer *answer);

/*
 * Move on what can be moved to OUT, now that the client takes bytes again or the turn ends. 0, or
 * an error as above: the client must see that the answer is not whole.
 */
int pst_answer_refill(struct pst_answer *answer, struct pst_buf *out, const char *date);

/* Bytes of a file that come after all that is in OUT: true, and where they are. */
bool pst_answer_file(const struct pst_answer *answer, struct pst_spool_piece *piece);
/* The first N of them were sent: 0, or an error. */
int pst_answer_file_sent(struct pst_answer *answer, struct pst_buf *out, uint64_t n);

/* Bytes that were lent come next, after all that is in OUT, of which pst_answer_refill() must have
 * had its part. */
bool pst_answer_is_lent(const struct pst_answer *answer);
/*
 * Frame some of them: the frame begins in OUT, and they and its end are in so many of PIECES, which
 * has room for PST_ANSWER_LENT + 1; or an error. pst_answer_frame_sent() must follow: N bytes of
 * those pieces were sent, the others are copied to OUT; 0, or an error.
 */
int pst_answer_frame(struct pst_answer *answer, struct pst_buf *out, struct iovec *pieces);
int pst_answer_frame_sent(struct pst_answer *answer, struct pst_buf *out, size_t n);
/* They are about to be gone: copy all that are left to OUT or the spool; 0, or an error. */
int pst_answer_keep_lent(struct pst_answer *answer, struct pst_buf *out);
/* Nobody wants them. */
void pst_answer_drop_lent(struct pst_answer *answer);

/* The connection ends with this answer, unless its head was sent, which has not said so. */
void pst_answer_close(struct pst_answer *answer);

/* The spool cannot take what may be on its way from the worker: let it wait. */
bool pst_answer_full(const struct pst_answer *answer);
/* There is room in files for PST_JOB_WINDOW bytes that still come then. */
bool pst_answer_roomy(const struct pst_answer *answer);

/*
 * Send something that is no news to the client, but is answered by a reset if it is gone: a zero in
 * front of the size of the next chunk (RFC 9112, 7.1). True: it is in OUT. False: bytes are on
 * their way anyhow, or the framing has no place for it.
 */
bool pst_answer_probe(struct pst_answer *answer, struct pst_buf *out);

/* Its head has come and says that it is a stream of events, which has no end of its own. */
bool pst_answer_is_events(const struct pst_answer *answer);

/* All of it has come, as its Content-Length says: its end brings nothing new. */
bool pst_answer_is_complete(const struct pst_answer *answer);

/* Something of the final head is in OUT, or was. */
static inline bool
pst_answer_begun(const struct pst_answer *answer)
{
	return answer->state >= PST_ANSWER_BODY;
}

#endif
