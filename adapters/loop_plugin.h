/* A plugin's own event loop, see struct pst_plugin_async. */
#ifndef PST_ADAPTERS_LOOP_PLUGIN_H
#define PST_ADAPTERS_LOOP_PLUGIN_H

#include "adapters/loop.h"

#include <penstock/plugin.h>

/* The plugin calls the host by itself: what is called is not given here. PLUGIN outlives it. NULL:
 * memory is short. */
struct pst_loop *pst_loop_plugin_new(const struct pst_plugin_async *plugin, void *app);

#endif
