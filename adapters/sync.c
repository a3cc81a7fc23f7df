/* The sync adapter: one request at a time, on the main thread. */

#include "adapters/adapter.h"
#include "adapters/host.h"
#include "adapters/server.h"

#include <stdatomic.h>

/* The one of this process, for the signal handlers. */
static struct {
	struct pst_app *app;
	struct pst_server *server;
	atomic_bool busy; /* in a request */
} sync_adapter;

static enum pst_outcome
handle(void *arg, struct pst_request *request)
{
	enum pst_outcome outcome;

	(void)arg;
	atomic_store_explicit(&sync_adapter.busy, true, memory_order_relaxed);
	outcome = pst_serve(sync_adapter.app, request);
	atomic_store_explicit(&sync_adapter.busy, false, memory_order_relaxed);
	return outcome;
}

static int
sync_prepare(struct pst_adapter *adapter)
{
	struct pst_inherited *inherited = &adapter->inherited;

	sync_adapter.app = &adapter->app;
	sync_adapter.server = pst_server_new(inherited->listener, handle, NULL);
	if (!sync_adapter.server)
		return PST_ADAPTER_USAGE;
	if (inherited->page.bytes)
		pst_server_share(sync_adapter.server, &inherited->page);
	return 0;
}

static int
sync_run(struct pst_adapter *adapter)
{
	(void)adapter;
	return pst_server_run(sync_adapter.server);
}

static void
sync_drain(void)
{
	pst_server_drain(sync_adapter.server);
}

static void
sync_outlive(void)
{
	pst_server_outlive(sync_adapter.server);
}

static bool
sync_busy(void)
{
	return atomic_load(&sync_adapter.busy);
}

static const struct pst_adapter_model model = {
    .model = PST_MODEL_SYNC,
    .host = &pst_host,
    .prepare = sync_prepare,
    .run = sync_run,
    .drain = sync_drain,
    .outlive = sync_outlive,
    .busy = sync_busy,
};

int
main(int argc, char **argv)
{
	return pst_adapter_main(&model, argc, argv);
}
