/*
 * A FastCGI session: one connection, seen from one side, without any I/O. Bytes that were read
 * go in through pst_session_recv(), which makes the callbacks; what is to be written is taken
 * with pst_session_send() and acknowledged with pst_session_sent(). No clock, no globals: a
 * session may be used by any thread, one at a time.
 *
 * The client side (a gateway, a web server) asks; the server side (an adapter) answers.
 * FastCGI 1.0 is https://fastcgi-archives.github.io/FastCGI_Specification.html; PROTOCOL.md
 * beside this file says to the byte what is sent, accepted and refused.
 *
 * Ownership and lifetime
 *  - Bytes handed to a submit function are copied before it returns.
 *  - Pointers given to a callback are valid during that call only.
 *  - Callbacks may submit, and may free the session: that is carried out when the outermost
 *    call into it returns. They must not call pst_session_recv() or pst_session_close().
 *  - A request is named by its id. It lives from begin (server) or submit_begin (client) until
 *    `end`, which is called exactly once for each, whatever happens. Afterwards its id names
 *    nothing, until it is used again.
 *
 * Errors
 *  - Nothing that a peer sends is asserted. A peer that breaks the protocol makes
 *    pst_session_recv() return PST_ERR_PROTOCOL or PST_ERR_LIMIT; `end` has then been called
 *    for every request with PST_END_CONNECTION, and the session takes nothing more.
 *    pst_session_reason() says what was wrong, for the log.
 *  - PST_ERR_NOMEM from a submit function leaves the session as it was; from
 *    pst_session_recv() it ends the session like an error of the peer.
 */
#ifndef PST_PROTOCOL_SESSION_H
#define PST_PROTOCOL_SESSION_H

#include "protocol/error.h"
#include "protocol/params.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_session;

/* Values of `role` (FastCGI 1.0, section 6). */
enum pst_role {
	PST_ROLE_RESPONDER = 1,
	PST_ROLE_AUTHORIZER = 2,
	PST_ROLE_FILTER = 3,
};

/* The streams of a request; which ones flow from the client is fixed by FastCGI. */
enum pst_stream {
	PST_STREAM_STDIN, /* client to server */
	PST_STREAM_DATA, /* client to server, PST_ROLE_FILTER only */
	PST_STREAM_STDOUT, /* server to client */
	PST_STREAM_STDERR, /* server to client */
};

/* How a request ended. */
enum pst_end {
	PST_END_COMPLETE = 0, /* FCGI_REQUEST_COMPLETE; app_status is valid */
	PST_END_CANT_MPX = 1, /* FCGI_CANT_MPX_CONN */
	PST_END_OVERLOADED = 2, /* FCGI_OVERLOADED */
	PST_END_UNKNOWN_ROLE = 3, /* FCGI_UNKNOWN_ROLE */
	PST_END_CONNECTION = -1, /* the session ended first: close, error, or freed */
};

/* Why a request is aborted: the values of enum pst_abort of the plugin ABI. */
enum pst_session_abort {
	PST_SESSION_ABORT_CLIENT = 0, /* its client left */
	PST_SESSION_ABORT_DEADLINE = 1, /* it took too long */
};

/* Of a piece of a message, bits: the values of enum pst_message of the plugin ABI. */
enum pst_session_message {
	PST_SESSION_MESSAGE_BINARY = 1, /* else it is text */
	PST_SESSION_MESSAGE_END = 2, /* the message's last piece */
};

/* A part of a regular file. */
struct pst_session_file {
	int fd;
	uint64_t offset;
	uint64_t length; /* at least 1; offset + length is at most INT64_MAX */
};

/* What a request cost, in microseconds. */
struct pst_session_usage {
	uint64_t cpu; /* of the thread, or of the event loop's turns, that served it */
	uint64_t waited; /* the rest of the time for which the application had it */
	uint64_t lag; /* the most that the event loop was late while it ran; 0: there is none */
};

struct pst_session_limits {
	unsigned requests; /* open at once; a peer's further ones are refused */
	size_t
	    params; /* bytes of encoded pairs for one request; beyond it that request is refused */
	size_t management; /* bytes of one GET_VALUES or GET_VALUES_RESULT body */
};

/* What every session starts from: 1 request, 256 KiB of params, 4 KiB of management. */
extern const struct pst_session_limits PST_SESSION_DEFAULT_LIMITS;

/*
 * The callbacks; a NULL one is not called. Those marked S exist on the server side, C on the
 * client side. ARG is what was given to the constructor.
 */
struct pst_session_callbacks {
	/* S: a request begins. KEEP: the client keeps the connection (FCGI_KEEP_CONN). */
	void (*begin)(void *arg, uint16_t id, enum pst_role role, bool keep);
	/* S: COUNT parameters, at least one. Nonzero refuses the request: it is ended with
	 * PST_END_OVERLOADED. */
	int (*params)(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count);
	/* S: the params are complete; the request may be handled. */
	void (*ready)(void *arg, uint16_t id);
	/* S, C: bytes of a stream. N is 0 once, at the end of that stream; END_REQUEST with
	 * PST_END_COMPLETE ends STDERR if the server did not, and STDOUT if app_status is 0, too:
	 * of an application that failed it is not whole. */
	void (*data)(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n);
	/* S: the client wants no answer any more; the server still ends the request. Nothing else
	 * but `end` is called for it from now on, and STDOUT, messages and files that are submitted
	 * are dropped. WHY is PST_SESSION_ABORT_CLIENT if the request is not extended; if it was
	 * that, a second call with PST_SESSION_ABORT_DEADLINE may follow. */
	void (*abort)(void *arg, uint16_t id, enum pst_session_abort why);
	/* S, C: the request is over. app_status is 0 unless END is PST_END_COMPLETE. The id is free
	 * already: pst_session_submit_begin() may give it out again here. pst_session_user() still
	 * knows the ended request until it does. */
	void (*end)(void *arg, uint16_t id, enum pst_end end, uint32_t app_status);
	/* S, C: the peer takes more of the request's stream that flows to it: what
	 * pst_session_credit() says has grown. */
	void (*credit)(void *arg, uint16_t id);
	/* S, C: N bytes of a message, FLAGS of enum pst_session_message. It may come in pieces; the
	 * last of them has PST_SESSION_MESSAGE_END and may be empty, no other is. All pieces of
	 * one message agree on PST_SESSION_MESSAGE_BINARY. */
	void (*message)(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n);
	/* S, C: the peer sends no message any more, nor the rest of the one that it had begun. N
	 * bytes of REASON, at most 123, neither terminated nor checked. */
	void (*closed)(void *arg, uint16_t id, unsigned code, const char *reason, size_t n);
	/* C: a field that follows the body; not checked. All come before the end of STDOUT. */
	void (*trailer)(void *arg, uint16_t id, const char *name, size_t name_len,
	    const char *value, size_t value_len);
	/* S, C: the bytes of FILE come here in STREAM. The callee owns its descriptor, of which
	 * nothing is known. It holds PST_SESSION_FILE_COST of the stream's credit until the owner
	 * grants that again. NULL: the descriptor is closed. */
	void (*file)(
	    void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file);
	/* C: the server offers memory of SIZE bytes, by a descriptor that the callee owns, for
	 * parts of answers: map it and call pst_session_use_memory(), else the server is told that
	 * it is refused. Once at most. NULL: it is refused. */
	void (*memory)(void *arg, int fd, uint32_t size);
	/* C: like data() for STDOUT, N is not 0; but the bytes are in that memory, and stay there
	 * until what pst_session_mark() says then is given back: the server may change them. */
	void (*shared)(void *arg, uint16_t id, const void *bytes, size_t n);
	/* C: what the request cost, soon before its end, also of one that was aborted. */
	void (*usage)(void *arg, uint16_t id, const struct pst_session_usage *usage);
	/* C: the server asks for no further requests; once at most. */
	void (*drain)(void *arg);
	/* S: the client asks for a value: answer with pst_session_submit_value(), or do not. */
	void (*get_value)(void *arg, const char *name, size_t name_len);
	/* C: one pair of an answer to GET_VALUES; at the end of each answer once with NAME NULL,
	 * and so too when the server does not know GET_VALUES. */
	void (*value)(
	    void *arg, const char *name, size_t name_len, const char *value, size_t value_len);
};

/* NULL when memory is short. CALLBACKS and LIMITS are copied; LIMITS NULL: the defaults. */
struct pst_session *pst_session_new_client(const struct pst_session_callbacks *callbacks,
    const struct pst_session_limits *limits, void *arg);
struct pst_session *pst_session_new_server(const struct pst_session_callbacks *callbacks,
    const struct pst_session_limits *limits, void *arg);

/* Ends every open request with PST_END_CONNECTION, then frees. NULL is allowed. */
void pst_session_free(struct pst_session *session);

/*
 * Give back what is kept for the next request: for a connection that has been idle for a while.
 * What is queued or open stays. Buffers over 16 KiB are given back without being asked.
 */
void pst_session_trim(struct pst_session *session);

/* --- bytes in --- */

/*
 * N bytes were read from the peer. 0, or an error that ends the session (see above) and drops
 * what was queued; later calls return PST_ERR_CLOSED, as does this one when a callback frees
 * the session, which is gone then. All of the bytes are consumed.
 */
int pst_session_recv(struct pst_session *session, const void *bytes, size_t n);

/* The peer closed, or reading failed: every open request ends with PST_END_CONNECTION. What was
 * queued may still be sent: a peer that closed its side only can read it. */
void pst_session_close(struct pst_session *session);

/* --- extensions: PROTOCOL.md says to the byte what they are --- */

/* What is asked with pst_session_submit_get_value(), and answered with
 * pst_session_submit_value(), by who wants extensions. */
#define PST_SESSION_VERSION_NAME  "PENSTOCK_VERSION"
#define PST_SESSION_VERSION_VALUE "1"
/* And so by who can send and take descriptors beside the bytes of the connection. */
#define PST_SESSION_FILES_NAME  "PENSTOCK_FILES"
#define PST_SESSION_FILES_VALUE "1"
/* And by who does so to have answers in memory that the server lends: beside the above. */
#define PST_SESSION_MEMORY_NAME  "PENSTOCK_MEMORY"
#define PST_SESSION_MEMORY_VALUE "1"
/* And this by who asks how many requests may be sent ahead, behind those that a worker can handle
 * at once; the answer is a decimal number. */
#define PST_SESSION_AHEAD_NAME "PENSTOCK_AHEAD"

/* What both sides of a request may send to begin with; the most that may ever be granted and not
 * yet used. */
#define PST_SESSION_CREDIT     65536
#define PST_SESSION_CREDIT_MAX INT32_MAX

/* What a FILE takes of its stream's credit, whatever its length. */
#define PST_SESSION_FILE_COST 4096

/* The most of a request's trailers: encoded pairs. */
#define PST_SESSION_TRAILERS 16384

/* The two ends have agreed on extensions: requests that begin from now on use them. */
bool pst_session_extends(const struct pst_session *session);

/*
 * How many bytes of this request's streams may be submitted now: STDIN and DATA on the client
 * side, STDOUT on the server side, and payload of messages. SIZE_MAX for a request without
 * extensions and for one that was aborted, 0 for one that is not open. STDERR and the ends of
 * streams need no credit.
 */
size_t pst_session_credit(const struct pst_session *session, uint16_t id);

/*
 * Let the peer send N bytes more of its streams of this request (1 to PST_SESSION_CREDIT_MAX in
 * all that it has not used). Nothing is sent for a request without extensions or an aborted one.
 * PST_ERR_LIMIT beyond the most.
 */
int pst_session_submit_credit(struct pst_session *session, uint16_t id, uint32_t n);

/*
 * Queue N bytes of a message; FLAGS of enum pst_session_message. N of 0 without END does nothing.
 * PST_ERR_STATE for a request without extensions, after pst_session_submit_close(), and for pieces
 * of a message that do not agree on BINARY; PST_ERR_LIMIT beyond pst_session_credit().
 */
int pst_session_submit_message(
    struct pst_session *session, uint16_t id, unsigned flags, const void *bytes, size_t n);
/* No message follows: CODE (16 bits) and N bytes of REASON, else PST_ERR_LIMIT beyond 123. Once:
 * then PST_ERR_STATE, as for a request without extensions. */
int pst_session_submit_close(
    struct pst_session *session, uint16_t id, unsigned code, const char *reason, size_t n);

/*
 * Files. A descriptor travels beside the bytes of a unix socket (SCM_RIGHTS), which the owner of
 * the session does: pst_descriptor_send() and pst_descriptor_recv() of protocol/descriptor.h fit.
 */

/* Both ends have agreed on files, and on extensions. */
bool pst_session_files(const struct pst_session *session);
/*
 * FILE's part of STREAM, STDIN of a client or STDOUT of a server, goes to the peer as a descriptor.
 * The session owns it from then on, and closes it; not when an error is returned. PST_ERR_STATE
 * for a request without extensions or a connection without files, and after the stream's end;
 * PST_ERR_LIMIT when pst_session_credit() is below PST_SESSION_FILE_COST.
 */
int pst_session_submit_file(struct pst_session *session, uint16_t id, enum pst_stream stream,
    const struct pst_session_file *file);
/* The descriptor that must be sent along with the first byte of what pst_session_send() shows; -1:
 * none. It stays the session's, which closes it once pst_session_sent() was told of any byte. */
int pst_session_send_fd(const struct pst_session *session);
/* A descriptor came: to be called before pst_session_recv() for the bytes with which it came. The
 * session owns it in any case. An error ends the session as one of pst_session_recv() does. */
int pst_session_recv_fd(struct pst_session *session, int fd);

/*
 * Memory that both ends have, in which the server puts bytes of answers (protocol/lane.h): it
 * offers it once, with a descriptor as above, and when the client has taken it says where each
 * piece is.
 */

enum pst_session_memory {
	PST_SESSION_MEMORY_NONE,
	PST_SESSION_MEMORY_OFFERED, /* not yet answered */
	PST_SESSION_MEMORY_TAKEN,
	PST_SESSION_MEMORY_REFUSED, /* the client cannot use it */
};

/* Both ends have agreed on such memory, on files, and on extensions. */
bool pst_session_lends(const struct pst_session *session);
/* How far it has come. */
enum pst_session_memory pst_session_memory(const struct pst_session *session);

/* C: SIZE bytes from BYTES, as long as the session lasts, are that memory. Only in the callback
 * that tells of it, with the size that it says; otherwise the memory is refused. */
void pst_session_use_memory(struct pst_session *session, const void *bytes, size_t size);
/* C: what of it may be used again when all that came is done with; 0: nothing came. */
uint64_t pst_session_mark(const struct pst_session *session);

/* S: offer memory of SIZE bytes: FD is the session's from then on, but not when an error is
 * returned: PST_ERR_STATE when it was not agreed on, and the second time. */
int pst_session_submit_memory(struct pst_session *session, int fd, uint32_t size);
/* S: N bytes of STDOUT may be there in place of a record, as soon as there is memory that was
 * taken: the request has extensions and credit for them, and is not aborted. */
bool pst_session_may_share(const struct pst_session *session, uint16_t id, size_t n);
/* S: they are, at OFFSET; MARK is told to the client. To be called only if they may, and the memory
 * was taken. */
int pst_session_submit_shared(
    struct pst_session *session, uint16_t id, uint32_t offset, uint32_t n, uint64_t mark);

/* --- what is asked: the client side --- */

/*
 * Begin a request; its id (the lowest free one) is stored in *ID. PST_ERR_STATE when
 * limits.requests are open; PST_ERR_CLOSED also when a request without KEEP has ended, as the
 * server closes then.
 */
int pst_session_submit_begin(
    struct pst_session *session, enum pst_role role, bool keep, uint16_t *id);
/* Add a parameter. Many go in one record, but none is cut unless it is larger than a record. */
int pst_session_submit_param(struct pst_session *session, uint16_t id, const char *name,
    size_t name_len, const char *value, size_t value_len);
/* The same for N bytes of whole pairs as pst_params_append() encodes them; other bytes are an
 * error of the caller's. */
int pst_session_submit_params(
    struct pst_session *session, uint16_t id, const void *pairs, size_t n);
/* The params are complete. */
int pst_session_submit_params_end(struct pst_session *session, uint16_t id);
/* The client wants no answer any more: nothing more is queued for the request, STDOUT that still
 * comes is discarded, STDERR is not. `end` follows when the server says so. WHY is told for
 * extended requests. A second call does nothing, but if it is the first to say DEADLINE. */
int pst_session_submit_abort(struct pst_session *session, uint16_t id, enum pst_session_abort why);
/* Ask for a value. Those asked for in a row, with no other submit or pst_session_send() between,
 * travel in one record and get one answer. */
int pst_session_submit_get_value(struct pst_session *session, const char *name, size_t name_len);

/* --- what is answered: the server side --- */

/* Only inside the get_value callback: the answer to it. PST_ERR_LIMIT beyond one record. */
int pst_session_submit_value(struct pst_session *session, const char *name, size_t name_len,
    const char *value, size_t value_len);
/*
 * End a request: open output streams are ended, END_REQUEST follows, `end` is called before this
 * returns. What the client still sends for it is discarded. With an APP_STATUS other than 0 the
 * end of STDOUT is left out, unless it was submitted: what was sent of it is not the whole.
 */
int pst_session_submit_end(
    struct pst_session *session, uint16_t id, enum pst_end end, uint32_t app_status);

/*
 * A field that follows the body; before the end of STDOUT, else PST_ERR_STATE. Nothing is sent for
 * a request without extensions or an aborted one. PST_ERR_LIMIT beyond PST_SESSION_TRAILERS.
 */
int pst_session_submit_trailer(struct pst_session *session, uint16_t id, const char *name,
    size_t name_len, const char *value, size_t value_len);
/* What a request cost: once, before pst_session_submit_end(). Nothing is sent for one without
 * extensions. */
int pst_session_submit_usage(
    struct pst_session *session, uint16_t id, const struct pst_session_usage *usage);
/* Ask for no further requests; what was asked before is not asked again. Nothing is sent without
 * extensions. */
int pst_session_submit_drain(struct pst_session *session);

/* --- both --- */

/*
 * Queue N bytes of a stream that flows this way; N of 0 ends the stream. On the server side
 * STDOUT and STDERR end by themselves with the request. PST_ERR_STATE after the stream's end,
 * PST_ERR_LIMIT beyond pst_session_credit().
 */
int pst_session_submit_data(
    struct pst_session *session, uint16_t id, enum pst_stream stream, const void *bytes, size_t n);

/* The most that one call of pst_session_submit_external() takes. */
#define PST_SESSION_EXTERNAL_MAX 65528

/*
 * Queue a record with N bytes (1 to PST_SESSION_EXTERNAL_MAX) of a stream that flows this way,
 * which the caller writes to the peer by itself, as sendfile(2) does: see pst_session_external().
 * PST_ERR_STATE after the stream's end, and while an earlier such record is not written;
 * PST_ERR_LIMIT beyond pst_session_credit().
 */
int pst_session_submit_external(
    struct pst_session *session, uint16_t id, enum pst_stream stream, size_t n);

/* --- bytes out --- */

/*
 * What is to be written: stores a pointer in *BYTES and returns the length, 0 for nothing. The
 * pointer is valid until the next call on the session. Never makes a callback.
 */
size_t pst_session_send(struct pst_session *session, const void **bytes);
/* The first N of those bytes were written. */
void pst_session_sent(struct pst_session *session, size_t n);
/*
 * The bytes that the caller still has to write by itself. Their turn is when pst_session_send()
 * returns 0, as it does from the header of their record on; then it shows what follows. There is
 * no way back: an abort, the request's end and pst_session_close() leave them due, and without
 * them nothing else can be sent. 0 also after an error that ended the session.
 */
size_t pst_session_external(const struct pst_session *session);
/* N of them were written. */
void pst_session_external_sent(struct pst_session *session, size_t n);
/* Bytes that are queued for writing, external ones included: what a caller looks at to stop
 * producing. */
size_t pst_session_pending(const struct pst_session *session);

/* --- what to do next --- */

/* False once nothing more can come of reading: after an error, close, or the last request
 * of a connection that the client did not ask to keep. */
bool pst_session_want_read(const struct pst_session *session);
/* True while there is something to write, external or not. Neither wanted: close the connection. */
bool pst_session_want_write(const struct pst_session *session);

/* Why the session ended: a phrase such as "record of type 3 for request 7 has 4 bytes, not 8".
 * "" while it goes on. Valid as long as the session. */
const char *pst_session_reason(const struct pst_session *session);

/* What the caller attaches to an open request; NULL until set, and for ids that are not open. */
void pst_session_set_user(struct pst_session *session, uint16_t id, void *user);
void *pst_session_user(const struct pst_session *session, uint16_t id);

#endif
