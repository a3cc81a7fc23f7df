/*
 * The connection scope of a request (ASGI 3.0, HTTP and WebSocket): a fresh dict, a copy of a
 * template with the values set that this request has.
 *
 * Requests of one application look alike: parameter I usually has the name that it had last time,
 * and often the value. So the maker keeps what it made of each position (the role of the name, the
 * pair of a header, ...) and makes anew what differs.
 */
#ifndef PST_PYTHON_ASGI_SCOPE_H
#define PST_PYTHON_ASGI_SCOPE_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

/* One for each loop; not locked. */
struct pst_asgi_scope;

/* What else a request's parameters say. */
struct pst_asgi_facts {
	long long content_length; /* -1: not known */
	bool head; /* the method is HEAD */
};

/* NULL with an exception. STATE is the lifespan's dict, of which each scope gets a shallow copy, or
 * NULL; a reference is taken. */
struct pst_asgi_scope *pst_asgi_scope_new(PyObject *state);
void pst_asgi_scope_free(struct pst_asgi_scope *maker);

/*
 * The scope of a request with COUNT parameters, of type "websocket" or "http": a new reference, or
 * NULL with an exception. Headers are in the order of the parameters, which is that of the request;
 * names are lower case; several of one name stay several.
 */
PyObject *pst_asgi_scope_make(struct pst_asgi_scope *maker, const struct pst_field *params,
    size_t count, bool websocket, struct pst_asgi_facts *facts);

#endif
