#include "gateway/conf.h"

#include "gateway/conf_internal.h"
#include "gateway/conf_words.h"

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
	char *app;
	struct values values[PST_OPT_COUNT];
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
	if (kind == PST_KIND_PATHS)
		return add_paths(values, text);
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
	if (values->source != source ||
	    (option->kind != PST_KIND_LIST && option->kind != PST_KIND_PATHS))
		clear(values);
	values->source = source;
	if (add_value(values, option->kind, text) < 0)
		return pst_conf_say(why, "out of memory");
	return 0;
}

int
pst_conf_set_app(struct pst_conf *conf, const char *app, char why[PST_CONF_WHY])
{
	free(conf->app);
	conf->app = strdup(app);
	return conf->app ? 0 : pst_conf_say(why, "out of memory");
}

/* ---- defaults and variables ---- */

static int
set_defaults(struct pst_conf *conf, char *why)
{
	for (int id = 0; id < PST_OPT_COUNT; id++) {
		const char *standard = pst_options[id].standard;

		if (standard &&
		    pst_conf_set(conf, (enum pst_option_id)id, standard, PST_FROM_DEFAULT, why) < 0)
			return -1;
	}
	return 0;
}

/* PORT means all addresses, because who sets it (a platform) routes to the container. */
static int
set_port(struct pst_conf *conf, char *why)
{
	const char *port = getenv("PORT");
	char address[64];

	if (!port || !*port)
		return 0;
	snprintf(address, sizeof(address), "0.0.0.0:%.32s", port);
	if (pst_conf_set(conf, PST_OPT_BIND, address, PST_FROM_VARIABLE, why) < 0)
		return pst_conf_say(
		    why, "the environment has PORT='%.100s', which is no port", port);
	return 0;
}

static int
set_workers(struct pst_conf *conf, char *why)
{
	const char *workers = getenv("WEB_CONCURRENCY");

	if (!workers || !*workers)
		return 0;
	if (pst_conf_set(conf, PST_OPT_WORKERS, workers, PST_FROM_VARIABLE, why) < 0)
		return pst_conf_say(why,
		    "the environment has WEB_CONCURRENCY='%.100s', which is no number of workers "
		    "from 1 to 1024",
		    workers);
	return 0;
}

/*
 * The same variable that gunicorn and uvicorn read. An empty one trusts nobody, so it counts, too.
 */
static int
set_forwarded_allow_ips(struct pst_conf *conf, char *why)
{
	const char *list = getenv("FORWARDED_ALLOW_IPS");

	return list ? pst_conf_set(conf, PST_OPT_FORWARDED_ALLOW_IPS, list, PST_FROM_VARIABLE, why)
		    : 0;
}

static int
read_cmd_args(struct pst_conf *conf, char *program, char *why)
{
	const char *text = getenv("PENSTOCK_CMD_ARGS"), *reason;
	struct pst_words words;
	int result;

	if (!text)
		return 0;
	if (pst_words_split(&words, program, text, &reason) < 0)
		return pst_conf_say(why, "PENSTOCK_CMD_ARGS cannot be read: %s", reason);
	result = pst_conf_read_line(conf, words.count, words.word, PST_FROM_CMD_ARGS, why);
	pst_words_free(&words);
	return result;
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
	free(conf->app);
	free(conf);
}

enum pst_conf_wish
pst_conf_read(struct pst_conf *conf, int argc, char **argv, char why[PST_CONF_WHY])
{
	if (set_defaults(conf, why) < 0 || set_port(conf, why) < 0 || set_workers(conf, why) < 0 ||
	    set_forwarded_allow_ips(conf, why) < 0 || read_cmd_args(conf, argv[0], why) < 0 ||
	    pst_conf_read_line(conf, argc, argv, PST_FROM_COMMAND_LINE, why) < 0)
		return PST_CONF_ERROR;
	if (pst_conf_text(conf, PST_OPT_HELP))
		return PST_CONF_HELP;
	if (pst_conf_text(conf, PST_OPT_VERSION))
		return PST_CONF_VERSION;
	if (!conf->app || !*conf->app) {
		pst_conf_say(why, "no application was named: say MODULE:CALLABLE, for example "
				  "'penstock -b :8000 shop.wsgi:application', or ./PLUGIN.so");
		return PST_CONF_ERROR;
	}
	return PST_CONF_RUN;
}

const char *
pst_conf_app(const struct pst_conf *conf)
{
	return conf->app;
}

const char *
pst_conf_title(const struct pst_conf *conf)
{
	const char *name = pst_conf_text(conf, PST_OPT_NAME);

	return name ? name : conf->app;
}

size_t
pst_conf_count(const struct pst_conf *conf, enum pst_option_id id)
{
	return conf->values[id].count;
}

const char *
pst_conf_item(const struct pst_conf *conf, enum pst_option_id id, size_t i)
{
	assert(i < conf->values[id].count);
	return conf->values[id].item[i];
}

const char *
pst_conf_text(const struct pst_conf *conf, enum pst_option_id id)
{
	return conf->values[id].count ? conf->values[id].item[0] : NULL;
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
