#include "gateway/arbiter/ctl.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/ctl_internal.h"
#include "gateway/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the gateway has to say how it is. */
#define ANSWER_MS 2000
/* What it may say. */
#define ANSWER_BYTES ((size_t)1 << 20)

/* ---- STATUS ---- */

static void
tell_status(void *arg, struct pst_ctl_client *client)
{
	struct pst_buf *lines = arg;

	if (pst_ctl_client_waits(client) != PST_CTL_WAITS_STATUS)
		return;
	if (!lines) {
		pst_ctl_answer(client, false, "out of memory");
		return;
	}
	pst_ctl_tell(client, pst_buf_bytes(lines), pst_buf_length(lines));
	pst_ctl_answer(client, true, "");
}

/* Tell what is known to those who wait, with what the gateway said until now. */
static void
finish_status(struct pst_arbiter *arbiter)
{
	struct pst_ctl *ctl = arbiter->ctl;
	struct pst_buf lines = {0};
	bool made =
	    pst_ctl_status(arbiter, &lines) == 0 &&
	    pst_buf_append(&lines, pst_buf_bytes(&ctl->said), pst_buf_length(&ctl->said)) == 0 &&
	    pst_report_write(&ctl->pools, &lines) == 0;

	ctl->asking = false;
	ctl->asked = 0;
	event_del(ctl->patience);
	pst_buf_free(&ctl->said);
	pst_report_free(&ctl->pools);
	pst_ctl_each_waiting(ctl->socket, tell_status, made ? &lines : NULL);
	pst_buf_free(&lines);
}

static void
ask(struct pst_ctl *ctl, struct pst_gate *gate)
{
	if (!gate->child.channel)
		return;
	gate->owed++;
	ctl->asked |= gate->bit;
	pst_channel_send(gate->child.channel, "STATUS", NULL);
}

static void
begin_status(struct pst_arbiter *arbiter)
{
	static const struct timeval wait = {
	    .tv_sec = ANSWER_MS / 1000, .tv_usec = ANSWER_MS % 1000 * 1000};
	struct pst_ctl *ctl = arbiter->ctl;
	struct pst_gate *gate;

	ctl->asking = true;
	ctl->asked = 0;
	PST_GATES_FOREACH (gate, arbiter, PST_GATE_SERVING)
		ask(ctl, gate);
	if (ctl->asked)
		event_add(ctl->patience, &wait);
	else
		finish_status(arbiter);
}

static void
promote(void *arg, struct pst_ctl_client *client)
{
	bool *any = arg;

	if (pst_ctl_client_waits(client) != PST_CTL_WAITS_NEXT)
		return;
	pst_ctl_client_set_waits(client, PST_CTL_WAITS_STATUS);
	*any = true;
}

/* The answer is whole, or will not be. Who asked meanwhile is answered by another one. */
static void
end_status(struct pst_arbiter *arbiter)
{
	bool any = false;

	if (!arbiter->ctl->asking)
		return;
	finish_status(arbiter);
	pst_ctl_each_waiting(arbiter->ctl->socket, promote, &any);
	if (any)
		begin_status(arbiter);
}

static void
on_patience_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pst_log_warning("the gateway has not said how it is within %d s", ANSWER_MS / 1000);
	end_status(arg);
}

/* GATE has said all that it will. */
static void
on_answered(struct pst_gate *gate)
{
	struct pst_ctl *ctl = gate->arbiter->ctl;

	if (!(ctl->asked & gate->bit))
		return;
	ctl->asked &= ~gate->bit;
	if (!ctl->asked)
		end_status(gate->arbiter);
}

/* A pool is told of by each gateway; which of them says something of itself we know. */
static void
take_line(struct pst_ctl *ctl, const struct pst_gate *gate, const struct pst_control *line)
{
	const char *words[PST_CONTROL_WORDS];
	char number[16];

	if (pst_control_is(line, "STATUS pool")) {
		(void)pst_report_add(&ctl->pools, line);
		return;
	}
	memcpy(words, line->words, line->count * sizeof(*words));
	snprintf(number, sizeof(number), "%u", gate->share.number);
	if (pst_control_is(line, "STATUS gateway") && line->count > 2)
		words[2] = number;
	if (pst_buf_length(&ctl->said) < ANSWER_BYTES)
		(void)pst_control_append(&ctl->said, words, line->count);
}

void
pst_ctl_gate_line(struct pst_gate *gate, const struct pst_control *line)
{
	struct pst_ctl *ctl = gate->arbiter->ctl;

	if (!ctl || gate->owed == 0)
		return;
	if (pst_control_is(line, "STATUS end")) {
		if (--gate->owed == 0)
			on_answered(gate);
		return;
	}
	/* Of several, only the last answer is still waited for. */
	if ((ctl->asked & gate->bit) && gate->owed == 1)
		take_line(ctl, gate, line);
}

void
pst_ctl_gate_gone(struct pst_gate *gate)
{
	gate->owed = 0;
	if (gate->arbiter->ctl)
		on_answered(gate);
}

void
pst_ctl_request_status(struct pst_arbiter *arbiter, struct pst_ctl_client *client)
{
	if (arbiter->ctl->asking) {
		pst_ctl_client_set_waits(client, PST_CTL_WAITS_NEXT);
		return;
	}
	pst_ctl_client_set_waits(client, PST_CTL_WAITS_STATUS);
	begin_status(arbiter);
}

/* ---- reloads ---- */

static void
tell_reload(void *arg, struct pst_ctl_client *client)
{
	const char *failure = arg;

	if (pst_ctl_client_waits(client) == PST_CTL_WAITS_RELOAD)
		pst_ctl_answer(client, !failure, failure ? failure : "");
}

void
pst_ctl_reload_over(struct pst_arbiter *arbiter, const char *failure)
{
	struct pst_ctl *ctl = arbiter->ctl;

	if (!ctl)
		return;
	ctl->reloads++;
	ctl->reload_failed = failure != NULL;
	pst_ctl_each_waiting(ctl->socket, tell_reload, (char *)(uintptr_t)failure);
}

/* ---- the socket ---- */

static void
on_request(void *arg, struct pst_ctl_client *client, const struct pst_control *line)
{
	pst_ctl_serve(arg, client, line);
}

static void
on_left(void *arg, struct pst_ctl_client *client)
{
	(void)arg;
	(void)client;
}

/* The socket is elsewhere: who looks into the runtime directory finds it by a link. */
static void
leave_link(struct pst_ctl *ctl, const char *path)
{
	char target[PATH_MAX] = "";

	if (path[0] != '/' && (!getcwd(target, sizeof(target) - 1) || target[0] != '/'))
		return;
	if (path[0] != '/')
		strcat(target, "/");
	if (strlen(target) + strlen(path) >= sizeof(target))
		return;
	strcat(target, path);
	if (symlink(target, ctl->file) < 0)
		pst_log_warning("cannot link %s to the control socket: %s; 'penstock ctl' needs "
				"--socket to find it",
		    ctl->file, strerror(errno));
}

/* Listen: 0, or -1. A socket that nobody asked for by its name is not worth an end. */
static int
open_socket(struct pst_arbiter *arbiter)
{
	static const struct pst_ctl_events events = {.request = on_request, .left = on_left};
	const char *path = pst_conf_text(arbiter->generation->conf, PST_OPT_CONTROL_SOCKET);
	struct pst_ctl *ctl = arbiter->ctl;

	snprintf(ctl->file, sizeof(ctl->file), "%s/" PST_CTL_FILE, arbiter->rundir.path);
	ctl->socket = pst_ctl_socket_open(arbiter->base, path ? path : ctl->file, &events, arbiter);
	if (ctl->socket && path)
		leave_link(ctl, path);
	return ctl->socket || !path ? 0 : -1;
}

int
pst_ctl_open(struct pst_arbiter *arbiter)
{
	struct pst_ctl *ctl;

	if (pst_conf_text(arbiter->generation->conf, PST_OPT_NO_CONTROL_SOCKET))
		return 0;
	ctl = calloc(1, sizeof(*ctl));
	if (!ctl)
		goto no_memory;
	arbiter->ctl = ctl;
	ctl->started_at = pst_clock_ms();
	pst_report_init(&ctl->pools);
	ctl->patience = event_new(arbiter->base, -1, 0, on_patience_over, arbiter);
	if (!ctl->patience)
		goto no_memory;
	if (open_socket(arbiter) == 0 && ctl->socket)
		return 0;
	pst_ctl_close(arbiter);
	return pst_conf_text(arbiter->generation->conf, PST_OPT_CONTROL_SOCKET) ? -1 : 0;

no_memory:
	pst_log_critical("cannot make the control socket: out of memory");
	pst_ctl_close(arbiter);
	return -1;
}

void
pst_ctl_close(struct pst_arbiter *arbiter)
{
	struct pst_ctl *ctl = arbiter->ctl;

	if (!ctl)
		return;
	arbiter->ctl = NULL;
	pst_ctl_socket_close(ctl->socket);
	if (ctl->patience)
		event_free(ctl->patience);
	pst_buf_free(&ctl->said);
	pst_report_free(&ctl->pools);
	free(ctl);
}
