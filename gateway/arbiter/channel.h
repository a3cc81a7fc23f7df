/*
 * The arbiter's end of a child's control channel: control lines both ways, descriptors to the
 * child. Never waits; what the child does not read is held up to PST_CHANNEL_BACKLOG bytes, or what
 * it was allowed.
 */
#ifndef PST_ARBITER_CHANNEL_H
#define PST_ARBITER_CHANNEL_H

#include "protocol/control.h"

#include <event2/event.h>

#define PST_CHANNEL_BACKLOG (1024 * 1024)

struct pst_channel;

struct pst_channel_events {
	/* A line came. LINE is good until this returns. */
	void (*line)(void *owner, const struct pst_control *line);
	/* The channel ended, for the reason WHY; once. Nothing can be sent any more. */
	void (*end)(void *owner, const char *why);
};

/*
 * Talk over FD, a stream socket, which belongs to the channel when this succeeds. NULL: no memory.
 * The callbacks run from the event loop only, never from the calls below, and must not free the
 * channel.
 */
struct pst_channel *pst_channel_new(
    struct event_base *base, int fd, const struct pst_channel_events *events, void *owner);
void pst_channel_free(struct pst_channel *channel);

/* From now on BYTES are held. */
void pst_channel_allow(struct pst_channel *channel, size_t bytes);

/* Send one line; the arguments are its words and a NULL. */
void pst_channel_send(struct pst_channel *channel, ...) __attribute__((sentinel));

/* Send the LENGTH bytes of whole lines at LINES. */
void pst_channel_send_lines(struct pst_channel *channel, const void *lines, size_t length);

/* Send a line with a descriptor beside it, of which the channel makes its own copy. */
void pst_channel_send_fd(struct pst_channel *channel, int fd, ...) __attribute__((sentinel));

#endif
