/*
 * What the processes of one pool are started with: its settings, and what follows from them.
 */
#ifndef PST_ARBITER_SCOPE_H
#define PST_ARBITER_SCOPE_H

#include "gateway/arbiter/identity.h"
#include "gateway/conf.h"

#include <stdbool.h>

struct pst_scope {
	const struct pst_conf *conf; /* of the pool, or for the gateway the top */
	const char *name; /* of the pool; NULL for the gateway */
	enum pst_conf_pool_kind kind; /* of the pool */
	bool has_control; /* it is a program of ours, which knows control lines */
	struct pst_identity identity;
	char **environment; /* NULL-terminated, for exec */
	int base; /* the generation's directory */
	const char *directory; /* a pool's own, below that; NULL: that itself */
};

/*
 * The scope of pool CONF, which must outlive it, as the open directory BASE must. NULL with a whole
 * sentence in WHY: there is no such user or directory, or no memory.
 */
struct pst_scope *pst_scope_new(const struct pst_conf *conf, int base, char why[PST_CONF_WHY]);
/* The gateway's, of what stands at the top. */
struct pst_scope *pst_scope_new_top(const struct pst_conf *conf, int base, char why[PST_CONF_WHY]);
/* Free *SCOPE, which may be NULL, and set it to NULL. */
void pst_scope_free(struct pst_scope **scope);

#endif
