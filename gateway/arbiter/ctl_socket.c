#include "gateway/arbiter/ctl_socket.h"

#include "gateway/arbiter/channel.h"
#include "gateway/arbiter/listener.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Whoever asks nothing for so long goes. */
#define IDLE_S 60
/* How long nobody is accepted when that failed, for want of descriptors. */
#define PAUSE_S 1

struct pst_ctl_client {
	TAILQ_ENTRY(pst_ctl_client) link;
	struct pst_ctl_socket *socket;
	struct pst_channel *channel;
	struct event *idle;
	bool asked; /* and was not answered */
	int waits;
	bool gone; /* is freed after the turn */
};

TAILQ_HEAD(client_list, pst_ctl_client);

struct pst_ctl_socket {
	struct event_base *base;
	struct event *acceptable;
	struct event *pause;
	struct event *sweep;
	struct client_list clients;
	unsigned count;
	struct sockaddr_un address;
	dev_t dev; /* of the socket that we made, so that only that one is removed */
	ino_t ino;
	const struct pst_ctl_events *events;
	void *arg;
};

/* ---- a client ---- */

static void
client_free(struct pst_ctl_client *client)
{
	TAILQ_REMOVE(&client->socket->clients, client, link);
	client->socket->count--;
	pst_channel_free(client->channel);
	if (client->idle)
		event_free(client->idle);
	free(client);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct pst_ctl_socket *socket = arg;
	struct pst_ctl_client *client, *next;

	(void)fd;
	(void)what;
	for (client = TAILQ_FIRST(&socket->clients); client; client = next) {
		next = TAILQ_NEXT(client, link);
		if (client->gone)
			client_free(client);
	}
}

static void
lose(struct pst_ctl_client *client)
{
	struct pst_ctl_socket *socket = client->socket;

	if (client->gone)
		return;
	client->gone = true;
	event_del(client->idle);
	event_active(socket->sweep, EV_TIMEOUT, 0);
	if (client->asked)
		socket->events->left(socket->arg, client);
	client->asked = false;
}

static void
on_line(void *owner, const struct pst_control *line)
{
	struct pst_ctl_client *client = owner;

	if (client->gone)
		return;
	if (client->asked) {
		pst_log_warning("a client of the control socket sent a second request before the "
				"first was answered: it is cut off");
		lose(client);
		return;
	}
	client->asked = true;
	client->waits = 0;
	event_del(client->idle);
	client->socket->events->request(client->socket->arg, client, line);
}

static void
on_end(void *owner, const char *why)
{
	struct pst_ctl_client *client = owner;

	pst_log_debug("a client of the control socket left: %s", why);
	lose(client);
}

static void
on_idle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	lose(arg);
}

static void
expect_request(struct pst_ctl_client *client)
{
	static const struct timeval wait = {.tv_sec = IDLE_S};

	event_add(client->idle, &wait);
}

/* FD is the client's when this succeeds. */
static int
client_new(struct pst_ctl_socket *socket, int fd)
{
	static const struct pst_channel_events events = {.line = on_line, .end = on_end};
	struct pst_ctl_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -1;
	client->socket = socket;
	client->idle = event_new(socket->base, -1, 0, on_idle, client);
	if (client->idle)
		client->channel = pst_channel_new(socket->base, fd, &events, client);
	if (!client->channel) {
		if (client->idle)
			event_free(client->idle);
		free(client);
		return -1;
	}
	TAILQ_INSERT_TAIL(&socket->clients, client, link);
	socket->count++;
	expect_request(client);
	return 0;
}

/* ---- who comes ---- */

/* The mode of the socket says it already, unless somebody has changed that. */
static bool
is_allowed(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	pst_log_warning("user id %u (pid %ld) may not use the control socket: it is for root and "
			"user id %u",
	    (unsigned)peer.uid, (long)peer.pid, (unsigned)geteuid());
	return false;
}

/* Send FD away with the line of TEXT, if it fits. */
static void
turn_away(int fd, const char *text)
{
	struct pst_buf line = {0};

	if (pst_control_appendl(&line, "ERROR", text, NULL) == 0)
		(void)send(
		    fd, pst_buf_bytes(&line), pst_buf_length(&line), MSG_DONTWAIT | MSG_NOSIGNAL);
	pst_buf_free(&line);
	close(fd);
}

static void
welcome(struct pst_ctl_socket *socket, int fd)
{
	if (!is_allowed(fd))
		turn_away(fd, "this control socket is for root and the user that penstock runs as");
	else if (socket->count >= PST_CTL_CLIENTS)
		turn_away(fd, "too many are connected to this control socket; try again");
	else if (client_new(socket, fd) < 0)
		turn_away(fd, "out of memory");
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct pst_ctl_socket *socket = arg;

	(void)fd;
	(void)what;
	event_add(socket->acceptable, NULL);
}

static void
on_acceptable(evutil_socket_t listener, short what, void *arg)
{
	static const struct timeval pause = {.tv_sec = PAUSE_S};
	struct pst_ctl_socket *socket = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd >= 0) {
		welcome(socket, fd);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	pst_log_warning("cannot accept on the control socket: %s", strerror(errno));
	event_del(socket->acceptable);
	event_add(socket->pause, &pause);
}

/* ---- answers ---- */

void
pst_ctl_tell(struct pst_ctl_client *client, const void *lines, size_t length)
{
	pst_channel_send_lines(client->channel, lines, length);
}

void
pst_ctl_answer(struct pst_ctl_client *client, bool done, const char *text)
{
	assert(client->asked && !client->gone);
	client->asked = false;
	client->waits = 0;
	if (text[0])
		pst_channel_send(client->channel, done ? "OK" : "ERROR", text, NULL);
	else
		pst_channel_send(client->channel, done ? "OK" : "ERROR", NULL);
	expect_request(client);
}

int
pst_ctl_client_waits(const struct pst_ctl_client *client)
{
	return client->waits;
}

void
pst_ctl_client_set_waits(struct pst_ctl_client *client, int what)
{
	client->waits = what;
}

void
pst_ctl_each_waiting(
    struct pst_ctl_socket *socket, void (*fn)(void *arg, struct pst_ctl_client *client), void *arg)
{
	struct pst_ctl_client *client;

	TAILQ_FOREACH (client, &socket->clients, link)
		if (client->asked)
			fn(arg, client);
}

/* ---- the socket ---- */

/* A listening socket, whose file nobody else could ever use: -1 with HINT or errno. */
static int
listen_at(struct pst_ctl_socket *socket_, const char **hint)
{
	const struct sockaddr *address = (const struct sockaddr *)&socket_->address;
	const char *path = socket_->address.sun_path;
	struct stat status;
	mode_t before;
	int fd, bound;

	errno = pst_listener_remove_stale(path, &socket_->address, hint);
	if (errno)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	before = umask(0177);
	bound = bind(fd, address, sizeof(socket_->address));
	umask(before);
	if (bound < 0 || lstat(path, &status) < 0 || listen(fd, PST_CTL_CLIENTS) < 0) {
		close(fd);
		return -1;
	}
	socket_->dev = status.st_dev;
	socket_->ino = status.st_ino;
	return fd;
}

static int
make_events(struct pst_ctl_socket *socket, struct event_base *base, int fd)
{
	socket->base = base;
	socket->pause = event_new(base, -1, 0, on_pause_over, socket);
	socket->sweep = event_new(base, -1, 0, on_sweep, socket);
	if (!socket->pause || !socket->sweep)
		return -1;
	socket->acceptable = event_new(base, fd, EV_READ | EV_PERSIST, on_acceptable, socket);
	return socket->acceptable ? event_add(socket->acceptable, NULL) : -1;
}

struct pst_ctl_socket *
pst_ctl_socket_open(
    struct event_base *base, const char *path, const struct pst_ctl_events *events, void *arg)
{
	struct pst_ctl_socket *socket = calloc(1, sizeof(*socket));
	const char *hint = NULL;
	int fd = -1;

	if (!socket)
		goto failed;
	TAILQ_INIT(&socket->clients);
	socket->events = events;
	socket->arg = arg;
	socket->address.sun_family = AF_UNIX;
	errno = ENAMETOOLONG;
	if (strlen(path) >= sizeof(socket->address.sun_path))
		goto failed;
	strcpy(socket->address.sun_path, path);
	fd = listen_at(socket, &hint);
	if (fd < 0)
		goto failed;
	errno = ENOMEM;
	if (make_events(socket, base, fd) == 0)
		return socket;

failed:
	pst_log_error("cannot make the control socket %s: %s%s%s%s", path, strerror(errno),
	    hint ? " (" : "", hint ? hint : "", hint ? ")" : "");
	if (fd >= 0 && !socket->acceptable)
		close(fd);
	pst_ctl_socket_close(socket);
	return NULL;
}

static void
remove_file(const struct pst_ctl_socket *socket)
{
	const char *path = socket->address.sun_path;
	struct stat status;

	if (socket->ino && lstat(path, &status) == 0 && status.st_dev == socket->dev &&
	    status.st_ino == socket->ino)
		unlink(path);
}

void
pst_ctl_socket_close(struct pst_ctl_socket *socket)
{
	if (!socket)
		return;
	remove_file(socket);
	while (!TAILQ_EMPTY(&socket->clients))
		client_free(TAILQ_FIRST(&socket->clients));
	if (socket->acceptable) {
		close(event_get_fd(socket->acceptable));
		event_free(socket->acceptable);
	}
	if (socket->pause)
		event_free(socket->pause);
	if (socket->sweep)
		event_free(socket->sweep);
	free(socket);
}
