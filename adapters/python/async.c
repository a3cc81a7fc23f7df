#include "adapters/python/async.h"

#include "adapters/python/asgi.h"
#include "adapters/python/greenlets.h"
#include "adapters/python/kind.h"
#include "adapters/python/lifespan.h"
#include "adapters/python/loop.h"
#include "adapters/python/option.h"
#include "adapters/python/say.h"
#include "adapters/python/tornado.h"
#include "adapters/python/wsgi.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct pst_async {
	const struct pst_host *host;
	struct pst_loop *loop;
	struct pst_lifespan *lifespan;
	char kind[64]; /* in words; "" says nothing */
	/* One of: */
	struct pst_asgi *asgi;
	struct pst_greenlets *greenlets;
	struct pst_tornado *tornado;
};

/* A frame of the host's has ended: application code may start. */
static enum pst_loop_after
after(void *arg)
{
	struct pst_async *async = arg;

	if (async->asgi != NULL)
		return pst_asgi_after(async->asgi) ? PST_LOOP_RAN : PST_LOOP_NOTHING;
	if (async->greenlets != NULL) {
		pst_greenlets_after(async->greenlets);
		return PST_LOOP_RAN;
	}
	if (async->tornado != NULL && pst_tornado_after(async->tornado))
		return PST_LOOP_QUEUED;
	return PST_LOOP_NOTHING;
}

struct pst_async *
pst_async_new(const struct pst_host *host, const struct pst_app_config *config)
{
	struct pst_async *async = calloc(1, sizeof *async);

	if (async == NULL) {
		pst_say(host, PST_LOG_ERROR, "out of memory: %s cannot be loaded", config->app);
		return NULL;
	}
	async->host = host;
	async->loop = pst_loop_new(host, config, after, async);
	if (async->loop != NULL)
		return async;
	free(async);
	return NULL;
}

/* "ASGI on uvloop", where the loop tells its name. */
static void
name_asgi(struct pst_async *async)
{
	PyObject *name = PyObject_GetAttrString(pst_loop_glue(async->loop), "name");
	const char *utf8 = name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;

	snprintf(async->kind, sizeof async->kind, "ASGI%s%s", utf8 != NULL ? " on " : "",
	    utf8 != NULL ? utf8 : "");
	PyErr_Clear();
	Py_XDECREF(name);
}

static int
start_asgi(struct pst_async *async, const struct pst_app_config *config, PyObject *callable)
{
	PyObject *glue = pst_loop_glue(async->loop);
	PyObject *loop = PyObject_GetAttrString(glue, "loop");

	if (loop != NULL)
		async->lifespan = pst_lifespan_start(async->host, config, glue, callable);
	if (async->lifespan != NULL)
		async->asgi =
		    pst_asgi_new(async->host, callable, loop, pst_lifespan_state(async->lifespan));
	Py_XDECREF(loop);
	if (async->asgi == NULL)
		return -1;
	name_asgi(async);
	return 0;
}

static int
start_greenlets(struct pst_async *async, const struct pst_app_config *config, PyObject *callable)
{
	struct pst_wsgi *wsgi =
	    pst_wsgi_new(async->host, callable, true, pst_option_multiprocess(config));

	if (wsgi == NULL)
		return -1;
	async->greenlets = pst_greenlets_new(async->host, wsgi, pst_loop_glue(async->loop));
	return async->greenlets != NULL ? 0 : -1;
}

static int
start_tornado(struct pst_async *async, const struct pst_app_config *config, PyObject *app)
{
	(void)config;
	async->tornado = pst_tornado_new(async->host, app, pst_loop_glue(async->loop));
	snprintf(async->kind, sizeof async->kind, "Tornado");
	return async->tornado != NULL ? 0 : -1;
}

int
pst_async_start(struct pst_async *async, const struct pst_app_config *config, PyObject *callable)
{
	int rc;

	if (PyObject_HasAttrString(pst_loop_glue(async->loop), "greenlet"))
		rc = start_greenlets(async, config, callable);
	else if (pst_kind_of(callable) == PST_KIND_TORNADO)
		rc = start_tornado(async, config, callable);
	else
		rc = start_asgi(async, config, callable);
	if (rc == 0)
		return 0;
	if (PyErr_Occurred())
		PyErr_Print();
	return -1;
}

void
pst_async_close(struct pst_async *async)
{
	pst_loop_free(async->loop);
	if (async->lifespan != NULL)
		pst_lifespan_free(async->lifespan);
	if (async->asgi != NULL)
		pst_asgi_close(async->asgi);
	if (async->greenlets != NULL)
		pst_greenlets_close(async->greenlets);
	if (async->tornado != NULL)
		pst_tornado_close(async->tornado);
}

void
pst_async_free(struct pst_async *async)
{
	if (async->asgi != NULL)
		pst_asgi_free(async->asgi);
	if (async->greenlets != NULL)
		pst_greenlets_free(async->greenlets);
	if (async->tornado != NULL)
		pst_tornado_free(async->tornado);
	free(async);
}

int
pst_async_run(struct pst_async *async)
{
	int rc = pst_loop_run(async->loop);

	if (async->lifespan != NULL)
		pst_lifespan_stop(async->lifespan);
	return rc;
}

const char *
pst_async_kind(const struct pst_async *async)
{
	return async->kind[0] != '\0' ? async->kind : NULL;
}

struct pst_loop *
pst_async_loop(const struct pst_async *async)
{
	return async->loop;
}

void
pst_async_on_request(struct pst_async *async, struct pst_request *request)
{
	if (async->greenlets != NULL)
		pst_greenlets_on_request(async->greenlets, request);
	else if (async->tornado != NULL)
		pst_tornado_on_request(async->tornado, request);
	else
		pst_asgi_on_request(async->asgi, request);
}

void
pst_async_on_ready(struct pst_async *async, struct pst_request *request)
{
	if (async->greenlets != NULL)
		pst_greenlets_on_ready(async->greenlets, request);
	else if (async->tornado != NULL)
		pst_tornado_on_ready(async->tornado, request);
	else
		pst_asgi_on_ready(async->asgi, request);
}

void
pst_async_on_abort(struct pst_async *async, struct pst_request *request, enum pst_abort why)
{
	if (async->greenlets != NULL)
		pst_greenlets_on_abort(async->greenlets, request, why);
	else if (async->tornado != NULL)
		pst_tornado_on_abort(async->tornado, request, why);
	else
		pst_asgi_on_abort(async->asgi, request, why);
}

void
pst_async_drain(struct pst_async *async)
{
	if (async->tornado != NULL)
		pst_tornado_drain(async->tornado);
}
