/*
 * A plugin that does what tests ask for: PATH_INFO (or SCRIPT_NAME) names it, QUERY_STRING is an
 * argument. What is only seen in the log begins with "probe: ".
 */
#include <penstock/plugin.h>

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct pst_host *host;
static atomic_int threads; /* that have started and not stopped */

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	host->log(PST_LOG_INFO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static const char *
param(struct pst_request *request, const char *name)
{
	size_t count;
	const struct pst_field *params = host->params(request, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(params[i].name, name) == 0)
			return params[i].value;
	return "";
}

static long
argument(struct pst_request *request)
{
	return atol(param(request, "QUERY_STRING"));
}

static int
respond(struct pst_request *request, int status)
{
	static const struct pst_field plain = {"Content-Type", 12, "text/plain", 10};

	return host->respond(request, status, NULL, &plain, 1);
}

static int
answer(struct pst_request *request, const char *text)
{
	if (respond(request, 200) < 0)
		return -1;
	return host->write(request, text, strlen(text));
}

static void
sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

/* --- what is asked for --- */

static int
do_hello(struct pst_request *request)
{
	return answer(request, "hello\n");
}

static int
do_echo(struct pst_request *request)
{
	char bytes[10000];
	ssize_t n;

	if (respond(request, 200) < 0)
		return -1;
	while ((n = host->read(request, bytes, sizeof(bytes))) > 0)
		if (host->write(request, bytes, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

/* The body, but all of it is read before the response begins. */
static int
do_collect(struct pst_request *request)
{
	size_t length = (size_t)atol(param(request, "CONTENT_LENGTH"));
	char *bytes = malloc(length + 1);
	size_t total = 0;
	ssize_t n = 0;
	int result = -1;

	while (
	    bytes && total < length && (n = host->read(request, bytes + total, length - total)) > 0)
		total += (size_t)n;
	if (bytes && n >= 0 && respond(request, 200) == 0)
		result = host->write(request, bytes, total);
	free(bytes);
	return result;
}

static int
do_params(struct pst_request *request)
{
	size_t count;
	const struct pst_field *params = host->params(request, &count);

	if (respond(request, 200) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		/* Every string ends where its length says. */
		if (strlen(params[i].name) != params[i].name_len ||
		    strlen(params[i].value) != params[i].value_len)
			return -1;
		host->write(request, params[i].name, params[i].name_len);
		host->write(request, "=", 1);
		host->write(request, params[i].value, params[i].value_len + 1);
	}
	return 0;
}

/* As many bytes as the argument says, in writes of one size, then whether they were taken. */
static int
do_big(struct pst_request *request)
{
	char bytes[100000];
	long left = argument(request);
	int result = respond(request, 200);

	memset(bytes, 'x', sizeof(bytes));
	while (left > 0 && result == 0) {
		size_t n = left < (long)sizeof(bytes) ? (size_t)left : sizeof(bytes);
		result = host->write(request, bytes, n);
		left -= (long)n;
	}
	say("probe: big ended with %d, %ld bytes left", result, left);
	return result;
}

static int
do_sleep(struct pst_request *request)
{
	say("probe: sleeping");
	sleep_ms(argument(request));
	return answer(request, "slept\n");
}

/* Write until nobody wants it. */
static int
do_endless(struct pst_request *request)
{
	int result = respond(request, 200);

	for (int i = 0; result == 0; i++) {
		result = host->write(request, "more\n", 5);
		if (result == 0)
			result = host->flush(request);
		if (i == 0)
			say("probe: endless began");
		sleep_ms(1);
	}
	say("probe: endless ended with %d: %s; a read gives %zd", result, host->reason(request),
	    host->read(request, &(char){0}, 1));
	return -1;
}

/* Read until the body breaks off. */
static int
do_swallow(struct pst_request *request)
{
	char bytes[1000];
	size_t total = 0;
	ssize_t n;

	say("probe: swallowing");
	while ((n = host->read(request, bytes, sizeof(bytes))) > 0)
		total += (size_t)n;
	say("probe: swallowed %zu bytes, then %zd", total, n);
	if (n < 0)
		return -1;
	snprintf(bytes, sizeof(bytes), "%zu\n", total);
	return answer(request, bytes);
}

static int
do_fail(struct pst_request *request)
{
	(void)request;
	return -1;
}

static int
do_fail_gathered(struct pst_request *request)
{
	answer(request, "this must not be seen\n");
	return -1;
}

static int
do_fail_sent(struct pst_request *request)
{
	answer(request, "part\n");
	host->flush(request);
	return -1;
}

static int
do_nothing(struct pst_request *request)
{
	(void)request;
	return 0;
}

static int
do_invalid(struct pst_request *request)
{
	static const struct pst_field split = {"X-Split", 7, "a\r\nSet-Cookie: b", 16};
	char text[300];
	int result = host->respond(request, 200, NULL, &split, 1);

	snprintf(text, sizeof(text), "%d %s\n", result, host->reason(request));
	return answer(request, text);
}

/* Calls that are out of order, and their results. */
static int
do_order(struct pst_request *request)
{
	char text[200];
	int early = host->write(request, "x", 1);
	int second;

	respond(request, 200);
	second = respond(request, 200);
	int n = snprintf(text, sizeof(text), "%d %d\n", early, second);
	return host->write(request, text, (size_t)n);
}

static int
do_interim(struct pst_request *request)
{
	static const struct pst_field link = {"Link", 4, "</a.css>", 8};

	if (host->respond(request, 103, NULL, &link, 1) < 0 || host->flush(request) < 0)
		return -1;
	return answer(request, "after hints\n");
}

static int
do_error(struct pst_request *request)
{
	host->error(request, "one error\n", 10);
	return answer(request, "told\n");
}

/* What a child process of the application has open and sees. */
static int
do_fds(struct pst_request *request)
{
	FILE *child = popen("ls -l /proc/self/fd; echo control=${PENSTOCK_CONTROL-none}", "r");
	char line[512];

	if (!child || respond(request, 200) < 0)
		return -1;
	while (fgets(line, sizeof(line), child))
		host->write(request, line, strlen(line));
	pclose(child);
	return 0;
}

static int
do_file(struct pst_request *request)
{
	FILE *file = tmpfile();
	int result;

	if (!file || respond(request, 200) < 0)
		return -1;
	for (int i = 0; i < 100000; i++)
		fprintf(file, "%09d\n", i);
	fflush(file);
	result = host->send_file(request, fileno(file), 10, (size_t)argument(request));
	if (result < 0)
		say("probe: send_file gave %d: %s", result, host->reason(request));
	fclose(file);
	return result;
}

/* A part of a file: the argument is OFFSET,LENGTH,PATH. */
static int
do_send(struct pst_request *request)
{
	long long offset;
	size_t length;
	char path[256];
	FILE *file = NULL;
	int result = -1;

	if (sscanf(param(request, "QUERY_STRING"), "%lld,%zu,%255s", &offset, &length, path) == 3)
		file = fopen(path, "rb");
	if (!file)
		return respond(request, 404);
	if (respond(request, 200) == 0)
		result = host->send_file(request, fileno(file), offset, length);
	say("probe: send_file gave %d: %s", result, host->reason(request));
	fclose(file);
	return result;
}

/* So many bytes of body as the argument says, then a file. */
static int
do_file_behind(struct pst_request *request)
{
	FILE *file = tmpfile();
	long left = argument(request);
	int result = -1;

	if (!file || ftruncate(fileno(file), 100000) < 0 || respond(request, 200) < 0)
		return -1;
	for (result = 0; result == 0 && left > 0; left--)
		result = host->write(request, "x", 1);
	if (result == 0)
		result = host->flush(request);
	if (result == 0)
		result = host->send_file(request, fileno(file), 0, 100000);
	fclose(file);
	return result;
}

/* Use the CPU for so many milliseconds. */
static int
do_spin(struct pst_request *request)
{
	struct timespec begun, now;
	long left;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begun);
	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
		left = argument(request) * 1000 - (now.tv_sec - begun.tv_sec) * 1000000 -
		       (now.tv_nsec - begun.tv_nsec) / 1000;
	} while (left > 0);
	return answer(request, "spun\n");
}

/* A body and fields behind it; the argument names one more. */
static int
do_trailers(struct pst_request *request)
{
	const char *name = param(request, "QUERY_STRING");
	const struct pst_field fields[] = {
	    {"X-Check", 7, "sum", 3}, {"X-Empty", 7, "", 0}, {name, strlen(name), "x", 1}};
	int result = answer(request, "body\n");

	if (result == 0)
		result = host->trailers(request, fields, *name != '\0' ? 3 : 2);
	if (result < 0)
		say("probe: trailers gave %d: %s", result, host->reason(request));
	return result;
}

static int
do_abort(struct pst_request *request)
{
	(void)request;
	abort();
}

static int
do_pid(struct pst_request *request)
{
	char text[32];

	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	return answer(request, text);
}

static const struct {
	const char *path;
	int (*handle)(struct pst_request *request);
} routes[] = {
    {"/hello", do_hello},
    {"/echo", do_echo},
    {"/collect", do_collect},
    {"/params", do_params},
    {"/big", do_big},
    {"/sleep", do_sleep},
    {"/endless", do_endless},
    {"/swallow", do_swallow},
    {"/fail", do_fail},
    {"/fail-gathered", do_fail_gathered},
    {"/fail-sent", do_fail_sent},
    {"/nothing", do_nothing},
    {"/invalid", do_invalid},
    {"/order", do_order},
    {"/interim", do_interim},
    {"/error", do_error},
    {"/fds", do_fds},
    {"/file", do_file},
    {"/send", do_send},
    {"/file-behind", do_file_behind},
    {"/spin", do_spin},
    {"/trailers", do_trailers},
    {"/abort", do_abort},
    {"/pid", do_pid},
};

/* --- the plugin --- */

static int
probe_handle(void *app, struct pst_request *request)
{
	const char *path = param(request, "PATH_INFO");

	(void)app;
	if (*path == '\0')
		path = param(request, "SCRIPT_NAME");
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (strcmp(routes[i].path, path) == 0)
			return routes[i].handle(request);
	return respond(request, 404);
}

static int
probe_open(const struct pst_host *given, const struct pst_app_config *config, void **app)
{
	host = given;
	for (size_t i = 0; i < config->option_count; i++) {
		say("probe: option %s=%s", config->options[i].name, config->options[i].value);
		if (strcmp(config->options[i].name, "open") != 0)
			continue;
		if (strcmp(config->options[i].value, "fail") == 0)
			return -1;
		if (strcmp(config->options[i].value, "crash") == 0)
			raise(SIGSEGV);
		if (strcmp(config->options[i].value, "hang") == 0)
			pause();
	}
	*app = &host;
	return 0;
}

static void
probe_close(void *app)
{
	(void)app;
	say("probe: closed");
}

static void
probe_drain(void *app)
{
	(void)app;
	say("probe: drained");
}

static void
probe_dump(void *app, int fd)
{
	static const char text[] = "probe: dump of the stacks\n";

	(void)app;
	if (write(fd, text, sizeof(text) - 1) < 0)
		return;
}

static int
probe_thread_start(void *app)
{
	(void)app;
	atomic_fetch_add(&threads, 1);
	return 0;
}

static void
probe_thread_stop(void *app)
{
	(void)app;
	if (atomic_fetch_sub(&threads, 1) == 1)
		say("probe: all threads have stopped");
}

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof(lifecycle),
    .open = probe_open,
    .close = probe_close,
    .thread_start = probe_thread_start,
    .thread_stop = probe_thread_stop,
    .drain = probe_drain,
    .dump = probe_dump,
};

static const struct pst_plugin_blocking blocking = {
    .size = sizeof(blocking),
    .handle = probe_handle,
};

static const struct pst_plugin plugin = {
    .magic = PST_PLUGIN_MAGIC,
    .major = PST_PLUGIN_MAJOR,
    .minor = PST_PLUGIN_MINOR,
    .size = sizeof(plugin),
    .name = "probe",
    .version = "1",
    .models = 1u << PST_MODEL_SYNC | 1u << PST_MODEL_THREADED,
    .lifecycle = &lifecycle,
    .blocking = &blocking,
};

const struct pst_plugin *
penstock_plugin(void)
{
	return &plugin;
}
