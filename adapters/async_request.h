/*
 * One request of an async adapter: struct pst_request (request.h), whose functions here never
 * block, and what it takes to send its response piece by piece.
 *
 *	ARRIVING ──► RUNNING ──► FINISHED ──► ENDED
 *	    └───────────────────────────────────┘
 *
 * It is the plugin's while it is RUNNING, also when its connection is lost. What the plugin wrote
 * waits in `gather` (and `file`), and moves to the session as far as the client's credit and the
 * link's output allow:
 *
 *	write() ──► gather, then file ── pump ──► session ──► socket
 *
 * write() says AGAIN from PST_ASYNC_GATHER bytes on, so a request holds that and one piece.
 */
#ifndef PST_ADAPTERS_ASYNC_REQUEST_H
#define PST_ADAPTERS_ASYNC_REQUEST_H

#include "adapters/async_core.h"
#include "adapters/async_message.h"
#include "adapters/offer.h"
#include "adapters/request.h"

#define PST_ASYNC_GATHER 65536
/* on_ready() follows when so much is left. */
#define PST_ASYNC_GATHER_LOW 32768

enum pst_async_state {
	PST_ASYNC_ARRIVING, /* its parameters come */
	PST_ASYNC_RUNNING, /* the plugin has it */
	PST_ASYNC_FINISHED, /* the plugin is done: what it wrote is still to be sent */
	PST_ASYNC_ENDED, /* buried */
};

/* A part of a file that waits to be sent. */
struct pst_async_file {
	int fd; /* our own; -1: there is none */
	off_t offset;
	size_t left;
};

struct pst_async_request {
	struct pst_request base; /* first: what the plugin has a pointer to */
	TAILQ_ENTRY(pst_async_request) list; /* core's open, buried or spare */
	TAILQ_ENTRY(pst_async_request) dirty; /* the link's */
	struct pst_async_core *core;
	struct pst_async_link *link; /* NULL: its connection is lost */
	enum pst_async_state state;
	bool is_dirty;
	bool full; /* its body holds up the connection */
	struct pst_offer offer;
	bool wants_read; /* read() said AGAIN */
	bool wants_write; /* another said AGAIN */
	bool told_abort; /* on_abort() was called */
	bool told_late; /* ... for a deadline */
	bool headed; /* the whole head was submitted, and all behind it is body */
	bool ended; /* the end of its output was submitted */
	struct pst_async_file file;
	struct pst_async_messages messages;
	enum pst_outcome outcome; /* of a finished one */
	uint64_t lag; /* microseconds: the most that a timer was late meanwhile */
	void *user;
	struct pst_request_line line; /* for a crash */
};

static inline struct pst_async_request *
pst_async_request_of(struct pst_request *request)
{
	return (struct pst_async_request *)request;
}

/* --- life --- */

/* A new one for LINK, ARRIVING; NULL: memory is short. */
struct pst_async_request *pst_async_request_new(
    struct pst_async_core *core, struct pst_async_link *link, uint16_t id);
/* Make those that are buried spare. At the end of the turn. */
void pst_async_request_bury_all(struct pst_async_core *core);
/* Free spare ones, but for KEEP. */
void pst_async_request_trim(struct pst_async_core *core, unsigned keep);

/* --- what comes in, called by the link --- */

/* Its parameters are complete, it was claimed: give it to the plugin. */
void pst_async_request_start(struct pst_async_request *request);
/* Bytes of STDIN, none at its end. */
void pst_async_request_body(struct pst_async_request *request, const void *bytes, size_t n);
/* A part of a file in place of such bytes; its descriptor is taken over. */
void pst_async_request_body_file(
    struct pst_async_request *request, const struct pst_session_file *file);
/* The client does not want it. True: it is to be ended now. */
bool pst_async_request_abort(struct pst_async_request *request, enum pst_abort why);
/* Say WHAT happened to it. */
void pst_async_request_log(const struct pst_async_request *request, const char *what);
/* Its connection is lost: the link forgets it. */
void pst_async_request_lose(struct pst_async_request *request);
/* It ends, END_REQUEST was submitted. */
void pst_async_request_end(struct pst_async_request *request);

/* --- for its messages --- */

/* Something came that read() or read_message() may take. The request may be over afterwards. */
void pst_async_request_arrived(struct pst_async_request *request);
/* N bytes of what came were read: they are granted again. */
void pst_async_request_was_read(struct pst_async_request *request, size_t n);
/* How many bytes of the response may be submitted now. */
size_t pst_async_request_allowance(const struct pst_async_request *request);
/* There is something to be pumped at the end of the turn. */
void pst_async_request_touch(struct pst_async_request *request);

/* --- what goes out, at the end of the turn: async_output.c --- */

enum pst_async_pump {
	PST_ASYNC_PUMP_IDLE, /* nothing is left, or the client has to grant more */
	PST_ASYNC_PUMP_MORE, /* the link had no room for more */
	PST_ASYNC_PUMP_OVER, /* all of a finished one has left: end it */
};

/* Tell the plugin that it may go on. The request may be over when this returns. */
void pst_async_request_tell_ready(struct pst_async_request *request);
/* Forget what is left of its file. */
void pst_async_request_close_file(struct pst_async_request *request);
/* Move what has gathered to the session, as far as credit and the link's room go. */
enum pst_async_pump pst_async_request_pump(struct pst_async_request *request);
/* It was pumped: the plugin may hear on_ready(), and finish it. */
void pst_async_request_pumped(struct pst_async_request *request);

/* --- what the plugin calls: see struct pst_host --- */

ssize_t pst_async_request_read(struct pst_request *request, void *bytes, size_t n);
int pst_async_request_respond(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count);
int pst_async_request_write(struct pst_request *request, const void *bytes, size_t n);
int pst_async_request_flush(struct pst_request *request);
int pst_async_request_complete(struct pst_request *request);
int pst_async_request_send_file(struct pst_request *request, int fd, off_t offset, size_t length);
void pst_async_request_set_user(struct pst_request *request, void *user);
void *pst_async_request_user(const struct pst_request *request);
void pst_async_request_finish(struct pst_request *request, int result);

/* Bytes that it holds, for tests. */
size_t pst_async_request_held(const struct pst_async_request *request);

#endif
