/*
 * What a dying worker says. On SIGABRT (the arbiter's way to end one whose request is late, or
 * somebody's abort()) and on SIGSEGV, SIGBUS, SIGFPE and SIGILL: which requests it was handling,
 * that of the thread that got the signal first, and the plugin's stacks, to fd 2. Then the signal
 * takes its default course.
 */
#ifndef PST_ADAPTERS_CRASH_H
#define PST_ADAPTERS_CRASH_H

#include "adapters/options.h"
#include "adapters/request.h"

#include <penstock/plugin.h>

/*
 * Install the handlers, with a stack of their own for the calling thread. A signal that is
 * handled already (by a sanitizer, say) is left alone, but for SIGABRT. 0, or -1 with errno.
 */
int pst_crash_begin(void);

/* From now on dump() of LIFECYCLE is called, with what pst_crash_app() said last or NULL. */
void pst_crash_plugin(const struct pst_plugin_lifecycle *lifecycle);
void pst_crash_app(void *app);

/* Threads that handle requests, at most. */
#define PST_CRASH_THREADS PST_OPTIONS_THREADS

/* This thread handles requests, too: its NUMBER is below PST_CRASH_THREADS and its own, 0 is that
 * of the main thread, which need not say so. A stack for the handler comes with it until
 * pst_crash_thread_end(). */
void pst_crash_thread_begin(unsigned number);
void pst_crash_thread_end(void);

/* This thread is handling REQUEST; NULL: none. */
void pst_crash_request(const struct pst_request *request);

/* The requests of an event loop: stores up to N of them in LINES, those that have been open for
 * longest, and returns how many are open. Called in the handler, so it may only read memory. */
typedef unsigned pst_crash_open_fn(const struct pst_request_line **lines, unsigned n);

/* From now on FN is asked, too. */
void pst_crash_open(pst_crash_open_fn *fn);

#endif
