#include "adapters/options.h"

#include "adapters/load.h"
#include "adapters/log.h"
#include "adapters/sendfile.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_HELP = 256,
	OPTION_VERSION,
	OPTION_WORKER_ID,
	OPTION_PYTHON,
	OPTION_PYTHONPATH,
	OPTION_X_SENDFILE,
	OPTION_OPTION,
	OPTION_GRACEFUL_TIMEOUT,
	OPTION_THREADS,
	OPTION_CAPACITY,
};

/* What holds when nothing is said. */
#define GRACEFUL_TIMEOUT 30
#define THREADS          8
#define CAPACITY         1000

static const struct option long_options[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"worker-id", required_argument, NULL, OPTION_WORKER_ID},
    {"python", required_argument, NULL, OPTION_PYTHON},
    {"pythonpath", required_argument, NULL, OPTION_PYTHONPATH},
    {"x-sendfile", required_argument, NULL, OPTION_X_SENDFILE},
    {"option", required_argument, NULL, OPTION_OPTION},
    {"graceful-timeout", required_argument, NULL, OPTION_GRACEFUL_TIMEOUT},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"capacity", required_argument, NULL, OPTION_CAPACITY},
    {NULL, 0, NULL, 0},
};

static const char *
model_help(enum pst_model model)
{
	switch (model) {
	case PST_MODEL_THREADED:
		return "  --threads N          requests at a time, a thread for each (8)\n";
	case PST_MODEL_ASYNC: return "  --capacity N         requests at a time (1000)\n";
	default: return "";
	}
}

static void
print_help(enum pst_model model)
{
	const char *program = pst_load_model_name(model);

	printf(
	    "usage: %s [OPTION]... APP\n"
	    "Serve an application to a FastCGI client on the listening socket that is fd 0.\n"
	    "\n"
	    "APP is MODULE[:CALLABLE] for the Python plugin. With a / in it, or .so at its end,\n"
	    "it is a plugin itself.\n"
	    "\n"
	    "%s"
	    "  --python FILE        the Python interpreter whose packages are used\n"
	    "  --pythonpath DIR     search DIR for modules; may be repeated\n"
	    "  --x-sendfile DIR     X-Sendfile may name files below DIR; may be repeated\n"
	    "  --option NAME=VALUE  an option of the plugin; may be repeated\n"
	    "  --graceful-timeout SECONDS\n"
	    "                       what a request gets to finish when penstock has died (%d)\n"
	    "  --worker-id ID       set by penstock: the lines on stderr are framed there\n"
	    "  --help, --version\n"
	    "\n"
	    "By hand: spawn-fcgi -n -s app.sock -- %s/%s APP\n",
	    program, model_help(model), GRACEFUL_TIMEOUT, PST_LIBEXECDIR, program);
}

static int
is_option_name(const char *text, size_t n)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-.";

	return n > 0 && strspn(text, allowed) >= n;
}

/* Keep one option for the plugin. NAME becomes the options' own. */
static int
add(struct pst_options *options, char *name, const char *value)
{
	struct pst_option *at = options->plugin + options->plugin_count;

	if (!name) {
		pst_log(PST_LOG_CRITICAL, "memory is short");
		return -1;
	}
	at->name = name;
	at->value = value;
	options->plugin_count++;
	return 0;
}

static int
add_named(struct pst_options *options, const char *text)
{
	const char *equals = strchr(text, '=');

	if (!equals || !is_option_name(text, (size_t)(equals - text))) {
		pst_log(PST_LOG_CRITICAL, "--option %s: NAME=VALUE is wanted", text);
		return -1;
	}
	return add(options, strndup(text, (size_t)(equals - text)), equals + 1);
}

/* TEXT as a number from LEAST to MOST for the option NAME. */
static int
take_number(unsigned *number, const char *name, const char *text, unsigned least, unsigned most)
{
	unsigned long value;

	errno = 0;
	value = strtoul(text, NULL, 10);
	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0' || errno != 0 ||
	    value < least || value > most) {
		pst_log(PST_LOG_CRITICAL, "--%s %s: a number from %u to %u is wanted", name, text,
		    least, most);
		return -1;
	}
	*number = (unsigned)value;
	return 0;
}

/* The option NAME is for the adapter of model WANTED only. */
static int
check_model(const struct pst_options *options, const char *name, enum pst_model wanted)
{
	if (options->model == wanted)
		return 0;
	pst_log(PST_LOG_CRITICAL, "--%s is an option of the %s adapter, and this is %s", name,
	    pst_load_model_name(wanted), pst_load_model_name(options->model));
	return -1;
}

static int
take_option(struct pst_options *options, int option, const char *value)
{
	switch (option) {
	case OPTION_WORKER_ID: options->worker_id = value; return 0;
	case OPTION_PYTHON: options->python = value; return add(options, strdup("python"), value);
	case OPTION_PYTHONPATH: return add(options, strdup("pythonpath"), value);
	case OPTION_X_SENDFILE: return pst_sendfile_allow(value);
	case OPTION_OPTION: return add_named(options, value);
	case OPTION_GRACEFUL_TIMEOUT:
		return take_number(
		    &options->graceful_timeout, "graceful-timeout", value, 0, INT_MAX);
	case OPTION_THREADS:
		if (check_model(options, "threads", PST_MODEL_THREADED) < 0)
			return -1;
		return take_number(&options->threads, "threads", value, 1, PST_OPTIONS_THREADS);
	case OPTION_CAPACITY:
		if (check_model(options, "capacity", PST_MODEL_ASYNC) < 0)
			return -1;
		return take_number(&options->capacity, "capacity", value, 1, PST_OPTIONS_CAPACITY);
	default: /* getopt_long() has said what is wrong */ return -1;
	}
}

static int
take_app(struct pst_options *options, int argc, char **argv)
{
	if (optind == argc || argv[optind][0] == '\0') {
		pst_log(PST_LOG_CRITICAL, "no APP is given, e.g. shop.wsgi:application or "
					  "./app.so; see --help");
		return -1;
	}
	if (optind + 1 < argc) {
		pst_log(PST_LOG_CRITICAL, "one APP is served, but \"%s\" follows \"%s\"",
		    argv[optind + 1], argv[optind]);
		return -1;
	}
	options->app = argv[optind];
	return 0;
}

static enum pst_options_action
parse(struct pst_options *options, int argc, char **argv)
{
	int option;

	optind = 0; /* the GNU way to begin anew, for tests */
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == OPTION_HELP) {
			print_help(options->model);
			return PST_OPTIONS_DONE;
		}
		if (option == OPTION_VERSION) {
			printf("penstock %s (plugin ABI %d.%d)\n", PACKAGE_VERSION,
			    PST_PLUGIN_MAJOR, PST_PLUGIN_MINOR);
			return PST_OPTIONS_DONE;
		}
		if (take_option(options, option, optarg) < 0)
			return PST_OPTIONS_USAGE;
	}
	return take_app(options, argc, argv) < 0 ? PST_OPTIONS_USAGE : PST_OPTIONS_SERVE;
}

enum pst_options_action
pst_options_parse(struct pst_options *options, enum pst_model model, int argc, char **argv)
{
	enum pst_options_action action;

	memset(options, 0, sizeof(*options));
	options->model = model;
	options->graceful_timeout = GRACEFUL_TIMEOUT;
	options->threads = THREADS;
	options->capacity = CAPACITY;
	options->plugin = calloc((size_t)argc + 1, sizeof(*options->plugin)); /* argc at most */
	if (!options->plugin) {
		pst_log(PST_LOG_CRITICAL, "memory is short");
		return PST_OPTIONS_USAGE;
	}
	action = parse(options, argc, argv);
	if (action != PST_OPTIONS_SERVE)
		pst_options_free(options);
	return action;
}

void
pst_options_free(struct pst_options *options)
{
	for (size_t i = 0; i < options->plugin_count; i++)
		free((char *)options->plugin[i].name);
	free(options->plugin);
	memset(options, 0, sizeof(*options));
}
