#include "gateway/arbiter/source_watch.h"

#include "gateway/arbiter/clock.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <stdio.h>

/* Between two looks; but looking takes at most one part in LEISURE of the time. */
#define PAUSE_MS 500
#define LEISURE  20

/* ---- what is watched ---- */

/* The directory of POOL, and its --pythonpath, which is relative to that. */
static void
add_pool(struct pst_sources *sources, const struct pst_scope *pool)
{
	const char *directory = pool->directory ? pool->directory : ".";
	size_t count = pst_conf_count(pool->conf, PST_OPT_PYTHONPATH);

	pst_sources_add_directory(sources, pool->base, directory);
	for (size_t i = 0; i < count; i++) {
		const char *path = pst_conf_item(pool->conf, PST_OPT_PYTHONPATH, i);
		char name[PATH_MAX];

		snprintf(name, sizeof(name), "%s/%s", *path == '/' ? "" : directory, path);
		pst_sources_add_directory(sources, pool->base, name);
	}
}

static void
look(const struct pst_arbiter *arbiter, struct pst_sources *sources)
{
	const struct pst_generation *generation = arbiter->source_watch.generation;
	const struct pst_conf *conf = generation->conf;
	size_t count = pst_conf_count(conf, PST_OPT_RELOAD_EXTRA_FILE);

	pst_sources_init(sources);
	for (size_t i = 0; i < generation->count; i++)
		if (generation->pools[i]->kind == PST_POOL_APP)
			add_pool(sources, generation->pools[i]);
	for (size_t i = 0; i < count; i++)
		pst_sources_add_file(sources, generation->directory,
		    pst_conf_item(conf, PST_OPT_RELOAD_EXTRA_FILE, i));
	if (pst_conf_text(conf, PST_OPT_CONFIG))
		pst_sources_add_file(
		    sources, arbiter->start->directory, pst_conf_text(conf, PST_OPT_CONFIG));
}

static void
tell_cut(struct pst_source_watch *watch)
{
	if (!watch->loaded.is_cut || watch->told_cut)
		return;
	watch->told_cut = true;
	pst_log_warning("--reload watches %u files, not all: below the application's directories "
			"there are more than %d entries, or more than %d levels; say with --chdir "
			"where the application is",
	    watch->loaded.files, PST_SOURCES_ENTRIES, PST_SOURCES_DEPTH);
}

/* ---- looking ---- */

static void
reload(struct pst_arbiter *arbiter, const struct pst_sources *now)
{
	const struct pst_sources *loaded = &arbiter->source_watch.loaded;
	bool is_newer = now->newest.tv_sec != loaded->newest.tv_sec ||
			now->newest.tv_nsec != loaded->newest.tv_nsec;

	pst_log_info("%.200s has changed: the application is loaded anew (--reload)",
	    is_newer && now->name[0] ? now->name : "a file");
	/* Should it not get so far, it is not tried again for the same change. */
	arbiter->source_watch.loaded = *now;
	pst_reload_begin(arbiter);
}

static void
wait_again(struct pst_source_watch *watch, int64_t took)
{
	int64_t ms = took * LEISURE > PAUSE_MS ? took * LEISURE : PAUSE_MS;
	struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	event_add(watch->timer, &wait);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct pst_arbiter *arbiter = arg;
	struct pst_source_watch *watch = &arbiter->source_watch;
	int64_t began = pst_clock_ms();
	struct pst_sources now;
	bool is_settled;

	(void)fd;
	(void)what;
	if (arbiter->phase > PST_PHASE_SERVING)
		return;
	look(arbiter, &now);
	is_settled = now.sum == watch->pending;
	watch->pending = now.sum;
	wait_again(watch, pst_clock_ms() - began);
	if (is_settled && now.sum != watch->loaded.sum && arbiter->phase == PST_PHASE_SERVING)
		reload(arbiter, &now);
}

/* ---- what the header lists ---- */

void
pst_source_watch_load(struct pst_arbiter *arbiter, struct pst_generation *generation)
{
	struct pst_source_watch *watch = &arbiter->source_watch;

	if (!watch->timer)
		return;
	pst_generation_release(&watch->generation);
	watch->generation = pst_generation_hold(generation);
	look(arbiter, &watch->loaded);
	watch->pending = watch->loaded.sum;
	tell_cut(watch);
}

void
pst_source_watch_set(struct pst_arbiter *arbiter)
{
	struct pst_source_watch *watch = &arbiter->source_watch;

	if (!pst_conf_text(arbiter->generation->conf, PST_OPT_RELOAD)) {
		pst_source_watch_end(arbiter);
		return;
	}
	if (watch->timer)
		return;
	watch->timer = event_new(arbiter->base, -1, 0, on_time, arbiter);
	if (!watch->timer) {
		pst_log_error("--reload watches nothing: out of memory");
		return;
	}
	pst_source_watch_load(arbiter, arbiter->generation);
	wait_again(watch, 0);
}

void
pst_source_watch_end(struct pst_arbiter *arbiter)
{
	struct pst_source_watch *watch = &arbiter->source_watch;

	if (watch->timer)
		event_free(watch->timer);
	watch->timer = NULL;
	pst_generation_release(&watch->generation);
}
