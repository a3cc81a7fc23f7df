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
 * 0 and a new reference in *APP. Otherwise what open() is to return: -1 after the traceback, if
 * there is one, was printed on stderr and one line was logged that says what was looked for, where,
 * and what is there instead, or what to type for an application of this kind; or, where the option
 * model=auto allows it, PST_OPEN_OTHER_MODEL and the model that is for this kind.
 */
int pst_app_load(const struct pst_host *host, const struct pst_app_config *config, PyObject **app);

#endif
