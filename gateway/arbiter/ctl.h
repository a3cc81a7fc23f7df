/*
 * What operators ask of the arbiter over its control socket. docs/architecture.md, "The control
 * socket", lists the requests and "Status" what STATUS is answered.
 */
#ifndef PST_ARBITER_CTL_H
#define PST_ARBITER_CTL_H

#include "protocol/control.h"

#include <stdint.h>

struct pst_arbiter;
struct pst_ctl;
struct pst_gate;

/* The file of the socket, or of a link to it, in the runtime directory. */
#define PST_CTL_FILE "penstock.ctl"

/* Listen where the configuration says: 0, or -1 after a line was logged and we must not start. */
int pst_ctl_open(struct pst_arbiter *arbiter);
void pst_ctl_close(struct pst_arbiter *arbiter);

/* A STATUS line came from GATE. */
void pst_ctl_gate_line(struct pst_gate *gate, const struct pst_control *line);
/* Its process is gone: it answers nothing any more. */
void pst_ctl_gate_gone(struct pst_gate *gate);

/* A reload is over. FAILURE says what went wrong, NULL: nothing. */
void pst_ctl_reload_over(struct pst_arbiter *arbiter, const char *failure);

/* ---- ctl_status.c ---- */

/* Append what the arbiter itself knows to OUT: 0, or -1 without memory for all of it. */
int pst_ctl_status(const struct pst_arbiter *arbiter, struct pst_buf *out);

#endif
