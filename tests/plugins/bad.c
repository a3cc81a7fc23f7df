/*
 * Plugins that must be refused. What is wrong is chosen when it is compiled:
 * -DMAGIC=..., -DMAJOR=..., -DMINOR=..., -DSIZE=..., -DMODELS=..., -DNO_OPEN, -DNO_HANDLE,
 * -DNULL_PLUGIN, -DENTRY=another_name, -DABORTS.
 */
#include <penstock/plugin.h>

#include <stdlib.h>

#ifndef MAGIC
#define MAGIC PST_PLUGIN_MAGIC
#endif
#ifndef MAJOR
#define MAJOR PST_PLUGIN_MAJOR
#endif
#ifndef MINOR
#define MINOR PST_PLUGIN_MINOR
#endif
#ifndef SIZE
#define SIZE sizeof(struct pst_plugin)
#endif
#ifndef MODELS
#define MODELS 1u << PST_MODEL_SYNC
#endif
#ifndef ENTRY
#define ENTRY penstock_plugin
#endif

#ifndef NO_OPEN
static int
bad_open(const struct pst_host *host, const struct pst_app_config *config, void **app)
{
	(void)config;
	(void)app;
	host->log(PST_LOG_CRITICAL, "bad: opened", 11);
#ifdef ABORTS
	abort();
#endif
	return 0;
}
#endif

#ifndef NO_HANDLE
static int
bad_handle(void *app, struct pst_request *request)
{
	(void)app;
	(void)request;
	return 0;
}
#endif

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof(lifecycle),
#ifndef NO_OPEN
    .open = bad_open,
#endif
};

static const struct pst_plugin_blocking blocking = {
    .size = sizeof(blocking),
#ifndef NO_HANDLE
    .handle = bad_handle,
#endif
};

static const struct pst_plugin plugin = {
    .magic = MAGIC,
    .major = MAJOR,
    .minor = MINOR,
    .size = SIZE,
    .name = "bad",
    .version = "1",
    .models = MODELS,
    .lifecycle = &lifecycle,
    .blocking = &blocking,
};

PST_PLUGIN_EXPORT const struct pst_plugin *ENTRY(void);

const struct pst_plugin *
ENTRY(void)
{
#ifdef NULL_PLUGIN
	return (void)plugin, (const struct pst_plugin *)0;
#else
	return &plugin;
#endif
}
