/*
 * WebSocket messages of a request that was upgraded: what the plugin calls, and the pieces that
 * wait in either direction, each behind its length and its flags.
 */
#ifndef PST_ADAPTERS_ASYNC_MESSAGE_H
#define PST_ADAPTERS_ASYNC_MESSAGE_H

#include "protocol/buf.h"

#include <penstock/plugin.h>

#include <stdbool.h>
#include <stddef.h>

struct pst_async_request;

/* The longest reason of a close (RFC 6455, 5.5). */
#define PST_ASYNC_REASON 123
/* Pieces that wait to be read: empty ones cost no credit, so more than these end the request. */
#define PST_ASYNC_PIECES 8192

struct pst_async_close {
	bool is_set;
	unsigned code;
	size_t n;
	char reason[PST_ASYNC_REASON + 1];
};

/* Of one request; zero bytes are valid. */
struct pst_async_messages {
	bool upgraded;
	bool within; /* a message is being sent, */
	unsigned kind; /* which is PST_MESSAGE_BINARY or 0 */
	unsigned pieces; /* in `in` */
	struct pst_buf in; /* what came and was not read */
	struct pst_buf out; /* what was sent and has not left */
	struct pst_async_close closed; /* by the peer */
	struct pst_async_close closing; /* by the plugin: leaves behind `out` */
	bool close_sent;
};

/* Forget all, keeping no memory. */
void pst_async_messages_clear(struct pst_async_messages *messages);

/* --- what comes in: called by the link --- */

void pst_async_message_came(
    struct pst_async_request *request, unsigned flags, const void *bytes, size_t n);
void pst_async_message_closed(
    struct pst_async_request *request, unsigned code, const char *reason, size_t n);

/* --- what goes out --- */

/* True while something waits to leave. */
bool pst_async_message_waits(const struct pst_async_request *request);
/* Hand on what waits as far as credit and the link's room go. */
void pst_async_message_pass(struct pst_async_request *request);

/* --- what the plugin calls: see struct pst_host --- */

int pst_async_message_upgrade(
    struct pst_request *request, const struct pst_field *fields, size_t count);
ssize_t pst_async_message_read(struct pst_request *request, void *bytes, size_t n, unsigned *flags);
int pst_async_message_send(
    struct pst_request *request, unsigned flags, const void *bytes, size_t n);
unsigned pst_async_message_close_code(struct pst_request *request, const char **reason, size_t *n);
int pst_async_message_close(
    struct pst_request *request, unsigned code, const char *reason, size_t n);

#endif
