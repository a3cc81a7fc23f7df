#include "gateway/conf_text.h"
#include "gateway/front/path.h"
#include "gateway/front/route.h"
#include "gateway/nearest.h"
#include "protocol/control.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOLS_MOST 64
#define TOO_MANY                                                                                   \
	"there are more than %d routes (each host of a list is one): routes to the same pool can " \
	"often be one, with a shorter path or with a host like '*.example.org'"
#define HOST_MOST 253
/* A route fits into one line to the gateway. */
#define PATH_MOST (PST_CONTROL_LINE / 2)
_Static_assert(PATH_MOST == 4096, "path_fault() names it");

/* ---- pools ---- */

static bool
is_pool_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_-";
	size_t n = strlen(name);

	return n >= 1 && n <= 32 && strspn(name, letters) == n;
}

/* Two of these say two things about what is served. */
static void
check_what_is_served(
    struct pst_text *text, const struct pst_text_level *level, const struct pst_yaml_node *map)
{
	static const enum pst_option_id what[] = {PST_OPT_APP, PST_OPT_COMMAND, PST_OPT_FASTCGI};
	int first = -1;

	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		if (!level->seen[what[i]])
			continue;
		if (first >= 0)
			pst_text_mistake(text, map,
			    "%s (line %u) and %s (line %u) are two kinds of pool; it can be one",
			    pst_options[first].name, level->seen[first], pst_options[what[i]].name,
			    level->seen[what[i]]);
		first = (int)what[i];
	}
}

static void
read_pool(struct pst_text *text, const struct pst_yaml_node *key)
{
	struct pst_text_level level = {.scope = PST_SCOPE_POOL};

	if (!is_pool_name(key->text)) {
		pst_text_mistake(text, key,
		    "a pool's name is 1 to 32 letters, digits, '_' and '-', not '%.100s'",
		    key->text);
		return;
	}
	if (!pst_text_wants(text, key->text, key->value, PST_YAML_MAP, "{app: shop.wsgi}"))
		return;
	level.to = pst_conf_add_pool(text->conf, key->text, pst_text_place(key));
	if (!level.to) {
		pst_text_mistake(text, key, "out of memory");
		return;
	}
	for (const struct pst_yaml_node *k = key->value->first; k; k = k->next)
		if (!pst_text_is_twice(text, key->value, k))
			pst_text_read_option(text, &level, k);
	check_what_is_served(text, &level, key);
}

static void
read_pools(struct pst_text *text, const struct pst_yaml_node *key)
{
	const struct pst_yaml_node *map = key->value;
	size_t count = 0;

	if (!pst_text_wants(text, key->text, map, PST_YAML_MAP, "web: {app: shop.wsgi}"))
		return;
	if (!map->first)
		pst_text_mistake(text, map, "pools is empty");
	for (const struct pst_yaml_node *k = map->first; k; k = k->next) {
		if (++count > POOLS_MOST) {
			pst_text_mistake(text, k, "there are more than %d pools", POOLS_MOST);
			return;
		}
		if (!pst_text_is_twice(text, map, k))
			read_pool(text, k);
	}
}

/* ---- routes ---- */

struct route {
	const struct pst_yaml_node *path, *host, *pool, *mount; /* keys, or NULL */
};

/* What is wrong with a PATH, or NULL. */
static const char *
path_fault(const char *path)
{
	const char *begin = path;

	if (*path != '/')
		return "begins with a slash";
	for (; *path; path++) {
		if ((unsigned char)*path <= ' ' || *path == 0x7f)
			return "has no blanks or control characters in it";
		if (*path == '?' || *path == '#')
			return "has no query in it";
		if (*path == '*')
			return "is the beginning of what it matches, without *";
	}
	if (!pst_path_is_normal((struct pst_http_text){begin, strlen(begin)}))
		return "has no '//', '.' or '..' in it, since requests are matched without them";
	if (pst_control_size(begin) > PATH_MOST)
		return "takes at most 4096 bytes ('%' and what is not ASCII take three each)";
	return NULL;
}

/* HOST in small letters goes to NAME; or what is wrong with it. */
static const char *
host_fault(const char *host, char name[HOST_MOST + 1])
{
	const char *rest = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
	size_t n = strlen(host);

	if (!*rest || n > HOST_MOST)
		return "is a name such as example.org or *.example.org";
	for (size_t i = 0; i <= n; i++)
		name[i] = (char)tolower((unsigned char)host[i]);
	if (*host == '[')
		return host[strspn(host, "[]0123456789abcdefABCDEF:.")] ? "is no IPv6 address"
									: NULL;
	if (strchr(rest, ':'))
		return "is told without a port";
	if (strchr(rest, '*'))
		return "has a * at its beginning only, as *.example.org";
	if (rest[strspn(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")])
		return "is a name such as example.org or *.example.org";
	return NULL;
}

static const struct pst_conf *
find_pool(struct pst_text *text, const struct pst_yaml_node *name)
{
	struct pst_nearest search;

	pst_nearest_begin(&search, name->text);
	for (size_t i = 0; i < pst_conf_pool_count(text->conf); i++) {
		const struct pst_conf *pool = pst_conf_pool(text->conf, i);

		if (strcmp(pst_conf_pool_name(pool), name->text) == 0)
			return pool;
		pst_nearest_offer(&search, pst_conf_pool_name(pool));
	}
	if (search.name)
		pst_text_mistake(text, name, "there is no pool %.100s; did you mean %s?",
		    name->text, search.name);
	else
		pst_text_mistake(text, name, "there is no pool %.100s", name->text);
	return NULL;
}

/* The pool of a route: the one that it names, or else the only one. */
static const struct pst_conf *
pool_of(struct pst_text *text, const struct route *route, const struct pst_yaml_node *node)
{
	if (route->pool) {
		if (!pst_text_wants(text, "pool", route->pool->value, PST_YAML_SCALAR, "web"))
			return NULL;
		return find_pool(text, route->pool->value);
	}
	if (pst_conf_pool_count(text->conf) == 1)
		return pst_conf_pool(text->conf, 0);
	if (pst_conf_pool_count(text->conf))
		pst_text_mistake(text, node, "the route says no pool");
	return NULL;
}

static bool
is_twice(
    struct pst_text *text, const struct pst_conf_route *route, const struct pst_yaml_node *node)
{
	size_t other = pst_conf_find_route(text->conf, route->host, route->path);

	if (other == pst_conf_route_count(text->conf))
		return false;
	pst_text_mistake(text, node, "the route in line %u has the same %s",
	    pst_conf_route_place(text->conf, other).line, *route->host ? "host and path" : "path");
	return true;
}

/* One host of a route, a scalar; NULL: any. */
static void
add_route(struct pst_text *text, const struct pst_yaml_node *node, const struct pst_yaml_node *host,
    struct pst_conf_route said)
{
	char name[HOST_MOST + 1] = "";
	const char *fault = NULL;

	if (host) {
		if (!pst_text_wants(text, "host", host, PST_YAML_SCALAR, "example.org"))
			return;
		fault = host_fault(host->text, name);
	}
	if (fault) {
		pst_text_mistake(text, host, "a host %s, not '%.100s'", fault, host->text);
		return;
	}
	said.host = name;
	if (is_twice(text, &said, node))
		return;
	if (pst_conf_route_count(text->conf) == PST_ROUTES_MAX)
		pst_text_mistake(text, node, TOO_MANY, PST_ROUTES_MAX);
	else if (pst_conf_add_route(text->conf, &said, pst_text_place(node)) < 0)
		pst_text_mistake(text, node, "out of memory");
}

/* The path of a route into SAID, "/" if it says none; false after a mistake. */
static bool
take_path(struct pst_text *text, const struct route *route, struct pst_conf_route *said)
{
	const struct pst_yaml_node *value = route->path ? route->path->value : NULL;
	const char *fault;

	said->path = "/";
	if (!value)
		return true;
	if (!pst_text_wants(text, "path", value, PST_YAML_SCALAR, "/shop"))
		return false;
	fault = path_fault(value->text);
	if (fault)
		pst_text_mistake(text, value, "a path %s, not '%.100s'", fault, value->text);
	said->path = value->text;
	return !fault;
}

static bool
take_mount(struct pst_text *text, const struct route *route, struct pst_conf_route *said)
{
	const struct pst_yaml_node *value = route->mount ? route->mount->value : NULL;

	if (!value)
		return true;
	if (!pst_text_wants(text, "mount", value, PST_YAML_SCALAR, "true"))
		return false;
	said->mount = strcmp(value->text, "true") == 0;
	if (said->mount || strcmp(value->text, "false") == 0)
		return true;
	pst_text_mistake(text, value, "mount wants true or false, not '%.100s'", value->text);
	return false;
}

static void
take_route(struct pst_text *text, const struct pst_yaml_node *node, const struct route *route)
{
	const struct pst_yaml_node *host = route->host ? route->host->value : NULL;
	const struct pst_conf *pool = pool_of(text, route, node);
	struct pst_conf_route said = {.host = ""};
	bool is_path = take_path(text, route, &said), is_mount = take_mount(text, route, &said);

	if (!route->path && !route->host) {
		pst_text_mistake(text, node, "a route wants a path or a host");
		return;
	}
	if (!is_path || !is_mount || !pool)
		return;
	said.pool = pst_conf_pool_name(pool);
	if (!host || host->kind != PST_YAML_LIST) {
		add_route(text, node, host, said);
		return;
	}
	if (!host->first)
		pst_text_mistake(text, host, "host has an empty list");
	for (host = host->first; host; host = host->next)
		add_route(text, node, host, said);
}

static void
read_route(struct pst_text *text, const struct pst_yaml_node *node)
{
	struct route route = {.path = NULL};
	const struct {
		const char *name;
		const struct pst_yaml_node **to;
	} keys[] = {{"path", &route.path}, {"host", &route.host}, {"pool", &route.pool},
	    {"mount", &route.mount}};

	if (!pst_text_wants(text, "a route", node, PST_YAML_MAP, "{path: /shop, pool: web}"))
		return;
	for (const struct pst_yaml_node *key = node->first; key; key = key->next) {
		size_t i = 0;

		while (i < 4 && strcmp(key->text, keys[i].name) != 0)
			i++;
		if (i == 4)
			pst_text_mistake(text, key,
			    "%.100s is no key of a route; it has path, host, pool and mount",
			    key->text);
		else if (!pst_text_is_twice(text, node, key))
			*keys[i].to = key;
	}
	take_route(text, node, &route);
}

static void
read_routes(struct pst_text *text, const struct pst_yaml_node *key)
{
	if (!pst_text_wants(
		text, key->text, key->value, PST_YAML_LIST, "[{path: /shop, pool: web}]"))
		return;
	if (!key->value->first)
		pst_text_mistake(text, key->value, "routes is empty");
	for (const struct pst_yaml_node *node = key->value->first; node; node = node->next) {
		if (pst_conf_route_count(text->conf) == PST_ROUTES_MAX) {
			pst_text_mistake(text, node, TOO_MANY, PST_ROUTES_MAX);
			return; /* of all that follow the same could be said */
		}
		read_route(text, node);
	}
}

/* ---- the whole file ---- */

static void
read_top(struct pst_text *text, const struct pst_yaml_node *map)
{
	static const char *const more[] = {"pools", "routes"};
	struct pst_text_level level = {
	    .to = text->conf, .scope = PST_SCOPE_TOP, .more = more, .more_count = 2};
	const struct pst_yaml_node *pools = NULL, *routes = NULL;

	for (const struct pst_yaml_node *key = map->first; key; key = key->next) {
		if (pst_text_is_twice(text, map, key))
			continue;
		if (strcmp(key->text, "pools") == 0)
			pools = key;
		else if (strcmp(key->text, "routes") == 0)
			routes = key;
		else
			pst_text_read_option(text, &level, key);
	}
	check_what_is_served(text, &level, map);
	if (pools)
		read_pools(text, pools);
	else if (!pst_conf_add_pool(text->conf, NULL, (struct pst_conf_place){0}))
		pst_text_mistake(text, map, "out of memory");
	if (routes)
		read_routes(text, routes);
	else if (pools && pst_conf_pool_count(text->conf) > 1)
		pst_text_mistake(text, pools,
		    "there are several pools and no routes, so no request would get to any");
}

void
pst_conf_read_text(
    struct pst_conf *conf, const char *name, const unsigned char *bytes, size_t length)
{
	struct pst_text text = {.conf = conf, .name = name};
	struct pst_yaml_problem problem;
	struct pst_yaml_node *root;

	if (pst_yaml_read(bytes, length, &root, &problem) < 0) {
		if (problem.line)
			pst_conf_mistake(conf, "%.100s:%u:%u: %s", name, problem.line,
			    problem.column, problem.why);
		else
			pst_conf_mistake(conf, "%.100s: %s", name, problem.why);
		return;
	}
	if (root && !pst_yaml_is_null(root)) {
		if (root->kind == PST_YAML_MAP)
			read_top(&text, root);
		else
			pst_text_mistake(
			    &text, root, "a configuration is a mapping, as 'workers: 4'");
	}
	pst_yaml_free(root);
}
