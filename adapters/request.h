/*
 * One request and its response, as the plugin sees them: the host functions of
 * <penstock/plugin.h>. It knows nothing of sockets, polling or threads: what has to reach the
 * client or come from it goes through a carrier, which every model of adapter has of its own.
 *
 * The response gathers here until there is enough of it to be sent, so that a short one leaves in
 * one piece, and one that failed before anything left can still become a 500:
 *
 *	gather:  [ interim heads ] [ head ] [ body ... ]  ── carrier ──►  client
 *
 * One thread owns a request at a time. The carrier calls the pst_request_on_ functions; in an
 * adapter with threads it does so under its own lock, from within fill(), submit() or flush().
 */
#ifndef PST_ADAPTERS_REQUEST_H
#define PST_ADAPTERS_REQUEST_H

#include "adapters/body.h"
#include "adapters/fields.h"
#include "adapters/head.h"
#include "adapters/sendfile.h"
#include "protocol/buf.h"
#include "protocol/session.h"

#include <penstock/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_piece;

/* The body that waits to be read; a carrier stops reading above this. Of a client that knows
 * credit no more ever waits. */
#define PST_REQUEST_BODY_HIGH PST_SESSION_CREDIT
/* A body is granted again when the application has read so much of it. */
#define PST_REQUEST_GRANT 32768
/* What gathers of a response before it is handed on. */
#define PST_REQUEST_GATHER 32768

/*
 * How a request reaches its client. Each function may block, and returns 0, PST_RESULT_GONE when
 * the client aborted or was lost (pst_request_on_abort() has been called then), or
 * PST_RESULT_ERROR when memory is short. In the async model fill() says PST_RESULT_AGAIN, submit()
 * is for STDERR only, and others are NULL.
 */
struct pst_carrier {
	/* Queue N bytes of STDOUT or STDERR; wait while much is queued already. */
	int (*submit)(
	    struct pst_request *request, enum pst_stream stream, const void *bytes, size_t n);
	/* The same for STDOUT of a response whose head was submitted: through memory that is shared
	 * with the client, if there is any. */
	int (*share)(struct pst_request *request, const void *bytes, size_t n);
	/* The same, of enum pst_post, only if that takes no waiting. NULL: it never is so. */
	int (*post)(struct pst_request *request, const void *bytes, size_t n);
	/* Write N bytes (1 to PST_SESSION_EXTERNAL_MAX) of PIECE as STDOUT, behind what is queued.
	 * That the piece is spoilt is not an error of the carrier's. */
	int (*send_piece)(struct pst_request *request, struct pst_piece *piece, size_t n);
	/* Queue LENGTH bytes of the file FD from OFFSET as a descriptor of its own; only if the
	 * request has `files`. */
	int (*send_descriptor)(struct pst_request *request, int fd, off_t offset, size_t length);
	/* Write out everything that is queued. */
	int (*flush)(struct pst_request *request);
	/* The same within a moment, unless the request ends before, or wants something. NULL: as
	 * flush(). */
	int (*flush_soon)(struct pst_request *request);
	/* Wait until a pst_request_on_ function has been called. */
	int (*fill)(struct pst_request *request);
	/* The application has read N bytes of the body: so many more may come. Does not block. */
	void (*grant)(struct pst_request *request, size_t n);
	/* Carry bytes between an upgraded request and FD until one of both has ended. NULL: this
	 * model does not. */
	int (*pump)(struct pst_request *request, int fd);
	/* It submits what has gathered in the end by itself, with the request's end. */
	bool finishes;
};

/* How far the response has come. */
enum pst_response_state {
	PST_RESPONSE_NONE, /* no head yet, only interim ones perhaps */
	PST_RESPONSE_GATHERED, /* the head is in gather: it can still be taken back */
	PST_RESPONSE_SENT, /* the head was handed to the carrier */
};

struct pst_request {
	const struct pst_carrier *carrier;
	void *link; /* the carrier's */
	uint16_t id; /* in its session */
	bool penstock; /* the client is a gateway of ours: it knows interim responses, and names the
			  request with what STDERR carries */
	bool files; /* the client reads files by itself: it takes descriptors */
	bool gone; /* nobody wants the answer: aborted, or the connection was lost */
	bool explained; /* something was sent on STDERR, or logged in its place */
	bool spoilt; /* bytes were sent that are not the response's: it cannot become whole */
	bool upgradable; /* a WebSocket handshake, which can be accepted */
	bool upgraded; /* ... and was, as a stream */
	bool finishing; /* nothing more is added: the application has returned, or said so */
	bool invalid; /* a parameter holds a NUL: answered 400 without the application */

	bool body_ended;
	size_t body_read; /* and not granted again */

	enum pst_response_state state;
	bool replaced; /* what the application adds is dropped: the body is another one */
	bool has_file; /* ... this, which is sent at the end */
	bool complete; /* nothing more is added to it */
	struct pst_sendfile file;

	/* Those from here on keep their memory for the next request. */

	struct pst_fields params;
	struct pst_body body; /* received, not yet read by the application */
	struct pst_buf gather;
	struct pst_fields trailers; /* of the response; sealed */
	struct pst_head_kept head; /* of a response before */
	char reason[160]; /* why the last call failed */
};

/* What pst_request_finish() found. */
enum pst_outcome {
	PST_OUTCOME_WHOLE, /* the response is complete */
	PST_OUTCOME_BROKEN, /* the head was sent, the rest never comes */
	PST_OUTCOME_GONE, /* nobody wanted it */
};

/* --- life --- */

struct pst_request *pst_request_new(void); /* NULL when memory is short */
void pst_request_free(struct pst_request *request);
/* Release what it holds, of one that is part of something else. */
void pst_request_clear(struct pst_request *request);
/* Make it ready for the next request, keeping memory for one of ordinary size. */
void pst_request_reset(struct pst_request *request);

/* --- what comes in: called by the carrier --- */

/* Nonzero (an enum pst_error) when it is too much. */
int pst_request_on_params(struct pst_request *request, const struct pst_pair *pairs, size_t count);
/* Whether PAIR's name can be one that a gateway of ours gives a meaning: others are told apart
 * fast.
 */
static inline bool
pst_request_is_ours(const struct pst_pair *pair)
{
	return pair->name_len > 9 && pair->name[0] == 'P' && pair->name[8] == '_';
}
/* True: PAIR is no parameter of the request, but what a gateway of ours says that it can become. */
bool pst_request_take_upgrade(struct pst_request *request, const struct pst_pair *pair);
/* The parameters are complete. */
void pst_request_on_ready(struct pst_request *request);
/* Bytes of STDIN, none at its end. PST_ERR_NOMEM: the body is lost, the request is gone. */
int pst_request_on_body(struct pst_request *request, const void *bytes, size_t n);
/*
 * A part of a file in place of such bytes; its descriptor is taken over. An enum pst_error, which
 * was logged: the body is lost, the request is gone.
 */
int pst_request_on_file(struct pst_request *request, const struct pst_session_file *file);
/* Nobody wants the answer any more. */
void pst_request_on_abort(struct pst_request *request);

/* True while more of the body may be received. */
bool pst_request_wants_body(const struct pst_request *request);

/* --- what the plugin calls: see struct pst_host --- */

const struct pst_field *pst_request_params(struct pst_request *request, size_t *count);
ssize_t pst_request_read(struct pst_request *request, void *bytes, size_t n);
int pst_request_error(struct pst_request *request, const char *text, size_t len);
const char *pst_request_reason(struct pst_request *request);

int pst_request_respond(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count);
enum pst_upgrade pst_request_upgradable(const struct pst_request *request);
int pst_request_upgrade_stream(
    struct pst_request *request, const struct pst_field *fields, size_t count);
int pst_request_gathers(const struct pst_request *request, size_t n);
int pst_request_write(struct pst_request *request, const void *bytes, size_t n);
int pst_request_post(struct pst_request *request, const void *bytes, size_t n);
int pst_request_flush(struct pst_request *request);
int pst_request_complete(struct pst_request *request);
int pst_request_pump(struct pst_request *request, int fd);
int pst_request_begun(const struct pst_request *request);
int pst_request_trailers(struct pst_request *request, const struct pst_field *fields, size_t count);

int pst_request_send_file(struct pst_request *request, int fd, off_t offset, size_t length);

/* --- for what the models do each in its own way --- */

/* RESULT, with its reason. */
int pst_request_fail(struct pst_request *request, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An upgrade can be accepted now: 0, or a negative result with its reason. */
int pst_request_check_upgrade(struct pst_request *request);
/* Submit the trailers, of a response that is complete: 0, or PST_RESULT_ERROR without memory. */
int pst_request_submit_trailers(const struct pst_request *request, struct pst_session *session);
/* LENGTH bytes of FD from OFFSET are there to be sent: 0, or a negative result with its reason. */
int pst_request_check_file(struct pst_request *request, int fd, off_t offset, size_t length);

/* --- the end --- */

/* Answer without the application: a plain text that says the status. */
void pst_request_answer(struct pst_request *request, int status);

/* The file that takes the place of the body, which is the caller's: false, there is none. */
bool pst_request_take_file(struct pst_request *request, struct pst_sendfile *file);

/* The plugin returned RESULT: what the response is, if all that has gathered reaches the client. A
 * 500 gathers when the response failed before its head was sent. */
enum pst_outcome pst_request_settle(struct pst_request *request, int result);

/*
 * The plugin returned RESULT: hand on what has gathered, or a 500 in its place when the response
 * failed before its head was sent. Nothing is flushed. May block like submit(). With a carrier that
 * finishes by itself what has gathered stays where it is.
 */
enum pst_outcome pst_request_finish(struct pst_request *request, int result);

/*
 * Write "GET /path" to TEXT, N bytes at most with the NUL, without the query (it may hold secrets)
 * and without control characters. Returns TEXT.
 */
const char *pst_request_title(const struct pst_request *request, char *text, size_t n);

/* The same, without the query: what the client sent is not escaped. Valid until
 * the request is reset. PATH may be in two parts (SCRIPT_NAME and PATH_INFO). Async-signal-safe. */
struct pst_request_line {
	const char *method;
	const char *path[2];
};
void pst_request_line(const struct pst_request *request, struct pst_request_line *line);

#endif
