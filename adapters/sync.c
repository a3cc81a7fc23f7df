/* The sync adapter: one request at a time, on the main thread. */

#include "adapters/control.h"
#include "adapters/crash.h"
#include "adapters/find.h"
#include "adapters/host.h"
#include "adapters/inherit.h"
#include "adapters/load.h"
#include "adapters/log.h"
#include "adapters/options.h"
#include "adapters/serve.h"
#include "adapters/server.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* docs/architecture.md, "What a child is started with". */
enum exit_status {
	EXIT_DRAINED = 0,
	EXIT_RUNTIME = 1,
	EXIT_USAGE = 2,
	EXIT_APP = 3,
};

struct sync {
	struct pst_options options;
	struct pst_inherited inherited;
	struct pst_app app;
	struct pst_server *server;
	atomic_bool serving; /* the application is loaded */
	atomic_bool busy; /* in a request */
};

/* The one of this process, for the signal handlers. */
static struct sync sync_adapter;

/* --- the end --- */

/* On the control thread. While the application loads there is nothing to finish. */
static void
on_control_drain(void *arg, bool orphaned)
{
	struct sync *sync = arg;

	if (!atomic_load(&sync->serving))
		_exit(EXIT_DRAINED);
	if (!orphaned) {
		pst_server_drain(sync->server);
		return;
	}
	pst_inherit_mute();
	pst_server_outlive(sync->server);
}

/* The first SIGTERM or SIGINT drains; a second one ends the process at once (SA_RESETHAND). By
 * hand, SIGINT does so at once when a request is running. */
static void
on_signal(int signo)
{
	if (signo == SIGINT && sync_adapter.inherited.control < 0 &&
	    atomic_load(&sync_adapter.busy))
		raise(signo);
	pst_server_drain(sync_adapter.server);
}

static int
take_signals(void)
{
	struct sigaction action = {
	    .sa_handler = on_signal,
	    .sa_flags = SA_RESETHAND | SA_NODEFER | SA_RESTART,
	};

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0)
		return 0;
	pst_log(PST_LOG_CRITICAL, "signals cannot be handled: %s", strerror(errno));
	return -1;
}

/* --- the application --- */

static enum pst_outcome
handle(void *arg, struct pst_request *request)
{
	struct sync *sync = arg;
	enum pst_outcome outcome;

	atomic_store(&sync->busy, true);
	outcome = pst_serve(&sync->app, request);
	atomic_store(&sync->busy, false);
	return outcome;
}

static int
open_app(struct sync *sync)
{
	struct pst_loaded *loaded = &sync->app.loaded;
	const struct pst_app_config config = {
	    .size = sizeof(config),
	    .app = sync->options.app,
	    .model = PST_MODEL_SYNC,
	    .concurrency = 1,
	    .options = sync->options.plugin,
	    .option_count = sync->options.plugin_count,
	};
	char path[4096];

	if (pst_find(sync->options.app, sync->options.python, path, sizeof(path)) < 0 ||
	    pst_load(path, PST_MODEL_SYNC, loaded) < 0)
		return EXIT_RUNTIME;
	pst_crash_plugin(&loaded->lifecycle);
	if (loaded->lifecycle.open(&pst_host, &config, &sync->app.app) != 0) {
		pst_log(PST_LOG_CRITICAL,
		    "the application \"%s\" was not loaded: this worker "
		    "ends with status %d",
		    sync->options.app, EXIT_APP);
		return EXIT_APP;
	}
	pst_crash_app(sync->app.app);
	return 0;
}

static void
close_app(struct sync *sync)
{
	const struct pst_plugin_lifecycle *lifecycle = &sync->app.loaded.lifecycle;

	if (lifecycle->drain)
		lifecycle->drain(sync->app.app);
	pst_crash_plugin(NULL);
	if (lifecycle->close)
		lifecycle->close(sync->app.app);
}

/* --- set-up --- */

static int
prepare(struct sync *sync)
{
	if (pst_inherit(&sync->inherited) < 0)
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	if (pst_crash_begin() < 0) {
		pst_log(PST_LOG_CRITICAL, "signals cannot be handled: %s", strerror(errno));
		return EXIT_RUNTIME;
	}
	sync->server = pst_server_new(sync->inherited.listener, handle, sync);
	if (!sync->server)
		return EXIT_USAGE;
	if (sync->inherited.page.bytes)
		pst_server_share(sync->server, &sync->inherited.page);
	if (sync->inherited.control >= 0 &&
	    pst_control_begin(sync->inherited.control, sync->options.graceful_timeout,
		on_control_drain, sync) < 0)
		return EXIT_RUNTIME;
	return 0;
}

static int
serve(struct sync *sync)
{
	int status = prepare(sync);

	if (status == 0)
		status = open_app(sync);
	if (status != 0)
		return status;
	if (take_signals() < 0)
		return EXIT_RUNTIME;
	atomic_store(&sync->serving, true);
	pst_control_ready();
	status = pst_server_run(sync->server) < 0 ? EXIT_RUNTIME : EXIT_DRAINED;
	close_app(sync);
	return status;
}

int
main(int argc, char **argv)
{
	struct sync *sync = &sync_adapter;
	int status;

	pst_log_begin("sync: ");
	switch (pst_options_parse(&sync->options, "sync", argc, argv)) {
	case PST_OPTIONS_DONE: return 0;
	case PST_OPTIONS_USAGE: return EXIT_USAGE;
	case PST_OPTIONS_SERVE: break;
	}
	if (sync->options.worker_id)
		pst_log_begin(NULL);
	status = serve(sync);
	/* The control thread may still ask for a drain: what it uses is left to the process's end.
	 */
	return status;
}
