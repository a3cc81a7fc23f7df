/*
 * The command line of an adapter:
 *
 *	sync [--worker-id 3.17] [--pythonpath DIR]... [--python FILE] [--option NAME=VALUE]...
 *	    [--graceful-timeout SECONDS] APP
 *	threaded [--threads N] ...
 *	async [--capacity N] ...
 */
#ifndef PST_ADAPTERS_OPTIONS_H
#define PST_ADAPTERS_OPTIONS_H

#include <penstock/plugin.h>

#include <stddef.h>

/* The most of each. */
#define PST_OPTIONS_THREADS  1024
#define PST_OPTIONS_CAPACITY 65535

/* What pst_options_parse() found; the strings are argv's, or memory of its own. */
struct pst_options {
	enum pst_model model;
	const char *app;
	const char *worker_id; /* NULL: not started by the arbiter */
	const char *python; /* NULL: not given */
	unsigned graceful_timeout; /* seconds: what a request gets once the arbiter is gone */
	unsigned threads; /* threaded: 1 to PST_OPTIONS_THREADS */
	unsigned capacity; /* async: requests at a time, 1 to PST_OPTIONS_CAPACITY */
	struct pst_option *plugin; /* what the plugin is given: --pythonpath, --python, --option */
	size_t plugin_count;
};

/* What a command line asks for. */
enum pst_options_action {
	PST_OPTIONS_SERVE,
	PST_OPTIONS_DONE, /* --help or --version was printed: exit 0 */
	PST_OPTIONS_USAGE, /* it is wrong, the reason was logged: exit 2 */
};

/* MODEL is the adapter's, which decides what it knows. ARGV is reordered as getopt_long() does. */
enum pst_options_action pst_options_parse(
    struct pst_options *options, enum pst_model model, int argc, char **argv);
void pst_options_free(struct pst_options *options);

#endif
