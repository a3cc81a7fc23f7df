/*
 * The event loop that the application runs on, and the host with it: glue in Python, a module of
 * the package penstock_loops, which is given the host as the module `_penstock`.
 *
 * All with the GIL held, on the main thread.
 */
#ifndef PST_PYTHON_LOOP_H
#define PST_PYTHON_LOOP_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

struct pst_loop;

/* What became of application code that was due when a frame of the host's had ended. */
enum pst_loop_after {
	PST_LOOP_NOTHING, /* there was none */
	PST_LOOP_QUEUED, /* it is among what the loop has to do */
	PST_LOOP_RAN, /* it has run as far as it can */
};

/*
 * Import the glue and make the loop that --option loop= names: NULL after a line that says why not.
 * AFTER(ARG) is called whenever a frame of the host has ended, where application code may start.
 */
struct pst_loop *pst_loop_new(const struct pst_host *host, const struct pst_app_config *config,
    enum pst_loop_after (*after)(void *arg), void *arg);
/* Close the loop, and let go of it; the host is not called any more. */
void pst_loop_free(struct pst_loop *loop);

/* The glue's object, borrowed. */
PyObject *pst_loop_glue(const struct pst_loop *loop);
/* Import MODULE of penstock_loops; NULL with an exception. */
PyObject *pst_loop_import(const char *module);

/* Run until pst_loop_stop(): 0, or -1 after the exception was logged. */
int pst_loop_run(struct pst_loop *loop);
void pst_loop_stop(struct pst_loop *loop);

/* As in struct pst_plugin_async. */
int pst_loop_watch(struct pst_loop *loop, int fd, unsigned events);
void pst_loop_timer(struct pst_loop *loop, uint64_t microseconds);
void pst_loop_defer(struct pst_loop *loop);

#endif
