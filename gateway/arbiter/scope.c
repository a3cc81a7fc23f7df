#include "gateway/arbiter/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every child that is ours finds out by this that descriptor 3 is its control channel, and every
 * worker that descriptor 4 is its page. */
#define CONTROL "PENSTOCK_CONTROL=3"
#define PAGE    "PENSTOCK_PAGE=4"

/* ---- the environment ---- */

static void
free_environment(char **environment)
{
	for (size_t i = 0; environment && environment[i]; i++)
		free(environment[i]);
	free(environment);
}

/* Put ITEM, NAME=VALUE, into ENVIRONMENT, which has room, in the place of another NAME. */
static int
put(char **environment, const char *item)
{
	size_t name = strcspn(item, "=") + 1, i = 0;
	char *copy = strdup(item);

	if (!copy)
		return -1;
	while (environment[i] && strncmp(environment[i], item, name) != 0)
		i++;
	free(environment[i]);
	environment[i] = copy;
	return 0;
}

/* systemd's word about listeners is for one process (sd_listen_fds(3)), and our own for another. */
static bool
is_not_for_children(const char *item)
{
	static const char *const names[] = {
	    "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "PENSTOCK_CONTROL="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(item, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* This process's own with the variables of CONF. */
static char **
make_environment(const struct pst_conf *conf, bool has_control)
{
	size_t own = 0, count = pst_conf_count(conf, PST_OPT_ENV);
	char **environment;

	while (environ[own])
		own++;
	environment = calloc(own + count + 3, sizeof(*environment));
	if (!environment)
		return NULL;
	for (size_t i = 0; i < own; i++)
		if (!is_not_for_children(environ[i]) && put(environment, environ[i]) < 0)
			goto failed;
	for (size_t i = 0; i < count; i++)
		if (put(environment, pst_conf_item(conf, PST_OPT_ENV, i)) < 0)
			goto failed;
	if (has_control && (put(environment, CONTROL) < 0 || put(environment, PAGE) < 0))
		goto failed;
	return environment;

failed:
	free_environment(environment);
	return NULL;
}

/* ---- the whole ---- */

static int
find_directory(struct pst_scope *scope, char *why)
{
	scope->directory = pst_conf_text(scope->conf, PST_OPT_CHDIR);
	if (!scope->directory || faccessat(scope->base, scope->directory, X_OK, AT_EACCESS) == 0)
		return 0;
	snprintf(why, PST_CONF_WHY, "pool %s: chdir: cannot enter %.200s: %s", scope->name,
	    scope->directory, strerror(errno));
	return -1;
}

/* CONF is the top's, or of a pool. */
static struct pst_scope *
new_scope(const struct pst_conf *conf, int base, char why[PST_CONF_WHY])
{
	struct pst_scope *scope = calloc(1, sizeof(*scope));

	if (!scope) {
		snprintf(why, PST_CONF_WHY, "out of memory");
		return NULL;
	}
	scope->conf = conf;
	scope->base = base;
	scope->has_control = pst_conf_pool_kind(conf) == PST_POOL_APP;
	if (pst_identity_find(&scope->identity, conf, why) < 0) {
		free(scope);
		return NULL;
	}
	scope->environment = make_environment(conf, scope->has_control);
	if (scope->environment)
		return scope;
	snprintf(why, PST_CONF_WHY, "out of memory");
	pst_scope_free(&scope);
	return NULL;
}

struct pst_scope *
pst_scope_new_top(const struct pst_conf *conf, int base, char why[PST_CONF_WHY])
{
	return new_scope(conf, base, why);
}

struct pst_scope *
pst_scope_new(const struct pst_conf *conf, int base, char why[PST_CONF_WHY])
{
	struct pst_scope *scope = new_scope(conf, base, why);

	if (!scope)
		return NULL;
	scope->name = pst_conf_pool_name(conf);
	scope->kind = pst_conf_pool_kind(conf);
	if (find_directory(scope, why) < 0)
		pst_scope_free(&scope);
	return scope;
}

void
pst_scope_free(struct pst_scope **scope)
{
	if (!*scope)
		return;
	pst_identity_free(&(*scope)->identity);
	free_environment((*scope)->environment);
	free(*scope);
	*scope = NULL;
}
