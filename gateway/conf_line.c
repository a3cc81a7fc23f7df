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
		add_long(tables, &n, pst_options_missing[i].name, optional_argument,
		    MISSING_BASE + (int)i);
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

static const char *
missing_of_letter(int letter)
{
	for (size_t i = 0; i < pst_options_missing_count; i++)
		if (pst_options_missing[i].letter == letter)
			return pst_options_missing[i].name;
	return NULL;
}

static int
say_missing(char *why, const char *name, enum pst_conf_source source)
{
	return pst_conf_say(why,
	    "%s--%s is not there yet: gunicorn has this option, this version of Penstock does not",
	    pst_conf_source_name(source), name);
}

/* WORD begins with "--" and getopt_long() found no such option, or several. */
static int
say_unknown_long(char *why, const char *word, enum pst_conf_source source)
{
	struct pst_nearest search;
	char name[PST_NEAREST_NAME + 1];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	pst_nearest_begin(&search, name);
	for (int id = 0; id < PST_OPT_LINE_COUNT; id++)
		pst_nearest_offer(&search, pst_options[id].name);
	for (size_t i = 0; i < pst_options_missing_count; i++)
		pst_nearest_offer(&search, pst_options_missing[i].name);
	if (search.name)
		return pst_conf_say(why, "%s--%s is no option; did you mean --%s?",
		    pst_conf_source_name(source), name, search.name);
	return pst_conf_say(why, "%s--%s is no option; penstock --help lists them",
	    pst_conf_source_name(source), name);
}

static int
say_bad_option(char *why, const char *word, enum pst_conf_source source)
{
	int id = optopt - LONG_BASE;

	if (optopt >= LONG_BASE && id < PST_OPT_LINE_COUNT)
		return pst_conf_say(why, "%s--%s takes no value", pst_conf_source_name(source),
		    pst_options[id].name);
	if (optopt == 0)
		return say_unknown_long(why, word, source);
	return pst_conf_say(why, "%s-%c is no option; penstock --help lists them",
	    pst_conf_source_name(source), optopt);
}

static int
say_no_value(char *why, enum pst_conf_source source)
{
	int id = optopt >= LONG_BASE ? optopt - LONG_BASE : option_of_letter(optopt);

	assert(id >= 0 && id < PST_OPT_LINE_COUNT);
	return pst_conf_say(why, "%s--%s wants a value, as in --%s %s",
	    pst_conf_source_name(source), pst_options[id].name, pst_options[id].name,
	    pst_options[id].argument);
}

/* C is what getopt_long() returned, WORD the word that it looked at. */
static int
take_option(struct pst_conf *conf, int c, const char *word, enum pst_conf_source source, char *why)
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
	assert(id >= 0 && id < PST_OPT_LINE_COUNT);
	return pst_conf_set(conf, (enum pst_option_id)id, optarg ? optarg : "1", source, why);
}

static int
take_app(struct pst_conf *conf, int argc, char **argv, enum pst_conf_source source, char *why)
{
	if (optind >= argc)
		return 0;
	if (argc - optind > 1)
		return pst_conf_say(why,
		    "%sone application is served, but after '%.100s' there is '%.100s'",
		    pst_conf_source_name(source), argv[optind], argv[optind + 1]);
	return pst_conf_set(conf, PST_OPT_APP, argv[optind], source, why);
}

int
pst_conf_read_line(struct pst_conf *conf, int argc, char **argv, enum pst_conf_source source,
    char why[PST_CONF_WHY])
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
