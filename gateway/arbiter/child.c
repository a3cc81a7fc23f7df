#include "gateway/arbiter/child.h"

#include "gateway/arbiter/clock.h"
#include "gateway/log.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a suspect may take to exit by itself. */
#define SUSPICION_MS 200

static void
set_timer(struct pst_child *child, unsigned ms)
{
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	child->wait_ms = ms;
	event_add(child->timer, &wait);
}

static void
enter(struct pst_child *child, enum pst_slot_state state)
{
	pst_log_debug("%s: %s, was %s", child->name, pst_slot_state_name(state),
	    pst_slot_state_name(child->slot.state));
	pst_slot_enter(&child->slot, state, pst_clock_ms());
}

static void
signal_child(struct pst_child *child, int number)
{
	assert(child->pid > 0);
	/* A program that is not ours may be a script that started it, or have children. */
	kill(child->channel ? child->pid : -child->pid, number);
}

static void
end_suspect(struct pst_child *child)
{
	pst_log_error("%s (pid %ld) is ended: %s", child->name, (long)child->pid, child->suspicion);
	pst_child_end(child, SIGTERM, PST_CHILD_GRACE);
}

static void
end_unfinished(struct pst_child *child)
{
	pst_log_warning(
	    "%s (pid %ld) did not finish in time (%g s): killing it, and with it what it "
	    "still runs (--graceful-timeout)",
	    child->name, (long)child->pid, child->wait_ms / 1e3);
	pst_child_end(child, SIGKILL, PST_CHILD_GRACE);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pst_child *child = arg;

	(void)fd;
	(void)what;
	switch (child->slot.state) {
	case PST_SLOT_BACKOFF: child->events->retry(child->owner); break;
	case PST_SLOT_RETIRING:
		if (child->suspicion[0])
			end_suspect(child);
		else
			end_unfinished(child);
		break;
	case PST_SLOT_DRAINING: end_unfinished(child); break;
	case PST_SLOT_DYING: signal_child(child, SIGKILL); break;
	case PST_SLOT_STARTING:
		if (child->suspicion[0])
			end_suspect(child);
		else
			child->events->late(child->owner);
		break;
	case PST_SLOT_READY:
	case PST_SLOT_USABLE: end_suspect(child); break;
	case PST_SLOT_EMPTY:
	case PST_SLOT_STATES: assert(!"a timer without a state that needs one");
	}
}

static void
on_line(void *owner, const struct pst_control *line)
{
	struct pst_child *child = owner;

	if (pst_control_is(line, "PING"))
		pst_channel_send(child->channel, "PONG", NULL);
	else
		child->events->line(child->owner, line);
}

static void
on_end(void *owner, const char *why)
{
	pst_child_suspect(owner, why);
}

static const struct pst_channel_events channel_events = {
    .line = on_line,
    .end = on_end,
};

int
pst_child_init(struct pst_child *child, struct event_base *base,
    const struct pst_child_events *events, void *owner)
{
	memset(child, 0, sizeof(*child));
	child->base = base;
	child->events = events;
	child->owner = owner;
	child->timer = event_new(base, -1, 0, on_timer, child);
	return child->timer ? 0 : -1;
}

void
pst_child_close(struct pst_child *child)
{
	pst_channel_free(child->channel);
	child->channel = NULL;
	if (child->timer)
		event_free(child->timer);
	child->timer = NULL;
}

/* Close FD, whatever errno says now. */
static void
close_quietly(int fd)
{
	int error = errno;

	close(fd);
	errno = error;
}

/* The channel, and the child's end of it; -1 with errno. */
static int
open_channel(struct pst_child *child)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	child->channel = pst_channel_new(child->base, pair[0], &channel_events, child);
	if (child->channel)
		return pair[1];
	close(pair[0]);
	close(pair[1]);
	errno = ENOMEM;
	return -1;
}

/* What can be done about it is in nobody's mind at once. */
static void
log_failure(const char *name, const char *step, const char *file)
{
	int error = errno;
	struct rlimit limit;
	char hint[96] = "";

	if (error == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		snprintf(hint, sizeof(hint),
		    " (the limit is %llu: ulimit -n, LimitNOFILE= of systemd)",
		    (unsigned long long)limit.rlim_cur);
	else if (error == EAGAIN || error == ENOMEM)
		snprintf(hint, sizeof(hint),
		    " (ulimit -u, TasksMax= and MemoryMax= of systemd, and memory limit that)");
	pst_log_error("%s: cannot %s %s: %s%s", name, step, file, strerror(error), hint);
}

int
pst_child_start(struct pst_child *child, struct pst_spawn *spawn, const char *name)
{
	const char *step = "make a control channel for";

	assert(!child->channel && !pst_slot_has_process(&child->slot));
	snprintf(child->name, sizeof(child->name), "%s", name);
	child->suspicion[0] = '\0';
	child->told_unknown = false;
	spawn->fds[3] = spawn->has_control ? open_channel(child) : -1;
	if (spawn->has_control && spawn->fds[3] < 0)
		goto failed;
	child->pid = pst_spawn(spawn, &step);
	if (spawn->has_control)
		close_quietly(spawn->fds[3]);
	if (child->pid < 0)
		goto failed;
	enter(child, PST_SLOT_STARTING);
	pst_log_debug("%s: started %s as pid %ld", name, spawn->file, (long)child->pid);
	return 0;

failed:
	log_failure(name, step, spawn->file);
	pst_channel_free(child->channel);
	child->channel = NULL;
	child->pid = 0;
	return -1;
}

void
pst_child_limit_start(struct pst_child *child, unsigned ms)
{
	assert(child->slot.state == PST_SLOT_STARTING);
	set_timer(child, ms);
}

void
pst_child_ready(struct pst_child *child, enum pst_slot_state state)
{
	/* A suspect's time goes on. */
	if (!child->suspicion[0])
		event_del(child->timer);
	enter(child, state);
}

void
pst_child_retire(struct pst_child *child, unsigned grace)
{
	enter(child, PST_SLOT_RETIRING);
	if (!child->suspicion[0])
		set_timer(child, grace);
}

void
pst_child_drain(struct pst_child *child, unsigned grace)
{
	enter(child, PST_SLOT_DRAINING);
	if (child->channel)
		pst_channel_send(child->channel, "DRAIN", NULL);
	else
		signal_child(child, SIGTERM);
	set_timer(child, grace);
}

void
pst_child_end(struct pst_child *child, int number, unsigned grace)
{
	if (child->slot.state != PST_SLOT_DYING)
		enter(child, PST_SLOT_DYING);
	signal_child(child, number);
	set_timer(child, grace);
}

void
pst_child_suspect(struct pst_child *child, const char *why)
{
	if (!pst_slot_is_wanted(&child->slot) || child->suspicion[0])
		return;
	snprintf(child->suspicion, sizeof(child->suspicion), "%s", why);
	set_timer(child, SUSPICION_MS);
}

void
pst_child_reaped(struct pst_child *child)
{
	event_del(child->timer);
	pst_channel_free(child->channel);
	child->channel = NULL;
	child->pid = 0;
}

void
pst_child_retry_later(struct pst_child *child, unsigned delay)
{
	enter(child, PST_SLOT_BACKOFF);
	set_timer(child, delay);
}

unsigned
pst_child_retry_in(const struct pst_child *child)
{
	struct timeval at, now;
	long left;

	if (!event_pending(child->timer, EV_TIMEOUT, &at))
		return 0;
	evutil_gettimeofday(&now, NULL);
	left = (long)(at.tv_sec - now.tv_sec) * 1000 + (at.tv_usec - now.tv_usec) / 1000;
	return left > 0 ? (unsigned)left : 0;
}

void
pst_child_give_up(struct pst_child *child)
{
	event_del(child->timer);
	enter(child, PST_SLOT_EMPTY);
}

void
pst_child_unknown_line(struct pst_child *child, const struct pst_control *line)
{
	if (child->told_unknown)
		return;
	child->told_unknown = true;
	pst_log_warning("%s sent a control line that this arbiter does not know, '%s': ignored, "
			"and others like it; are all of Penstock's programs of one version?",
	    child->name, line->words[0]);
}

void
pst_child_describe(int wait_status, char *words, size_t size)
{
	if (WIFEXITED(wait_status))
		snprintf(words, size, "exited with status %d", WEXITSTATUS(wait_status));
	else if (WIFSIGNALED(wait_status))
		snprintf(words, size, "was killed by signal %d (%s%s)", WTERMSIG(wait_status),
		    strsignal(WTERMSIG(wait_status)),
		    WCOREDUMP(wait_status) ? ", core dumped" : "");
	else
		snprintf(words, size, "ended with wait status %#x", (unsigned)wait_status);
}
