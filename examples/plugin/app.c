/*
 * An application in C, served by Penstock's sync adapter: a plugin that hosts itself. See
 * README.md beside this file, and Penstock's docs/plugin.md for the whole story.
 *
 *	GET  /          a greeting
 *	POST /echo      the body of the request
 *	GET  /params    what the gateway says of the request, one parameter on a line
 *	GET  /stream    ten lines, each sent when it is written
 *	GET  /file      the file that --option file=PATH names
 */
#include <penstock/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All that the application knows; open() makes it, close() frees it. */
struct app {
	const struct pst_host *host;
	char *file; /* what /file sends, or NULL */
};

/* --- answering --- */

static const char *
param(const struct pst_host *host, struct pst_request *request, const char *name)
{
	size_t count;
	const struct pst_field *params = host->params(request, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(params[i].name, name) == 0)
			return params[i].value;
	return "";
}

static int
respond(const struct pst_host *host, struct pst_request *request, int status, const char *type)
{
	const struct pst_field fields[] = {
	    {"Content-Type", strlen("Content-Type"), type, strlen(type)},
	};

	return host->respond(request, status, NULL, fields, 1);
}

static int
answer(const struct pst_host *host, struct pst_request *request, int status, const char *text)
{
	if (respond(host, request, status, "text/plain") < 0)
		return -1;
	return host->write(request, text, strlen(text));
}

/* --- the routes --- */

static int
get_hello(const struct app *app, struct pst_request *request)
{
	return answer(app->host, request, 200, "Hello from C\n");
}

/* A piece at a time: a body of any size passes in this memory. */
static int
post_echo(const struct app *app, struct pst_request *request)
{
	char bytes[16384];
	ssize_t n;

	if (respond(app->host, request, 200, "application/octet-stream") < 0)
		return -1;
	while ((n = app->host->read(request, bytes, sizeof(bytes))) > 0)
		if (app->host->write(request, bytes, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

static int
get_params(const struct app *app, struct pst_request *request)
{
	size_t count;
	const struct pst_field *params = app->host->params(request, &count);

	if (respond(app->host, request, 200, "text/plain") < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (app->host->write(request, params[i].name, params[i].name_len) < 0 ||
		    app->host->write(request, "=", 1) < 0 ||
		    app->host->write(request, params[i].value, params[i].value_len) < 0 ||
		    app->host->write(request, "\n", 1) < 0)
			return -1;
	return 0;
}

static int
get_stream(const struct app *app, struct pst_request *request)
{
	if (respond(app->host, request, 200, "text/plain") < 0)
		return -1;
	for (int i = 1; i <= 10; i++) {
		char line[32];
		int n = snprintf(line, sizeof(line), "line %d\n", i);
		if (app->host->write(request, line, (size_t)n) < 0 || app->host->flush(request) < 0)
			return -1;
	}
	return 0;
}

static int
send_open_file(const struct app *app, struct pst_request *request, int fd)
{
	char length[32];
	struct stat st;
	int n;

	if (fstat(fd, &st) < 0)
		return -1;
	n = snprintf(length, sizeof(length), "%lld", (long long)st.st_size);
	const struct pst_field fields[] = {
	    {"Content-Type", 12, "application/octet-stream", 24},
	    {"Content-Length", 14, length, (size_t)n},
	};
	if (app->host->respond(request, 200, NULL, fields, 2) < 0)
		return -1;
	return app->host->send_file(request, fd, 0, (size_t)st.st_size);
}

static int
get_file(const struct app *app, struct pst_request *request)
{
	int fd = app->file ? open(app->file, O_RDONLY | O_CLOEXEC) : -1;
	int result;

	if (fd < 0)
		return answer(app->host, request, 404, "No file: --option file=PATH names one\n");
	result = send_open_file(app, request, fd);
	close(fd);
	return result;
}

static const struct {
	const char *method;
	const char *path;
	int (*handle)(const struct app *app, struct pst_request *request);
} routes[] = {
    {"GET", "/", get_hello},
    {"POST", "/echo", post_echo},
    {"GET", "/params", get_params},
    {"GET", "/stream", get_stream},
    {"GET", "/file", get_file},
};

/* --- the plugin --- */

static int
app_handle(void *arg, struct pst_request *request)
{
	const struct app *app = arg;
	const char *method = param(app->host, request, "REQUEST_METHOD");
	const char *path = param(app->host, request, "PATH_INFO");

	/* nginx's fastcgi_params know no PATH_INFO: the whole path is SCRIPT_NAME there. */
	if (*path == '\0')
		path = param(app->host, request, "SCRIPT_NAME");
	if (*path == '\0')
		path = "/";
	if (strcmp(method, "HEAD") == 0)
		method = "GET"; /* whoever frames the response leaves its body out */
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (strcmp(routes[i].path, path) == 0 && strcmp(routes[i].method, method) == 0)
			return routes[i].handle(app, request);
	return answer(app->host, request, 404, "Not found\n");
}

static int
say_failure(const struct pst_host *host, const char *what)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "%s: %s", what, strerror(errno));

	host->log(PST_LOG_ERROR, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	return -1;
}

static int
app_open(const struct pst_host *host, const struct pst_app_config *config, void **out)
{
	struct app *app = calloc(1, sizeof(*app));

	if (!app)
		return say_failure(host, "the application's memory");
	app->host = host;
	for (size_t i = 0; i < config->option_count; i++) {
		if (strcmp(config->options[i].name, "file") != 0)
			continue;
		free(app->file);
		app->file = strdup(config->options[i].value); /* CONFIG ends with this call */
	}
	if (app->file && access(app->file, R_OK) < 0) {
		say_failure(host, app->file);
		free(app->file);
		free(app);
		return -1;
	}
	*out = app;
	return 0;
}

static void
app_close(void *arg)
{
	struct app *app = arg;

	free(app->file);
	free(app);
}

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof(lifecycle),
    .open = app_open,
    .close = app_close,
};

static const struct pst_plugin_blocking blocking = {
    .size = sizeof(blocking),
    .handle = app_handle,
};

/* Nothing that a request changes is shared, so that any number of threads may run it. */
static const struct pst_plugin plugin = {
    .magic = PST_PLUGIN_MAGIC,
    .major = PST_PLUGIN_MAJOR,
    .minor = PST_PLUGIN_MINOR,
    .size = sizeof(plugin),
    .name = "example",
    .version = "1.0",
    .models = 1u << PST_MODEL_SYNC | 1u << PST_MODEL_THREADED,
    .lifecycle = &lifecycle,
    .blocking = &blocking,
};

const struct pst_plugin *
penstock_plugin(void)
{
	return &plugin;
}
