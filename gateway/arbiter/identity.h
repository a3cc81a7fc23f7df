/*
 * Who the gateway and the workers run as: --user, --group, --initgroups.
 */
#ifndef PST_ARBITER_IDENTITY_H
#define PST_ARBITER_IDENTITY_H

#include "gateway/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pst_identity {
	bool change; /* false: children stay who the arbiter is */
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones; the group itself alone unless --initgroups */
	size_t group_count;
};

/*
 * Look up what CONF names; without --group it is the user's own. 0, or -1 with a whole sentence in
 * WHY: no such user or group, or this process may not change to it.
 */
int pst_identity_find(
    struct pst_identity *identity, const struct pst_conf *conf, char why[PST_CONF_WHY]);
void pst_identity_free(struct pst_identity *identity);

/* Become IDENTITY. Async-signal-safe. 0, or -1 with errno. */
int pst_identity_assume(const struct pst_identity *identity);

#endif
