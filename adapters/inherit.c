#include "adapters/inherit.h"

#include "adapters/log.h"
#include "protocol/page_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* FCGI_LISTENSOCK_FILENO, and where the arbiter puts the others. */
#define LISTENER_FD 0
#define CONTROL_FD  3
#define PAGE_FD     4

/* Where they go when RLIMIT_NOFILE has room for it. */
#define HIGH_FD 200

static int
socket_option(int fd, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? -1 : value;
}

/* FD as a close-on-exec descriptor of a high number; -1 with errno. FD stays open. */
static int
move_high(int fd)
{
	struct rlimit limit;
	int least = HIGH_FD;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= HIGH_FD + 8)
		least = PAGE_FD + 1;
	return fcntl(fd, F_DUPFD_CLOEXEC, least);
}

static int
take_listener(void)
{
	int null;
	int fd;

	if (socket_option(LISTENER_FD, SO_ACCEPTCONN) != 1 ||
	    socket_option(LISTENER_FD, SO_TYPE) != SOCK_STREAM) {
		pst_log(PST_LOG_CRITICAL,
		    "fd 0 is not a listening socket: start this program with penstock, or by "
		    "hand with spawn-fcgi -n -s SOCKET -- PROGRAM APP");
		return -1;
	}
	fd = move_high(LISTENER_FD);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0 || null < 0 || dup2(null, LISTENER_FD) < 0) {
		pst_log(PST_LOG_CRITICAL, "/dev/null cannot take the place of fd 0: %s",
		    strerror(errno));
		return -1;
	}
	close(null);
	return fd;
}

/* The control socket, -1 when there is none, -2 when what should be one is not. */
static int
take_control(void)
{
	const char *said = getenv("PENSTOCK_CONTROL");
	int fd;

	if (!said || strcmp(said, "3") != 0)
		return -1;
	if (socket_option(CONTROL_FD, SO_TYPE) != SOCK_STREAM) {
		pst_log(PST_LOG_CRITICAL, "PENSTOCK_CONTROL is 3, but fd 3 is not a socket");
		return -2;
	}
	fd = move_high(CONTROL_FD);
	if (fd < 0) {
		pst_log(PST_LOG_CRITICAL, "fd 3 cannot be moved: %s", strerror(errno));
		return -2;
	}
	close(CONTROL_FD);
	return fd;
}

static int
take_page(struct pst_page *page)
{
	const char *said = getenv("PENSTOCK_PAGE");

	if (!said || strcmp(said, "4") != 0)
		return 0;
	if (pst_page_map(page, PAGE_FD) < 0) {
		pst_log(PST_LOG_CRITICAL,
		    "PENSTOCK_PAGE is 4, but fd 4 cannot be used as a page (%s): are all of "
		    "Penstock's programs of one version?",
		    strerror(errno));
		return -1;
	}
	close(PAGE_FD);
	return 0;
}

int
pst_inherit(struct pst_inherited *inherited)
{
	int page = take_page(&inherited->page);

	inherited->control = take_control();
	unsetenv("PENSTOCK_CONTROL");
	unsetenv("PENSTOCK_PAGE");
	inherited->listener = take_listener();
	return inherited->listener < 0 || inherited->control == -2 ? -1 : page;
}

void
pst_inherit_mute(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct stat status;

	for (int fd = STDOUT_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode))
			(void)dup2(null, fd);
	if (null >= 0)
		close(null);
}
