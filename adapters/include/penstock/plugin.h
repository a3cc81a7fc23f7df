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
#define PST_PLUGIN_MINOR 4

/* The models of adapter; `models` of a plugin has the bits 1 << model that it supports. */
enum pst_model {
	PST_MODEL_SYNC = 0, /* one request at a time, on the main thread */
	PST_MODEL_THREADED = 1, /* many at a time, a thread each */
	PST_MODEL_ASYNC = 2, /* many at a time on one event loop */
};

/*
 * What open() returns, plus an enum pst_model, about an application that is for another model than
 * the one that it was opened in. Only where the option "model" is "auto": nobody has chosen one, so
 * the process ends and one of that model is started in its place.
 */
#define PST_OPEN_OTHER_MODEL 16

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
	PST_RESULT_REPLACED = 1, /* respond(): the host has the body, see there */
	PST_RESULT_GONE = -1, /* the client does not want the answer any more, or is lost */
	PST_RESULT_INVALID =
	    -2, /* the arguments are wrong (a CR in a field ...); nothing was done */
	PST_RESULT_STATE = -3, /* out of order: a second head, a body before the head ... */
	PST_RESULT_ERROR = -4, /* the host failed (memory, a file that cannot be read ...) */
	PST_RESULT_AGAIN = -5, /* async model: not now, nothing was done; on_ready() follows */
};

/* Why nobody wants the answer any more. */
enum pst_abort {
	PST_ABORT_CLIENT = 0, /* the client left, or the connection was lost */
	PST_ABORT_DEADLINE =
	    1, /* the request is late: whatever still runs for it is to be stopped */
};

/* What became of bytes, see post(). */
enum pst_post {
	PST_POST_REFUSED = 0, /* nothing: write() and flush() them */
	PST_POST_SENT = 1, /* they were sent */
	PST_POST_TAKEN = 2, /* they were taken, and not sent yet: flush() has to follow */
};

/* What the host can do with a request's connection, see upgrade(). */
enum pst_upgrade {
	PST_UPGRADE_NONE = 0, /* an ordinary request */
	PST_UPGRADE_WEBSOCKET = 1, /* a WebSocket handshake: messages, after upgrade() */
};

/* Of a piece of a WebSocket message, bits. */
enum pst_message {
	PST_MESSAGE_BINARY = 1, /* else it is text, in UTF-8 that was checked */
	PST_MESSAGE_END = 2, /* the message's last piece */
	PST_MESSAGE_CLOSED = 4, /* no message: the peer has closed, see close_code() */
};

/* The most that one call of write() or send_message() takes in the async model. */
#define PST_WRITE_MAX 65536

struct pst_request; /* the host's; valid until handle() returns, or until finish() */

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
	unsigned concurrency; /* requests at a time: 1 for sync, the threads, an async capacity */
	const struct pst_option *options;
	size_t option_count;
};

/* Of a descriptor that is watched: bits. */
enum pst_event {
	PST_EVENT_READ = 1,
	PST_EVENT_WRITE = 2,
};

/* A descriptor or a time that the host's loop watches for a plugin. */
struct pst_watch;

/*
 * The host's functions. The table lives as long as the process.
 *
 * In the async model no function blocks: all are called on the loop's thread (log() and wake()
 * excepted), and where a blocking model waits they return PST_RESULT_AGAIN. Then on_ready()
 * follows, once, when it is worth while to try again.
 */
struct pst_host {
	size_t size;

	/* Write a line to the error log. Any thread. TEXT may hold line breaks: each line is
	 * framed. */
	void (*log)(enum pst_log_level level, const char *text, size_t len);

	/*
	 * The parameters of the request (RFC 3875 and nginx's names: REQUEST_METHOD, HTTP_HOST
	 * ...), in the order in which they came; *COUNT receives how many. Their strings lie one
	 * behind the other: a name, a NUL, its value, a NUL, the next name. Valid until handle()
	 * returns.
	 */
	const struct pst_field *(*params)(struct pst_request *request, size_t *count);

	/*
	 * Read up to N bytes of the body: a count, 0 at its end (and for N of 0), or
	 * PST_RESULT_GONE when the body broke off. May block (async: AGAIN). What is not read is
	 * discarded after the response; the client is let send more only as this reads.
	 */
	ssize_t (*read)(struct pst_request *request, void *bytes, size_t n);

	/*
	 * The head of the response: STATUS 200 to 599 (or 100 to 199 except 101: an interim
	 * response, after which another head follows; clients that do not know those, like nginx's
	 * fastcgi_pass, are not sent them), REASON (NULL: the usual phrase), COUNT fields in order,
	 * duplicates kept. The host checks every byte (RFC 9110, 5.1 and 5.5): what cannot be sent
	 * safely is PST_RESULT_INVALID, and so are hop-by-hop fields (Connection, Transfer-Encoding
	 * ...), because the gateway frames the response, and `Status`, which CGI gives a meaning.
	 * Nothing is sent yet. Does not block. PST_RESULT_REPLACED: by an X-Sendfile, where that is
	 * allowed, the body is a file, or a text that says what was wrong with it: what the plugin
	 * adds is dropped, and no length that it knew holds.
	 */
	int (*respond)(struct pst_request *request, int status, const char *reason,
	    const struct pst_field *fields, size_t count);

	/*
	 * Add N bytes of body. They are sent when enough have gathered, at flush(), or at the end.
	 * May block while the client's side is behind. Async: all or nothing of at most
	 * PST_WRITE_MAX bytes is taken, AGAIN while the client's side is behind; they leave at the
	 * end of the loop's turn.
	 */
	int (*write)(struct pst_request *request, const void *bytes, size_t n);
	/* Whether write() of N bytes only gathers now: then it does not block, and a runtime's lock
	 * need not be released for it. Not in the async model. */
	int (*gathers)(const struct pst_request *request, size_t n);
	/* Like write() of N bytes and flush(), if neither has to wait: then a runtime's lock need
	 * not be released for them. One of enum pst_post, or a negative result. Not in the async
	 * model. */
	int (*post)(struct pst_request *request, const void *bytes, size_t n);

	/* Send what was written so far, the head included. May block (async: never; it is sent at
	 * the end of the turn). */
	int (*flush)(struct pst_request *request);

	/*
	 * Add LENGTH bytes of the regular file FD from OFFSET as body; the file's own position is
	 * neither used nor changed. Most of it goes to the client without being copied. A file that
	 * ends early, or cannot be read, is PST_RESULT_ERROR: when that came about while it was
	 * sent, the client may have got zeros in its place, and the response is broken off whatever
	 * handle() returns. A gateway of ours may read the file by itself, and after handle() has
	 * returned: close FD when you like, but write nothing else to the file. May block.
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

	/* Nonzero when part of the response, its head at least, is on its way already: what fails
	 * from now on breaks it off. Zero: it would be answered 500. For log lines that tell which.
	 */
	int (*begun)(const struct pst_request *request);

	/* Fields behind the body (RFC 9110, 6.5), checked like those of respond(); once, after the
	 * last of the body. Clients that cannot take them do not get them. Does not block. */
	int (*trailers)(struct pst_request *request, const struct pst_field *fields, size_t count);

	/* The response is complete, its trailers among it: the client has all of it as soon as that
	 * was sent, though finish() comes much later, or handle() returns. Nothing can be added any
	 * more. Async: does not block. Otherwise it may, and a model may wait a moment, no longer
	 * than 2 ms, so that the end of the request leaves with it. */
	int (*complete)(struct pst_request *request);

	/* --- models threaded and async; NULL in sync --- */

	/* What its connection could become. */
	enum pst_upgrade (*upgradable)(const struct pst_request *request);
	/*
	 * Accept a WebSocket as a stream of bytes, for programs that speak its protocol themselves:
	 * FIELDS hold their Sec-WebSocket-Accept. Afterwards read() and write() carry what the
	 * client sends and gets.
	 */
	int (*upgrade_stream)(
	    struct pst_request *request, const struct pst_field *fields, size_t count);

	/* --- model threaded; NULL in others --- */

	/*
	 * Carry bytes both ways between a request that became a stream and FD, a stream socket:
	 * one end of a pair of which the application has the other. 0 once the application has
	 * closed its end, or shut its writing down, and the client was sent what came before;
	 * PST_RESULT_GONE when there is no client any more. When the client, or a worker that is to
	 * end, sends no more, FD's writing is shut down: the application finds the end of its
	 * input. FD stays the caller's, and is no longer used then. Blocks throughout: any one
	 * thread may call it in the place of the one that runs the application, as long as only
	 * that thread calls the host for the request.
	 */
	int (*pump)(struct pst_request *request, int fd);

	/* --- async model, on the loop's thread; NULL in others --- */

	/* What the plugin keeps with a request; NULL at first. */
	void (*set_user)(struct pst_request *request, void *user);
	void *(*user)(const struct pst_request *request);

	/*
	 * The request is over, as when handle() returns RESULT: 0, the response is complete; -1, it
	 * is not. Must be called once for each on_request(), also after on_abort(). The request is
	 * gone then: no callback comes for it any more. May be called within its callbacks.
	 */
	void (*finish)(struct pst_request *request, int result);

	/*
	 * Accept a WebSocket: the head is sent with FIELDS (Sec-WebSocket-Protocol among them, if a
	 * subprotocol was chosen; the gateway adds what the handshake needs). From then on messages
	 * take the place of bodies both ways. To deny it, respond() with any status.
	 */
	int (*upgrade)(struct pst_request *request, const struct pst_field *fields, size_t count);
	/*
	 * Up to N bytes of the message that has come: a count (0 is possible, for an empty piece),
	 * and what they are in *FLAGS. AGAIN when nothing has come. A piece never holds bytes of
	 * two messages. PST_MESSAGE_CLOSED in *FLAGS comes last, with 0.
	 */
	ssize_t (*read_message)(
	    struct pst_request *request, void *bytes, size_t n, unsigned *flags);
	/* Add N bytes to the message that is being sent; FLAGS has PST_MESSAGE_END with the last.
	 * All or nothing of at most PST_WRITE_MAX bytes. */
	int (*send_message)(
	    struct pst_request *request, unsigned flags, const void *bytes, size_t n);
	/* The peer's close: its code (1005: it gave none, 1006: there was no close), and *REASON,
	 * *N bytes of it, valid until finish(). */
	unsigned (*close_code)(struct pst_request *request, const char **reason, size_t *n);
	/* Close with CODE and N bytes (at most 123) of REASON; nothing can be sent afterwards. */
	int (*close)(struct pst_request *request, unsigned code, const char *reason, size_t n);

	/* --- the loop, for plugins that have none of their own --- */

	/* Call FN when FD is ready for one of EVENTS, as long as it is; NULL: memory is short. */
	struct pst_watch *(*watch)(
	    int fd, unsigned events, void (*fn)(void *arg, unsigned events), void *arg);
	/* Call FN once, in MICROSECONDS. It must be cancelled all the same. */
	struct pst_watch *(*timer)(
	    uint64_t microseconds, void (*fn)(void *arg, unsigned events), void *arg);
	/* Also within FN. NULL is allowed. */
	void (*cancel)(struct pst_watch *watch);
	/* Any thread: on_wake() is called soon, on the loop's thread; several may become one. */
	void (*wake)(void);

	/* --- for plugins that run a loop of their own, which call these from it --- */

	/* FD, which watch() of the plugin named, is ready for EVENTS. */
	void (*fd_ready)(int fd, unsigned events);
	/* What timer() of the plugin asked for. */
	void (*timer_due)(void);
	/* What defer() of the plugin asked for: the turn ends, output is written. */
	void (*turn)(void);
};

/* The life of an application; one table for each plugin. NULL entries are not called. */
struct pst_plugin_lifecycle {
	size_t size;

	/*
	 * Load the application: 0 and *APP (passed to every other function), -1 after the reason
	 * was logged, or PST_OPEN_OTHER_MODEL and a model. Called once, on the main thread. SIGTERM
	 * and SIGINT have their default action until it returns; the host takes them over then.
	 * SIGPIPE is ignored throughout.
	 */
	int (*open)(const struct pst_host *host, const struct pst_app_config *config, void **app);
	/* Release it. No request is running. */
	void (*close)(void *app);
	/* Around a fork() of the adapter, which has a single thread then. */
	void (*before_fork)(void *app);
	void (*after_fork)(void *app);
	/* On each thread that calls handle(), first and last (threaded model; the main thread is
	 * one of them). -1 after the reason was logged: the thread cannot be used. */
	int (*thread_start)(void *app);
	void (*thread_stop)(void *app);
	/*
	 * No further request will come; those that run are finished. Model async: that is to begin
	 * soon, and what is sent until then is still to be served. What would go on for ever, such
	 * as WebSockets (1012) and event streams, is to be ended.
	 */
	void (*drain)(void *app);
	/*
	 * Write the stacks of all threads to FD. Called from a signal handler, on any thread:
	 * async-signal-safe functions only. The process ends when it returns. APP is NULL while
	 * open() runs.
	 */
	void (*dump)(void *app, int fd);
	/* What kind of application it is, in a few words for the log: "ASGI on uvloop". Called
	 * once, after open(), on the main thread. Valid until close(); NULL: nothing is worth
	 * telling. */
	const char *(*kind)(void *app);
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

	/*
	 * Nonzero: a lock of the runtime's lets one thread run at a time (Python's GIL). Waking a
	 * thread for each request would cost more than it gains then, so the host leaves requests
	 * to the threads that run, and wakes another when those do not get on.
	 */
	int serial;
};

/*
 * Model async: many requests on one loop, one thread.
 *
 * Callbacks for requests only enqueue: application code starts from the plugin's own loop, or from
 * on_turn(), never under a frame of the host's. They may call host functions for the request.
 */
struct pst_plugin_async {
	size_t size;

	/* A request: its parameters are complete. finish() must follow some time. */
	void (*on_request)(void *app, struct pst_request *request);
	/* Something that was answered AGAIN may go on now, for reading, writing or both. */
	void (*on_ready)(void *app, struct pst_request *request);
	/* Nobody wants the answer any more: once at most for each reason, DEADLINE last. Host
	 * functions say GONE from now on. */
	void (*on_abort)(void *app, struct pst_request *request, enum pst_abort why);
	/* After host->wake(). NULL: it is not used. */
	void (*on_wake)(void *app);
	/* The callbacks of one wakeup were made: the place to start application code in a plugin
	 * without a loop of its own. NULL: nothing is to be done then. */
	void (*on_turn)(void *app);

	/*
	 * A loop of the plugin's own: all of these, or none (NULL). run() runs it until stop(), and
	 * returns 0, or -1 after the reason was logged; the host calls stop() when it has drained,
	 * within one of fd_ready(), timer_due() and turn(). The host has no loop then and asks for
	 * what it needs:
	 */
	int (*run)(void *app);
	void (*stop)(void *app);
	/* Call host->fd_ready() while FD is ready for one of EVENTS (level-triggered); 0: no more.
	 * Each FD is asked for anew with all its events. 0, or -1 when that is not possible. */
	int (*watch)(void *app, int fd, unsigned events);
	/* Call host->timer_due() once, in MICROSECONDS; it replaces what was asked for before.
	 * UINT64_MAX: not at all. */
	void (*timer)(void *app, uint64_t microseconds);
	/* Call host->turn() once, behind the work that is ready in the loop now. */
	void (*defer)(void *app);
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
	const struct pst_plugin_async *async; /* NULL without async */
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
