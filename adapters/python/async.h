/*
 * An application in the async model: its event loop, and what serves it there: ASGI with its
 * lifespan on asyncio's, WSGI on those of greenlets, Tornado's applications on asyncio's.
 *
 * All with the GIL held, on the main thread.
 */
#ifndef PST_PYTHON_ASYNC_H
#define PST_PYTHON_ASYNC_H

#include <Python.h>

#include <penstock/plugin.h>

struct pst_async;

/* Make the loop; the application is imported afterwards, and finds it. NULL after a line. */
struct pst_async *pst_async_new(const struct pst_host *host, const struct pst_app_config *config);
/* Start CALLABLE: its lifespan's startup is complete. 0, or -1 after a line. */
int pst_async_start(
    struct pst_async *async, const struct pst_app_config *config, PyObject *callable);
/* Close the loop. What remains is freed by pst_async_free() after the interpreter has ended. */
void pst_async_close(struct pst_async *async);
void pst_async_free(struct pst_async *async);

/* Run the loop until it is stopped, and the lifespan's shutdown. 0, or -1 after a line. */
int pst_async_run(struct pst_async *async);

/* In words, as struct pst_plugin_lifecycle has it. Needs no GIL. */
const char *pst_async_kind(const struct pst_async *async);

struct pst_loop *pst_async_loop(const struct pst_async *async);

/* As in struct pst_plugin_async. */
void pst_async_on_request(struct pst_async *async, struct pst_request *request);
void pst_async_on_ready(struct pst_async *async, struct pst_request *request);
void pst_async_on_abort(struct pst_async *async, struct pst_request *request, enum pst_abort why);
/* As in struct pst_plugin_lifecycle. */
void pst_async_drain(struct pst_async *async);

#endif
