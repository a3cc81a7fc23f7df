/*
 * --reload: when the files of the applications have changed, all is loaded anew as by HUP. They are
 * looked at now and then (sources.h); a change counts once two looks have found the same.
 */
#ifndef PST_ARBITER_SOURCE_WATCH_H
#define PST_ARBITER_SOURCE_WATCH_H

#include "gateway/arbiter/sources.h"

#include <event2/event.h>

struct pst_arbiter;
struct pst_generation;

struct pst_source_watch {
	struct event *timer; /* NULL: nobody watches */
	struct pst_generation *generation; /* the last that was loaded, or was to be: whose files */
	struct pst_sources loaded; /* what was there when the workers began to load */
	uint64_t pending; /* the sum of the last look */
	bool told_cut; /* that not all files are watched */
};

/* As the configuration that serves says: watch from now on, or do not. */
void pst_source_watch_set(struct pst_arbiter *arbiter);
/* GENERATION is about to be loaded, of what is there now. */
void pst_source_watch_load(struct pst_arbiter *arbiter, struct pst_generation *generation);
void pst_source_watch_end(struct pst_arbiter *arbiter);

#endif
