/* Answers of quick requests that leave with that of the next one (held.h), in one write. */

#include "adapters/held.h"
#include "adapters/threaded_internal.h"

static bool
has_watcher(struct pst_threaded_server *server)
{
	if (!server->held && !server->unwatched)
		server->held = pst_held_new();
	server->unwatched = server->held == NULL;
	return server->held != NULL;
}

/* What comes next is a request of the same client, which can only be a gateway of ours, and no
 * thread waits for what the session does. */
static bool
may_hold(const struct pst_threaded_server *server, const struct pst_threaded_link *link)
{
	const struct pst_threaded_stream *next = TAILQ_FIRST(&server->common.ready);

	return next && next->link == link && link->held < PST_HELD_MOST && !link->failed &&
	       link->state == PST_THREADED_LINK_OPEN && !link->cut && !link->writing &&
	       !server->draining && TAILQ_EMPTY(&server->waiting) &&
	       pst_session_pending(link->session) < PST_THREADED_OUT_HIGH / 8;
}

bool
pst_threaded_held_keep(struct pst_threaded_server *server, struct pst_threaded_link *link)
{
	if (server->holding && server->holding != link)
		pst_threaded_held_write(server);
	server->holding = NULL;
	if (!may_hold(server, link) || !has_watcher(server))
		return false;
	server->holding = link;
	link->held++;
	return true;
}

void
pst_threaded_held_give(struct pst_threaded_server *server)
{
	struct pst_threaded_link *link = server->holding;
	const void *bytes;
	size_t n;

	if (!link || server->given)
		return;
	n = pst_session_send(link->session, &bytes);
	if (link->held > 0 && n > 0 && n == pst_session_pending(link->session) &&
	    pst_session_send_fd(link->session) < 0) {
		server->given = true;
		if (!server->guarded) /* the guard looks more often */
			pst_held_wake(server->held);
		pst_held_give(server->held, link->fd, bytes, n);
	} else {
		pst_threaded_held_write(server);
	}
}

void
pst_threaded_held_take(struct pst_threaded_server *server)
{
	struct pst_threaded_link *link = server->holding;
	size_t sent;

	if (!server->given)
		return;
	server->given = false;
	sent = pst_held_take(server->held);
	link->sent += sent;
	if (sent > 0)
		pst_session_sent(link->session, sent);
}

void
pst_threaded_held_write(struct pst_threaded_server *server)
{
	struct pst_threaded_link *link;

	pst_threaded_held_take(server);
	link = server->holding;
	if (!link)
		return;
	server->holding = NULL;
	pst_threaded_link_write(link);
	if (pst_threaded_members_settle(server, link) && link->blocked)
		pst_threaded_members_arm(server, link);
}

void
pst_threaded_held_forget(struct pst_threaded_server *server, const struct pst_threaded_link *link)
{
	if (server->holding != link)
		return;
	pst_threaded_held_take(server);
	server->holding = NULL;
}
