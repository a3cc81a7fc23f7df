#include "adapters/python/asgi.h"

#include "adapters/python/asgi_internal.h"
#include "adapters/python/soon.h"
#include "adapters/python/task_set.h"

#include <stdlib.h>
#include <string.h>

/* --- Life ------------------------------------------------------------------------------ */

/* asyncio.Task of the loop: what makes a task of a coroutine, without a Python frame. */
static int
find_task(struct pst_asgi *asgi)
{
	PyObject *asyncio = PyImport_ImportModule("asyncio");

	pst_task_set_shorten();
	if (asyncio != NULL)
		asgi->create_task = PyObject_GetAttrString(asyncio, "Task");
	Py_XDECREF(asyncio);
	asgi->task_options =
	    PST_ASGI_EAGER ? Py_BuildValue("{sOsO}", "loop", asgi->loop, "eager_start", Py_True)
			   : Py_BuildValue("{sO}", "loop", asgi->loop);
	return asgi->create_task != NULL && asgi->task_options != NULL ? 0 : -1;
}

struct pst_asgi *
pst_asgi_new(const struct pst_host *host, PyObject *callable, PyObject *loop, PyObject *state)
{
	struct pst_asgi *asgi = calloc(1, sizeof *asgi);

	if (asgi == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	asgi->host = host;
	asgi->thread = PyThread_get_thread_ident();
	asgi->queue_end = &asgi->queue;
	Py_INCREF(callable);
	asgi->callable = callable;
	Py_INCREF(loop);
	asgi->loop = loop;
	asgi->create_future = PyObject_GetAttrString(loop, "create_future");
	asgi->cycle_type = pst_asgi_cycle_type();
	asgi->step_type = pst_asgi_step_type();
	asgi->scope = pst_asgi_scope_new(state);
	if (asgi->create_future != NULL && asgi->cycle_type != NULL && asgi->step_type != NULL &&
	    asgi->scope != NULL && pst_asgi_names_init(&asgi->names) == 0 && find_task(asgi) == 0)
		return asgi;
	pst_asgi_close(asgi);
	free(asgi);
	return NULL;
}

void
pst_asgi_close(struct pst_asgi *asgi)
{
	asgi->closed = true;
	while (asgi->queue != NULL) {
		struct pst_asgi_cycle *cycle = asgi->queue;

		asgi->queue = cycle->next;
		Py_DECREF(cycle);
	}
	pst_asgi_step_reap(asgi);
	pst_asgi_step_free_spares(asgi);
	if (asgi->scope != NULL)
		pst_asgi_scope_free(asgi->scope);
	asgi->scope = NULL;
	pst_asgi_names_clear(&asgi->names);
	Py_CLEAR(asgi->callable);
	Py_CLEAR(asgi->loop);
	Py_CLEAR(asgi->create_future);
	Py_CLEAR(asgi->create_task);
	Py_CLEAR(asgi->task_options);
	Py_CLEAR(asgi->cycle_type);
	Py_CLEAR(asgi->step_type);
}

void
pst_asgi_free(struct pst_asgi *asgi)
{
	free(asgi);
}

/* --- The host's callbacks -------------------------------------------------------------- */

void
pst_asgi_on_request(struct pst_asgi *asgi, struct pst_request *request)
{
	struct pst_asgi_cycle *cycle = pst_asgi_cycle_new(asgi, request);

	if (cycle == NULL) {
		static const char text[] = "out of memory: a request is refused";

		PyErr_Clear();
		asgi->host->log(PST_LOG_ERROR, text, sizeof text - 1);
		asgi->host->finish(request, -1);
		return;
	}
	asgi->host->set_user(request, cycle); /* it has the reference */
	pst_asgi_cycle_enqueue(cycle);
}

/* What waits for it goes on when this frame of the host's has ended. */
static void
wake(struct pst_asgi_cycle *cycle)
{
	pst_soon_catch(cycle->asgi->loop);
	pst_asgi_cycle_wake(cycle);
	pst_soon_catch(NULL);
}

void
pst_asgi_on_ready(struct pst_asgi *asgi, struct pst_request *request)
{
	struct pst_asgi_cycle *cycle = asgi->host->user(request);

	if (cycle != NULL)
		wake(cycle);
}

void
pst_asgi_on_abort(struct pst_asgi *asgi, struct pst_request *request, enum pst_abort why)
{
	struct pst_asgi_cycle *cycle = asgi->host->user(request);

	if (cycle == NULL)
		return;
	cycle->gone = true;
	cycle->late = why == PST_ABORT_DEADLINE;
	pst_asgi_cycle_enqueue(cycle);
	wake(cycle);
}

bool
pst_asgi_after(struct pst_asgi *asgi)
{
	struct pst_asgi_cycle *cycle;
	int ran = pst_soon_run();
	bool any = ran != 0 || asgi->queue != NULL;

	if (ran < 0)
		PyErr_WriteUnraisable(asgi->callable);
	if (atomic_load_explicit(&asgi->orphans, memory_order_relaxed) != NULL)
		pst_asgi_step_reap(asgi);
	while ((cycle = asgi->queue) != NULL) {
		asgi->queue = cycle->next;
		if (asgi->queue == NULL)
			asgi->queue_end = &asgi->queue;
		cycle->queued = false;
		pst_asgi_cycle_run(cycle);
		Py_DECREF(cycle);
	}
	return any;
}
