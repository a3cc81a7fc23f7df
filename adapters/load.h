/*
 * A plugin that was loaded: its tables as copies in which everything that the plugin's own,
 * perhaps older or newer, tables do not have is NULL.
 */
#ifndef PST_ADAPTERS_LOAD_H
#define PST_ADAPTERS_LOAD_H

#include <penstock/plugin.h>

#include <stdbool.h>

struct pst_loaded {
	struct pst_plugin plugin;
	struct pst_plugin_lifecycle lifecycle;
	struct pst_plugin_blocking blocking;
	struct pst_plugin_async async;
};

/* "sync", "threaded" or "async": the adapter's name, too. */
const char *pst_load_model_name(enum pst_model model);

/*
 * Load the plugin at PATH, which has a '/' in it, for MODEL. 0, or -1 after one line said why it
 * cannot be used. If MAY_CHANGE, one that supports other models only is PST_OPEN_OTHER_MODEL and
 * the first of them. A plugin stays loaded for the life of the process: runtimes do not bear
 * dlclose().
 */
int pst_load(const char *path, enum pst_model model, bool may_change, struct pst_loaded *loaded);

/* Check what a plugin's entry returned and copy its tables; PATH is for the log. As pst_load(). */
int pst_load_tables(const char *path, const struct pst_plugin *plugin, enum pst_model model,
    bool may_change, struct pst_loaded *loaded);

#endif
