/*
 * libevent's loop, for plugins that have none of their own; they may watch descriptors and set
 * timers of their own in it, by the functions of struct pst_host. One for each process.
 */
#ifndef PST_ADAPTERS_LOOP_EVENT_H
#define PST_ADAPTERS_LOOP_EVENT_H

#include "adapters/loop.h"

#include <penstock/plugin.h>

/* HOST outlives it. NULL after the reason was logged. */
struct pst_loop *pst_loop_event_new(const struct pst_loop_host *host);

/* See struct pst_host; in the loop that was made last. */
struct pst_watch *pst_loop_event_watch(
    int fd, unsigned events, void (*fn)(void *arg, unsigned events), void *arg);
struct pst_watch *pst_loop_event_timer(
    uint64_t microseconds, void (*fn)(void *arg, unsigned events), void *arg);
void pst_loop_event_cancel(struct pst_watch *watch);

#endif
