#include "gateway/conf.h"

#include "gateway/conf_words.h"
#include "gateway/nearest.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Where a value came from; a later one replaces an earlier one's. */
enum source { FROM_NOWHERE, FROM_DEFAULT, FROM_VARIABLE, FROM_CMD_ARGS, FROM_COMMAND_LINE };

struct values {
	enum source source;
	size_t count;
	char **item;
};

struct pst_conf {
	char *app;
	struct values values[PST_OPT_COUNT];
};

/* What getopt_long() returns for an option without a letter, and for those not there yet. */
#define LONG_BASE    1000
#define MISSING_BASE 2000

static int
say(char *why, const char *format, ...)
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

/* How a person would have typed the option. */
static const char *
source_name(enum source source)
{
	return source == FROM_CMD_ARGS ? "in PENSTOCK_CMD_ARGS " : "";
}

static int
set(struct pst_conf *conf, enum pst_option_id id, const char *text, enum source source, char *why)
{
	const struct pst_option *option = &pst_options[id];
	struct values *values = &conf->values[id];
	char reason[PST_CONF_WHY];

	if (option->check && option->check(text, reason) < 0)
		return say(why, "%s--%s %.400s", source_name(source), option->name, reason);
	if (values->source != source ||
	    (option->kind != PST_KIND_LIST && option->kind != PST_KIND_PATHS))
		clear(values);
	values->source = source;
	if (add_value(values, option->kind, text) < 0)
		return say(why, "out of memory");
	return 0;
}

/* ---- defaults and variables ---- */

static int
set_defaults(struct pst_conf *conf, char *why)
{
	for (int id = 0; id < PST_OPT_COUNT; id++) {
		const char *standard = pst_options[id].standard;

		if (standard && set(conf, (enum pst_option_id)id, standard, FROM_DEFAULT, why) < 0)
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
	if (set(conf, PST_OPT_BIND, address, FROM_VARIABLE, why) < 0)
		return say(why, "the environment has PORT='%.100s', which is no port", port);
	return 0;
}

static int
set_workers(struct pst_conf *conf, char *why)
{
	const char *workers = getenv("WEB_CONCURRENCY");

	if (!workers || !*workers)
		return 0;
	if (set(conf, PST_OPT_WORKERS, workers, FROM_VARIABLE, why) < 0)
		return say(why,
		    "the environment has WEB_CONCURRENCY='%.100s', which is no number of workers "
		    "from 1 to 1024", workers);
	return 0;
}

/* ---- the command line ---- */

#define MISSING_MAX 128
struct tables {
	struct option longs[2 * PST_OPT_COUNT + MISSING_MAX + 1];
	char letters[3 * (PST_OPT_COUNT + MISSING_MAX)];
};

static void
add_long(struct tables *tables, size_t *n, const char *name, int has_arg, int val)
{
	assert(*n + 1 < sizeof(tables->longs) / sizeof(tables->longs[0]));
	tables->longs[(*n)++] = (struct option){name, has_arg, NULL, val};
}

/* The table once more, as getopt_long() wants it. */
static void
make_tables(struct tables *tables)
{
	char *letter = tables->letters;
	size_t n = 0;

	memset(tables, 0, sizeof(*tables));
	*letter++ = ':';
	for (int id = 0; id < PST_OPT_COUNT; id++) {
		const struct pst_option *option = &pst_options[id];
		int has_arg = option->kind == PST_KIND_FLAG ? no_argument : required_argument;

		add_long(tables, &n, option->name, has_arg, LONG_BASE + id);
		if (option->alias)
			add_long(tables, &n, option->alias, has_arg, LONG_BASE + id);
		if (!option->letter)
			continue;
		*letter++ = option->letter;
		if (has_arg == required_argument)
			*letter++ = ':';
	}
	for (size_t i = 0; i < pst_options_missing_count; i++) {
		add_long(tables, &n, pst_options_missing[i].name, optional_argument,
		    MISSING_BASE + (int)i);
		if (pst_options_missing[i].letter)
			*letter++ = pst_options_missing[i].letter;
	}
}

static int
option_of_letter(int letter)
{
	for (int id = 0; id < PST_OPT_COUNT; id++)
		if (pst_options[id].letter == letter)
			return id;
	return -1;
}

static const char *
missing_of_letter(int letter)
{
	for (size_t i = 0; i < pst_options_missing_count; i++)
		if (pst_options_missing[i].letter == letter)
			return pst_options_missing[i].name;
	return NULL;
}

static int
say_missing(char *why, const char *name, enum source source)
{
	return say(why,
	    "%s--%s is not there yet: gunicorn has this option, this version of Penstock does not",
	    source_name(source), name);
}

/* WORD begins with "--" and getopt_long() found no such option, or several. */
static int
say_unknown_long(char *why, const char *word, enum source source)
{
	struct pst_nearest search;
	char name[PST_NEAREST_NAME + 1];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	pst_nearest_begin(&search, name);
	for (int id = 0; id < PST_OPT_COUNT; id++)
		pst_nearest_offer(&search, pst_options[id].name);
	for (size_t i = 0; i < pst_options_missing_count; i++)
		pst_nearest_offer(&search, pst_options_missing[i].name);
	if (search.name)
		return say(why, "%s--%s is no option; did you mean --%s?", source_name(source),
		    name, search.name);
	return say(why, "%s--%s is no option; penstock --help lists them", source_name(source),
	    name);
}

static int
say_bad_option(char *why, const char *word, enum source source)
{
	int id = optopt - LONG_BASE;

	if (optopt >= LONG_BASE && id < PST_OPT_COUNT)
		return say(why, "%s--%s takes no value", source_name(source), pst_options[id].name);
	if (optopt == 0)
		return say_unknown_long(why, word, source);
	return say(why, "%s-%c is no option; penstock --help lists them", source_name(source),
	    optopt);
}

static int
say_no_value(char *why, enum source source)
{
	int id = optopt >= LONG_BASE ? optopt - LONG_BASE : option_of_letter(optopt);

	assert(id >= 0 && id < PST_OPT_COUNT);
	return say(why, "%s--%s wants a value, as in --%s %s", source_name(source),
	    pst_options[id].name, pst_options[id].name, pst_options[id].argument);
}

/* C is what getopt_long() returned, WORD the word that it looked at. */
static int
take_option(struct pst_conf *conf, int c, const char *word, enum source source, char *why)
{
	int id;

	if (c == '?')
		return say_bad_option(why, word, source);
	if (c == ':')
		return say_no_value(why, source);
	if (c >= MISSING_BASE)
		return say_missing(why, pst_options_missing[c - MISSING_BASE].name, source);
	if (c < LONG_BASE && missing_of_letter(c))
		return say_missing(why, missing_of_letter(c), source);
	id = c >= LONG_BASE ? c - LONG_BASE : option_of_letter(c);
	assert(id >= 0 && id < PST_OPT_COUNT);
	return set(conf, (enum pst_option_id)id, optarg ? optarg : "1", source, why);
}

static int
take_app(struct pst_conf *conf, int argc, char **argv, enum source source, char *why)
{
	if (optind >= argc)
		return 0;
	if (argc - optind > 1)
		return say(why, "%sone application is served, but after '%.100s' there is '%.100s'",
		    source_name(source), argv[optind], argv[optind + 1]);
	free(conf->app);
	conf->app = strdup(argv[optind]);
	return conf->app ? 0 : say(why, "out of memory");
}

static int
read_words(struct pst_conf *conf, int argc, char **argv, enum source source, char *why)
{
	struct tables tables;
	int c;

	make_tables(&tables);
	opterr = 0;
	optind = 0;
	for (;;) {
		const char *word;

		optopt = 0;
		c = getopt_long(argc, argv, tables.letters, tables.longs, NULL);
		if (c == -1)
			break;
		word = argv[optind > 0 ? optind - 1 : 0];
		if (take_option(conf, c, word, source, why) < 0)
			return -1;
	}
	return take_app(conf, argc, argv, source, why);
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
		return say(why, "PENSTOCK_CMD_ARGS cannot be read: %s", reason);
	result = read_words(conf, words.count, words.word, FROM_CMD_ARGS, why);
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
	if (set_defaults(conf, why) < 0 || set_port(conf, why) < 0 ||
	    set_workers(conf, why) < 0 || read_cmd_args(conf, argv[0], why) < 0 ||
	    read_words(conf, argc, argv, FROM_COMMAND_LINE, why) < 0)
		return PST_CONF_ERROR;
	if (pst_conf_text(conf, PST_OPT_HELP))
		return PST_CONF_HELP;
	if (pst_conf_text(conf, PST_OPT_VERSION))
		return PST_CONF_VERSION;
	if (!conf->app || !*conf->app) {
		say(why, "no application was named: say MODULE:CALLABLE, for example "
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
