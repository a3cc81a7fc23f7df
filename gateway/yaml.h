/*
 * A YAML document as a tree, read by libyaml. Sans I/O.
 *
 * What configuration files do not need is refused: anchors and aliases, tags, several documents,
 * keys that are no scalars, more than PST_YAML_DEPTH levels or PST_YAML_NODES nodes.
 */
#ifndef PST_GATEWAY_YAML_H
#define PST_GATEWAY_YAML_H

#include <stdbool.h>
#include <stddef.h>

#define PST_YAML_SIZE  (1 << 20) /* bytes of a document */
#define PST_YAML_DEPTH 16
#define PST_YAML_NODES 131072 /* as many routes as there may be, with host, path and pool */

enum pst_yaml_kind {
	PST_YAML_SCALAR,
	PST_YAML_LIST,
	PST_YAML_MAP,
};

struct pst_yaml_node {
	enum pst_yaml_kind kind;
	unsigned line, column; /* where it begins, both from 1 */
	char *text; /* of a scalar, without NUL in it */
	bool plain; /* a scalar without quotes */
	struct pst_yaml_node *first; /* of a list its items, of a map its keys */
	struct pst_yaml_node *next;
	struct pst_yaml_node *value; /* of a key */
};

struct pst_yaml_problem {
	unsigned line, column; /* from 1; 0: it has no place */
	char why[256];
};

/*
 * Read LENGTH bytes. 0 with *ROOT, which the caller frees (NULL for a document without anything in
 * it), or -1 with *PROBLEM.
 */
int pst_yaml_read(const unsigned char *bytes, size_t length, struct pst_yaml_node **root,
    struct pst_yaml_problem *problem);
void pst_yaml_free(struct pst_yaml_node *root);

/* The key before KEY in MAP that says the same, or NULL. */
const struct pst_yaml_node *pst_yaml_earlier(
    const struct pst_yaml_node *map, const struct pst_yaml_node *key);

/* NODE is what YAML takes for null: nothing, ~ or null, without quotes. */
bool pst_yaml_is_null(const struct pst_yaml_node *node);

#endif
