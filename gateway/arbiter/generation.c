#include "gateway/arbiter/generation.h"

#include "gateway/arbiter/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- making one ---- */

/* Enter --chdir, and remember where that is. */
static int
enter_directory(struct pst_generation *generation, char *why)
{
	const char *name = pst_conf_text(generation->conf, PST_OPT_CHDIR);

	if (name && chdir(name) < 0) {
		snprintf(
		    why, PST_CONF_WHY, "--chdir: cannot enter %.200s: %s", name, strerror(errno));
		return -1;
	}
	generation->directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (generation->directory >= 0)
		return 0;
	snprintf(why, PST_CONF_WHY, "cannot open the working directory: %s", strerror(errno));
	return -1;
}

static int
open_access_log(struct pst_generation *generation, char *why)
{
	const struct pst_conf *conf = generation->conf;
	const char *name = pst_conf_text(conf, PST_OPT_ACCESS_LOGFILE);

	if (!name)
		return 0;
	if (pst_logfile_is_file(conf, PST_OPT_ACCESS_LOGFILE))
		generation->access_log = pst_logfile_open(conf, PST_OPT_ACCESS_LOGFILE);
	else
		generation->access_log = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (generation->access_log >= 0)
		return 0;
	snprintf(
	    why, PST_CONF_WHY, "--access-logfile: cannot open %.200s: %s", name, strerror(errno));
	return -1;
}

static int
make_scopes(struct pst_generation *generation, char *why)
{
	size_t count = pst_conf_pool_count(generation->conf);

	generation->top = pst_scope_new_top(generation->conf, generation->directory, why);
	if (!generation->top)
		return -1;
	generation->pools = calloc(count, sizeof(struct pst_scope *));
	if (!generation->pools) {
		snprintf(why, PST_CONF_WHY, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		generation->pools[i] =
		    pst_scope_new(pst_conf_pool(generation->conf, i), generation->directory, why);
		if (!generation->pools[i])
			return -1;
		generation->count++;
	}
	return 0;
}

struct pst_generation *
pst_generation_new(struct pst_conf **conf, char why[PST_CONF_WHY])
{
	static unsigned number;
	struct pst_generation *generation = calloc(1, sizeof(*generation));

	if (!generation) {
		snprintf(why, PST_CONF_WHY, "out of memory");
		return NULL;
	}
	generation->number = ++number;
	generation->holders = 1;
	generation->directory = -1;
	generation->access_log = -1;
	generation->conf = *conf;
	if (enter_directory(generation, why) < 0 || open_access_log(generation, why) < 0 ||
	    make_scopes(generation, why) < 0) {
		generation->conf = NULL; /* it stays the caller's */
		pst_generation_release(&generation);
		return NULL;
	}
	*conf = NULL;
	return generation;
}

struct pst_generation *
pst_generation_hold(struct pst_generation *generation)
{
	generation->holders++;
	return generation;
}

void
pst_generation_release(struct pst_generation **generation)
{
	struct pst_generation *old = *generation;

	*generation = NULL;
	if (!old || --old->holders > 0)
		return;
	pst_listeners_close(&old->listeners);
	for (size_t i = 0; i < old->count; i++)
		pst_scope_free(&old->pools[i]);
	free(old->pools);
	pst_scope_free(&old->top);
	if (old->access_log >= 0)
		close(old->access_log);
	if (old->directory >= 0)
		close(old->directory);
	pst_conf_free(old->conf);
	free(old);
}

/* ---- comparing two ---- */

/* What the gateway is told of CONF's options in SCOPE. */
static bool
same_settings(const struct pst_conf *a, const struct pst_conf *b, enum pst_option_scope scope)
{
	for (int i = 0; i < PST_OPT_COUNT; i++)
		if (pst_options[i].to == PST_TO_GATEWAY && pst_options[i].scope == scope &&
		    !pst_conf_same(a, b, (enum pst_option_id)i))
			return false;
	return true;
}

static bool
same_pools(const struct pst_generation *a, const struct pst_generation *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->pools[i]->name, b->pools[i]->name) != 0 ||
		    a->pools[i]->kind != b->pools[i]->kind ||
		    !same_settings(a->pools[i]->conf, b->pools[i]->conf, PST_SCOPE_POOL))
			return false;
	return true;
}

static bool
same_routes(const struct pst_conf *a, const struct pst_conf *b)
{
	if (pst_conf_route_count(a) != pst_conf_route_count(b))
		return false;
	for (size_t i = 0; i < pst_conf_route_count(a); i++) {
		const struct pst_conf_route *one = pst_conf_route(a, i);
		const struct pst_conf_route *other = pst_conf_route(b, i);

		if (strcmp(one->host, other->host) != 0 || strcmp(one->path, other->path) != 0 ||
		    strcmp(one->pool, other->pool) != 0 || one->mount != other->mount)
			return false;
	}
	return true;
}

unsigned
pst_generation_gateways(const struct pst_generation *generation)
{
	return (unsigned)pst_conf_number(generation->conf, PST_OPT_GATEWAYS);
}

bool
pst_generation_differs(const struct pst_generation *a, const struct pst_generation *b)
{
	return !same_settings(a->conf, b->conf, PST_SCOPE_TOP) || !same_pools(a, b) ||
	       !same_routes(a->conf, b->conf) ||
	       !pst_listeners_same(&a->listeners, &b->listeners) ||
	       !pst_conf_same(a->conf, b->conf, PST_OPT_GATEWAYS) ||
	       !pst_conf_same(a->conf, b->conf, PST_OPT_ENV) ||
	       !pst_conf_same(a->conf, b->conf, PST_OPT_ACCESS_LOGFILE);
}
