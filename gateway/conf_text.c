#include "gateway/conf_text.h"

#include "gateway/nearest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 64

/* ---- what is wrong ---- */

void
pst_text_mistake(struct pst_text *text, const struct pst_yaml_node *node, const char *format, ...)
{
	char what[PST_CONF_WHY];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	pst_conf_mistake(
	    text->conf, "%.100s:%u:%u: %s", text->name, node->line, node->column, what);
}

static const char *
kind_name(enum pst_yaml_kind kind)
{
	static const char *const names[] = {
	    [PST_YAML_SCALAR] = "a single value",
	    [PST_YAML_LIST] = "a list",
	    [PST_YAML_MAP] = "a mapping",
	};

	return names[kind];
}

bool
pst_text_wants(struct pst_text *text, const char *key, const struct pst_yaml_node *value,
    enum pst_yaml_kind kind, const char *example)
{
	if (pst_yaml_is_null(value))
		pst_text_mistake(text, value, "%s has no value", key);
	else if (value->kind != kind)
		pst_text_mistake(text, value, "%s wants %s, as %s, and this is %s", key,
		    kind_name(kind), example, kind_name(value->kind));
	else
		return true;
	return false;
}

bool
pst_text_is_twice(
    struct pst_text *text, const struct pst_yaml_node *map, const struct pst_yaml_node *key)
{
	const struct pst_yaml_node *earlier = pst_yaml_earlier(map, key);

	if (earlier)
		pst_text_mistake(
		    text, key, "%.100s is there already, in line %u", key->text, earlier->line);
	return earlier;
}

/* ---- which option a key is ---- */

/* Other names of keys: the design's, and what gunicorn calls a setting. */
static const struct {
	const char *name, *key;
	bool is_taken; /* as the same; otherwise it is a hint */
} aliases[] = {
    {"listen", "bind", true},
    {"adapter", "worker_class", true},
    {"capacity", "worker_connections", true},
    {"accesslog", "access_logfile", false},
    {"access_log_format", "access_logformat", false},
    {"errorlog", "error_logfile", false},
    {"loglevel", "log_level", false},
    {"keepalive", "keep_alive", false},
    {"pidfile", "pid", false},
    {"proc_name", "name", false},
    {"raw_env", "env", false},
    {"wsgi_app", "app", false},
    {"control_socket_disable", "no_control_socket", false},
    {"tmp_upload_dir", "spool_dir", false},
};
#define ALIASES (sizeof(aliases) / sizeof(aliases[0]))

/* NAME with '_' for '-'. */
static const char *
as_key(const char *name, char key[KEY_SIZE])
{
	size_t i = 0;

	for (; name[i] && i + 1 < KEY_SIZE; i++)
		key[i] = name[i] == '-' ? '_' : name[i];
	key[i] = '\0';
	return key;
}

static int
find_option(const char *name)
{
	char key[KEY_SIZE];

	for (size_t i = 0; i < ALIASES; i++)
		if (aliases[i].is_taken && strcmp(name, aliases[i].name) == 0)
			name = aliases[i].key;
	for (int id = 0; id < PST_OPT_COUNT; id++) {
		if (strcmp(name, as_key(pst_options[id].name, key)) == 0 ||
		    (pst_options[id].alias &&
			strcmp(name, as_key(pst_options[id].alias, key)) == 0))
			return id;
	}
	return -1;
}

static void
say_missing(struct pst_text *text, const struct pst_yaml_node *key,
    const struct pst_option_missing *missing)
{
	if (missing->why)
		pst_text_mistake(
		    text, key, "%s has no effect, leave it out: %s", key->text, missing->why);
	else
		pst_text_mistake(text, key,
		    "%s is not there yet: gunicorn has this setting, this version of Penstock "
		    "does not",
		    key->text);
}

/* A key of gunicorn that is not there yet, or has another name here. */
static bool
say_gunicorn(struct pst_text *text, const struct pst_yaml_node *key)
{
	char missing[KEY_SIZE];

	for (size_t i = 0; i < pst_options_missing_count; i++) {
		if (strcmp(key->text, as_key(pst_options_missing[i].name, missing)) == 0) {
			say_missing(text, key, &pst_options_missing[i]);
			return true;
		}
	}
	for (size_t i = 0; i < ALIASES; i++) {
		if (strcmp(key->text, aliases[i].name) == 0) {
			pst_text_mistake(text, key, "%s is gunicorn's name; here it is %s",
			    key->text, aliases[i].key);
			return true;
		}
	}
	return false;
}

/* The nearest of the keys that may stand at this level. */
static void
say_unknown(
    struct pst_text *text, const struct pst_text_level *level, const struct pst_yaml_node *key)
{
	char keys[PST_OPT_COUNT][KEY_SIZE];
	struct pst_nearest search;

	if (say_gunicorn(text, key))
		return;
	pst_nearest_begin(&search, key->text);
	for (int id = 0; id < PST_OPT_COUNT; id++)
		if (pst_options[id].scope >= level->scope)
			pst_nearest_offer(&search, as_key(pst_options[id].name, keys[id]));
	for (size_t i = 0; i < ALIASES; i++)
		if (aliases[i].is_taken &&
		    pst_options[find_option(aliases[i].name)].scope >= level->scope)
			pst_nearest_offer(&search, aliases[i].name);
	for (size_t i = 0; i < level->more_count; i++)
		pst_nearest_offer(&search, level->more[i]);
	if (search.name)
		pst_text_mistake(
		    text, key, "%.100s is no key; did you mean %s?", key->text, search.name);
	else
		pst_text_mistake(
		    text, key, "%.100s is no key; penstock.yaml(5) lists them", key->text);
}

/* ---- values ---- */

struct pst_conf_place
pst_text_place(const struct pst_yaml_node *node)
{
	return (struct pst_conf_place){.line = node->line, .column = node->column};
}

/* One value, a scalar. */
static void
set_scalar(struct pst_text *text, struct pst_conf *to, enum pst_option_id id,
    const struct pst_yaml_node *key, const struct pst_yaml_node *value)
{
	char why[PST_CONF_WHY];

	if (!pst_text_wants(text, key->text, value, PST_YAML_SCALAR, pst_options[id].argument))
		return;
	if (pst_conf_set(to, id, value->text, PST_FROM_FILE, why) < 0)
		pst_text_mistake(text, value, "%s %s", key->text, why);
}

static void
set_flag(struct pst_text *text, struct pst_conf *to, enum pst_option_id id,
    const struct pst_yaml_node *key, const struct pst_yaml_node *value)
{
	char why[PST_CONF_WHY];
	bool is_true;

	if (!pst_text_wants(text, key->text, value, PST_YAML_SCALAR, "true"))
		return;
	is_true = strcmp(value->text, "true") == 0;
	if (!is_true && strcmp(value->text, "false") != 0)
		pst_text_mistake(
		    text, value, "%s wants true or false, not '%.100s'", key->text, value->text);
	else if (pst_conf_set(to, id, is_true ? "1" : "0", PST_FROM_FILE, why) < 0)
		pst_text_mistake(text, value, "%s %s", key->text, why);
}

/* A list, or one value in its place. */
static void
set_list(struct pst_text *text, struct pst_conf *to, enum pst_option_id id,
    const struct pst_yaml_node *key, const struct pst_yaml_node *value)
{
	if (value->kind != PST_YAML_LIST) {
		set_scalar(text, to, id, key, value);
		return;
	}
	if (!value->first)
		pst_text_mistake(text, value, "%s has an empty list", key->text);
	for (const struct pst_yaml_node *item = value->first; item; item = item->next)
		set_scalar(text, to, id, key, item);
}

/* NAME: VALUE for each variable. */
static void
set_variables(struct pst_text *text, struct pst_conf *to, enum pst_option_id id,
    const struct pst_yaml_node *map)
{
	for (const struct pst_yaml_node *key = map->first; key; key = key->next) {
		char why[PST_CONF_WHY], *item;
		size_t size;

		if (pst_text_is_twice(text, map, key) ||
		    !pst_text_wants(text, key->text, key->value, PST_YAML_SCALAR, "NAME: VALUE"))
			continue;
		if (!*key->text || strchr(key->text, '=')) {
			pst_text_mistake(text, key, "'%.100s' is no name of a variable", key->text);
			continue;
		}
		size = strlen(key->text) + strlen(key->value->text) + 2;
		item = malloc(size);
		if (!item) {
			pst_text_mistake(text, key, "out of memory");
			return;
		}
		snprintf(item, size, "%s=%s", key->text, key->value->text);
		if (pst_conf_set(to, id, item, PST_FROM_FILE, why) < 0)
			pst_text_mistake(text, key, "%s", why);
		free(item);
	}
}

static void
set_option(struct pst_text *text, struct pst_conf *to, enum pst_option_id id,
    const struct pst_yaml_node *key)
{
	const struct pst_yaml_node *value = key->value;
	struct pst_conf_place place = pst_text_place(key);

	if (id == PST_OPT_ENV && value->kind == PST_YAML_MAP)
		set_variables(text, to, id, value);
	else if (pst_options[id].kind == PST_KIND_LIST || pst_options[id].kind == PST_KIND_PATHS)
		set_list(text, to, id, key, value);
	else if (pst_options[id].kind == PST_KIND_FLAG)
		set_flag(text, to, id, key, value);
	else
		set_scalar(text, to, id, key, value);
	pst_conf_set_place(to, id, place);
}

void
pst_text_read_option(
    struct pst_text *text, struct pst_text_level *level, const struct pst_yaml_node *key)
{
	int id = find_option(key->text);

	if (id < 0) {
		say_unknown(text, level, key);
	} else if (pst_options[id].scope == PST_SCOPE_LINE) {
		pst_text_mistake(
		    text, key, "%s is for the command line, not for a file", key->text);
	} else if (pst_options[id].scope < level->scope) {
		pst_text_mistake(
		    text, key, "%s belongs at the top of the file, not into a pool", key->text);
	} else if (level->seen[id]) {
		pst_text_mistake(text, key, "%s is there already, by another name, in line %u",
		    key->text, level->seen[id]);
	} else {
		level->seen[id] = key->line;
		set_option(text, level->to, (enum pst_option_id)id, key);
	}
}
