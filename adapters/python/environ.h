/*
 * The environ of a request (PEP 3333, "environ Variables"): a fresh dict of native strings, one for
 * each parameter, and the wsgi.* variables.
 *
 * Most requests of a connection or an application carry the same parameters, and most of their
 * values are the same again. So the maker keeps a few shapes, the names of a former request in
 * order with a dict of their last values; a request of that shape is a copy of the dict, with
 * the values set that differ. Which do is found by comparing all the strings at once, but for
 * the values that always differ.
 */
#ifndef PST_PYTHON_ENVIRON_H
#define PST_PYTHON_ENVIRON_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

/* One for each thread that handles requests; not locked. */
struct pst_environ;

/*
 * What does not change from one request to the next. NULL with an exception.
 * MULTITHREAD and MULTIPROCESS: whether other threads or processes may run the application at the
 * same time.
 * FILE_WRAPPER is the callable of wsgi.file_wrapper; a reference is taken.
 */
struct pst_environ *pst_environ_new(bool multithread, bool multiprocess, PyObject *file_wrapper);
void pst_environ_free(struct pst_environ *env);

/*
 * The environ for COUNT parameters, with wsgi.input and wsgi.errors: a new reference, or NULL with
 * an exception. *METHOD is set to the parameter REQUEST_METHOD, or to NULL.
 *
 * Parameters pass through as they are, the last of several with one name, but all values of a
 * request field (HTTP_NAME), joined with ", " (Cookie: "; "); except for names that
 * begin with "wsgi.", which are ours, and HTTP_CONTENT_TYPE and HTTP_CONTENT_LENGTH, which nginx
 * sends beside the variables that CGI has for them. Without PATH_INFO (nginx's fastcgi_params)
 * SCRIPT_NAME is the whole path: it becomes PATH_INFO. RAW_URI is REQUEST_URI, as in gunicorn.
 */
PyObject *pst_environ_make(struct pst_environ *env, const struct pst_field *params, size_t count,
    PyObject *input, PyObject *errors, const struct pst_field **method);

#endif
