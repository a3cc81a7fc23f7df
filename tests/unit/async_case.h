/*
 * An async server under test, driven step by step: a plugin whose own loop is the test, and a
 * client that is a real session on a real socket.
 */
#ifndef PST_TESTS_UNIT_ASYNC_CASE_H
#define PST_TESTS_UNIT_ASYNC_CASE_H

#include "adapters/async_server.h"
#include "protocol/buf.h"
#include "protocol/lane.h"
#include "protocol/page.h"
#include "protocol/session.h"

#include <stdbool.h>
#include <stdint.h>

#define ASYNC_CASE_REQUESTS 256

/* What the plugin saw of a request, in the order in which they came. */
struct seen {
	struct pst_request *request; /* NULL once it was finished by seen_finish() */
	char path[64];
	unsigned ready; /* calls of on_ready() */
	unsigned aborted; /* calls of on_abort() */
	enum pst_abort why;
};

/* What a client got of a request, by its id. */
struct answer {
	struct pst_buf bytes; /* of STDOUT */
	struct pst_buf text; /* of STDERR, trailers and messages, a line for each */
	size_t total; /* bytes of STDOUT, kept or not */
	unsigned ended;
	enum pst_end end;
	uint32_t status;
	unsigned usages;
	int file; /* a descriptor that came; -1: none */
	uint64_t file_length;
	bool keeps_credit; /* nothing is granted */
	bool drops_bytes; /* what comes is counted only */
};

struct client {
	int fd; /* -1: closed */
	struct pst_session *session;
	struct answer answers[ASYNC_CASE_REQUESTS];
	unsigned credits; /* CREDIT records that came */
	bool drained; /* DRAIN came */
	bool refuses; /* the server closed, or an error came */
	struct pst_lane lane; /* the server's */
	size_t shared; /* bytes that came by it */
};

/* What the plugin does by itself in its callbacks; NULL: nothing. */
extern void (*async_on_request)(struct seen *seen);
extern void (*async_on_ready)(struct seen *seen);
extern void (*async_on_abort)(struct seen *seen);

extern const struct pst_host *const async_host;
extern struct seen async_seen[ASYNC_CASE_REQUESTS];
extern unsigned async_seen_count;
extern unsigned async_drains; /* calls of drain */
extern bool async_stopped; /* stop() was called */
extern uint64_t async_timer; /* what was asked for; UINT64_MAX: none */
extern struct pst_async_server *async_server;

/* Run BODY as the plugin's loop, with at most CAPACITY requests and PAGE, which may be NULL. BODY
 * must not leave requests unfinished; the server is drained and freed afterwards. */
void async_case_run(unsigned capacity, struct pst_page *page, void (*body)(void));

/* Turn the plugin's loop, and all clients, until nothing happens any more. */
void settle(void);
/* The same, but for the clients. */
void settle_server(void);

/* A gateway of ours has asked for what it asks; a plain one for nothing. */
struct client *client_new(bool penstock);
void client_close(struct client *client);
/* Begin a request for PATH, its parameters included; its body is still to come. */
uint16_t client_ask(struct client *client, const char *path);
/* The same with one more parameter. */
uint16_t client_ask_with(
    struct client *client, const char *path, const char *name, const char *value);
void client_body(struct client *client, uint16_t id, const void *bytes, size_t n);
void client_grant(struct client *client, uint16_t id, uint32_t n);
/* What came on STDOUT behind the head, as a string that is valid until the next call. */
const char *answer_body(struct client *client, uint16_t id);

/* Answer with TEXT and finish. */
void seen_answer(struct seen *seen, const char *text);
void seen_respond(struct seen *seen);
void seen_finish(struct seen *seen, int result);
struct seen *seen_path(const char *path);

#endif
