#include "adapters/threaded_internal.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool
is_met(const struct pst_threaded_thread *thread)
{
	const struct pst_threaded_stream *stream = thread->stream;
	const struct pst_threaded_link *link = stream->link;

	/* A record that has begun must come to its end, also for a client that aborted. */
	if (thread->need == PST_THREADED_PIECE_SENT)
		return link->state != PST_THREADED_LINK_OPEN ||
		       pst_session_external(link->session) == 0;
	if (stream->gone || link->state != PST_THREADED_LINK_OPEN)
		return true;
	switch (thread->need) {
	case PST_THREADED_BODY: return !pst_body_is_empty(&stream->body) || stream->body_ended;
	case PST_THREADED_CREDIT:
		return pst_session_credit(link->session, stream->id) >= thread->amount;
	case PST_THREADED_ROOM: return pst_session_pending(link->session) <= thread->amount;
	case PST_THREADED_WRITTEN: return link->sent >= thread->amount;
	case PST_THREADED_PIECE: return link->piece == NULL;
	case PST_THREADED_PUMPED: return thread->pump->over;
	default: return true;
	}
}

static void
kick(struct pst_threaded_server *server)
{
	uint64_t one = 1;

	if (write(server->kick, &one, sizeof(one)) < 0) {
		/* Full: it is readable already. */
	}
}

static void
wake(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	if (thread->woken)
		return;
	thread->woken = true;
	if (server->reader == thread)
		kick(server);
	else
		pthread_cond_signal(&thread->changed);
}

void
pst_threaded_wait_wake(struct pst_threaded_server *server, struct pst_threaded_link *link)
{
	struct pst_threaded_thread *thread;

	pst_threaded_pump_move(server, link);
	TAILQ_FOREACH (thread, &server->waiting, waiting)
		if (thread->stream->link == link && is_met(thread))
			wake(server, thread);
}

void
pst_threaded_wait_relieve(struct pst_threaded_server *server)
{
	struct pst_threaded_thread *first = TAILQ_FIRST(&server->waiting);

	if (first && server->idle == 0 && !server->reader)
		pthread_cond_signal(&first->changed);
}

void
pst_threaded_wait_relieved(struct pst_threaded_server *server)
{
	if (server->reader)
		kick(server);
}

/* Be at the epoll, for others too, until something happens. */
static void
read_for_all(struct pst_threaded_server *server, struct pst_threaded_thread *thread)
{
	struct pollfd polled[] = {{server->epoll, POLLIN, 0}, {server->kick, POLLIN, 0}};
	uint64_t count;

	server->reader = thread;
	pthread_mutex_unlock(&server->lock);
	if (poll(polled, 2, -1) > 0 && polled[1].revents &&
	    read(server->kick, &count, sizeof(count)) < 0) {
		/* Somebody was faster: so much the better. */
	}
	pthread_mutex_lock(&server->lock);
	if (polled[0].revents) {
		pst_threaded_members_poll(server, thread, 0);
		pst_threaded_members_disown(server, thread);
		pst_threaded_ring(server);
	}
	server->reader = NULL;
}

void
pst_threaded_wait(struct pst_threaded_server *server, struct pst_threaded_thread *thread,
    enum pst_threaded_need need, uint64_t amount)
{
	struct pst_threaded_link *link = thread->stream->link;

	thread->need = need;
	thread->amount = amount;
	if (is_met(thread))
		return;
	TAILQ_INSERT_TAIL(&server->waiting, thread, waiting);
	/* While somebody waits every connection is watched. */
	pst_threaded_members_disown_all(server);
	pst_threaded_members_arm(server, link);
	while (!is_met(thread)) {
		pst_threaded_held_write(server);
		if (is_met(thread))
			break;
		thread->woken = false;
		if (server->idle == 0 && !server->reader)
			read_for_all(server, thread);
		else
			pthread_cond_wait(&thread->changed, &server->lock);
	}
	TAILQ_REMOVE(&server->waiting, thread, waiting);
	pst_threaded_wait_relieve(server);
}
