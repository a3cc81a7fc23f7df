/*
 * Whether the gateway still turns: it is asked PING some times within --gateway-timeout, and ended
 * when it has answered none of them. What counts is questions and not time: after the
 * arbiter itself was stopped for a while it asks again before it judges.
 */
#include "gateway/arbiter/gate.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <signal.h>

/* Questions without an answer, one after another, that are the end of it. */
#define PINGS 6
/* Between SIGABRT, which may leave a core, and SIGKILL. */
#define ABORT_MS 1000
/* Until it is looked whether another configuration wants it watched. */
#define IDLE_MS 5000

static unsigned long
limit(const struct pst_gate *gate)
{
	unsigned long seconds =
	    pst_conf_number(gate->arbiter->generation->conf, PST_OPT_GATEWAY_TIMEOUT);

	return seconds < 86400 ? seconds : 86400;
}

static void
end_hung(struct pst_gate *gate)
{
	pst_log_error(
	    "the gateway (pid %ld) has answered nothing for %lu s (--gateway-timeout): it is "
	    "killed and started again; requests that it had are lost",
	    (long)gate->child.pid, limit(gate));
	pst_child_end(&gate->child, SIGABRT, ABORT_MS);
}

static void
ask(struct pst_gate *gate)
{
	unsigned long ms = limit(gate) > 0 ? limit(gate) * 1000 / PINGS : IDLE_MS;
	struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	if (limit(gate) > 0) {
		gate->unanswered++;
		pst_channel_send(gate->child.channel, "PING", NULL);
	}
	event_add(gate->watch, &wait);
}

void
pst_gate_on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct pst_gate *gate = arg;

	(void)fd;
	(void)what;
	if (!pst_slot_is_wanted(&gate->child.slot))
		return;
	if (gate->unanswered >= PINGS)
		end_hung(gate);
	else
		ask(gate);
}

void
pst_gate_watch(struct pst_gate *gate)
{
	gate->unanswered = 0;
	ask(gate);
}

void
pst_gate_answered(struct pst_gate *gate)
{
	gate->unanswered = 0;
}
