#include "adapters/loop_plugin.h"

#include <stdlib.h>

struct plugin_loop {
	struct pst_loop loop; /* first */
	const struct pst_plugin_async *plugin;
	void *app;
};

static int
loop_run(struct pst_loop *loop)
{
	struct plugin_loop *own = (struct plugin_loop *)loop;

	return own->plugin->run(own->app);
}

static void
loop_stop(struct pst_loop *loop)
{
	struct plugin_loop *own = (struct plugin_loop *)loop;

	own->plugin->stop(own->app);
}

static int
loop_watch(struct pst_loop *loop, int fd, unsigned events)
{
	struct plugin_loop *own = (struct plugin_loop *)loop;

	return own->plugin->watch(own->app, fd, events);
}

static void
loop_timer(struct pst_loop *loop, uint64_t microseconds)
{
	struct plugin_loop *own = (struct plugin_loop *)loop;

	own->plugin->timer(own->app, microseconds);
}

static void
loop_defer(struct pst_loop *loop)
{
	struct plugin_loop *own = (struct plugin_loop *)loop;

	own->plugin->defer(own->app);
}

static void
loop_free(struct pst_loop *loop)
{
	free(loop);
}

static const struct pst_loop_type type = {
    .run = loop_run,
    .stop = loop_stop,
    .watch = loop_watch,
    .timer = loop_timer,
    .defer = loop_defer,
    .free = loop_free,
};

struct pst_loop *
pst_loop_plugin_new(const struct pst_plugin_async *plugin, void *app)
{
	struct plugin_loop *own = calloc(1, sizeof(*own));

	if (!own)
		return NULL;
	own->loop.type = &type;
	own->plugin = plugin;
	own->app = app;
	return &own->loop;
}
