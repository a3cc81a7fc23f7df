/*
 * What a dying worker says. On SIGABRT (the arbiter's way to end one whose request is late, or
 * somebody's abort()) and on SIGSEGV, SIGBUS, SIGFPE and SIGILL: which request it was handling,
 * and the plugin's stacks, to fd 2. Then the signal takes its default course.
 */
#ifndef PST_ADAPTERS_CRASH_H
#define PST_ADAPTERS_CRASH_H

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

/* REQUEST is being handled; NULL: none is. */
void pst_crash_request(const struct pst_request *request);

#endif
