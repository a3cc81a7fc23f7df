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

/* Say what the plugin did not: that its RESULT and the response are not well. */
void pst_serve_explain(const struct pst_request *request, int result);
/* Answer a request that cannot be shown to the plugin, and say why. */
void pst_serve_refuse(struct pst_request *request);

/* Handle REQUEST and finish it; what went wrong is logged with its method and path. */
enum pst_outcome pst_serve(struct pst_app *app, struct pst_request *request);

#endif
