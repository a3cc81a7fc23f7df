/* The embedded interpreter: one for each process, from open() to close(). */
#ifndef PST_PYTHON_INTERP_H
#define PST_PYTHON_INTERP_H

#include <Python.h>

#include <penstock/plugin.h>

/*
 * Start the interpreter; the calling thread is its main thread and holds the GIL afterwards.
 * sys.path begins with the absolute working directory and the entries of --pythonpath. 0, or -1
 * after a line that says why.
 */
int pst_interp_start(const struct pst_host *host, const struct pst_app_config *config);

/*
 * End the interpreter, with the GIL held: its threads are waited for, atexit functions run. Threads
 * that do not end within 10 seconds are named by their stacks on stderr, and the process exits
 * with status 0 without them; atexit functions do not run then.
 */
void pst_interp_stop(const struct pst_host *host);

/* The directories that it puts before the rest of sys.path: a new list, or NULL with an exception.
 */
PyObject *pst_interp_search_path(const struct pst_app_config *config);

#endif
