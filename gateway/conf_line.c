#include "gateway/conf_internal.h"
#include "gateway/nearest.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

/* What getopt_long() returns for an option without a letter, and for those not there yet. */
#define LONG_BASE    1000
#define MISSING_BASE 2000

#define MISSING_MAX 128
struct tables {
	struct option longs[2 * PST_OPT_LINE_COUNT + MISSING_MAX + 1];
	char letters[3 * (PST_OPT_LINE_COUNT + MISSING_MAX)];
};

static void
add_long(struct tables *tables, size_t *n, const char *name, int has_arg, int val)
{
	assert(*n + 1 < sizeof(tables->longs) / sizeof(tables->longs[0]));
	tables->longs[(*n)++] = (struct option){name, has_arg, NULL, val};
}

/* What is refused anyway is recognised in any form. */
static int
missing_argument(const struct pst_option_missing *missing)
{
	if (!missing->why)
		return optional_argument;
	return missing->has_value ? required_argument : no_argument;
}

/* The table once more, as getopt_long() wants it. */
static void
make_tables(struct tables *tables)
{
	char *letter = tables->letters;
	size_t n = 0;

	memset(tables, 0, sizeof(*tables));
	*letter++ = ':';
	for (int id = 0; id < PST_OPT_LINE_COUNT; id++) {
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
		add_long(tables, &n, pst_options_missing[i].name,
		    missing_argument(&pst_options_missing[i]), MISSING_BASE + (int)i);
		if (pst_options_missing[i].letter)
			*letter++ = pst_options_missing[i].letter;
	}
}

static int
option_of_letter(int letter)
{
	for (int id = 0; id < PST_OPT_LINE_COUNT; id++)
		if (pst_options[id].letter == letter)
			return id;
	return -1;
}

/* What getopt_long() returned is one of gunicorn's options; NULL: it is one of ours. */
static const struct pst_option_missing *
find_missing(int c)
{
	if (c >= MISSING_BASE)
		return &pst_options_missing[c - MISSING_BASE];
	for (size_t i = 0; c < LONG_BASE && i < pst_options_missing_count; i++)
		if (pst_options_missing[i].letter == c)
			return &pst_options_missing[i];
	return NULL;
}

/* False: it is not there at all. */
static bool
say_missing(
    struct pst_conf *conf, const struct pst_option_missing *missing, enum pst_conf_source source)
{
	if (missing->why)
		pst_conf_warn(conf, "%s--%s has no effect: %s", pst_conf_source_name(source),
		    missing->name, missing->why);
	else
		pst_conf_mistake(conf,
		    "%s--%s is not there yet: gunicorn has this option, this version of Penstock "
		    "does not",
		    pst_conf_source_name(source), missing->name);
	return missing->why;
}

/* What people know from uvicorn, and what it is here. */
static const struct {
	const char *name, *here;
} known_elsewhere[] = {
    {"app-dir", "--chdir DIR"},
    {"host", "-b HOST:PORT"},
    {"limit-max-requests", "--max-requests N"},
    {"no-proxy-headers", "--forwarded-allow-ips ''"},
    {"port", "-b HOST:PORT"},
    {"timeout-graceful-shutdown", "--graceful-timeout SECONDS"},
    {"timeout-keep-alive", "--keep-alive SECONDS"},
    {"uds", "-b unix:PATH"},
};

/* Say what option NAME of another server is here; false: it is not known. */
static bool
say_elsewhere(struct pst_conf *conf, const char *name, enum pst_conf_source source)
{
	for (size_t i = 0; i < sizeof(known_elsewhere) / sizeof(known_elsewhere[0]); i++) {
		if (strcmp(known_elsewhere[i].name, name) != 0)
			continue;
		pst_conf_mistake(conf, "%s--%s is no option: type %s", pst_conf_source_name(source),
		    name, known_elsewhere[i].here);
		return true;
	}
	return false;
}

/* WORD begins with "--" and getopt_long() found no such option, or several. */
static void
say_unknown_long(struct pst_conf *conf, const char *word, enum pst_conf_source source)
{
	struct pst_nearest search;
	char name[PST_NEAREST_NAME + 1];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	if (say_elsewhere(conf, name, source))
		return;
	pst_nearest_begin(&search, name);
	for (int id = 0; id < PST_OPT_LINE_COUNT; id++)
		pst_nearest_offer(&search, pst_options[id].name);
	for (size_t i = 0; i < pst_options_missing_count; i++)
		pst_nearest_offer(&search, pst_options_missing[i].name);
	if (search.name)
		pst_conf_mistake(conf, "%s--%s is no option; did you mean --%s?",
		    pst_conf_source_name(source), name, search.name);
	else
		pst_conf_mistake(conf, "%s--%s is no option; penstock --help lists them",
		    pst_conf_source_name(source), name);
}

static void
say_bad_option(struct pst_conf *conf, const char *word, enum pst_conf_source source)
{
	int id = optopt - LONG_BASE;

	if (optopt >= LONG_BASE)
		pst_conf_mistake(conf, "%s--%s takes no value", pst_conf_source_name(source),
		    id < PST_OPT_LINE_COUNT ? pst_options[id].name
					    : pst_options_missing[optopt - MISSING_BASE].name);
	else if (optopt == 0)
		say_unknown_long(conf, word, source);
	else
		pst_conf_mistake(conf, "%s-%c is no option; penstock --help lists them",
		    pst_conf_source_name(source), optopt);
}

static void
say_no_value(struct pst_conf *conf, enum pst_conf_source source)
{
	int id = optopt >= LONG_BASE ? optopt - LONG_BASE : option_of_letter(optopt);

	if (optopt >= MISSING_BASE) {
		pst_conf_mistake(conf, "%s--%s wants a value", pst_conf_source_name(source),
		    pst_options_missing[optopt - MISSING_BASE].name);
		return;
	}
	assert(id >= 0 && id < PST_OPT_LINE_COUNT);
	pst_conf_mistake(conf, "%s--%s wants a value, as in --%s %s", pst_conf_source_name(source),
	    pst_options[id].name, pst_options[id].name, pst_options[id].argument);
}

/* C is what getopt_long() returned, WORD the word that it looked at. False if it is no option. */
static bool
take_option(struct pst_conf *conf, int c, const char *word, enum pst_conf_source source)
{
	const struct pst_option_missing *missing;
	char why[PST_CONF_WHY];
	int id;

	if (c == '?') {
		say_bad_option(conf, word, source);
		return false;
	}
	if (c == ':') {
		say_no_value(conf, source);
		return false;
	}
	missing = find_missing(c);
	if (missing)
		return say_missing(conf, missing, source);
	id = c >= LONG_BASE ? c - LONG_BASE : option_of_letter(c);
	assert(id >= 0 && id < PST_OPT_LINE_COUNT);
	if (pst_conf_set(conf, (enum pst_option_id)id, optarg ? optarg : "1", source, why) < 0)
		pst_conf_mistake(
		    conf, "%s--%s %s", pst_conf_source_name(source), pst_options[id].name, why);
	return true;
}

static void
take_app(struct pst_conf *conf, int argc, char **argv, enum pst_conf_source source)
{
	char why[PST_CONF_WHY];

	if (optind >= argc || !*argv[optind])
		return;
	if (argc - optind > 1)
		pst_conf_mistake(conf,
		    "%sone application is served, but after '%.100s' there is '%.100s'",
		    pst_conf_source_name(source), argv[optind], argv[optind + 1]);
	else if (pst_conf_set(conf, PST_OPT_APP, argv[optind], source, why) < 0)
		pst_conf_mistake(conf, "%sthe application %s", pst_conf_source_name(source), why);
}

void
pst_conf_read_line(struct pst_conf *conf, int argc, char **argv, enum pst_conf_source source)
{
	struct tables tables;
	int c;

	make_tables(&tables);
	opterr = 0;
	optind = 0;
	for (;;) {
		optopt = 0;
		c = getopt_long(argc, argv, tables.letters, tables.longs, NULL);
		if (c == -1)
			break;
		if (!take_option(conf, c, argv[optind > 0 ? optind - 1 : 0], source))
			return;
	}
	take_app(conf, argc, argv, source);
}
