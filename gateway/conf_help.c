#include "gateway/conf.h"

#include <event2/event.h>
#include <string.h>

#define HELP_COLUMN 36

static void
print_option(FILE *out, const struct pst_option *option)
{
	char letter[8] = "   ", left[64];

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c,", option->letter);
	snprintf(left, sizeof(left), "%s --%s %s", letter, option->name,
	    option->argument ? option->argument : "");
	fprintf(out, "%-*s %s", HELP_COLUMN - 1, left, option->help);
	if (option->standard && strlen(option->standard) < 16)
		fprintf(out, " [%s]", option->standard);
	fputc('\n', out);
}

void
pst_conf_print_help(FILE *out)
{
	fputs("usage: penstock [OPTION]... APP\n"
	      "\n"
	      "Serve APP, a Python application (MODULE:CALLABLE) or a plugin (./FILE.so),\n"
	      "over HTTP.\n"
	      "\n",
	    out);
	for (int id = 0; id < PST_OPT_COUNT; id++)
		print_option(out, &pst_options[id]);
	fputs("\n"
	      "PENSTOCK_CMD_ARGS holds options, too; the command line overrides them.\n"
	      "WEB_CONCURRENCY, PORT and FORWARDED_ALLOW_IPS are defaults; see penstock(8).\n"
	      "Signals: TERM ends gracefully, INT and QUIT at once; HUP loads APP anew.\n"
	      "Exit status: 0; 1 listener, plugin, runtime; 2 usage; 3 APP did not load.\n"
	      "\n"
	      "  penstock -b 127.0.0.1:8000 -w 4 --access-logfile - shop.wsgi:application\n",
	    out);
}

void
pst_conf_print_version(FILE *out)
{
	fprintf(out, "penstock %s\n", PACKAGE_VERSION);
	fprintf(out, "libevent:   %s\n", event_get_version());
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
