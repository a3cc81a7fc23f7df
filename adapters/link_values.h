/*
 * What the links of every model say alike: what the adapter is, to a client that asks (GET_VALUES),
 * and to one that gets no whole answer, that it is not whole.
 */
#ifndef PST_ADAPTERS_LINK_VALUES_H
#define PST_ADAPTERS_LINK_VALUES_H

#include "protocol/session.h"

#include <stdbool.h>
#include <stddef.h>

/* So many requests may wait behind those that are handled, where threads or a process block. */
#define PST_LINK_AHEAD 16

struct pst_link_values {
	unsigned connections; /* FCGI_MAX_CONNS */
	unsigned requests; /* FCGI_MAX_REQS: at a time */
	bool multiplexes; /* FCGI_MPXS_CONNS */
	unsigned ahead; /* PENSTOCK_AHEAD: requests that may wait behind those; 0: not said */
	bool streams; /* PENSTOCK_STREAMS */
	bool files; /* PENSTOCK_FILES, PENSTOCK_MEMORY: the socket carries descriptors */
};

/* In the session's callback get_value: answer for NAME, if there is an answer. True: only a gateway
 * of ours asks for it. */
bool pst_link_answer(struct pst_session *session, const struct pst_link_values *values,
    const char *name, size_t name_len);

/* Whether the socket FD is one that carries descriptors. */
bool pst_link_is_unix(int fd);

/*
 * Tell a client that the response is not whole, before its connection is closed. Web servers ignore
 * the application's status, and nginx takes even a connection that closes before END_REQUEST for
 * the end of a whole response, unless it meant to keep it. A record of no version that exists is
 * what it fails on.
 */
void pst_link_send_no_record(int fd);

#endif
