/*
 * An upstream (upstream.h) to a foreign FastCGI 1.0 server: php-fpm, a libfcgi program, php-cgi.
 * One connection at a time, for one job unless it is kept: no GET_VALUES, and closing it is the
 *abort.
 *
 *	          give, connect()            connected             it was read
 *	 CLOSED ──────────────────► CONNECTING ─────────► OFFERED ────────────► OPEN
 *	   ▲                             │   BEGIN_REQUEST    │     all the rest   │ END_REQUEST,
 *abort, └─────────────────────────────┴────────────────────┴────────────────────┘ or the server's
 *end
 *
 * A connection that was made is not one that was accepted: it may wait in the listener's backlog,
 * and be reset there when the server stops. On a unix socket the kernel tells when the peer has
 * read what was sent. So BEGIN_REQUEST is sent alone, which runs nothing, and the rest once it was
 * read: until then the job is GIVEN, and can be given to another. Over TCP nobody tells: there all
 * is sent at once.
 *
 * With KEEPS the connection is kept (FCGI_KEEP_CONN) when END_REQUEST has come and nothing is left
 *of the request: it is KEPT until the next job is given, or the server closes it. That may be just
 *when a job is sent. So of one that may be run twice all is sent at once, and if the connection
 *ends before anything was answered it is GIVEN still, and given again, on a fresh connection. Of
 *any other BEGIN_REQUEST goes first, as above; over TCP it gets a fresh connection.
 *
 * It is OPEN as an upstream from the start, and LOST only after pst_upstream_leave().
 */
#ifndef PST_FRONT_FOREIGN_H
#define PST_FRONT_FOREIGN_H

#include "gateway/front/remote.h"
#include "gateway/front/upstream.h"

/* NULL when memory is short. As pst_upstream_new(); nothing is connected before a job is given. */
struct pst_upstream *pst_foreign_new(struct pst_loop *loop,
    struct pst_upstream_deadlines *deadlines, const char *worker,
    const struct pst_remote_address *address, bool keeps,
    const struct pst_upstream_callbacks *callbacks, void *arg);

#endif
