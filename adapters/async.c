/* The async adapter: many requests at a time on one event loop. */

#include "adapters/adapter.h"
#include "adapters/async_server.h"

/* The one of this process, for the signal handlers. */
static struct pst_async_server *server;

static int
async_prepare(struct pst_adapter *adapter)
{
	struct pst_inherited *inherited = &adapter->inherited;
	const struct pst_async_config config = {
	    .listener = inherited->listener,
	    .capacity = adapter->options.capacity,
	    .page = inherited->page.bytes ? &inherited->page : NULL,
	};

	server = pst_async_server_new(&config);
	return server ? 0 : PST_ADAPTER_USAGE;
}

static void
on_draining(void *arg)
{
	pst_adapter_tell_drain(arg);
}

static int
async_run(struct pst_adapter *adapter)
{
	return pst_async_server_run(
	    server, &adapter->app.loaded, adapter->app.app, on_draining, adapter);
}

static void
async_closing(void)
{
	pst_async_server_closing(server);
}

static void
async_drain(void)
{
	pst_async_server_drain(server);
}

static void
async_outlive(void)
{
	pst_async_server_outlive(server);
}

static bool
async_busy(void)
{
	return pst_async_server_busy(server);
}

static const struct pst_adapter_model model = {
    .model = PST_MODEL_ASYNC,
    .host = &pst_async_host,
    .prepare = async_prepare,
    .run = async_run,
    .closing = async_closing,
    .drain = async_drain,
    .outlive = async_outlive,
    .busy = async_busy,
};

int
main(int argc, char **argv)
{
	return pst_adapter_main(&model, argc, argv);
}
