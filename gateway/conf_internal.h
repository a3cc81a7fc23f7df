/*
 * Between the files that make up a configuration: conf.c holds values, conf_read.c fills them from
 * their sources, of which conf_line.c knows command lines, and conf_text.c with conf_routes.c the
 * file.
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

/* How sentences about a value from SOURCE begin: "in PENSTOCK_CMD_ARGS ", or nothing. */
const char *pst_conf_source_name(enum pst_conf_source source);

/* Where something stands in the file, both from 1; 0: nowhere. */
struct pst_conf_place {
	unsigned line, column;
};

/* Take a sentence among the mistakes of CONF, which is the top; or among its warnings. */
void pst_conf_mistake(struct pst_conf *conf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void pst_conf_warn(struct pst_conf *conf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Check a value and set a copy of TEXT, unless there is one from a later source: 0, or -1 with the
 * rest of a sentence that begins with the option in WHY. A flag is set by "1"; by "0" a pool is
 * without it.
 */
int pst_conf_set(struct pst_conf *conf, enum pst_option_id id, const char *text,
    enum pst_conf_source source, char why[PST_CONF_WHY]);
/* That value, if it is from the file, stands at PLACE. */
void pst_conf_set_place(struct pst_conf *conf, enum pst_option_id id, struct pst_conf_place place);

/* Whence the value of ID is, and where that is in the file. */
enum pst_conf_source pst_conf_source(const struct pst_conf *conf, enum pst_option_id id);
struct pst_conf_place pst_conf_place(const struct pst_conf *conf, enum pst_option_id id);
/* CONF itself has a value, not what it inherits from. */
bool pst_conf_is_own(const struct pst_conf *conf, enum pst_option_id id);

/*
 * How a sentence about option ID of CONF, which is TOP or a pool of it, begins: "FILE:LINE:COLUMN:
 * key", or "--option" with what names its source.
 */
#define PST_CONF_WHERE 256
const char *pst_conf_where(const struct pst_conf *top, const struct pst_conf *conf,
    enum pst_option_id id, char where[PST_CONF_WHERE]);

/* Option ID has a meaning in POOL, of whose kind that depends; in a NULL pool all have. */
bool pst_conf_has_meaning(const struct pst_conf *pool, enum pst_option_id id);

/* One more pool, which inherits from CONF; NULL without memory. NULL for NAME: the only one. */
struct pst_conf *pst_conf_add_pool(
    struct pst_conf *conf, const char *name, struct pst_conf_place place);
struct pst_conf_place pst_conf_pool_place(const struct pst_conf *pool);

/* One more route, with copies of its host and path; its pool's name must be the pool's own. 0, or
 * -1 without memory. */
int pst_conf_add_route(
    struct pst_conf *conf, const struct pst_conf_route *route, struct pst_conf_place place);
struct pst_conf_place pst_conf_route_place(const struct pst_conf *conf, size_t i);

/*
 * Read the words after the first one as options and an application. What is wrong goes to the
 * mistakes; reading ends at a word that is not understood.
 */
void pst_conf_read_line(struct pst_conf *conf, int argc, char **argv, enum pst_conf_source source);

/* Read a file that was read already, LENGTH bytes: mistakes begin with NAME:LINE:COLUMN. */
void pst_conf_read_text(
    struct pst_conf *conf, const char *name, const unsigned char *bytes, size_t length);

/* Open and read the file, whose NAME is the user's. */
void pst_conf_read_file(struct pst_conf *conf, const char *name);

/* What all sources together say must fit together. */
void pst_conf_check_whole(struct pst_conf *conf);

#endif
