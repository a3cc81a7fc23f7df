#include "adapters/listener.h"

#include "adapters/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long nothing is accepted when descriptors ran out. */
#define PAUSE_SECONDS 1

/* Descriptors that are left to the application. */
#define SPARE_DESCRIPTORS 64

static time_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

int
pst_listener_begin(struct pst_listener *listener, int fd)
{
	char bad[INET6_ADDRSTRLEN + 1];
	int flags;

	memset(listener, 0, sizeof(*listener));
	listener->fd = fd;
	if (pst_allow_parse(&listener->allow, getenv("FCGI_WEB_SERVER_ADDRS"), bad, sizeof(bad)) <
	    0) {
		pst_log(PST_LOG_CRITICAL,
		    "FCGI_WEB_SERVER_ADDRS: \"%s\" is no IP address, or one too many", bad);
		return -1;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
		return 0;
	pst_log(PST_LOG_CRITICAL, "the listening socket cannot be set up: %s", strerror(errno));
	return -1;
}

bool
pst_listener_open(const struct pst_listener *listener)
{
	return listener->pause_until == 0 || now() >= listener->pause_until;
}

static void
log_refusal(struct pst_listener *listener)
{
	time_t at = now();

	if (at == listener->refusal_logged)
		return;
	listener->refusal_logged = at;
	pst_log(PST_LOG_WARNING, "a connection was closed: it came from an address that "
				 "FCGI_WEB_SERVER_ADDRS does not name");
}

/* accept() returned the error ERR. */
static int
accept_failed(struct pst_listener *listener, int err)
{
	switch (err) {
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		pst_log(PST_LOG_CRITICAL, "the listening socket failed: %s", strerror(err));
		return PST_LISTENER_FAILED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		pst_log(PST_LOG_ERROR, "no connection is accepted for %d s: %s", PAUSE_SECONDS,
		    strerror(err));
		listener->pause_until = now() + PAUSE_SECONDS + 1;
		return PST_LISTENER_NONE;
	default: /* another process took it, or the client left again */ return PST_LISTENER_NONE;
	}
}

int
pst_listener_accept(struct pst_listener *listener)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(address);
	int fd = accept4(
	    listener->fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return accept_failed(listener, errno);
	if (pst_allow_check(&listener->allow, (struct sockaddr *)&address))
		return fd;
	close(fd);
	log_refusal(listener);
	return PST_LISTENER_NONE;
}

size_t
pst_listener_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= PST_LISTENER_CONNECTIONS + SPARE_DESCRIPTORS)
		return PST_LISTENER_CONNECTIONS;
	return limit.rlim_cur > 2 * SPARE_DESCRIPTORS ? limit.rlim_cur - SPARE_DESCRIPTORS
						      : SPARE_DESCRIPTORS;
}
