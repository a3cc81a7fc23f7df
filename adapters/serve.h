/* One request through a plugin that blocks: what the sync and threaded models have in common. */
#ifndef PST_ADAPTERS_SERVE_H
#define PST_ADAPTERS_SERVE_H

#include "adapters/load.h"
#include "adapters/request.h"

/* An application that was opened. */
struct pst_app {
	struct pst_loaded loaded;
	void *app; /* what open() gave */
};

/* Handle REQUEST and finish it; what went wrong is logged with its method and path. */
enum pst_outcome pst_serve(struct pst_app *app, struct pst_request *request);

#endif
