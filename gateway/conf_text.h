/*
 * Settings in a configuration file that was read into a tree; conf_text.c knows keys that are
 * options, conf_pools.c pools and routes. Sans I/O.
 */
#ifndef PST_GATEWAY_CONF_TEXT_H
#define PST_GATEWAY_CONF_TEXT_H

#include "gateway/conf_internal.h"
#include "gateway/yaml.h"

struct pst_text {
	struct pst_conf *conf; /* the top */
	const char *name; /* of the file */
};

/* A mapping with options: the top of the file, or a pool. */
struct pst_text_level {
	struct pst_conf *to;
	enum pst_option_scope scope; /* what may stand here: this and what is below */
	const char *const *more; /* keys besides */
	size_t more_count;
	unsigned seen[PST_OPT_COUNT]; /* the line of each option that was there; or 0 */
};

/* What is wrong at NODE: FILE:LINE:COLUMN goes before it. */
void pst_text_mistake(struct pst_text *text, const struct pst_yaml_node *node, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* VALUE, of KEY, is of KIND and not null; otherwise it is a mistake, with an EXAMPLE. */
bool pst_text_wants(struct pst_text *text, const char *key, const struct pst_yaml_node *value,
    enum pst_yaml_kind kind, const char *example);

/* KEY was in MAP before, which is a mistake. */
bool pst_text_is_twice(
    struct pst_text *text, const struct pst_yaml_node *map, const struct pst_yaml_node *key);

struct pst_conf_place pst_text_place(const struct pst_yaml_node *node);

/* Take KEY and its value as an option, or as a mistake. */
void pst_text_read_option(
    struct pst_text *text, struct pst_text_level *level, const struct pst_yaml_node *key);

#endif
