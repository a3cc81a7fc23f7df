#include "gateway/arbiter/listener.h"

#include "gateway/arbiter/unlisten.h"
#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS    100
#define RETRY_TIMES 50

#define FIRST_SYSTEMD_FD 3

struct opening {
	int backlog;
	mode_t umask;
	const struct pst_identity *identity;
	int tries; /* for an address that is in use, after the first */
	const struct pst_listeners *present, *more; /* what is open already; or NULL */
};

/* ---- names ---- */

static void
name_host(struct pst_listener *listener, int is_inet6, const char *host, const char *port)
{
	snprintf(listener->name, sizeof(listener->name), "%s%.255s%s:%.16s", is_inet6 ? "[" : "",
	    host, is_inet6 ? "]" : "", port);
}

static void
name_inet(struct pst_listener *listener, const struct sockaddr *address, socklen_t length)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	int is_inet6 = address->sa_family == AF_INET6;

	if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
		NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(listener->name, sizeof(listener->name), "fd://%d", listener->fd);
	else
		name_host(listener, is_inet6, host, port);
}

/* Name LISTENER for where its socket is bound, which tells the port that the kernel chose. */
static void
name_socket(struct pst_listener *listener)
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} address;
	socklen_t length = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(listener->fd, &address.any, &length) < 0)
		snprintf(listener->name, sizeof(listener->name), "fd://%d", listener->fd);
	else if (address.any.sa_family == AF_UNIX)
		snprintf(listener->name, sizeof(listener->name), "unix:%.*s",
		    (int)sizeof(address.un.sun_path), address.un.sun_path);
	else
		name_inet(listener, &address.any, length);
}

/* What it was asked to be, for messages before it is bound. */
static void
name_wish(struct pst_listener *listener)
{
	const struct pst_address *address = &listener->address;

	if (address->kind == PST_ADDRESS_UNIX)
		snprintf(listener->name, sizeof(listener->name), "unix:%s", address->path);
	else if (address->kind == PST_ADDRESS_FD)
		snprintf(listener->name, sizeof(listener->name), "fd://%d", address->fd);
	else
		name_host(
		    listener, strchr(address->host, ':') != NULL, address->host, address->port);
}

/* ---- opening one ---- */

/* Each of these returns 0, or an errno; *HINT then may say what to do. */

static int
listen_on(
    struct pst_listener *listener, const struct sockaddr *address, socklen_t length, int backlog)
{
	int on = 1;

	listener->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return errno;
	if (address->sa_family != AF_UNIX)
		setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener->fd, address, length) < 0 || listen(listener->fd, backlog) < 0) {
		int error = errno;

		close(listener->fd);
		listener->fd = -1;
		return error;
	}
	return 0;
}

static const char *
hint_inet(int error)
{
	switch (error) {
	case EADDRINUSE: return "another program listens there; ss -ltnp shows which";
	case EACCES: return "ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case EADDRNOTAVAIL: return "this machine has no such address";
	default: return NULL;
	}
}

/* A name may stand for both; gunicorn listens on IPv4 then. */
static const struct addrinfo *
ipv4_first(const struct addrinfo *found)
{
	for (const struct addrinfo *one = found; one; one = one->ai_next)
		if (one->ai_family == AF_INET)
			return one;
	return found;
}

static int
open_inet(struct pst_listener *listener, const struct opening *opening, const char **hint)
{
	const struct pst_address *wish = &listener->address;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	const struct addrinfo *best;
	int error = getaddrinfo(wish->host, wish->port, &hints, &found);

	best = ipv4_first(found);
	if (error || !best) {
		*hint = error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
		return EADDRNOTAVAIL;
	}
	error = listen_on(listener, best->ai_addr, best->ai_addrlen, opening->backlog);
	*hint = hint_inet(error);
	freeaddrinfo(found);
	return error;
}

int
pst_listener_remove_stale(const char *path, const struct sockaddr_un *address, const char **hint)
{
	struct stat status;
	int fd, error = 0;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : errno;
	if (!S_ISSOCK(status.st_mode)) {
		*hint = "there is a file of that name, and it is no socket";
		return EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN) {
		*hint = "another program answers there";
		error = EADDRINUSE;
	} else if (errno != ECONNREFUSED) {
		error = errno;
	} else if (unlink(path) < 0 && errno != ENOENT) {
		error = errno;
	}
	close(fd);
	return error;
}

static int
open_unix(struct pst_listener *listener, const struct opening *opening, const char **hint)
{
	const char *path = listener->address.path;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	mode_t before;
	int error;

	strcpy(address.sun_path, path);
	error = pst_listener_remove_stale(path, &address, hint);
	if (error)
		return error;
	before = umask(opening->umask);
	error = listen_on(listener, (struct sockaddr *)&address, sizeof(address), opening->backlog);
	umask(before);
	if (error)
		return error;
	if (lstat(path, &status) == 0) {
		listener->dev = status.st_dev;
		listener->ino = status.st_ino;
	}
	if (opening->identity->change &&
	    lchown(path, opening->identity->uid, opening->identity->gid) < 0)
		pst_log_warning("cannot give %s to user id %u: %s", listener->name,
		    (unsigned)opening->identity->uid, strerror(errno));
	return 0;
}

static int
open_inherited(struct pst_listener *listener, const char **hint)
{
	int listens = 0;
	socklen_t length = sizeof(listens);

	*hint = "it is not an open, listening stream socket";
	if (getsockopt(listener->address.fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0)
		return errno;
	if (!listens)
		return EINVAL;
	listener->fd = listener->address.fd;
	if (fcntl(listener->fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(listener->fd, F_SETFL, fcntl(listener->fd, F_GETFL) | O_NONBLOCK) < 0)
		return errno;
	return 0;
}

static int
open_one(struct pst_listener *listener, const struct opening *opening, const char **hint)
{
	switch (listener->address.kind) {
	case PST_ADDRESS_INET: return open_inet(listener, opening, hint);
	case PST_ADDRESS_UNIX: return open_unix(listener, opening, hint);
	case PST_ADDRESS_FD: return open_inherited(listener, hint);
	}
	return EINVAL;
}

/* ---- opening all ---- */

/* False: a signal that wants us to end came. */
static int
wait_a_little(void)
{
	struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGQUIT);
	return sigtimedwait(&ends, NULL, &pause) < 0;
}

static const char *
error_words(int error)
{
	return error == EADDRINUSE ? "address already in use" : strerror(error);
}

static enum pst_listeners_result
open_patiently(struct pst_listener *listener, const struct opening *opening)
{
	const char *hint;
	int error;

	name_wish(listener);
	for (int tries = 0;; tries++) {
		hint = NULL;
		error = open_one(listener, opening, &hint);
		if (error != EADDRINUSE || tries == opening->tries)
			break;
		if (tries == 0)
			pst_log_warning("%s is in use; trying again for %d seconds", listener->name,
			    RETRY_MS * RETRY_TIMES / 1000);
		if (!wait_a_little())
			return PST_LISTENERS_INTERRUPTED;
	}
	if (!error) {
		name_socket(listener);
		return PST_LISTENERS_OPEN;
	}
	pst_log_critical("cannot listen on %s: %s%s%s%s", listener->name, error_words(error),
	    hint ? " (" : "", hint ? hint : "", hint ? ")" : "");
	return PST_LISTENERS_FAILED;
}

/* How many listeners systemd handed over to this very process. */
static size_t
systemd_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	long n;

	if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	n = strtol(count, NULL, 10);
	return n > 0 && n < 1024 ? (size_t)n : 0;
}

/* One more, not open yet, at the end of LISTENERS, which has room. */
static struct pst_listener *
add_listener(struct pst_listeners *listeners, const struct pst_address *address)
{
	struct pst_listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->holders = 1;
	listener->fd = -1;
	listener->address = *address;
	listeners->list[listeners->count++] = listener;
	return listener;
}

static bool
same_address(const struct pst_address *a, const struct pst_address *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case PST_ADDRESS_INET:
		return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
	case PST_ADDRESS_UNIX: return strcmp(a->path, b->path) == 0;
	case PST_ADDRESS_FD: return a->fd == b->fd;
	}
	return false;
}

/* The one of PRESENT, which may be NULL, that is for ADDRESS and is not in LISTENERS yet. */
static struct pst_listener *
find_present(const struct pst_listeners *present, const struct pst_listeners *listeners,
    const struct pst_address *address)
{
	for (size_t i = 0; present && i < present->count; i++)
		if (same_address(&present->list[i]->address, address) &&
		    !pst_listeners_have(listeners, present->list[i]))
			return present->list[i];
	return NULL;
}

static void
share(struct pst_listeners *listeners, struct pst_listener *listener)
{
	listener->holders++;
	listeners->list[listeners->count++] = listener;
}

/* Wish I: --bind, or what systemd handed over. */
static void
get_wish(struct pst_address *address, const struct pst_conf *conf, bool handed_over, size_t i)
{
	const char *why;

	memset(address, 0, sizeof(*address));
	if (handed_over) {
		address->kind = PST_ADDRESS_FD;
		address->fd = FIRST_SYSTEMD_FD + (int)i;
	} else {
		/* It was checked when it was set. */
		(void)pst_address_parse(address, pst_conf_item(conf, PST_OPT_BIND, i), &why);
	}
}

static enum pst_listeners_result
open_wish(
    struct pst_listeners *listeners, const struct pst_address *wish, const struct opening *opening)
{
	struct pst_listener *listener = find_present(opening->present, listeners, wish);

	if (!listener)
		listener = find_present(opening->more, listeners, wish);
	if (listener) {
		share(listeners, listener);
		(void)listen(listener->fd, opening->backlog);
		return PST_LISTENERS_OPEN;
	}
	listener = add_listener(listeners, wish);
	if (listener)
		return open_patiently(listener, opening);
	pst_log_critical("cannot listen: out of memory");
	return PST_LISTENERS_FAILED;
}

static enum pst_listeners_result
open_all(struct pst_listeners *listeners, const struct pst_conf *conf, size_t count,
    const struct opening *opening)
{
	enum pst_listeners_result result = PST_LISTENERS_OPEN;
	struct pst_address wish;

	listeners->count = 0;
	listeners->list = calloc(count, sizeof(struct pst_listener *));
	if (!listeners->list) {
		pst_log_critical("cannot listen: out of memory");
		return PST_LISTENERS_FAILED;
	}
	for (size_t i = 0; i < count && result == PST_LISTENERS_OPEN; i++) {
		get_wish(&wish, conf, listeners->handed_over, i);
		result = open_wish(listeners, &wish, opening);
	}
	if (result != PST_LISTENERS_OPEN)
		pst_listeners_close(listeners);
	return result;
}

enum pst_listeners_result
pst_listeners_open(struct pst_listeners *listeners, const struct pst_conf *conf,
    const struct pst_identity *identity)
{
	size_t handed_over = systemd_count();
	struct opening opening = {
	    .backlog = (int)pst_conf_number(conf, PST_OPT_BACKLOG),
	    .umask = (mode_t)pst_conf_umask(conf),
	    .identity = identity,
	    .tries = RETRY_TIMES,
	};

	listeners->handed_over = handed_over > 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return open_all(listeners, conf,
	    handed_over ? handed_over : pst_conf_count(conf, PST_OPT_BIND), &opening);
}

int
pst_listeners_open_beside(struct pst_listeners *listeners, const struct pst_conf *conf,
    const struct pst_identity *identity, const struct pst_listeners *present,
    const struct pst_listeners *more)
{
	struct opening opening = {
	    .present = present,
	    .more = more,
	    .backlog = (int)pst_conf_number(conf, PST_OPT_BACKLOG),
	    .umask = (mode_t)pst_conf_umask(conf),
	    .identity = identity,
	};
	size_t count = present->handed_over ? present->count : pst_conf_count(conf, PST_OPT_BIND);

	listeners->handed_over = present->handed_over;
	return open_all(listeners, conf, count, &opening) == PST_LISTENERS_OPEN ? 0 : -1;
}

static void
release(struct pst_listener *listener)
{
	const char *path = listener->address.path;
	/* systemd, or whoever gave it to us, keeps it open for others. */
	bool shared = listener->address.kind == PST_ADDRESS_FD;
	struct stat status;

	if (--listener->holders > 0)
		return;
	if (listener->fd >= 0 && listener->ino && lstat(path, &status) == 0 &&
	    status.st_dev == listener->dev && status.st_ino == listener->ino)
		unlink(path);
	if (listener->fd >= 0 && !shared)
		pst_unlisten(listener->fd);
	if (listener->fd >= 0)
		close(listener->fd);
	free(listener);
}

void
pst_listeners_close(struct pst_listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++)
		release(listeners->list[i]);
	free(listeners->list);
	listeners->list = NULL;
	listeners->count = 0;
}

bool
pst_listeners_have(const struct pst_listeners *listeners, const struct pst_listener *listener)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (listeners->list[i] == listener)
			return true;
	return false;
}

bool
pst_listeners_same(const struct pst_listeners *a, const struct pst_listeners *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->list[i] != b->list[i])
			return false;
	return true;
}

void
pst_listener_url(const struct pst_listener *listener, char *url, size_t size)
{
	const char *scheme = strncmp(listener->name, "unix:", 5) == 0 ? "" : "http://";

	snprintf(url, size, "%s%s", scheme, listener->name);
}
