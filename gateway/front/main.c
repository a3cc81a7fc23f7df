/* The gateway process. The arbiter starts it; docs/architecture.md says with what. */
#include "gateway/front/front.h"
#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONTROL_FD  3
#define LOG_WAIT_MS 1000

/* A client is a descriptor, and the soft limit is made for programs that use select(). */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * Where all share one processor, who wakes the gateway goes on first: it then finds what came
 * meanwhile, too, instead of going back and forth for each event. With several it gets one that is
 * free, or is to preempt whoever has it.
 */
static void
give_way(void)
{
	const struct sched_param none = {0};
	cpu_set_t allowed;

	if (sched_getscheduler(0) == SCHED_OTHER &&
	    sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) == 1)
		(void)sched_setscheduler(0, SCHED_BATCH, &none);
}

int
main(void)
{
	const char *control = getenv("PENSTOCK_CONTROL");
	int flags = fcntl(CONTROL_FD, F_GETFL);
	int status;

	if (control == NULL || strcmp(control, "3") != 0 || flags == -1) {
		fprintf(stderr, "gateway: it is started by penstock, not by hand\n");
		return 2;
	}
	unsetenv("PENSTOCK_CONTROL");
	unsetenv("PENSTOCK_PAGE");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a spool's write fails with EFBIG instead */
	raise_descriptor_limit();
	give_way();
	if (fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(CONTROL_FD, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    pst_log_open(STDERR_FILENO, PST_LOG_INFO) == -1) {
		fprintf(stderr, "gateway: cannot start: %s\n", strerror(errno));
		return 1;
	}
	status = pst_front_run(CONTROL_FD);
	pst_log_close(LOG_WAIT_MS);
	return status;
}
