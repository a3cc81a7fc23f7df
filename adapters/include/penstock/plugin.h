/*
 * The Penstock plugin ABI: the only header that a plugin includes.
 *
 * A plugin is one shared object that hosts applications of some kind inside an adapter process.
 * It exports one function, `penstock_plugin`, that returns a constant description of the plugin;
 * everything it needs of the adapter (the host) comes in a table of functions, so it is linked
 * without any undefined symbol of ours. docs/plugin.md is the guide.
 *
 * Version: MAJOR 0 is refused unless MAJOR and MINOR are equal, until the ABI is declared stable.
 * From then on a plugin loads into a host of the same MAJOR and the same or a later MINOR. Every
 * table begins with its size: entries beyond the size that the other side knew do not exist.
 *
 * Threads: one thread owns a request at a time, and calls the host for it. Host functions that
 * may block say so: call them without any lock of your runtime held.
 *
 * Strings that the host gives are NUL-terminated, whatever their length says; the length counts
 * no NUL. Bytes in names and values are as they came from the client: any byte but NUL, no
 * encoding promised.
 */
#ifndef PENSTOCK_PLUGIN_H
#define PENSTOCK_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PST_PLUGIN_MAGIC 0x4e545350u /* "PSTN" */
#define PST_PLUGIN_MAJOR 0
#define PST_PLUGIN_MINOR 1

/* The models of adapter; `models` of a plugin has the bits 1 << model that it supports. */
enum pst_model {
	PST_MODEL_SYNC = 0, /* one request at a time, on the main thread */
	PST_MODEL_THREADED = 1, /* many at a time, a thread each */
	PST_MODEL_ASYNC = 2, /* many at a time on one event loop */
};

enum pst_log_level {
	PST_LOG_DEBUG = 0,
	PST_LOG_INFO = 1,
	PST_LOG_WARNING = 2,
	PST_LOG_ERROR = 3,
	PST_LOG_CRITICAL = 4,
};

/* What host functions for requests return when they do not return a count. */
enum pst_result {
	PST_RESULT_OK = 0,
	PST_RESULT_GONE = -1, /* the client does not want the answer any more, or is lost */
	PST_RESULT_INVALID =
	    -2, /* the arguments are wrong (a CR in a field ...); nothing was done */
	PST_RESULT_STATE = -3, /* out of order: a second head, a body before the head ... */
	PST_RESULT_ERROR = -4, /* the host failed (memory, a file that cannot be read ...) */
};

struct pst_request; /* the host's; valid until handle() returns */

/* A name and its value: a parameter of the request, or a field of a response. */
struct pst_field {
	const char *name;
	size_t name_len;
	const char *value;
	size_t value_len;
};

/* An option of the command line that the host does not interpret, e.g. {"pythonpath", "lib"}. */
struct pst_option {
	const char *name;
	const char *value;
};

/* What open() is given; valid during that call. */
struct pst_app_config {
	size_t size;
	const char *app; /* as on the command line: "shop.wsgi:application", or "./app.so" */
	enum pst_model model;
	unsigned concurrency; /* requests at a time: 1 for sync */
	const struct pst_option *options;
	size_t option_count;
};

/* The host's functions. The table lives as long as the process. */
struct pst_host {
	size_t size;

	/* Write a line to the error log. Any thread. TEXT may hold line breaks: each line is
	 * framed. */
	void (*log)(enum pst_log_level level, const char *text, size_t len);

	/*
	 * The parameters of the request (RFC 3875 and nginx's names: REQUEST_METHOD, HTTP_HOST
	 * ...), in the order in which they came; *COUNT receives how many. Valid until handle()
	 * returns.
	 */
	const struct pst_field *(*params)(struct pst_request *request, size_t *count);

	/*
	 * Read up to N bytes of the body: a count, 0 at its end (and for N of 0), or
	 * PST_RESULT_GONE when the body broke off. May block. What is not read is discarded after
	 * the response.
	 */
	ssize_t (*read)(struct pst_request *request, void *bytes, size_t n);

	/*
	 * The head of the response: STATUS 200 to 599 (or 100 to 199 except 101: an interim
	 * response, after which another head follows; clients that do not know those, like nginx's
	 * fastcgi_pass, are not sent them), REASON (NULL: the usual phrase), COUNT fields in order,
	 * duplicates kept. The host checks every byte (RFC 9110, 5.1 and 5.5): what cannot be sent
	 * safely is PST_RESULT_INVALID, and so are hop-by-hop fields (Connection, Transfer-Encoding
	 * ...), because the gateway frames the response, and `Status`, which CGI gives a meaning.
	 * Nothing is sent yet. Does not block.
	 */
	int (*respond)(struct pst_request *request, int status, const char *reason,
	    const struct pst_field *fields, size_t count);

	/* Add N bytes of body. They are sent when enough have gathered, at flush(), or at the end.
	 * May block while the client's side is behind. */
	int (*write)(struct pst_request *request, const void *bytes, size_t n);

	/* Send what was written so far, the head included. May block. */
	int (*flush)(struct pst_request *request);

	/*
	 * Add LENGTH bytes of the regular file FD from OFFSET as body; the file's own position is
	 * neither used nor changed. Most of it goes to the client without being copied. A file that
	 * ends early, or cannot be read, is PST_RESULT_ERROR: when that came about while it was
	 * sent, the client may have got zeros in its place, and the response is broken off whatever
	 * handle() returns. May block.
	 */
	int (*send_file)(struct pst_request *request, int fd, off_t offset, size_t length);

	/* Add text to the request's error stream (wsgi.errors): it is logged with the request,
	 * whose method and path the text need not say. */
	int (*error)(struct pst_request *request, const char *text, size_t len);

	/*
	 * Why the last call for this request returned a negative result, in words fit for an
	 * exception or a log line: "field 2, X-Next: byte 0x0a in the value". Never NULL; valid
	 * until the next call for the request.
	 */
	const char *(*reason)(struct pst_request *request);
};

/* The life of an application; one table for each plugin. NULL entries are not called. */
struct pst_plugin_lifecycle {
	size_t size;

	/*
	 * Load the application: 0 and *APP (passed to every other function), or -1 after the reason
	 * was logged. Called once, on the main thread. SIGTERM and SIGINT have their default action
	 * until it returns; the host takes them over then. SIGPIPE is ignored throughout.
	 */
	int (*open)(const struct pst_host *host, const struct pst_app_config *config, void **app);
	/* Release it. No request is running. */
	void (*close)(void *app);
	/* Around a fork() of the adapter, which has a single thread then. */
	void (*before_fork)(void *app);
	void (*after_fork)(void *app);
	/* On each worker thread, first and last (threaded model). -1: the thread cannot be used. */
	int (*thread_start)(void *app);
	void (*thread_stop)(void *app);
	/* No further request will come; those that run are finished. */
	void (*drain)(void *app);
	/*
	 * Write the stacks of all threads to FD. Called from a signal handler, on any thread:
	 * async-signal-safe functions only. The process ends when it returns. APP is NULL while
	 * open() runs.
	 */
	void (*dump)(void *app, int fd);
};

/* Models sync and threaded. */
struct pst_plugin_blocking {
	size_t size;

	/*
	 * Handle one request: 0 when the response is complete. -1 says that it is not: the host
	 * answers 500 when nothing was sent, and otherwise makes the gateway break the connection,
	 * so that nobody takes the body for whole. Say why by error(); the host logs a failure
	 * that was not explained.
	 */
	int (*handle)(void *app, struct pst_request *request);
};

struct pst_plugin {
	uint32_t magic; /* PST_PLUGIN_MAGIC */
	uint16_t major; /* PST_PLUGIN_MAJOR */
	uint16_t minor; /* PST_PLUGIN_MINOR */
	size_t size;
	const char *name; /* "python" */
	const char *version; /* free text for --version and the log */
	unsigned models; /* 1u << PST_MODEL_SYNC | ... */
	const struct pst_plugin_lifecycle *lifecycle; /* open is required */
	const struct pst_plugin_blocking *blocking; /* NULL without sync and threaded */
};

/* The one exported symbol of a plugin, and its type for dlsym(). */
#define PST_PLUGIN_ENTRY "penstock_plugin"
typedef const struct pst_plugin *pst_plugin_entry_fn(void);

#ifdef __GNUC__
#define PST_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define PST_PLUGIN_EXPORT
#endif

/* Declared here so that its definition is checked. */
PST_PLUGIN_EXPORT const struct pst_plugin *penstock_plugin(void);

#ifdef __cplusplus
}
#endif

#endif
