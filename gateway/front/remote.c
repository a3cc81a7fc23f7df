#include "gateway/front/remote.h"

#include "gateway/address.h"
#include "gateway/log.h"

#include <inttypes.h>
#include <netdb.h>
#include <string.h>
#include <sys/un.h>

/* A server that is found full again within this time (ms) is full still: nothing is logged. */
#define FULL_EPISODE 10000

/* --- where it is --- */

const char *
pst_remote_unix(struct pst_remote_address *address, const char *path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&address->socket;

	memset(address, 0, sizeof(*address));
	if (strlen(path) >= sizeof(un->sun_path))
		return "the path of its socket is too long";
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path));
	address->length = sizeof(*un);
	return NULL;
}

static const char *
look_up(struct pst_remote_address *address, const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found;
	int err = getaddrinfo(host, port, &hints, &found);

	if (err != 0)
		return gai_strerror(err);
	memset(address, 0, sizeof(*address));
	memcpy(&address->socket, found->ai_addr, found->ai_addrlen);
	address->length = found->ai_addrlen;
	freeaddrinfo(found);
	return NULL;
}

const char *
pst_remote_resolve(struct pst_remote_address *address, const char *where)
{
	struct pst_address parsed;
	const char *why;

	if (pst_address_parse(&parsed, where, &why) != 0)
		return why;
	switch (parsed.kind) {
	case PST_ADDRESS_UNIX: return pst_remote_unix(address, parsed.path);
	case PST_ADDRESS_INET: return look_up(address, parsed.host, parsed.port);
	case PST_ADDRESS_FD: break;
	}
	return "it is where a server listens: unix:PATH or HOST:PORT";
}

/* --- whether it is there --- */

/* The one place where the state changes. */
static void
set_state(struct pst_remote *remote, enum pst_remote_state state, uint64_t now)
{
	if (state == PST_REMOTE_DOWN && remote->state != PST_REMOTE_DOWN) {
		remote->since = now;
		remote->refused = 0;
		remote->wait = PST_REMOTE_WAIT;
	}
	remote->state = state;
}

enum pst_remote_advice
pst_remote_advise(struct pst_remote *remote, uint64_t now, bool free)
{
	switch (remote->state) {
	case PST_REMOTE_UP: break;
	case PST_REMOTE_FULL:
		if (now < remote->again_at)
			return PST_REMOTE_LET_WAIT;
		break;
	case PST_REMOTE_DOWN:
		if (!free || now < remote->again_at)
			return PST_REMOTE_REFUSE;
		/* Others are refused meanwhile. */
		remote->again_at = now + PST_REMOTE_TRY;
		break;
	}
	return free ? PST_REMOTE_TRY_IT : PST_REMOTE_LET_WAIT;
}

uint64_t
pst_remote_again(const struct pst_remote *remote, uint64_t now)
{
	return remote->again_at > now ? remote->again_at - now : 1;
}

void
pst_remote_refused(struct pst_remote *remote)
{
	remote->refused++;
}

void
pst_remote_reached(struct pst_remote *remote, uint64_t now)
{
	if (remote->state == PST_REMOTE_DOWN)
		pst_log_warning("pool %s: the FastCGI server at %s is there again, after %" PRIu64
				".%03" PRIu64 " s in which %" PRIu64 " requests were answered 502",
		    remote->pool, remote->where, (now - remote->since) / 1000,
		    (now - remote->since) % 1000, remote->refused);
	set_state(remote, PST_REMOTE_UP, now);
}

static void
on_full(struct pst_remote *remote, uint64_t now, const char *reason)
{
	bool told = remote->told_full_at != 0 && now - remote->told_full_at < FULL_EPISODE;

	if (remote->state == PST_REMOTE_DOWN)
		pst_remote_reached(remote, now);
	remote->told_full_at = now;
	remote->again_at = now + PST_REMOTE_FULL_WAIT;
	set_state(remote, PST_REMOTE_FULL, now);
	if (!told)
		pst_log_warning(
		    "pool %s: the FastCGI server at %s takes no more connections (%s): "
		    "requests wait; has it as many processes as the pool has connections, and is "
		    "its backlog large enough?",
		    remote->pool, remote->where, reason);
}

void
pst_remote_failed(struct pst_remote *remote, uint64_t now, bool full, const char *reason)
{
	bool known = remote->state == PST_REMOTE_DOWN;

	if (full) {
		on_full(remote, now, reason);
		return;
	}
	/* Connections that had been tried together fail together: that is one failure. */
	set_state(remote, PST_REMOTE_DOWN, now);
	if (!known)
		pst_log_error(
		    "pool %s: the FastCGI server at %s cannot be reached (%s): its requests are "
		    "answered 502 until it is there again",
		    remote->pool, remote->where, reason);
	else if (remote->wait < PST_REMOTE_WAIT_MAX)
		remote->wait =
		    remote->wait * 2 < PST_REMOTE_WAIT_MAX ? remote->wait * 2 : PST_REMOTE_WAIT_MAX;
	remote->again_at = now + remote->wait;
}
