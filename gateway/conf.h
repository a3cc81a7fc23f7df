/*
 * What the command line and the environment asked for. One table (conf_table.c) holds every
 * option: its names, default, check, help, and where its value goes.
 *
 * Values are kept as the text that was given and checked when they are set, so the typed
 * getters below cannot fail. Later sources replace earlier ones: default, then its own
 * variable (PORT, WEB_CONCURRENCY, FORWARDED_ALLOW_IPS), then PENSTOCK_CMD_ARGS, then the command
 * line.
 */
#ifndef PST_GATEWAY_CONF_H
#define PST_GATEWAY_CONF_H

#include <stddef.h>
#include <stdio.h>

#define PST_CONF_WHY 512

/* What --workers may be at most. */
#define PST_WORKERS_MOST 1024

enum pst_option_id {
	PST_OPT_BIND,
	PST_OPT_BACKLOG,
	PST_OPT_WORKERS,
	PST_OPT_WORKER_CLASS,
	PST_OPT_TIMEOUT,
	PST_OPT_GRACEFUL_TIMEOUT,
	PST_OPT_MAX_REQUESTS,
	PST_OPT_MAX_REQUESTS_JITTER,
	PST_OPT_MAX_LIFETIME,
	PST_OPT_KEEP_ALIVE,
	PST_OPT_CLIENT_HEADER_TIMEOUT,
	PST_OPT_CLIENT_BODY_TIMEOUT,
	PST_OPT_SEND_TIMEOUT,
	PST_OPT_MIN_RATE,
	PST_OPT_SPOOL_DIR,
	PST_OPT_SPOOL_SIZE,
	PST_OPT_LIMIT_REQUEST_LINE,
	PST_OPT_LIMIT_REQUEST_FIELDS,
	PST_OPT_LIMIT_REQUEST_FIELD_SIZE,
	PST_OPT_LIMIT_REQUEST_BODY,
	PST_OPT_HEADER_MAP,
	PST_OPT_FORWARDED_ALLOW_IPS,
	PST_OPT_CHDIR,
	PST_OPT_PYTHONPATH,
	PST_OPT_PYTHON,
	PST_OPT_ENV,
	PST_OPT_USER,
	PST_OPT_GROUP,
	PST_OPT_INITGROUPS,
	PST_OPT_UMASK,
	PST_OPT_PID,
	PST_OPT_NAME,
	PST_OPT_ACCESS_LOGFILE,
	PST_OPT_ACCESS_LOGFORMAT,
	PST_OPT_ERROR_LOGFILE,
	PST_OPT_LOG_LEVEL,
	PST_OPT_HELP,
	PST_OPT_VERSION,
	PST_OPT_COUNT
};

enum pst_option_kind {
	PST_KIND_VALUE, /* the last one counts */
	PST_KIND_LIST, /* each one counts */
	PST_KIND_PATHS, /* a list that commas part, too */
	PST_KIND_FLAG, /* takes no value; "1" once it was given */
};

enum pst_option_to {
	PST_TO_ARBITER,
	PST_TO_GATEWAY, /* as SET name value; the arbiter may read it, too */
	PST_TO_WORKER, /* as --name value */
};

struct pst_option {
	const char *name;
	const char *alias; /* a second long name, or NULL */
	char letter; /* or 0 */
	enum pst_option_kind kind;
	enum pst_option_to to;
	const char *argument; /* how help calls the value; NULL for a flag */
	const char *standard; /* the default, or NULL for none */
	const char *help;
	/* 0, or -1 with the rest of a sentence that begins with the option in WHY. */
	int (*check)(const char *value, char why[PST_CONF_WHY]);
};

extern const struct pst_option pst_options[PST_OPT_COUNT];

/* gunicorn's other options: known by name only, each an error that says it is not there yet. */
struct pst_option_missing {
	const char *name;
	char letter; /* or 0 */
};
extern const struct pst_option_missing pst_options_missing[];
extern const size_t pst_options_missing_count;

struct pst_conf;

enum pst_conf_wish {
	PST_CONF_ERROR = -1,
	PST_CONF_RUN,
	PST_CONF_HELP,
	PST_CONF_VERSION,
};

/* An empty configuration; NULL when memory is short. */
struct pst_conf *pst_conf_new(void);
void pst_conf_free(struct pst_conf *conf);

/*
 * Read the defaults, the environment and ARGV (whose order is changed). PST_CONF_ERROR comes with
 * one whole sentence in WHY, without a newline. The strings of ARGV must outlive CONF.
 */
enum pst_conf_wish pst_conf_read(
    struct pst_conf *conf, int argc, char **argv, char why[PST_CONF_WHY]);

/* The application as it was named; never NULL after PST_CONF_RUN. */
const char *pst_conf_app(const struct pst_conf *conf);

/* What process titles call it: --name, or else the application. */
const char *pst_conf_title(const struct pst_conf *conf);

/* How many values ID has: 0 or 1 unless it is a list. */
size_t pst_conf_count(const struct pst_conf *conf, enum pst_option_id id);
/* Value I of ID, which is below the count. */
const char *pst_conf_item(const struct pst_conf *conf, enum pst_option_id id, size_t i);
/* The value of ID, or NULL when there is none. */
const char *pst_conf_text(const struct pst_conf *conf, enum pst_option_id id);
/* The same for an option that is a number; its value is there. */
unsigned long pst_conf_number(const struct pst_conf *conf, enum pst_option_id id);

/* --umask as a number. */
unsigned pst_conf_umask(const struct pst_conf *conf);

/* Set the name of option ID as control lines know it ('_' for '-') into NAME of SIZE bytes. */
void pst_option_key(enum pst_option_id id, char *name, size_t size);

/* What --help and --version print. */
void pst_conf_print_help(FILE *out);
void pst_conf_print_version(FILE *out);

#endif
