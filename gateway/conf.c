#include "gateway/conf.h"

#include "gateway/conf_check.h"
#include "gateway/conf_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct values {
	enum pst_conf_source source;
	size_t count;
	char **item;
};

struct pst_conf {
	struct values values[PST_OPT_COUNT];
	/* Of a pool: what it inherits from, and its name (NULL: it has none). */
	const struct pst_conf *top;
	char *name;
	/* At the top. */
	struct pst_conf **pools;
	size_t pool_count;
	struct pst_conf_route *routes;
	size_t route_count;
};

int
pst_conf_say(char why[PST_CONF_WHY], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, PST_CONF_WHY, format, args);
	va_end(args);
	return -1;
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

static int
add_value(struct values *values, enum pst_option_kind kind, const char *text)
{
	char bytes[32];

	if (kind == PST_KIND_PATHS)
		return add_paths(values, text);
	if (kind == PST_KIND_SIZE) {
		snprintf(bytes, sizeof(bytes), "%llu", pst_check_size_bytes(text));
		text = bytes;
	}
	return add_item(values, text, strlen(text));
}

const char *
pst_conf_source_name(enum pst_conf_source source)
{
	return source == PST_FROM_CMD_ARGS ? "in PENSTOCK_CMD_ARGS " : "";
}

int
pst_conf_set(struct pst_conf *conf, enum pst_option_id id, const char *text,
    enum pst_conf_source source, char why[PST_CONF_WHY])
{
	const struct pst_option *option = &pst_options[id];
	struct values *values = &conf->values[id];
	char reason[PST_CONF_WHY];

	if (option->check && option->check(text, reason) < 0)
		return pst_conf_say(
		    why, "%s--%s %.400s", pst_conf_source_name(source), option->name, reason);
	if (values->source > source)
		return 0;
	if (values->source != source ||
	    (option->kind != PST_KIND_LIST && option->kind != PST_KIND_PATHS))
		clear(values);
	values->source = source;
	if (add_value(values, option->kind, text) < 0)
		return pst_conf_say(why, "out of memory");
	return 0;
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
	free(conf->routes);
	free(conf->name);
	free(conf);
}

struct pst_conf *
pst_conf_add_pool(struct pst_conf *conf, const char *name)
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
	conf->pools[conf->pool_count++] = pool;
	return pool;
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
	return &conf->routes[i];
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
