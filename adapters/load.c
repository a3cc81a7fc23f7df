#include "adapters/load.h"

#include "adapters/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const char *const model_names[] = {"sync", "threaded", "async"};

const char *
pst_load_model_name(enum pst_model model)
{
	return model_names[model];
}

/* True when a table of SIZE bytes has MEMBER of STRUCT. */
#define HAS(size, type, member) ((size) >= offsetof(type, member) + sizeof(((type *)NULL)->member))

/* What every plugin must have to be looked at: the version is in it, and where the rest is. */
static int
check_version(const char *path, const struct pst_plugin *plugin)
{
	if (plugin->magic != PST_PLUGIN_MAGIC) {
		pst_log(PST_LOG_CRITICAL,
		    "%s: what " PST_PLUGIN_ENTRY "() returned is no plugin's "
		    "description (magic 0x%08x)",
		    path, plugin->magic);
		return -1;
	}
	if (plugin->major != PST_PLUGIN_MAJOR || plugin->minor != PST_PLUGIN_MINOR) {
		pst_log(PST_LOG_CRITICAL,
		    "%s was built for plugin ABI %d.%d, and this is %d.%d: build it again with "
		    "this version's <penstock/plugin.h>",
		    path, plugin->major, plugin->minor, PST_PLUGIN_MAJOR, PST_PLUGIN_MINOR);
		return -1;
	}
	if (!HAS(plugin->size, struct pst_plugin, lifecycle)) {
		pst_log(PST_LOG_CRITICAL,
		    "%s: its description says that it has %zu bytes, which "
		    "is too few",
		    path, plugin->size);
		return -1;
	}
	return 0;
}

/* Copy a table of FROM_SIZE bytes to one of ours; what it has not is 0. */
static void
copy_table(void *to, size_t to_size, const void *from, size_t from_size)
{
	memset(to, 0, to_size);
	memcpy(to, from, from_size < to_size ? from_size : to_size);
}

static void
copy_tables(const struct pst_plugin *plugin, struct pst_loaded *loaded)
{
	memset(loaded, 0, sizeof(*loaded));
	copy_table(&loaded->plugin, sizeof(loaded->plugin), plugin, plugin->size);
	if (loaded->plugin.lifecycle)
		copy_table(&loaded->lifecycle, sizeof(loaded->lifecycle), loaded->plugin.lifecycle,
		    loaded->plugin.lifecycle->size);
	if (loaded->plugin.blocking)
		copy_table(&loaded->blocking, sizeof(loaded->blocking), loaded->plugin.blocking,
		    loaded->plugin.blocking->size);
	if (loaded->plugin.async)
		copy_table(&loaded->async, sizeof(loaded->async), loaded->plugin.async,
		    loaded->plugin.async->size);
	loaded->plugin.lifecycle = &loaded->lifecycle;
	loaded->plugin.blocking = &loaded->blocking;
	loaded->plugin.async = &loaded->async;
	if (!loaded->plugin.name)
		loaded->plugin.name = "without a name";
	if (!loaded->plugin.version)
		loaded->plugin.version = "?";
}

/* The entry that the async model needs and ASYNC has not, or NULL. */
static const char *
missing_async(const struct pst_plugin_async *async)
{
	const struct {
		const char *name;
		bool there;
		bool loop; /* of a loop of the plugin's own, which has all of these or none */
	} entries[] = {
	    {"async->on_request", async->on_request, false},
	    {"async->on_ready", async->on_ready, false},
	    {"async->on_abort", async->on_abort, false},
	    {"async->run", async->run, true},
	    {"async->stop", async->stop, true},
	    {"async->watch", async->watch, true},
	    {"async->timer", async->timer, true},
	    {"async->defer", async->defer, true},
	};
	bool own_loop = false;

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		own_loop |= entries[i].loop && entries[i].there;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (!entries[i].there && (!entries[i].loop || own_loop))
			return entries[i].name;
	return NULL;
}

/* A plugin that supports MODELS is not for MODEL. */
static int
refuse_model(const char *path, unsigned models, enum pst_model model, bool may_change)
{
	int other = PST_MODEL_SYNC;

	while (other <= PST_MODEL_ASYNC && !(models & 1u << other))
		other++;
	if (other > PST_MODEL_ASYNC) {
		pst_log(PST_LOG_CRITICAL, "%s supports no model that this version has", path);
		return -1;
	}
	if (may_change)
		return PST_OPEN_OTHER_MODEL + other;
	pst_log(PST_LOG_CRITICAL, "%s does not support the %s model: start it with -k %s", path,
	    model_names[model], model_names[other]);
	return -1;
}

int
pst_load_tables(const char *path, const struct pst_plugin *plugin, enum pst_model model,
    bool may_change, struct pst_loaded *loaded)
{
	const char *missing = NULL;

	if (!plugin) {
		pst_log(PST_LOG_CRITICAL, "%s: " PST_PLUGIN_ENTRY "() returned NULL", path);
		return -1;
	}
	if (check_version(path, plugin) < 0)
		return -1;
	copy_tables(plugin, loaded);
	if (!(loaded->plugin.models & 1u << model))
		return refuse_model(path, loaded->plugin.models, model, may_change);
	if (!loaded->lifecycle.open)
		missing = "lifecycle->open";
	else if (model != PST_MODEL_ASYNC && !loaded->blocking.handle)
		missing = "blocking->handle";
	else if (model == PST_MODEL_ASYNC)
		missing = missing_async(&loaded->async);
	if (!missing)
		return 0;
	pst_log(PST_LOG_CRITICAL, "%s has no %s, which the %s model needs", path, missing,
	    model_names[model]);
	return -1;
}

/* What is meant by a name with a slash that is no plugin. */
static const char *
hint_for(const char *path)
{
	size_t n = strlen(path);

	if (n < 3 || strcmp(path + n - 3, ".py") != 0)
		return "";
	return " (a Python application is named without its directory, as MODULE:CALLABLE; --chdir "
	       "or --pythonpath says where the module is)";
}

int
pst_load(const char *path, enum pst_model model, bool may_change, struct pst_loaded *loaded)
{
	pst_plugin_entry_fn *entry;
	void *handle;

	if (access(path, R_OK) < 0) {
		pst_log(PST_LOG_CRITICAL, "plugin %s: %s", path, strerror(errno));
		return -1;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		pst_log(PST_LOG_CRITICAL, "plugin %s cannot be loaded: %s%s", path, dlerror(),
		    hint_for(path));
		return -1;
	}
	/* POSIX promises that the pointer fits; ISO C has no cast for it. */
	*(void **)&entry = dlsym(handle, PST_PLUGIN_ENTRY);
	if (!entry) {
		pst_log(PST_LOG_CRITICAL,
		    "%s is not a Penstock plugin: it exports no " PST_PLUGIN_ENTRY "()", path);
		return -1;
	}
	return pst_load_tables(path, entry(), model, may_change, loaded);
}
