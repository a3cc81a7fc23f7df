/*
 * What STATUS was answered: things (an instance, workers ...), each with facts. Sans I/O.
 * docs/architecture.md, "Status", lists them.
 */
#ifndef PST_GATEWAY_REPORT_H
#define PST_GATEWAY_REPORT_H

#include "protocol/control.h"

#include <stdint.h>
#include <sys/queue.h>

struct pst_fact {
	TAILQ_ENTRY(pst_fact) link;
	const char *value;
	char key[]; /* the value follows it */
};

struct pst_thing {
	TAILQ_ENTRY(pst_thing) link;
	TAILQ_HEAD(, pst_fact) facts; /* in the order in which they came, each key once */
	const char *name;
	char section[]; /* the name follows it */
};

struct pst_report {
	TAILQ_HEAD(, pst_thing) things; /* in the order in which they came */
};

void pst_report_init(struct pst_report *report);
void pst_report_free(struct pst_report *report);

/*
 * Take in the line "STATUS section name [key value]...". What is said of a key last counts. 0, or
 * PST_ERR_PROTOCOL for another kind of line, or PST_ERR_NOMEM.
 */
int pst_report_take(struct pst_report *report, const struct pst_control *line);

/*
 * The same, but what several tell of one thing is put together: numbers are added, of a greatest
 * value (max_us, oldest_ms) the greatest is taken.
 */
int pst_report_add(struct pst_report *report, const struct pst_control *line);

/* Append what it has to OUT, as STATUS lines: 0, or -1 when something was left out. */
int pst_report_write(const struct pst_report *report, struct pst_buf *out);

/* The first thing of SECTION after THING (NULL: from the start), or NULL. */
const struct pst_thing *pst_report_next(
    const struct pst_report *report, const char *section, const struct pst_thing *thing);

/* The value of KEY, or NULL. THING may be NULL. */
const char *pst_thing_text(const struct pst_thing *thing, const char *key);
/* The same as a number; 0 when there is none. */
uint64_t pst_thing_number(const struct pst_thing *thing, const char *key);

#endif
