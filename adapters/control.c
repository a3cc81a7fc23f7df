#include "adapters/control.h"

#include "adapters/log.h"
#include "protocol/buf.h"
#include "protocol/control.h"
#include "protocol/error.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* After the grace: for the application to clean up, and for an abort to write the stacks. */
#define CLEAN_UP_SECONDS 2
#define DUMP_SECONDS     1

/* One for each process, as fd 3 is. Set before the thread starts. */
static struct {
	int fd;
	unsigned grace;
	pst_control_end_fn *end;
	void *arg;
	bool told; /* of the end; the thread's */
} control = {.fd = -1};

static void
tell(enum pst_control_end end)
{
	if (control.told)
		return;
	control.told = end != PST_CONTROL_CLOSING;
	control.end(control.arg, end);
}

/* A line of one word or, unless MORE is NULL, two. It is shorter than any socket buffer, so it is
 * sent whole or not at all, and two threads cannot mix theirs. */
static void
say(const char *word, const char *more)
{
	struct pst_buf line = {0};

	if (pst_control_appendl(&line, word, more, NULL) < 0 ||
	    send(control.fd, pst_buf_bytes(&line), pst_buf_length(&line), MSG_NOSIGNAL) < 0)
		pst_log(PST_LOG_WARNING,
		    "the arbiter was not told %s: it is gone, or memory is "
		    "short",
		    word);
	pst_buf_free(&line);
}

static void
obey(const struct pst_control *line)
{
	if (pst_control_is(line, "DRAIN"))
		tell(PST_CONTROL_DRAIN);
	else if (pst_control_is(line, "CLOSING"))
		tell(PST_CONTROL_CLOSING);
	else if (pst_control_is(line, "PING"))
		say("PONG", NULL);
	else
		pst_log(PST_LOG_WARNING,
		    "the arbiter said \"%s\", which this adapter does not "
		    "know: ignored",
		    line->words[0]);
}

/* Take all whole lines out of IN: 0, or an error that ends the channel. */
static int
obey_all(struct pst_buf *in)
{
	struct pst_control line;
	int result;

	while ((result = pst_control_take(in, &line)) > 0)
		obey(&line);
	return result;
}

static void
wait_seconds(unsigned seconds)
{
	while (seconds > 0)
		seconds = sleep(seconds);
}

/* The main thread exits when it is done. SIGABRT is blocked here, so it finds another thread. */
static void
end_by_force(void)
{
	wait_seconds(control.grace);
	wait_seconds(CLEAN_UP_SECONDS);
	pst_log(PST_LOG_ERROR,
	    "the control channel has ended, and this worker has not within the "
	    "graceful timeout of %u s: it is aborted",
	    control.grace);
	kill(getpid(), SIGABRT);
	wait_seconds(DUMP_SECONDS);
	kill(getpid(), SIGKILL);
}

static void *
serve(void *unused)
{
	struct pst_buf in = {0};
	int result = 0;

	(void)unused;
	while (result == 0) {
		unsigned char *to = pst_buf_reserve(&in, PST_CONTROL_LINE);
		ssize_t n = to ? recv(control.fd, to, PST_CONTROL_LINE, 0) : -1;
		if (n < 0 && to && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		pst_buf_commit(&in, (size_t)n);
		result = obey_all(&in);
	}
	if (result < 0)
		pst_log(PST_LOG_ERROR,
		    "what the arbiter said is not understood (%s): this worker "
		    "finishes what it has and exits",
		    pst_error_string(result));
	pst_buf_free(&in);
	tell(result == 0 ? PST_CONTROL_ORPHANED : PST_CONTROL_DRAIN);
	end_by_force();
	return NULL;
}

int
pst_control_begin(int fd, unsigned grace, pst_control_end_fn *end, void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int err;

	control.fd = fd;
	control.grace = grace;
	control.end = end;
	control.arg = arg;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, serve, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err == 0)
		return 0;
	pst_log(PST_LOG_CRITICAL, "the control thread cannot be started: %s", strerror(err));
	return -1;
}

void
pst_control_ready(const char *kind)
{
	if (control.fd >= 0)
		say("READY", kind);
}

int
pst_control_model(const char *model)
{
	if (control.fd < 0)
		return -1;
	say("MODEL", model);
	return 0;
}
