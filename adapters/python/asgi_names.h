/* The strings and constants of ASGI's events and scopes, made once, interned. */
#ifndef PST_PYTHON_ASGI_NAMES_H
#define PST_PYTHON_ASGI_NAMES_H

#include <Python.h>

struct pst_asgi_names {
	/* keys */
	PyObject *type, *body, *more_body, *status, *headers, *trailers, *more_trailers, *path,
	    *links, *file, *offset, *count, *text, *bytes, *code, *reason, *subprotocol;
	/* values of "type" */
	PyObject *http_request, *http_disconnect, *http_start, *http_body, *http_trailers,
	    *http_early_hint, *http_pathsend, *http_zerocopysend;
	PyObject *ws_connect, *ws_receive, *ws_disconnect, *ws_accept, *ws_send, *ws_close,
	    *ws_denial_start, *ws_denial_body;
	/* methods */
	PyObject *throw_, *done, *set_result, *cancel, *fileno;
	/* keywords */
	PyObject *name;
	/* constants: b"" and the event that says that the client is gone, to be copied */
	PyObject *no_bytes, *disconnect;
};

/* 0, or -1 with an exception; clear it in both cases. */
int pst_asgi_names_init(struct pst_asgi_names *names);
void pst_asgi_names_clear(struct pst_asgi_names *names);

#endif
