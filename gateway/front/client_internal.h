/* What the files of a client share: client.c (its states, clock and life), client_read.c and
 * client_write.c (its two ways). */
#ifndef PST_FRONT_CLIENT_INTERNAL_H
#define PST_FRONT_CLIENT_INTERNAL_H

#include "gateway/front/client.h"
#include "gateway/front/pace.h"

#include <event2/event_struct.h>

/* What one client may read or write in a turn before others have theirs. */
#define PST_CLIENT_TURN ((size_t)1 << 20)

enum pst_client_state {
	PST_CLIENT_IDLE,
	PST_CLIENT_HEAD,
	PST_CLIENT_BODY,
	PST_CLIENT_WAITING,
	PST_CLIENT_WRITING,
	PST_CLIENT_LINGERING,
	PST_CLIENT_CLOSED,
};

struct pst_client {
	enum pst_client_state state;
	int fd;
	bool readable; /* there may be something to read: edges are told once only */
	bool hung_up; /* the end of what it sends is in the socket */
	bool ended; /* ... and was read */
	TAILQ_ENTRY(pst_client) link;
	struct pst_clients *clients;
	struct pst_exchange *exchange; /* NULL between requests */
	struct pst_buf in; /* what was read ahead */
	struct pst_buf out;
	struct pst_deadline deadline; /* of the state */
	struct pst_deadline silence; /* of a LINGERING one, besides */
	struct pst_deadline upload; /* for the next piece of a body that is streamed */
	struct pst_pace pace; /* of the body, then of the answer */
	struct pst_pace upload_pace; /* of a body that is streamed */
	int unsent; /* what the full socket held when WRITING began */
	struct pst_task flush;
	struct pst_task intake; /* of a body that is streamed */
	struct pst_task burial;
	struct event read_event;
	struct event write_event; /* pending only while the socket is full */
	struct pst_peer_address peer;
	struct pst_peer_address local;
};

/* --- client.c --- */

/* The one place where the state changes. Entering a state, even again, starts its time. */
void pst_client_set_state(struct pst_client *client, enum pst_client_state state);
/* Close at once; what was not sent is lost. RESET: so that the client cannot take it for an end. */
void pst_client_close(struct pst_client *client, bool reset);
/* It is idle: its buffer for answers is kept for others, or freed with what is in it. */
void pst_client_leave_buffer(struct pst_client *client);
/* The last answer was sent: close in a way that lets it arrive. */
void pst_client_close_politely(struct pst_client *client);

/* --- client_read.c --- */

/* Be in the state that fits the exchange, which has taken N bytes. */
void pst_client_follow(struct pst_client *client, size_t n);
/* The clock of a body that is streamed runs while the client is what is waited for. */
void pst_client_watch_body(struct pst_client *client);
/* Begin the next request with what was read ahead. */
void pst_client_take_ahead(struct pst_client *client);
/* Read while there is something, and it is wanted. */
void pst_client_read(struct pst_client *client);
void pst_client_intake(void *arg);
void pst_client_on_readable(evutil_socket_t fd, short what, void *arg);

/* --- client_write.c --- */

/* Write while there is something, and the socket takes it; a task. */
void pst_client_write(void *arg);
void pst_client_on_writable(evutil_socket_t fd, short what, void *arg);
/* The client does not take its answer, WHAT says how: log it and break the connection. */
void pst_client_stop_answer(struct pst_client *client, const char *what);

#endif
