/* A plugin that says hello: workers that cost nearly nothing, for cases with many of them. */
#include <penstock/plugin.h>

#include <string.h>

static const struct pst_host *host;

static int
hello_open(const struct pst_host *the_host, const struct pst_app_config *config, void **out)
{
	(void)config;
	host = the_host;
	*out = NULL;
	return 0;
}

static void
hello_close(void *arg)
{
	(void)arg;
}

static int
hello_handle(void *arg, struct pst_request *request)
{
	static const struct pst_field fields[] = {
	    {"Content-Type", 12, "text/plain", 10},
	    {"Content-Length", 14, "13", 2},
	};

	(void)arg;
	if (host->respond(request, 200, NULL, fields, 2) < 0)
		return -1;
	return host->write(request, "Hello, World!", 13);
}

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof(lifecycle),
    .open = hello_open,
    .close = hello_close,
};

static const struct pst_plugin_blocking blocking = {
    .size = sizeof(blocking),
    .handle = hello_handle,
};

static const struct pst_plugin plugin = {
    .magic = PST_PLUGIN_MAGIC,
    .major = PST_PLUGIN_MAJOR,
    .minor = PST_PLUGIN_MINOR,
    .size = sizeof(plugin),
    .name = "hello",
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
