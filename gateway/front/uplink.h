/*
 * The gateway's end of the control channel to the arbiter: lines both ways, descriptors from it.
 * docs/architecture.md, "Control lines", lists them.
 */
#ifndef PST_FRONT_UPLINK_H
#define PST_FRONT_UPLINK_H

#include "gateway/front/loop.h"
#include "protocol/control.h"

struct pst_uplink_callbacks {
	/* A line came; it is valid during the call. */
	void (*line)(void *arg, const struct pst_control *line);
	/* The arbiter is gone, or what it sends cannot be read: REASON. Nothing comes or goes any
	 * more. */
	void (*lost)(void *arg, const char *reason);
};

struct pst_uplink;

/* FD belongs to the uplink from now on. NULL: no memory; FD is still the caller's. */
struct pst_uplink *pst_uplink_new(
    struct pst_loop *loop, int fd, const struct pst_uplink_callbacks *callbacks, void *arg);
/* Not within a callback of its own. NULL is allowed. */
void pst_uplink_free(struct pst_uplink *uplink);

/* The next descriptor that came with the lines so far, now the caller's; -1: there is none. */
int pst_uplink_take_fd(struct pst_uplink *uplink);

/* Send a line of these words, NULL-terminated. What cannot be held is logged and dropped. */
void pst_uplink_send(struct pst_uplink *uplink, ...) __attribute__((sentinel));

/* The same with the LENGTH bytes of whole lines at LINES. */
void pst_uplink_send_lines(struct pst_uplink *uplink, const void *lines, size_t length);

#endif
