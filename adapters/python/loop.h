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

/* Tasks may take their first step when they are made, within the callback that made them: a turn
 * of the loop less for each. */
#define PST_LOOP_EAGER (PY_VERSION_HEX >= 0x030c0000)

struct pst_loop;

/*
 * Import the glue and make the loop that --option loop= names: NULL after a line that says why not.
 * AFTER(ARG) is called whenever a frame of the host has ended, where application code may start;
 * true: some did.
 */
struct pst_loop *pst_loop_new(const struct pst_host *host, const struct pst_app_config *config,
    bool (*after)(void *arg), void *arg);
/* Close the loop, and let go of it; the host is not called any more. */
void pst_loop_free(struct pst_loop *loop);

/* What AFTER starts has run as far as it can when AFTER returns: the turn is due at once then. */
void pst_loop_set_direct(struct pst_loop *loop);

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
