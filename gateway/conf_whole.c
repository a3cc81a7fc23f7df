/*
 * What one setting cannot know: whether all of them together make sense.
 */
#include "gateway/conf_internal.h"
#include "gateway/worker_class.h"

#include <stdio.h>
#include <string.h>

static const char app_wanted[] =
    "say MODULE:CALLABLE, for example 'penstock -b :8000 shop.wsgi:application', or ./PLUGIN.so";

/* "FILE:LINE:COLUMN", or the file alone. */
static const char *
place_text(const struct pst_conf *conf, struct pst_conf_place place, char text[200])
{
	const char *file = pst_conf_text(conf, PST_OPT_CONFIG);

	if (place.line)
		snprintf(text, 200, "%.100s:%u:%u", file, place.line, place.column);
	else
		snprintf(text, 200, "%.100s", file ? file : "");
	return text;
}

const char *
pst_conf_source_name(enum pst_conf_source source)
{
	return source == PST_FROM_CMD_ARGS ? "in PENSTOCK_CMD_ARGS " : "";
}

const char *
pst_conf_where(const struct pst_conf *top, const struct pst_conf *conf, enum pst_option_id id,
    char where[PST_CONF_WHERE])
{
	enum pst_conf_source source = pst_conf_source(conf, id);
	struct pst_conf_place place = pst_conf_place(conf, id);
	char key[64];

	pst_option_key(id, key, sizeof(key));
	if (source == PST_FROM_FILE)
		snprintf(where, PST_CONF_WHERE, "%.100s:%u:%u: %s",
		    pst_conf_text(top, PST_OPT_CONFIG), place.line, place.column, key);
	else
		snprintf(where, PST_CONF_WHERE, "%s--%s", pst_conf_source_name(source),
		    pst_options[id].name);
	return where;
}

/* ---- what has no meaning in a kind of pool ---- */

#define FOR(kind) (1u << (kind))

static const struct {
	enum pst_option_id id;
	unsigned kinds;
} meant_for[] = {
    {PST_OPT_WORKERS, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_WORKER_CLASS, FOR(PST_POOL_APP)},
    {PST_OPT_THREADS, FOR(PST_POOL_APP)},
    {PST_OPT_WORKER_CONNECTIONS, FOR(PST_POOL_APP)},
    {PST_OPT_LOOP, FOR(PST_POOL_APP)},
    {PST_OPT_LIFESPAN, FOR(PST_POOL_APP)},
    {PST_OPT_FACTORY, FOR(PST_POOL_APP)},
    {PST_OPT_PYTHONPATH, FOR(PST_POOL_APP)},
    {PST_OPT_X_SENDFILE, FOR(PST_POOL_APP)},
    {PST_OPT_PYTHON, FOR(PST_POOL_APP)},
    {PST_OPT_ENV, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_CHDIR, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_USER, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_GROUP, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_INITGROUPS, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_MAX_REQUESTS, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_MAX_REQUESTS_JITTER, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_MAX_LIFETIME, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_MAX_MEMORY, FOR(PST_POOL_APP) | FOR(PST_POOL_PROGRAM)},
    {PST_OPT_CONNECTIONS, FOR(PST_POOL_REMOTE)},
    {PST_OPT_KEEP_CONN, FOR(PST_POOL_PROGRAM) | FOR(PST_POOL_REMOTE)},
    {PST_OPT_ROOT, FOR(PST_POOL_PROGRAM) | FOR(PST_POOL_REMOTE)},
    {PST_OPT_INDEX, FOR(PST_POOL_PROGRAM) | FOR(PST_POOL_REMOTE)},
    {PST_OPT_SCRIPT_SUFFIX, FOR(PST_POOL_PROGRAM) | FOR(PST_POOL_REMOTE)},
};

bool
pst_conf_has_meaning(const struct pst_conf *pool, enum pst_option_id id)
{
	for (size_t i = 0; pool && i < sizeof(meant_for) / sizeof(meant_for[0]); i++)
		if (meant_for[i].id == id)
			return meant_for[i].kinds & FOR(pst_conf_pool_kind(pool));
	return true;
}

static void
check_meaning(struct pst_conf *conf, const struct pst_conf *pool)
{
	static const char *const because[] = {
	    [PST_POOL_APP] = "which serves an application",
	    [PST_POOL_PROGRAM] = "whose workers are a FastCGI program",
	    [PST_POOL_REMOTE] = "whose server runs by itself",
	};
	enum pst_conf_pool_kind kind = pst_conf_pool_kind(pool);
	char where[PST_CONF_WHERE];

	for (size_t i = 0; i < sizeof(meant_for) / sizeof(meant_for[0]); i++) {
		enum pst_option_id id = meant_for[i].id;

		if (pst_conf_source(pool, id) > PST_FROM_VARIABLE && pst_conf_is_own(pool, id) &&
		    !pst_conf_has_meaning(pool, id))
			pst_conf_mistake(conf, "%s has no meaning in pool %s, %s",
			    pst_conf_where(conf, pool, id, where), pst_conf_pool_name(pool),
			    because[kind]);
	}
}

/* ---- what has no meaning for a kind of worker ---- */

static bool
is_said(const struct pst_conf *pool, enum pst_option_id id)
{
	return pst_conf_is_own(pool, id) && pst_conf_source(pool, id) > PST_FROM_DEFAULT;
}

/* People carry such options from one kind of worker to the next, so it is no mistake. */
static void
check_class(struct pst_conf *conf, const struct pst_conf *pool)
{
	static const enum pst_option_id ids[] = {
	    PST_OPT_THREADS, PST_OPT_WORKER_CONNECTIONS, PST_OPT_LOOP, PST_OPT_LIFESPAN};
	struct pst_worker_class class;
	char where[PST_CONF_WHERE];

	/* Where memory was short they have no values. */
	if (!pst_conf_text(pool, PST_OPT_WORKER_CLASS) || !pst_conf_text(pool, PST_OPT_THREADS))
		return;
	pst_worker_class_of(pool, &class);
	for (size_t i = 0; !class.is_auto && i < sizeof(ids) / sizeof(ids[0]); i++)
		if (is_said(pool, ids[i]) && !pst_model_has_option(class.model, ids[i]) &&
		    (ids[i] != PST_OPT_THREADS || pst_conf_number(pool, PST_OPT_THREADS) > 1))
			pst_conf_warn(conf, "%s has no meaning for %s workers",
			    pst_conf_where(conf, pool, ids[i], where),
			    pst_worker_class_label(pool, class.model));
	if (class.loop && is_said(pool, PST_OPT_LOOP) &&
	    strcmp(pst_conf_text(pool, PST_OPT_LOOP), class.loop) != 0)
		pst_conf_mistake(conf, "%s is %s, but %s means the loop %s: leave one out",
		    pst_conf_where(conf, pool, PST_OPT_LOOP, where),
		    pst_conf_text(pool, PST_OPT_LOOP), pst_conf_text(pool, PST_OPT_WORKER_CLASS),
		    class.loop);
}

/* ---- gateways ---- */

/* Each has its share of the workers of every pool, and none does without. */
static void
check_gateways(struct pst_conf *conf, const struct pst_conf *pool)
{
	enum pst_option_id id =
	    pst_conf_pool_kind(pool) == PST_POOL_REMOTE ? PST_OPT_CONNECTIONS : PST_OPT_WORKERS;
	char where[PST_CONF_WHERE], other[PST_CONF_WHERE];
	unsigned long gateways, count;

	/* Where memory was short they have no values. */
	if (!pst_conf_text(conf, PST_OPT_GATEWAYS) || !pst_conf_text(pool, id))
		return;
	gateways = pst_conf_number(conf, PST_OPT_GATEWAYS);
	count = pst_conf_number(pool, id);
	if (count < gateways)
		pst_conf_mistake(conf,
		    "%s is %lu, and %s of pool %s is %lu: each gateway has to have one of the "
		    "pool's %s, so it wants at least %lu",
		    pst_conf_where(conf, conf, PST_OPT_GATEWAYS, other), gateways,
		    pst_conf_where(conf, pool, id, where), pst_conf_pool_name(pool), count,
		    pst_options[id].name, gateways);
}

/* ---- what is served ---- */

static bool
serves_something(const struct pst_conf *conf)
{
	return pst_conf_count(conf, PST_OPT_APP) || pst_conf_count(conf, PST_OPT_COMMAND) ||
	       pst_conf_count(conf, PST_OPT_FASTCGI);
}

static bool
has_route(const struct pst_conf *conf, const struct pst_conf *pool)
{
	for (size_t i = 0; i < pst_conf_route_count(conf); i++)
		if (strcmp(pst_conf_route(conf, i)->pool, pst_conf_pool_name(pool)) == 0)
			return true;
	return pst_conf_route_count(conf) == 0;
}

static void
check_pool(struct pst_conf *conf, const struct pst_conf *pool)
{
	char where[200];

	place_text(conf, pst_conf_pool_place(pool), where);
	if (!serves_something(pool))
		pst_conf_mistake(conf,
		    "%s: pool %s serves nothing: it wants app, command or fastcgi", where,
		    pst_conf_pool_name(pool));
	else if (!has_route(conf, pool) && !pst_conf_mistake_count(conf))
		pst_conf_warn(conf, "%s: no route goes to pool %s, so it gets no request", where,
		    pst_conf_pool_name(pool));
	check_meaning(conf, pool);
	check_gateways(conf, pool);
	if (pst_conf_pool_kind(pool) == PST_POOL_APP)
		check_class(conf, pool);
}

/* The only pool, which has no name: what it serves stands at the top. */
static void
check_anonymous(struct pst_conf *conf)
{
	const char *file = pst_conf_text(conf, PST_OPT_CONFIG);

	if (!serves_something(conf) && file)
		pst_conf_mistake(conf,
		    "%.100s: nothing is served: the file wants app or pools, or the command line "
		    "an application",
		    file);
	else if (!serves_something(conf))
		pst_conf_mistake(conf, "no application was named: %s", app_wanted);
	check_meaning(conf, conf);
	check_gateways(conf, conf);
	if (pst_conf_pool_kind(conf) == PST_POOL_APP)
		check_class(conf, conf);
}

/* ---- the command line and the file ---- */

static bool
is_from_line(const struct pst_conf *conf, enum pst_option_id id)
{
	enum pst_conf_source source = pst_conf_source(conf, id);

	return source == PST_FROM_COMMAND_LINE || source == PST_FROM_CMD_ARGS;
}

static const char *
line_name(const struct pst_conf *conf, enum pst_option_id id)
{
	return pst_conf_source(conf, id) == PST_FROM_CMD_ARGS ? "PENSTOCK_CMD_ARGS"
							      : "the command line";
}

/* An application on the command line, and pools that all serve something else. */
static void
check_line_app(struct pst_conf *conf)
{
	if (!is_from_line(conf, PST_OPT_APP))
		return;
	if (pst_conf_is_own(conf, PST_OPT_COMMAND) || pst_conf_is_own(conf, PST_OPT_FASTCGI)) {
		pst_conf_mistake(conf,
		    "%s names an application, %.100s, and the file a FastCGI server",
		    line_name(conf, PST_OPT_APP), pst_conf_app(conf));
		return;
	}
	for (size_t i = 0; i < pst_conf_pool_count(conf); i++)
		if (!pst_conf_is_own(pst_conf_pool(conf, i), PST_OPT_APP) &&
		    pst_conf_app(pst_conf_pool(conf, i)))
			return;
	if (pst_conf_pool_count(conf))
		pst_conf_mistake(conf,
		    "%s names an application, %.100s, but each pool of the file says for itself "
		    "what it serves",
		    line_name(conf, PST_OPT_APP), pst_conf_app(conf));
}

/* Options of the command line do not reach pools that say it themselves. */
static void
warn_of_pools(struct pst_conf *conf, const struct pst_conf *pool)
{
	char where[200];

	for (int i = 0; i < PST_OPT_LINE_COUNT; i++) {
		enum pst_option_id id = (enum pst_option_id)i;

		if (pst_options[id].scope != PST_SCOPE_POOL || id == PST_OPT_ENV ||
		    !is_from_line(conf, id) || !pst_conf_is_own(pool, id))
			continue;
		pst_conf_warn(conf, "--%s of %s does not change pool %s, which has its own (%s)",
		    pst_options[id].name, line_name(conf, id), pst_conf_pool_name(pool),
		    place_text(conf, pst_conf_place(pool, id), where));
	}
}

void
pst_conf_check_whole(struct pst_conf *conf)
{
	if (!pst_conf_pool_count(conf) && !pst_conf_mistake_count(conf) &&
	    !pst_conf_add_pool(conf, NULL, (struct pst_conf_place){0}))
		pst_conf_mistake(conf, "out of memory");
	check_line_app(conf);
	if (!pst_conf_has_named_pools(conf)) {
		if (pst_conf_pool_count(conf))
			check_anonymous(conf);
		return;
	}
	for (size_t i = 0; i < pst_conf_pool_count(conf); i++) {
		check_pool(conf, pst_conf_pool(conf, i));
		warn_of_pools(conf, pst_conf_pool(conf, i));
	}
}
