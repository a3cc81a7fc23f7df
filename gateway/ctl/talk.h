/*
 * One request over the control socket, and its answer.
 */
#ifndef PST_CTL_TALK_H
#define PST_CTL_TALK_H

#include "protocol/control.h"

#include <stdbool.h>

/* How long an answer may take that needs nothing to be waited for. */
#define PST_TALK_PATIENCE_S 10

struct pst_talk {
	int fd;
	struct pst_buf in;
	char text[2048]; /* what the end of the answer says; or why there is none */
};

/*
 * Send the COUNT words of a request over the blocking socket FD, which stays the caller's: 0, or -1
 * with TEXT.
 */
int pst_talk_ask(struct pst_talk *talk, int fd, const char *const *words, unsigned count);
void pst_talk_free(struct pst_talk *talk);

/*
 * Read the next line of the answer. 1: LINE is good until the next call; 0: the answer is over,
 * and *DONE says if it was OK; -1: there is no answer. PATIENT: wait as long as it takes.
 */
int pst_talk_read(struct pst_talk *talk, bool patient, struct pst_control *line, bool *done);

/* Wait until the other side is gone. */
void pst_talk_wait_end(struct pst_talk *talk);

#endif
