/*
 * Between the files that make up a configuration: conf.c holds values, conf_read.c fills them from
 * their sources, of which conf_line.c knows command lines.
 */
#ifndef PST_GATEWAY_CONF_INTERNAL_H
#define PST_GATEWAY_CONF_INTERNAL_H

#include "gateway/conf.h"

/* Where a value came from; a later one replaces an earlier one's. */
enum pst_conf_source {
	PST_FROM_NOWHERE,
	PST_FROM_DEFAULT,
	PST_FROM_VARIABLE,
	PST_FROM_FILE,
	PST_FROM_CMD_ARGS,
	PST_FROM_COMMAND_LINE,
};

/* Put a sentence into WHY; -1, for return statements. */
int pst_conf_say(char why[PST_CONF_WHY], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How sentences about a value from SOURCE begin: "in PENSTOCK_CMD_ARGS ", or nothing. */
const char *pst_conf_source_name(enum pst_conf_source source);

/*
 * Check a value and set a copy of TEXT, unless there is one from a later source: 0, or -1 with a
 * sentence in WHY.
 */
int pst_conf_set(struct pst_conf *conf, enum pst_option_id id, const char *text,
    enum pst_conf_source source, char why[PST_CONF_WHY]);

/* One more pool, which inherits from CONF; NULL without memory. NULL for NAME: the only one. */
struct pst_conf *pst_conf_add_pool(struct pst_conf *conf, const char *name);

/* Read the words after the first one as options and an application: 0, or -1 as above. */
int pst_conf_read_line(struct pst_conf *conf, int argc, char **argv, enum pst_conf_source source,
    char why[PST_CONF_WHY]);

#endif
