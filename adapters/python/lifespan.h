/* The lifespan of an ASGI application, by the glue in penstock_loops/lifespan.py. */
#ifndef PST_PYTHON_LIFESPAN_H
#define PST_PYTHON_LIFESPAN_H

#include <Python.h>

#include <penstock/plugin.h>

struct pst_lifespan;

/*
 * Start CALLABLE on the loop of GLUE: the startup is complete when this returns. --option lifespan=
 * says auto, on or off. NULL after a line that says why the application cannot be served.
 */
struct pst_lifespan *pst_lifespan_start(const struct pst_host *host,
    const struct pst_app_config *config, PyObject *glue, PyObject *callable);

/* The state, a dict: borrowed. */
PyObject *pst_lifespan_state(const struct pst_lifespan *lifespan);

/* Tell the application of the shutdown, and wait until it is complete; a failure is logged. */
void pst_lifespan_stop(struct pst_lifespan *lifespan);
void pst_lifespan_free(struct pst_lifespan *lifespan);

#endif
