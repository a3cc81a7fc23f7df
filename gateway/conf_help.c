#include "gateway/conf.h"

#include <event2/event.h>
#include <string.h>
#include <yaml.h>

#define HELP_COLUMN 36

#define HELP_WIDTH 80

static void
print_option(FILE *out, const struct pst_option *option)
{
	char letter[8] = "   ", left[64];

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c,", option->letter);
	snprintf(left, sizeof(left), "%s --%s %s", letter, option->name,
	    option->argument ? option->argument : "");
	fprintf(out, "%-*s %s", HELP_COLUMN - 1, left, option->help);
	if (option->standard && *option->standard && strlen(option->standard) < 16)
		fprintf(out, " [%s]", option->standard);
	fputc('\n', out);
}

/* The option and its default, behind COLUMN columns of a line or on the next; the column after it.
 */
static int
print_briefly(FILE *out, const struct pst_option *option, int column)
{
	char letter[8] = "", text[64];
	int length;

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	if (option->standard && strlen(option->standard) < 16)
		length = snprintf(
		    text, sizeof(text), "%s--%s=%s", letter, option->name, option->standard);
	else
		length = snprintf(text, sizeof(text), "%s--%s%s%s", letter, option->name,
		    option->argument ? " " : "", option->argument ? option->argument : "");
	if (column > 0 && column + 2 + length > HELP_WIDTH) {
		fputc('\n', out);
		column = 0;
	}
	fprintf(out, "  %s", text);
	return column + 2 + length;
}

void
pst_conf_print_help(FILE *out)
{
	int column = 0;

	fputs("usage: penstock [OPTION]... APP, or penstock [OPTION]... -c FILE\n"
	      "       penstock ctl COMMAND, penstock import-gunicorn [FILE.py]\n"
	      "Serve APP, a Python application (MODULE:CALLABLE) or a plugin (./FILE.so).\n"
	      "\n",
	    out);
	for (int id = 0; id < PST_OPT_LINE_COUNT; id++)
		if (pst_options[id].help)
			print_option(out, &pst_options[id]);
	fputs("Less often, with defaults; penstock(8) tells what they do:\n", out);
	for (int id = 0; id < PST_OPT_LINE_COUNT; id++)
		if (!pst_options[id].help)
			column = print_briefly(out, &pst_options[id], column);
	fputs("\n\n"
	      "PENSTOCK_CMD_ARGS holds options, too; the command line overrides them.\n"
	      "WEB_CONCURRENCY, PORT and FORWARDED_ALLOW_IPS are defaults; see penstock(8).\n"
	      "Signals: TERM ends gracefully, INT and QUIT at once; HUP loads all anew.\n"
	      "Exit status: 0; 1 listener, plugin, runtime; 2 usage; 3 APP did not load.\n"
	      "  penstock -b 127.0.0.1:8000 -w 4 --access-logfile - shop.wsgi:application\n",
	    out);
}

void
pst_conf_print_version(FILE *out)
{
	fprintf(out, "penstock %s\n", PACKAGE_VERSION);
	fprintf(out, "libevent:   %s\n", event_get_version());
	fprintf(out, "libyaml:    %s\n", yaml_get_version_string());
#ifdef PST_PYTHON_VERSION
	fprintf(out, "Python:     %s (%s)\n", PST_PYTHON_VERSION, PST_PYTHON_EXECUTABLE);
#else
	fprintf(out, "Python:     no\n");
#endif
#ifdef __clang__
	fprintf(out, "compiler:   %s\n", __VERSION__);
#else
	fprintf(out, "compiler:   gcc %s\n", __VERSION__);
#endif
	fprintf(out, "CFLAGS:     %s\n", PST_BUILD_CFLAGS);
	fprintf(out, "options:    %s\n", PST_BUILD_OPTIONS);
	fprintf(out, "programs:   %s\n", PST_LIBEXECDIR);
	fprintf(out, "plugins:    %s\n", PST_PLUGINDIR);
}
