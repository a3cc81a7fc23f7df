/*
 * What the command line, the environment and the configuration file asked for. One table
 * (conf_table.c) holds every option: its names, default, check, help, where it may stand and where
 * its value goes.
 *
 * Values are kept as text and checked when they are set, so the typed getters below cannot fail.
 * Later sources replace earlier ones: default, then its own variable (PORT, WEB_CONCURRENCY,
 * FORWARDED_ALLOW_IPS), then the file, then PENSTOCK_CMD_ARGS, then the command line.
 *
 * A pool's settings are a struct pst_conf, too, and every getter takes one: it inherits what
 * stands at the top unless the pool's own part of the file says something else. So what the
 * command line says replaces what stands at the top of the file and nothing that a pool says for
 * itself. A pool's variables (PST_OPT_ENV) are the top's followed by its own. Its directory
 * (PST_OPT_CHDIR) is its own only, and relative to the top's.
 */
#ifndef PST_GATEWAY_CONF_H
#define PST_GATEWAY_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PST_CONF_WHY 512

/* What --gateways, --workers, --threads and --worker-connections may be at most. */
#define PST_GATEWAYS_MOST 16
#define PST_WORKERS_MOST  1024
#define PST_THREADS_MOST  1024
#define PST_CAPACITY_MOST 65535 /* ids of requests have 16 bits */

enum pst_option_id {
	PST_OPT_CONFIG,
	PST_OPT_CHECK_CONFIG,
	PST_OPT_PRINT_CONFIG,
	PST_OPT_BIND,
	PST_OPT_BACKLOG,
	PST_OPT_WORKERS,
	PST_OPT_WORKER_CLASS,
	PST_OPT_THREADS,
	PST_OPT_WORKER_CONNECTIONS,
	PST_OPT_LOOP,
	PST_OPT_LIFESPAN,
	PST_OPT_FACTORY,
	PST_OPT_TIMEOUT,
	PST_OPT_REQUEST_TIMEOUT,
	PST_OPT_QUEUE_LIMIT,
	PST_OPT_QUEUE_TIMEOUT,
	PST_OPT_RETRY,
	PST_OPT_GRACEFUL_TIMEOUT,
	PST_OPT_DRAIN_DELAY,
	PST_OPT_MAX_REQUESTS,
	PST_OPT_MAX_REQUESTS_JITTER,
	PST_OPT_MAX_LIFETIME,
	PST_OPT_MAX_MEMORY,
	PST_OPT_KEEP_ALIVE,
	PST_OPT_CLIENT_HEADER_TIMEOUT,
	PST_OPT_CLIENT_BODY_TIMEOUT,
	PST_OPT_SEND_TIMEOUT,
	PST_OPT_MIN_RATE,
	PST_OPT_HEALTH_PATH,
	PST_OPT_WEBSOCKET_MAX_MESSAGE_SIZE,
	PST_OPT_WEBSOCKET_PING_INTERVAL,
	PST_OPT_WEBSOCKET_DEFLATE,
	PST_OPT_SPOOL_DIR,
	PST_OPT_SPOOL_SIZE,
	PST_OPT_LIMIT_REQUEST_LINE,
	PST_OPT_LIMIT_REQUEST_FIELDS,
	PST_OPT_LIMIT_REQUEST_FIELD_SIZE,
	PST_OPT_LIMIT_REQUEST_BODY,
	PST_OPT_HEADER_MAP,
	PST_OPT_FORWARDED_ALLOW_IPS,
	PST_OPT_ROOT_PATH,
	PST_OPT_CHDIR,
	PST_OPT_PYTHONPATH,
	PST_OPT_PYTHON,
	PST_OPT_X_SENDFILE,
	PST_OPT_RELOAD,
	PST_OPT_RELOAD_EXTRA_FILE,
	PST_OPT_ENV,
	PST_OPT_USER,
	PST_OPT_GROUP,
	PST_OPT_INITGROUPS,
	PST_OPT_UMASK,
	PST_OPT_PID,
	PST_OPT_NAME,
	PST_OPT_DAEMON,
	PST_OPT_GATEWAYS,
	PST_OPT_GATEWAY_TIMEOUT,
	PST_OPT_CONTROL_SOCKET,
	PST_OPT_NO_CONTROL_SOCKET,
	PST_OPT_ACCESS_LOGFILE,
	PST_OPT_ACCESS_LOGFORMAT,
	PST_OPT_ERROR_LOGFILE,
	PST_OPT_LOG_LEVEL,
	PST_OPT_HELP,
	PST_OPT_VERSION,
	/* From here on: keys of the file, no options of the command line. */
	PST_OPT_APP, /* but it is the command line's argument */
	PST_OPT_COMMAND,
	PST_OPT_FASTCGI,
	PST_OPT_CONNECTIONS,
	PST_OPT_KEEP_CONN,
	PST_OPT_ROOT,
	PST_OPT_INDEX,
	PST_OPT_SCRIPT_SUFFIX,
	PST_OPT_COUNT,
	PST_OPT_LINE_COUNT = PST_OPT_APP
};

enum pst_option_kind {
	PST_KIND_VALUE, /* the last one counts */
	PST_KIND_SIZE, /* so, too: bytes; K, M and G are multiplied out when it is set */
	PST_KIND_LIST, /* each one counts */
	PST_KIND_PATHS, /* a list that commas part, too */
	PST_KIND_FLAG, /* takes no value; "1" once it was given */
};

enum pst_option_to {
	PST_TO_ARBITER,
	PST_TO_GATEWAY, /* as SET name value; the arbiter may read it, too */
	PST_TO_WORKER, /* as --name value */
	PST_TO_PLUGIN, /* as --option name=value */
};

enum pst_option_scope {
	PST_SCOPE_LINE, /* the command line only */
	PST_SCOPE_TOP, /* and the top of a file */
	PST_SCOPE_POOL, /* and a pool */
};

struct pst_option {
	const char *name;
	const char *alias; /* a second long name, or NULL */
	char letter; /* or 0 */
	enum pst_option_kind kind;
	enum pst_option_to to;
	enum pst_option_scope scope;
	const char *argument; /* how help calls the value; NULL for a flag */
	const char *standard; /* the default, or NULL for none */
	const char *help; /* or NULL: help tells the name and the default only */
	/* 0, or -1 with the rest of a sentence that begins with the option in WHY. */
	int (*check)(const char *value, char why[PST_CONF_WHY]);
};

extern const struct pst_option pst_options[PST_OPT_COUNT];

/*
 * gunicorn's other options, known by name. Those with a reason have no effect on a command line but
 * a warning that tells it; all others are errors that say they are not there yet.
 */
struct pst_option_missing {
	const char *name;
	char letter; /* or 0 */
	const char *why; /* it is not needed; or NULL */
	bool has_value; /* where there is a WHY */
};
extern const struct pst_option_missing pst_options_missing[];
extern const size_t pst_options_missing_count;

struct pst_conf;

enum pst_conf_wish {
	PST_CONF_ERROR = -1,
	PST_CONF_RUN,
	PST_CONF_CHECK, /* --check-config, and nothing wrong was found so far */
	PST_CONF_PRINT, /* --print-config */
	PST_CONF_HELP,
	PST_CONF_VERSION,
};

enum pst_conf_pool_kind {
	PST_POOL_APP, /* our adapter, with pst_conf_app() */
	PST_POOL_PROGRAM, /* PST_OPT_COMMAND in each slot, a FastCGI program */
	PST_POOL_REMOTE, /* the server at PST_OPT_FASTCGI; nothing is spawned */
};

/* Requests that go to a pool. Of those that match, the longest host counts, then the longest path.
 */
struct pst_conf_route {
	const char *host; /* "" any; "example.org"; "*.example.org" */
	const char *path; /* begins with "/" */
	const char *pool;
	bool mount; /* PATH becomes the SCRIPT_NAME */
};

/* An empty configuration; NULL when memory is short. */
struct pst_conf *pst_conf_new(void);
void pst_conf_free(struct pst_conf *conf);

/*
 * Read the defaults, the environment, ARGV and the file that it names into CONF, which is new.
 * PST_CONF_ERROR comes with one mistake or more, as below. ARGV is left as it is and may be read
 * again; so may the file, whose name is taken from the directory that was the current one when this
 * was called first.
 */
enum pst_conf_wish pst_conf_read(struct pst_conf *conf, int argc, char *const *argv);

/* What is wrong, and what may be: whole sentences without a newline. */
size_t pst_conf_mistake_count(const struct pst_conf *conf);
const char *pst_conf_mistake_text(const struct pst_conf *conf, size_t i);
size_t pst_conf_warning_count(const struct pst_conf *conf);
const char *pst_conf_warning_text(const struct pst_conf *conf, size_t i);

/*
 * See whether what the settings name is there: directories, programs, users, addresses. What is
 * not there is a mistake. Nothing is made or changed.
 */
void pst_conf_probe(struct pst_conf *conf);

/* The pools, at least one after PST_CONF_RUN; they belong to CONF. */
size_t pst_conf_pool_count(const struct pst_conf *conf);
const struct pst_conf *pst_conf_pool(const struct pst_conf *conf, size_t i);
/* Its name: "default" if nobody named it. */
const char *pst_conf_pool_name(const struct pst_conf *pool);
enum pst_conf_pool_kind pst_conf_pool_kind(const struct pst_conf *pool);
/* The pools have names; otherwise there is one. */
bool pst_conf_has_named_pools(const struct pst_conf *conf);

/* The routes; with none, everything goes to the only pool. They belong to CONF. */
size_t pst_conf_route_count(const struct pst_conf *conf);
/* The place of the first route with just this host and path; their count: there is none. */
size_t pst_conf_find_route(const struct pst_conf *conf, const char *host, const char *path);
const struct pst_conf_route *pst_conf_route(const struct pst_conf *conf, size_t i);

/* A and B, both at the top or both pools, have the same values of ID. */
bool pst_conf_same(const struct pst_conf *a, const struct pst_conf *b, enum pst_option_id id);

/* The application as it was named; NULL if there is none: in a pool of another kind, and at the top
 * of a configuration with named pools. */
const char *pst_conf_app(const struct pst_conf *conf);

/* What process titles call it: --name, or else what CONF serves. */
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

/* What --print-config prints: a file with the same settings, and where each came from. */
void pst_conf_print(const struct pst_conf *conf, FILE *out);

/* What --help and --version print. */
void pst_conf_print_help(FILE *out);
void pst_conf_print_version(FILE *out);

#endif
