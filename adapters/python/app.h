/* The application that the command line names: imported, and resolved to a callable. */
#ifndef PST_PYTHON_APP_H
#define PST_PYTHON_APP_H

#include <Python.h>

#include <penstock/plugin.h>

/*
 * Load "MODULE[:CALLABLE]" as gunicorn has it: CALLABLE is a name (`application` when it is left
 * out), a dotted path of names, or a call of one with literal arguments, `create_app("prod",
 * debug=False)`, whose result is the application.
 *
 * A new reference, or NULL after the traceback, if there is one, was printed on stderr and one
 * line was logged that says what was looked for, where, and what is there instead. An ASGI
 * application is refused.
 */
PyObject *pst_app_load(const struct pst_host *host, const struct pst_app_config *config);

#endif
