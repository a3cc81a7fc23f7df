#include "gateway/worker_class.h"

#include "protocol/page.h"

#include <string.h>

static const char *const model_names[PST_MODELS] = {
    [PST_MODEL_SYNC] = "sync",
    [PST_MODEL_THREADED] = "threaded",
    [PST_MODEL_ASYNC] = "async",
};

static const struct {
	const char *name;
	struct pst_worker_class is;
} classes[] = {
    {"auto", {.is_auto = true, .model = PST_MODEL_SYNC}},
    {"sync", {.model = PST_MODEL_SYNC}},
    {"threaded", {.model = PST_MODEL_THREADED}},
    {"gthread", {.model = PST_MODEL_THREADED}},
    {"async", {.model = PST_MODEL_ASYNC}},
    {"asgi", {.model = PST_MODEL_ASYNC}},
    {"gevent", {.model = PST_MODEL_ASYNC, .loop = "gevent"}},
    {"gevent_wsgi", {.model = PST_MODEL_ASYNC, .loop = "gevent"}},
    {"gevent_pywsgi", {.model = PST_MODEL_ASYNC, .loop = "gevent"}},
    {"eventlet", {.model = PST_MODEL_ASYNC, .loop = "eventlet"}},
    {"tornado", {.model = PST_MODEL_ASYNC, .loop = "tornado"}},
    {"gunicorn.workers.sync.SyncWorker", {.model = PST_MODEL_SYNC}},
    {"gunicorn.workers.gthread.ThreadWorker", {.model = PST_MODEL_THREADED}},
    {"gunicorn.workers.gasgi.ASGIWorker", {.model = PST_MODEL_ASYNC}},
    {"gunicorn.workers.ggevent.GeventWorker", {.model = PST_MODEL_ASYNC, .loop = "gevent"}},
    {"gunicorn.workers.ggevent.GeventPyWSGIWorker", {.model = PST_MODEL_ASYNC, .loop = "gevent"}},
    {"gunicorn.workers.geventlet.EventletWorker", {.model = PST_MODEL_ASYNC, .loop = "eventlet"}},
    {"gunicorn.workers.gtornado.TornadoWorker", {.model = PST_MODEL_ASYNC, .loop = "tornado"}},
    {"uvicorn.workers.UvicornWorker", {.model = PST_MODEL_ASYNC}},
    {"uvicorn.workers.UvicornH11Worker", {.model = PST_MODEL_ASYNC, .loop = "asyncio"}},
    {"uvicorn_worker.UvicornWorker", {.model = PST_MODEL_ASYNC}},
    {"uvicorn_worker.UvicornH11Worker", {.model = PST_MODEL_ASYNC, .loop = "asyncio"}},
};

const char *
pst_model_name(enum pst_model model)
{
	return model_names[model];
}

int
pst_model_find(const char *name, enum pst_model *model)
{
	for (int i = 0; i < PST_MODELS; i++) {
		if (strcmp(name, model_names[i]) == 0) {
			*model = (enum pst_model)i;
			return 0;
		}
	}
	return -1;
}

int
pst_worker_class_find(const char *name, struct pst_worker_class *found)
{
	static const char egg[] = "egg:gunicorn#";

	if (strncmp(name, egg, sizeof(egg) - 1) == 0)
		name += sizeof(egg) - 1;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strcmp(name, classes[i].name) == 0) {
			*found = classes[i].is;
			return 0;
		}
	}
	return -1;
}

/* As in gunicorn more than one thread is what makes a sync worker a threaded one. */
void
pst_worker_class_of(const struct pst_conf *conf, struct pst_worker_class *found)
{
	pst_worker_class_find(pst_conf_text(conf, PST_OPT_WORKER_CLASS), found);
	if (found->model == PST_MODEL_SYNC && pst_conf_number(conf, PST_OPT_THREADS) > 1)
		found->model = PST_MODEL_THREADED;
}

/* Both loops of asyncio serve the same applications, so which it is matters less. */
const char *
pst_worker_class_label(const struct pst_conf *conf, enum pst_model model)
{
	struct pst_worker_class class;

	pst_worker_class_of(conf, &class);
	if (class.loop && class.model == model && strcmp(class.loop, "asyncio") != 0)
		return class.loop;
	return pst_model_name(model);
}

bool
pst_model_has_option(enum pst_model model, enum pst_option_id id)
{
	switch (id) {
	case PST_OPT_THREADS: return model == PST_MODEL_THREADED;
	case PST_OPT_WORKER_CONNECTIONS:
	case PST_OPT_LOOP:
	case PST_OPT_LIFESPAN: return model == PST_MODEL_ASYNC;
	default: return true;
	}
}

unsigned long
pst_model_capacity(enum pst_model model, const struct pst_conf *conf)
{
	switch (model) {
	case PST_MODEL_THREADED: return pst_conf_number(conf, PST_OPT_THREADS);
	case PST_MODEL_ASYNC: return pst_conf_number(conf, PST_OPT_WORKER_CONNECTIONS);
	default: return 1;
	}
}

/* How many requests it may know of at a time. */
static unsigned long
words_of(enum pst_model model, const struct pst_conf *conf)
{
	return pst_model_capacity(model, conf) + (model == PST_MODEL_ASYNC ? 0 : PST_PAGE_AHEAD);
}

unsigned long
pst_worker_class_words(const struct pst_conf *conf)
{
	struct pst_worker_class class;
	unsigned long most, async;

	pst_worker_class_of(conf, &class);
	most = words_of(class.model, conf);
	async = class.is_auto ? words_of(PST_MODEL_ASYNC, conf) : 0;
	return most > async ? most : async;
}
