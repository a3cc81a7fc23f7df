#include "gateway/arbiter/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The id that is all of TEXT; false when it is a name. */
static bool
numeric(const char *text, unsigned long *id)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*id = strtoul(text, &end, 10);
	return !*end && !errno && *id < (uid_t)-1;
}

static int
find_user(struct pst_identity *identity, const char *name, struct passwd **entry, char *why)
{
	unsigned long id;

	if (numeric(name, &id)) {
		identity->uid = (uid_t)id;
		*entry = getpwuid(identity->uid);
		return 0;
	}
	*entry = getpwnam(name);
	if (!*entry) {
		snprintf(why, PST_CONF_WHY, "--user: there is no user '%.100s'", name);
		return -1;
	}
	identity->uid = (*entry)->pw_uid;
	return 0;
}

static int
find_group(struct pst_identity *identity, const char *name, char *why)
{
	unsigned long id;
	struct group *entry;

	if (numeric(name, &id)) {
		identity->gid = (gid_t)id;
		return 0;
	}
	entry = getgrnam(name);
	if (!entry) {
		snprintf(why, PST_CONF_WHY, "--group: there is no group '%.100s'", name);
		return -1;
	}
	identity->gid = entry->gr_gid;
	return 0;
}

/* All groups of USER, and the identity's own. */
static int
find_groups(struct pst_identity *identity, const char *user, char *why)
{
	int count = 64;

	for (;;) {
		gid_t *groups = realloc(identity->groups, (size_t)count * sizeof(gid_t));
		int room = count;

		if (!groups)
			break;
		identity->groups = groups;
		if (getgrouplist(user, identity->gid, groups, &count) >= 0) {
			identity->group_count = (size_t)count;
			return 0;
		}
		if (count <= room)
			count = room * 2;
	}
	snprintf(why, PST_CONF_WHY, "out of memory");
	return -1;
}

static int
only_own_group(struct pst_identity *identity, char *why)
{
	identity->groups = malloc(sizeof(gid_t));
	if (!identity->groups) {
		snprintf(why, PST_CONF_WHY, "out of memory");
		return -1;
	}
	identity->groups[0] = identity->gid;
	identity->group_count = 1;
	return 0;
}

int
pst_identity_find(
    struct pst_identity *identity, const struct pst_conf *conf, char why[PST_CONF_WHY])
{
	const char *user = pst_conf_text(conf, PST_OPT_USER);
	const char *group = pst_conf_text(conf, PST_OPT_GROUP);
	struct passwd *entry = NULL;
	int result;

	memset(identity, 0, sizeof(*identity));
	identity->uid = geteuid();
	identity->gid = getegid();
	if (user && find_user(identity, user, &entry, why) < 0)
		return -1;
	if (entry)
		identity->gid = entry->pw_gid;
	if (group && find_group(identity, group, why) < 0)
		return -1;
	if (geteuid() != 0) {
		if (identity->uid == geteuid() && identity->gid == getegid())
			return 0;
		snprintf(why, PST_CONF_WHY,
		    "--user and --group: only root may change them, and this is user id %u, "
		    "group id %u",
		    (unsigned)geteuid(), (unsigned)getegid());
		return -1;
	}
	if (!user && !group)
		return 0;
	identity->change = true;
	if (pst_conf_text(conf, PST_OPT_INITGROUPS) && entry)
		result = find_groups(identity, entry->pw_name, why);
	else
		result = only_own_group(identity, why);
	if (result < 0)
		pst_identity_free(identity);
	return result;
}

void
pst_identity_free(struct pst_identity *identity)
{
	free(identity->groups);
	memset(identity, 0, sizeof(*identity));
}

int
pst_identity_assume(const struct pst_identity *identity)
{
	if (!identity->change)
		return 0;
	if (setgroups(identity->group_count, identity->groups) < 0)
		return -1;
	if (setresgid(identity->gid, identity->gid, identity->gid) < 0)
		return -1;
	return setresuid(identity->uid, identity->uid, identity->uid);
}
