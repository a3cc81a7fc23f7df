/* What the files of the control requests share: ctl.c (the socket, and who waits), ctl_serve.c
 * (what requests do), ctl_status.c (what the arbiter knows). */
#ifndef PST_ARBITER_CTL_INTERNAL_H
#define PST_ARBITER_CTL_INTERNAL_H

#include "gateway/arbiter/ctl.h"
#include "gateway/arbiter/ctl_socket.h"
#include "gateway/arbiter/state.h"
#include "gateway/report.h"

/* What a client waits for. */
enum pst_ctl_waits {
	PST_CTL_WAITS_NOTHING,
	PST_CTL_WAITS_STATUS, /* for the answer that the gateways are making */
	PST_CTL_WAITS_NEXT, /* for the one after that */
	PST_CTL_WAITS_RELOAD, /* for its end */
};

struct pst_ctl {
	struct pst_ctl_socket *socket;
	char file[PST_RUNDIR_PATH + sizeof(PST_CTL_FILE)];
	int64_t started_at;
	unsigned reloads; /* that are over */
	bool reload_failed; /* the last of them */
	bool asking; /* the gateways, for those that wait for STATUS */
	pst_gate_set asked; /* those that have not answered that yet */
	struct event *patience; /* with their answers */
	struct pst_buf said; /* by the gateways, of the present answer */
	struct pst_report pools; /* the same, of what several of them have a share in */
};

/* ---- ctl.c ---- */

void pst_ctl_request_status(struct pst_arbiter *arbiter, struct pst_ctl_client *client);

/* ---- ctl_serve.c ---- */

/* Answer LINE, or let CLIENT wait. */
void pst_ctl_serve(
    struct pst_arbiter *arbiter, struct pst_ctl_client *client, const struct pst_control *line);

#endif
