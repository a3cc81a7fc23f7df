/*
 * Makes the lines in which arbiter and gateway tell how they are: facts about one thing, such as
 * "STATUS worker web.3.17 pid 4711 state busy". docs/architecture.md, "Status", lists them.
 */
#ifndef PST_GATEWAY_STATUS_LINE_H
#define PST_GATEWAY_STATUS_LINE_H

#include "protocol/control.h"

#include <stdbool.h>
#include <stdint.h>

/* The facts of one thing: begin, add any number of them, end. */
struct pst_status_line {
	struct pst_buf *out;
	bool failed; /* out of memory, or a name that is too long: the line was left out */
	unsigned count;
	const char *words[PST_CONTROL_WORDS];
	char numbers[PST_CONTROL_WORDS][24];
};

/* Lines are appended to OUT. SECTION ("worker") and NAME ("web.3.17") must outlive the thing. */
void pst_status_begin(
    struct pst_status_line *line, struct pst_buf *out, const char *section, const char *name);
/* KEY and VALUE must stay until the end. */
void pst_status_text(struct pst_status_line *line, const char *key, const char *value);
void pst_status_number(struct pst_status_line *line, const char *key, uint64_t value);
/* 0, or -1 when something was left out. */
int pst_status_end(struct pst_status_line *line);

#endif
