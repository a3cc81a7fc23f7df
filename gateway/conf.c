#include "gateway/conf.h"

#include "gateway/conf_check.h"
#include "gateway/conf_internal.h"
#include "gateway/hash.h"
#include "gateway/sentences.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct values {
	enum pst_conf_source source;
	struct pst_conf_place place; /* of the first, from a file */
	size_t count;
	char **item;
};

struct route {
	struct pst_conf_route said;
	struct pst_conf_place place;
	char *text; /* what host and path point to */
	uint64_t hash; /* of both */
};

struct pst_conf {
	struct values values[PST_OPT_COUNT];
	/* Of a pool: what it inherits from, its name (NULL: it has none), where that stands. */
	const struct pst_conf *top;
	char *name;
	struct pst_conf_place place;
	/* At the top. */
	struct pst_conf **pools;
	size_t pool_count;
	struct route *routes;
	size_t route_count;
	struct pst_sentences mistakes, warnings;
};

/* ---- sentences ---- */

void
pst_conf_mistake(struct pst_conf *conf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pst_sentences_add(&conf->mistakes, format, args);
	va_end(args);
}

void
pst_conf_warn(struct pst_conf *conf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pst_sentences_add(&conf->warnings, format, args);
	va_end(args);
}

size_t
pst_conf_mistake_count(const struct pst_conf *conf)
{
	return pst_sentences_count(&conf->mistakes);
}

const char *
pst_conf_mistake_text(const struct pst_conf *conf, size_t i)
{
	return pst_sentences_text(&conf->mistakes, i);
}

size_t
pst_conf_warning_count(const struct pst_conf *conf)
{
	return pst_sentences_count(&conf->warnings);
}

const char *
pst_conf_warning_text(const struct pst_conf *conf, size_t i)
{
	return pst_sentences_text(&conf->warnings, i);
}

/* ---- values ---- */

static void
clear(struct values *values)
{
	for (size_t i = 0; i < values->count; i++)
		free(values->item[i]);
	free(values->item);
	memset(values, 0, sizeof(*values));
}

/* Takes N bytes of TEXT as one more value: 0, or -1 without memory. */
static int
add_item(struct values *values, const char *text, size_t n)
{
	char **item = realloc(values->item, (values->count + 1) * sizeof(*item));

	if (!item)
		return -1;
	values->item = item;
	item[values->count] = strndup(text, n);
	if (!item[values->count])
		return -1;
	values->count++;
	return 0;
}

static int
add_paths(struct values *values, const char *text)
{
	for (;;) {
		size_t n = strcspn(text, ",");

		if (n > 0 && add_item(values, text, n) < 0)
			return -1;
		if (!text[n])
			return 0;
		text += n + 1;
	}
}

/* "0" takes away what a pool would inherit. */
static int
add_flag(struct values *values, const char *text)
{
	return strcmp(text, "0") == 0 ? 0 : add_item(values, text, 1);
}

static int
add_value(struct values *values, enum pst_option_kind kind, const char *text)
{
	char bytes[32];

	if (kind == PST_KIND_PATHS)
		return add_paths(values, text);
	if (kind == PST_KIND_FLAG)
		return add_flag(values, text);
	if (kind == PST_KIND_SIZE) {
		snprintf(bytes, sizeof(bytes), "%llu", pst_check_size_bytes(text));
		text = bytes;
	}
	return add_item(values, text, strlen(text));
}

int
pst_conf_set(struct pst_conf *conf, enum pst_option_id id, const char *text,
    enum pst_conf_source source, char why[PST_CONF_WHY])
{
	const struct pst_option *option = &pst_options[id];
	struct values *values = &conf->values[id];

	if (option->check && option->check(text, why) < 0)
		return -1;
	if (option->to == PST_TO_GATEWAY && pst_check_told(text, why) < 0)
		return -1;
	if (values->source > source)
		return 0;
	if (values->source != source ||
	    (option->kind != PST_KIND_LIST && option->kind != PST_KIND_PATHS))
		clear(values);
	values->source = source;
	if (add_value(values, option->kind, text) < 0) {
		snprintf(why, PST_CONF_WHY, "is too much: out of memory");
		return -1;
	}
	return 0;
}

void
pst_conf_set_place(struct pst_conf *conf, enum pst_option_id id, struct pst_conf_place place)
{
	if (conf->values[id].source == PST_FROM_FILE)
		conf->values[id].place = place;
}

/* ---- what a pool inherits ---- */

static bool
is_own(const struct pst_conf *conf, enum pst_option_id id)
{
	return conf->values[id].source != PST_FROM_NOWHERE;
}

/* CONF itself says what it serves. */
static bool
serves_own(const struct pst_conf *conf)
{
	return is_own(conf, PST_OPT_APP) || is_own(conf, PST_OPT_COMMAND) ||
	       is_own(conf, PST_OPT_FASTCGI);
}

/* ID of the top does not hold for POOL, which has no value of its own. */
static bool
is_not_inherited(const struct pst_conf *pool, enum pst_option_id id)
{
	switch (id) {
	case PST_OPT_APP:
	case PST_OPT_COMMAND:
	case PST_OPT_FASTCGI: return serves_own(pool);
	case PST_OPT_CHDIR: return true;
	default: return false;
	}
}

static const struct values *
find(const struct pst_conf *conf, enum pst_option_id id)
{
	if (!conf->top || is_own(conf, id) || is_not_inherited(conf, id))
		return &conf->values[id];
	return &conf->top->values[id];
}

struct pst_conf_place
pst_conf_place(const struct pst_conf *conf, enum pst_option_id id)
{
	return find(conf, id)->place;
}

struct pst_conf_place
pst_conf_pool_place(const struct pst_conf *pool)
{
	return pool->place;
}

enum pst_conf_source
pst_conf_source(const struct pst_conf *conf, enum pst_option_id id)
{
	return find(conf, id)->source;
}

bool
pst_conf_is_own(const struct pst_conf *conf, enum pst_option_id id)
{
	return is_own(conf, id);
}

/* How many variables POOL, or the top, has from the top. */
static size_t
inherited(const struct pst_conf *conf, enum pst_option_id id)
{
	if (id != PST_OPT_ENV || !conf->top || !is_own(conf, id))
		return 0;
	return conf->top->values[id].count;
}

/* ---- what the header lists ---- */

struct pst_conf *
pst_conf_new(void)
{
	return calloc(1, sizeof(struct pst_conf));
}

void
pst_conf_free(struct pst_conf *conf)
{
	if (!conf)
		return;
	for (int id = 0; id < PST_OPT_COUNT; id++)
		clear(&conf->values[id]);
	for (size_t i = 0; i < conf->pool_count; i++)
		pst_conf_free(conf->pools[i]);
	free(conf->pools);
	for (size_t i = 0; i < conf->route_count; i++)
		free(conf->routes[i].text);
	free(conf->routes);
	pst_sentences_free(&conf->mistakes);
	pst_sentences_free(&conf->warnings);
	free(conf->name);
	free(conf);
}

struct pst_conf *
pst_conf_add_pool(struct pst_conf *conf, const char *name, struct pst_conf_place place)
{
	struct pst_conf *pool = pst_conf_new();
	struct pst_conf **pools = realloc(conf->pools, (conf->pool_count + 1) * sizeof(*pools));

	if (pools)
		conf->pools = pools;
	if (!pool || !pools || (name && !(pool->name = strdup(name)))) {
		pst_conf_free(pool);
		return NULL;
	}
	pool->top = conf;
	pool->place = place;
	conf->pools[conf->pool_count++] = pool;
	return pool;
}

static uint64_t
hash_of(const char *host, const char *path)
{
	return pst_hash(pst_hash(PST_HASH_BEGIN, host, strlen(host) + 1), path, strlen(path));
}

size_t
pst_conf_find_route(const struct pst_conf *conf, const char *host, const char *path)
{
	const struct route *routes = conf->routes;
	uint64_t hash = hash_of(host, path);
	size_t i;

	for (i = 0; i < conf->route_count; i++)
		if (routes[i].hash == hash && strcmp(routes[i].said.host, host) == 0 &&
		    strcmp(routes[i].said.path, path) == 0)
			break;
	return i;
}

/* Room for one route more: there is for each power of two. 0, or -1 without memory. */
static int
make_room(struct pst_conf *conf)
{
	size_t count = conf->route_count;
	struct route *routes;

	if ((count & (count - 1)) != 0)
		return 0;
	routes = realloc(conf->routes, (count > 0 ? 2 * count : 1) * sizeof(*routes));
	if (!routes)
		return -1;
	conf->routes = routes;
	return 0;
}

int
pst_conf_add_route(
    struct pst_conf *conf, const struct pst_conf_route *route, struct pst_conf_place place)
{
	char *text = malloc(strlen(route->host) + strlen(route->path) + 2);
	struct route *routes;

	if (!text || make_room(conf) < 0) {
		free(text);
		return -1;
	}
	routes = conf->routes;
	strcpy(text, route->host);
	strcpy(text + strlen(route->host) + 1, route->path);
	routes[conf->route_count] = (struct route){.said = *route,
	    .place = place,
	    .text = text,
	    .hash = hash_of(route->host, route->path)};
	routes[conf->route_count].said.host = text;
	routes[conf->route_count].said.path = text + strlen(route->host) + 1;
	conf->route_count++;
	return 0;
}

struct pst_conf_place
pst_conf_route_place(const struct pst_conf *conf, size_t i)
{
	assert(i < conf->route_count);
	return conf->routes[i].place;
}

size_t
pst_conf_pool_count(const struct pst_conf *conf)
{
	return conf->pool_count;
}

const struct pst_conf *
pst_conf_pool(const struct pst_conf *conf, size_t i)
{
	assert(i < conf->pool_count);
	return conf->pools[i];
}

const char *
pst_conf_pool_name(const struct pst_conf *pool)
{
	return pool->name ? pool->name : "default";
}

enum pst_conf_pool_kind
pst_conf_pool_kind(const struct pst_conf *pool)
{
	if (pst_conf_count(pool, PST_OPT_FASTCGI))
		return PST_POOL_REMOTE;
	return pst_conf_count(pool, PST_OPT_COMMAND) ? PST_POOL_PROGRAM : PST_POOL_APP;
}

bool
pst_conf_has_named_pools(const struct pst_conf *conf)
{
	return conf->pool_count > 0 && conf->pools[0]->name;
}

size_t
pst_conf_route_count(const struct pst_conf *conf)
{
	return conf->route_count;
}

const struct pst_conf_route *
pst_conf_route(const struct pst_conf *conf, size_t i)
{
	assert(i < conf->route_count);
	return &conf->routes[i].said;
}

bool
pst_conf_same(const struct pst_conf *a, const struct pst_conf *b, enum pst_option_id id)
{
	size_t count = pst_conf_count(a, id);

	if (count != pst_conf_count(b, id))
		return false;
	for (size_t i = 0; i < count; i++)
		if (strcmp(pst_conf_item(a, id, i), pst_conf_item(b, id, i)) != 0)
			return false;
	return true;
}

const char *
pst_conf_app(const struct pst_conf *conf)
{
	return pst_conf_text(conf, PST_OPT_APP);
}

const char *
pst_conf_title(const struct pst_conf *conf)
{
	static const enum pst_option_id said_by[] = {
	    PST_OPT_NAME, PST_OPT_APP, PST_OPT_COMMAND, PST_OPT_FASTCGI, PST_OPT_CONFIG};

	for (size_t i = 0; i < sizeof(said_by) / sizeof(said_by[0]); i++)
		if (pst_conf_count(conf, said_by[i]))
			return pst_conf_text(conf, said_by[i]);
	return "penstock";
}

size_t
pst_conf_count(const struct pst_conf *conf, enum pst_option_id id)
{
	return inherited(conf, id) + find(conf, id)->count;
}

const char *
pst_conf_item(const struct pst_conf *conf, enum pst_option_id id, size_t i)
{
	size_t first = inherited(conf, id);

	if (i < first)
		return conf->top->values[id].item[i];
	assert(i - first < find(conf, id)->count);
	return find(conf, id)->item[i - first];
}

const char *
pst_conf_text(const struct pst_conf *conf, enum pst_option_id id)
{
	const struct values *values = find(conf, id);

	return values->count ? values->item[0] : NULL;
}

unsigned long
pst_conf_number(const struct pst_conf *conf, enum pst_option_id id)
{
	const char *text = pst_conf_text(conf, id);

	assert(text);
	return strtoul(text, NULL, 10);
}

unsigned
pst_conf_umask(const struct pst_conf *conf)
{
	const char *text = pst_conf_text(conf, PST_OPT_UMASK);

	assert(text);
	if (text[0] == '0' && (text[1] == 'o' || text[1] == 'O'))
		text += 2;
	return (unsigned)strtoul(text, NULL, 8);
}

void
pst_option_key(enum pst_option_id id, char *name, size_t size)
{
	const char *from = pst_options[id].name;

	assert(strlen(from) < size);
	do
		*name++ = *from == '-' ? '_' : *from;
	while (*from++);
}
