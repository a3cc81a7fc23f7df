/*
 * A host for one plugin of the async model, without any adapter: it plays a script and prints what
 * the plugin does. For authors of plugins, whose tests can say exactly what comes when.
 *
 *	cc -o host host.c $(pkg-config --cflags penstock) -ldl
 *	./host ./app.so [NAME=VALUE]... <script
 *
 * A line of the script is one event; R is a name for a request. Nothing happens by itself: the
 * clock moves, and the turn ends, when the script says so. A plugin that runs a loop of its own
 * gets an event each time its loop comes round.
 *
 *	request R [NAME=VALUE]...   a request with these parameters
 *	body R TEXT                 bytes of its body come (\n is a line break)
 *	end R                       its body ends
 *	ready R                     what was answered AGAIN may go on
 *	full R, room R              its writes are answered AGAIN from now on, no more
 *	abort R client|deadline     nobody wants its answer any more
 *	message R text|binary TEXT  a message comes, if it was upgraded (PENSTOCK_UPGRADE=websocket)
 *	closed R CODE [REASON]      its WebSocket is closed by the peer
 *	time MS                     so many milliseconds pass
 *	wake                        on_wake(), as after wake()
 *	turn                        the turn ends: on_turn()
 *	drain                       no further request comes
 *
 * What the plugin does wrong is a line that begins with WRONG, and exit status 1.
 */
#include <penstock/plugin.h>

#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX 256

/* Never freed, so that what comes after finish() can be told. */
struct pst_request {
	char name[32];
	struct pst_field params[64];
	size_t param_count;
	char body[65536];
	size_t body_len;
	bool body_ended;
	bool full, gone, responded, upgraded, finished;
	bool read_again, write_again; /* it was answered AGAIN, and on_ready() is owed */
	struct {
		unsigned flags;
		char text[256];
	} messages[64];
	size_t message_count;
	unsigned close_code;
	char close_reason[128];
	void *user;
};

struct pst_watch {
	struct pst_watch *next;
	uint64_t due; /* UINT64_MAX: a descriptor's, or it has come */
	void (*fn)(void *arg, unsigned events);
	void *arg;
};

static struct pst_request requests[MAX];
static size_t request_count;
static struct pst_watch *watches;
static uint64_t now; /* microseconds, of the script */
static const struct pst_plugin *plugin;
static void *app;
static bool wrong;
static int script_fd = -1; /* readable while a plugin's own loop is to play the script */
static bool over;

/* --- printing --- */

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static void __attribute__((format(printf, 2, 3)))
complain(const struct pst_request *request, const char *format, ...)
{
	va_list args;

	wrong = true;
	printf("WRONG: %s%s", request ? request->name : "", request ? ": " : "");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void
say_bytes(const struct pst_request *request, const char *what, const char *bytes, size_t n)
{
	printf("%s: %s \"", request->name, what);
	for (size_t i = 0; i < n; i++)
		if (bytes[i] == '\n')
			printf("\\n");
		else if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"')
			putchar(bytes[i]);
		else
			printf("\\x%02x", (unsigned char)bytes[i]);
	say("\"");
}

/* False: the call is wrong, RESULT says how. */
static bool
check(const struct pst_request *request, const char *call, bool needs_head, int *result)
{
	*result = PST_RESULT_STATE;
	if (request->finished)
		complain(request, "%s() after finish()", call);
	else if (needs_head && !request->responded)
		complain(request, "%s() before respond()", call);
	else if (request->gone)
		*result = PST_RESULT_GONE;
	else
		return true;
	return false;
}

/* --- the host's functions --- */

static void
host_log(enum pst_log_level level, const char *text, size_t len)
{
	static const char *const levels[] = {"debug", "info", "warning", "error", "critical"};

	say("log %s: %.*s", levels[level], (int)len, text);
}

static const struct pst_field *
host_params(struct pst_request *request, size_t *count)
{
	int unused;

	check(request, "params", false, &unused);
	*count = request->param_count;
	return request->params;
}

static ssize_t
host_read(struct pst_request *request, void *bytes, size_t n)
{
	int result;

	if (!check(request, "read", false, &result))
		return result;
	if (request->body_len == 0 && !request->body_ended && n > 0) {
		request->read_again = true;
		say("%s: read: AGAIN", request->name);
		return PST_RESULT_AGAIN;
	}
	if (n > request->body_len)
		n = request->body_len;
	memcpy(bytes, request->body, n);
	request->body_len -= n;
	memmove(request->body, request->body + n, request->body_len);
	say("%s: read: %zu bytes", request->name, n);
	return (ssize_t)n;
}

static void
say_fields(const struct pst_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf(", %.*s: %.*s", (int)fields[i].name_len, fields[i].name,
		    (int)fields[i].value_len, fields[i].value);
	say("%s", "");
}

static int
host_respond(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count)
{
	int result;

	(void)reason;
	if (!check(request, "respond", false, &result) && !request->gone)
		return result;
	if (request->responded) {
		complain(request, "a second head");
		return PST_RESULT_STATE;
	}
	request->responded = status >= 200;
	printf("%s: respond %d", request->name, status);
	say_fields(fields, count);
	return 0;
}

static int
host_write(struct pst_request *request, const void *bytes, size_t n)
{
	int result;

	if (!check(request, "write", true, &result))
		return result;
	if (n > PST_WRITE_MAX) {
		complain(request, "write() of %zu bytes", n);
		return PST_RESULT_INVALID;
	}
	if (request->full) {
		request->write_again = true;
		say("%s: write: AGAIN", request->name);
		return PST_RESULT_AGAIN;
	}
	say_bytes(request, "write", bytes, n);
	return 0;
}

static int
host_flush(struct pst_request *request)
{
	int result;

	if (!check(request, "flush", false, &result))
		return result;
	say("%s: flush", request->name);
	return 0;
}

static int
host_send_file(struct pst_request *request, int fd, off_t offset, size_t length)
{
	int result;

	(void)fd;
	if (!check(request, "send_file", true, &result))
		return result;
	if (request->full) {
		request->write_again = true;
		say("%s: send_file: AGAIN", request->name);
		return PST_RESULT_AGAIN;
	}
	say("%s: send_file: %zu bytes from %lld", request->name, length, (long long)offset);
	return 0;
}

static int
host_error(struct pst_request *request, const char *text, size_t len)
{
	say_bytes(request, "error", text, len);
	return 0;
}

static const char *
host_reason(struct pst_request *request)
{
	return request->gone ? "the client is gone" : "see what was printed";
}

static int
host_begun(const struct pst_request *request)
{
	return request->responded;
}

static int
host_trailers(struct pst_request *request, const struct pst_field *fields, size_t count)
{
	int result;

	if (!check(request, "trailers", true, &result))
		return result;
	printf("%s: trailers", request->name);
	say_fields(fields, count);
	return 0;
}

static void
host_set_user(struct pst_request *request, void *user)
{
	request->user = user;
}

static void *
host_user(const struct pst_request *request)
{
	return request->user;
}

static void
host_finish(struct pst_request *request, int result)
{
	if (request->finished) {
		complain(request, "finish() a second time");
		return;
	}
	if (result == 0 && !request->responded && !request->gone)
		complain(request, "finish(0) without a response");
	request->finished = true;
	say("%s: finish %d", request->name, result);
}

static enum pst_upgrade
host_upgradable(const struct pst_request *request)
{
	for (size_t i = 0; i < request->param_count; i++)
		if (strcmp(request->params[i].name, "PENSTOCK_UPGRADE") == 0)
			return PST_UPGRADE_WEBSOCKET;
	return PST_UPGRADE_NONE;
}

static int
host_upgrade(struct pst_request *request, const struct pst_field *fields, size_t count)
{
	int result;

	if (!check(request, "upgrade", false, &result))
		return result;
	if (request->responded || host_upgradable(request) == PST_UPGRADE_NONE) {
		complain(request, "upgrade() of what cannot be");
		return PST_RESULT_STATE;
	}
	request->responded = request->upgraded = true;
	printf("%s: upgrade", request->name);
	say_fields(fields, count);
	return 0;
}

static ssize_t
host_read_message(struct pst_request *request, void *bytes, size_t n, unsigned *flags)
{
	size_t length;
	int result;

	*flags = 0;
	if (!check(request, "read_message", true, &result))
		return result;
	if (request->message_count == 0 && request->close_code) {
		*flags = PST_MESSAGE_CLOSED;
		say("%s: read_message: closed", request->name);
		return 0;
	}
	if (request->message_count == 0) {
		request->read_again = true;
		say("%s: read_message: AGAIN", request->name);
		return PST_RESULT_AGAIN;
	}
	length = strlen(request->messages[0].text);
	*flags = request->messages[0].flags;
	if (n < length) {
		*flags &= ~(unsigned)PST_MESSAGE_END;
		memcpy(bytes, request->messages[0].text, n);
		memmove(request->messages[0].text, request->messages[0].text + n, length - n + 1);
		return (ssize_t)n;
	}
	memcpy(bytes, request->messages[0].text, length);
	request->message_count--;
	memmove(request->messages, request->messages + 1,
	    request->message_count * sizeof(request->messages[0]));
	say("%s: read_message: %zu bytes", request->name, length);
	return (ssize_t)length;
}

static int
host_send_message(struct pst_request *request, unsigned flags, const void *bytes, size_t n)
{
	int result;

	if (!check(request, "send_message", true, &result))
		return result;
	if (request->full) {
		request->write_again = true;
		say("%s: send_message: AGAIN", request->name);
		return PST_RESULT_AGAIN;
	}
	say_bytes(
	    request, flags & PST_MESSAGE_END ? "send_message, end:" : "send_message:", bytes, n);
	return 0;
}

static unsigned
host_close_code(struct pst_request *request, const char **reason, size_t *n)
{
	*reason = request->close_reason;
	*n = strlen(request->close_reason);
	return request->close_code ? request->close_code : 1006;
}

static int
host_close(struct pst_request *request, unsigned code, const char *reason, size_t n)
{
	int result;

	if (!check(request, "close", true, &result))
		return result;
	say("%s: close %u %.*s", request->name, code, (int)n, reason ? reason : "");
	return 0;
}

static struct pst_watch *
add_watch(uint64_t due, void (*fn)(void *arg, unsigned events), void *arg)
{
	struct pst_watch *watch = calloc(1, sizeof(*watch));

	*watch = (struct pst_watch){.next = watches, .due = due, .fn = fn, .arg = arg};
	watches = watch;
	return watch;
}

static struct pst_watch *
host_watch(int fd, unsigned events, void (*fn)(void *arg, unsigned events), void *arg)
{
	(void)fd;
	say("watch, events %u", events); /* no script makes descriptors ready */
	return add_watch(UINT64_MAX, fn, arg);
}

static struct pst_watch *
host_timer(uint64_t microseconds, void (*fn)(void *arg, unsigned events), void *arg)
{
	say("timer, %llu us", (unsigned long long)microseconds);
	return add_watch(now + microseconds, fn, arg);
}

static void
host_cancel(struct pst_watch *watch)
{
	struct pst_watch **at = &watches;

	while (watch && *at && *at != watch)
		at = &(*at)->next;
	if (!watch)
		return;
	if (!*at) {
		complain(NULL, "cancel() of what was cancelled");
		return;
	}
	*at = watch->next;
	free(watch);
}

static void
host_wake(void)
{
	say("wake");
}

/* --- the script --- */

static struct pst_request *
find(const char *name)
{
	for (size_t i = request_count; i-- > 0;)
		if (strcmp(requests[i].name, name) == 0)
			return &requests[i];
	fprintf(stderr, "the script has no request %s\n", name);
	exit(2);
}

/* The next word of *REST. */
static char *
word(char **rest)
{
	char *found = strsep(rest, " ");

	return found ? found : (char *)"";
}

static void
unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] == 'n') {
			*to++ = '\n';
			text++;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

static void
play_request(char *name, char *rest)
{
	struct pst_request *request = &requests[request_count++];

	if (request_count == MAX)
		exit(2);
	snprintf(request->name, sizeof(request->name), "%s", name);
	while (rest && *rest && request->param_count < 64) {
		struct pst_field *param = &request->params[request->param_count++];
		char *value = strdup(word(&rest)); /* as long as the process */
		param->name = strsep(&value, "=");
		param->name_len = strlen(param->name);
		param->value = value ? value : "";
		param->value_len = strlen(param->value);
	}
	plugin->async->on_request(app, request);
}

static void
play_ready(struct pst_request *request)
{
	if (!request->read_again && !request->write_again) {
		say("(%s: nothing was answered AGAIN)", request->name);
		return;
	}
	request->read_again = request->write_again = false;
	plugin->async->on_ready(app, request);
}

static void
play_abort(struct pst_request *request, const char *why)
{
	if (request->finished || request->gone)
		return;
	request->gone = true;
	plugin->async->on_abort(
	    app, request, strcmp(why, "deadline") == 0 ? PST_ABORT_DEADLINE : PST_ABORT_CLIENT);
}

static void
play_message(struct pst_request *request, char *rest)
{
	const char *kind = word(&rest);

	if (request->message_count == 64)
		exit(2);
	request->messages[request->message_count].flags =
	    PST_MESSAGE_END | (strcmp(kind, "binary") == 0 ? PST_MESSAGE_BINARY : 0u);
	snprintf(request->messages[request->message_count++].text, 256, "%s", rest ? rest : "");
}

static void
play_time(const char *ms)
{
	bool found = true;

	now += strtoull(ms, NULL, 10) * 1000;
	while (found) {
		found = false;
		for (struct pst_watch *watch = watches; watch && !found; watch = watch->next) {
			found = watch->due <= now;
			if (!found)
				continue;
			watch->due = UINT64_MAX;
			watch->fn(watch->arg, 0);
		}
	}
}

static void
play_turn(void)
{
	if (plugin->async->on_turn)
		plugin->async->on_turn(app);
}

/* About a request: false, VERB is unknown. */
static bool
play_about(const char *verb, char *name, char *rest)
{
	struct pst_request *request = find(name);

	if (strcmp(verb, "body") == 0) {
		unescape(rest ? rest : (char *)"");
		request->body_len += (size_t)snprintf(request->body + request->body_len,
		    sizeof(request->body) - request->body_len, "%s", rest ? rest : "");
	} else if (strcmp(verb, "end") == 0) {
		request->body_ended = true;
	} else if (strcmp(verb, "ready") == 0) {
		play_ready(request);
	} else if (strcmp(verb, "full") == 0 || strcmp(verb, "room") == 0) {
		request->full = verb[0] == 'f';
	} else if (strcmp(verb, "abort") == 0) {
		play_abort(request, word(&rest));
	} else if (strcmp(verb, "message") == 0) {
		play_message(request, rest);
	} else if (strcmp(verb, "closed") == 0) {
		request->close_code = (unsigned)atoi(word(&rest));
		snprintf(
		    request->close_reason, sizeof(request->close_reason), "%s", rest ? rest : "");
	} else {
		return false;
	}
	return true;
}

static void
play(char *line)
{
	char *rest = line;
	const char *verb = word(&rest);

	say("> %s%s%s", verb, rest ? " " : "", rest ? rest : "");
	if (strcmp(verb, "request") == 0) {
		char *name = word(&rest);
		play_request(name, rest);
	} else if (strcmp(verb, "time") == 0) {
		play_time(word(&rest));
	} else if (strcmp(verb, "turn") == 0) {
		play_turn();
	} else if (strcmp(verb, "wake") == 0 && plugin->async->on_wake) {
		plugin->async->on_wake(app);
	} else if (strcmp(verb, "drain") == 0 && plugin->lifecycle->drain) {
		plugin->lifecycle->drain(app);
	} else {
		char *name = word(&rest);
		if (!play_about(verb, name, rest)) {
			fprintf(stderr, "the script says %s, which is no event\n", verb);
			exit(2);
		}
	}
}

/* Play the next line: false, there is none. */
static bool
play_next(void)
{
	static char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		play(line);
		return true;
	}
	return false;
}

/* --- a plugin's own loop: it calls these --- */

static void
host_fd_ready(int fd, unsigned events)
{
	(void)events;
	if (fd != script_fd || over)
		return;
	if (play_next())
		return;
	over = true;
	plugin->async->watch(app, script_fd, 0);
	plugin->async->stop(app);
}

static void
host_timer_due(void)
{
}

static void
host_turn(void)
{
}

static const struct pst_host host = {
    .size = sizeof(host),
    .log = host_log,
    .params = host_params,
    .read = host_read,
    .respond = host_respond,
    .write = host_write,
    .flush = host_flush,
    .send_file = host_send_file,
    .error = host_error,
    .reason = host_reason,
    .begun = host_begun,
    .trailers = host_trailers,
    .set_user = host_set_user,
    .user = host_user,
    .finish = host_finish,
    .upgradable = host_upgradable,
    .upgrade = host_upgrade,
    .read_message = host_read_message,
    .send_message = host_send_message,
    .close_code = host_close_code,
    .close = host_close,
    .watch = host_watch,
    .timer = host_timer,
    .cancel = host_cancel,
    .wake = host_wake,
    .fd_ready = host_fd_ready,
    .timer_due = host_timer_due,
    .turn = host_turn,
};

/* --- one plugin --- */

static void
load(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	pst_plugin_entry_fn *entry = NULL;

	if (handle)
		*(void **)&entry = dlsym(handle, PST_PLUGIN_ENTRY);
	if (!entry) {
		fprintf(stderr, "%s: %s\n", path, dlerror());
		exit(2);
	}
	plugin = entry();
	if (!(plugin->models & 1u << PST_MODEL_ASYNC) || !plugin->async ||
	    plugin->major != PST_PLUGIN_MAJOR || plugin->minor != PST_PLUGIN_MINOR) {
		fprintf(stderr, "%s: not of the async model, or of another ABI\n", path);
		exit(2);
	}
}

static int
open_app(const char *path, char **given, int count)
{
	struct pst_option *options = calloc((size_t)count + 1, sizeof(*options));
	struct pst_app_config config = {
	    .size = sizeof(config),
	    .app = path,
	    .model = PST_MODEL_ASYNC,
	    .concurrency = MAX,
	    .options = options,
	    .option_count = (size_t)count,
	};
	int result;

	for (int i = 0; i < count; i++) {
		options[i].name = strsep(&given[i], "=");
		options[i].value = given[i] ? given[i] : "";
	}
	result = plugin->lifecycle->open(&host, &config, &app);
	free(options);
	return result;
}

static void
run(void)
{
	if (!plugin->async->run) {
		while (play_next())
			;
		return;
	}
	script_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	plugin->async->watch(app, script_fd, PST_EVENT_READ);
	if (plugin->async->run(app) != 0 || !over)
		complain(NULL, "run() ended before stop()");
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s PLUGIN.so [NAME=VALUE]... <SCRIPT\n", argv[0]);
		return 2;
	}
	load(argv[1]);
	if (open_app(argv[1], argv + 2, argc - 2) != 0) {
		say("open() failed");
		return 1;
	}
	run();
	for (size_t i = 0; i < request_count; i++)
		if (!requests[i].finished)
			complain(&requests[i], "it was not finished");
	if (plugin->lifecycle->close)
		plugin->lifecycle->close(app);
	return wrong;
}
