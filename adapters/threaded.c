/* The threaded adapter: so many requests at a time, a thread for each. */

#include "adapters/adapter.h"
#include "adapters/host.h"
#include "adapters/threaded_server.h"

/* The one of this process, for the signal handlers. */
static struct pst_threaded_server *threaded_server;

static int
handler_start(void *arg)
{
	const struct pst_app *app = arg;
	const struct pst_plugin_lifecycle *lifecycle = &app->loaded.lifecycle;

	return lifecycle->thread_start ? lifecycle->thread_start(app->app) : 0;
}

static void
handler_stop(void *arg)
{
	const struct pst_app *app = arg;
	const struct pst_plugin_lifecycle *lifecycle = &app->loaded.lifecycle;

	if (lifecycle->thread_stop)
		lifecycle->thread_stop(app->app);
}

static enum pst_outcome
handler_handle(void *arg, struct pst_request *request)
{
	return pst_serve(arg, request);
}

static int
threaded_prepare(struct pst_adapter *adapter)
{
	struct pst_inherited *inherited = &adapter->inherited;

	threaded_server = pst_threaded_server_new(inherited->listener, adapter->options.threads);
	if (!threaded_server)
		return PST_ADAPTER_USAGE;
	if (inherited->page.bytes)
		pst_threaded_server_share(threaded_server, &inherited->page);
	return 0;
}

static int
threaded_run(struct pst_adapter *adapter)
{
	const struct pst_threaded_handler handler = {
	    .arg = &adapter->app,
	    .start = handler_start,
	    .stop = handler_stop,
	    .handle = handler_handle,
	    .serial = adapter->app.loaded.blocking.serial,
	};

	return pst_threaded_server_run(threaded_server, &handler);
}

static void
threaded_drain(void)
{
	pst_threaded_server_drain(threaded_server);
}

static void
threaded_outlive(void)
{
	pst_threaded_server_outlive(threaded_server);
}

static bool
threaded_busy(void)
{
	return pst_threaded_server_busy(threaded_server);
}

/* What every blocking model has, and upgrades. */
static struct pst_host host;

static const struct pst_adapter_model model = {
    .model = PST_MODEL_THREADED,
    .host = &host,
    .prepare = threaded_prepare,
    .run = threaded_run,
    .drain = threaded_drain,
    .outlive = threaded_outlive,
    .busy = threaded_busy,
};

int
main(int argc, char **argv)
{
	host = pst_host;
	host.upgradable = pst_request_upgradable;
	host.upgrade_stream = pst_request_upgrade_stream;
	host.pump = pst_request_pump;
	return pst_adapter_main(&model, argc, argv);
}
