/*
 * Processes that the application forks while it handles a request. They have the worker's memory
 * and its descriptors, and are no workers: nothing they do may reach the gateway, and what would
 * lead one of them back to the worker's own work ends it.
 */
#ifndef PST_PYTHON_CHILD_H
#define PST_PYTHON_CHILD_H

#include <stdbool.h>

/* From now on: 0, or -1 with an exception. */
int pst_child_watch(void);

/* Whether this process is one. */
bool pst_child_is(void);

/* End this one, into which the application has returned or raised the exception that is set: with
 * the status of sys.exit(), or 1 after a traceback. */
_Noreturn void pst_child_end(void);

#endif
