/*
 * What every adapter's main() has in common: the command line, what it inherits, the application,
 * the control channel, signals, how it ends. What makes it a model of its own is a table.
 *
 *	options ─► inherit ─► prepare() ─► control ─► the application ─► READY ─► run() ─► close
 */
#ifndef PST_ADAPTERS_ADAPTER_H
#define PST_ADAPTERS_ADAPTER_H

#include "adapters/inherit.h"
#include "adapters/options.h"
#include "adapters/serve.h"

#include <stdbool.h>

/* docs/architecture.md, "What a child is started with". */
enum pst_adapter_status {
	PST_ADAPTER_DRAINED = 0,
	PST_ADAPTER_RUNTIME = 1,
	PST_ADAPTER_USAGE = 2,
	PST_ADAPTER_APP = 3,
};

/* What the functions of a model are given; for the life of the process. */
struct pst_adapter {
	struct pst_options options;
	struct pst_inherited inherited;
	struct pst_app app; /* loaded when run() is called */
	bool told_drain; /* the plugin was */
};

struct pst_adapter_model {
	enum pst_model model;
	const struct pst_host *host;
	/* Set up what run() and drain() need, before the application is loaded. 0, or another enum
	 * pst_adapter_status after the reason was logged. */
	int (*prepare)(struct pst_adapter *adapter);
	/* Serve until drained: 0, or -1 after the reason was logged. On the main thread. */
	int (*run)(struct pst_adapter *adapter);
	/* The end is near: run() serves on, but calls pst_adapter_tell_drain(). Any thread. NULL:
	 * there is nothing to do before the end. */
	void (*closing)(void);
	/* Make run() end when what has come is answered. Any thread, and async-signal-safe; not
	 * before prepare() has succeeded. */
	void (*drain)(void);
	/* Make run() end when the clients of now have closed their connections. Any thread. */
	void (*outlive)(void);
	/* A request is being handled. As drain(). */
	bool (*busy)(void);
};

/* Tell the plugin that the end is near, the first time that this is called. run()
 * may do so; it is done when that has returned. */
void pst_adapter_tell_drain(struct pst_adapter *adapter);

/* main(): the exit status. */
int pst_adapter_main(const struct pst_adapter_model *model, int argc, char **argv);

#endif
