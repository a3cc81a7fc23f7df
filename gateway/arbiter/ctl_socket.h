/*
 * The control socket: a unix stream socket, mode 0600, on which operators send requests as control
 * lines (protocol/control.h) and get answers: any number of lines, then OK or ERROR. Knows nothing
 * of what requests mean.
 *
 * Who may connect is root and the arbiter's user. PST_CTL_CLIENTS at once; one that asks nothing
 * for a minute is sent away, one that does not read its answers is cut off after
 * PST_CHANNEL_BACKLOG bytes, and one that sends a request before it has the answer to the last is
 * cut off, too.
 */
#ifndef PST_ARBITER_CTL_SOCKET_H
#define PST_ARBITER_CTL_SOCKET_H

#include "protocol/control.h"

#include <event2/event.h>
#include <stdbool.h>

#define PST_CTL_CLIENTS 16

struct pst_ctl_socket;
struct pst_ctl_client;

struct pst_ctl_events {
	/* CLIENT asks; LINE is good until this returns. It is answered at any time. */
	void (*request)(void *arg, struct pst_ctl_client *client, const struct pst_control *line);
	/* CLIENT left before it was answered; it is not to be used any more. */
	void (*left)(void *arg, struct pst_ctl_client *client);
};

/*
 * Listen at PATH, where a socket that nobody answers on is replaced. NULL after a line was logged.
 * EVENTS must outlive it.
 */
struct pst_ctl_socket *pst_ctl_socket_open(
    struct event_base *base, const char *path, const struct pst_ctl_events *events, void *arg);

/* Cut off who is there, without left(), and remove the socket. NULL is allowed. */
void pst_ctl_socket_close(struct pst_ctl_socket *socket);

/* Lines of the answer to CLIENT's request: the LENGTH bytes of whole control lines at LINES. */
void pst_ctl_tell(struct pst_ctl_client *client, const void *lines, size_t length);

/* The end of the answer. TEXT, which may be empty, is for people; DONE: it is OK, else ERROR. */
void pst_ctl_answer(struct pst_ctl_client *client, bool done, const char *text);

/* For whoever serves the request: what it waits for. 0 when a request comes. */
int pst_ctl_client_waits(const struct pst_ctl_client *client);
void pst_ctl_client_set_waits(struct pst_ctl_client *client, int what);

/* Call FN for every client that waits for an answer; FN may answer it. */
void pst_ctl_each_waiting(
    struct pst_ctl_socket *socket, void (*fn)(void *arg, struct pst_ctl_client *client), void *arg);

#endif
