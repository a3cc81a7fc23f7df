/* What kind of application an object is, found out without calling it. */
#ifndef PST_PYTHON_KIND_H
#define PST_PYTHON_KIND_H

#include <Python.h>

enum pst_kind {
	PST_KIND_NONE, /* it cannot be called as any of these */
	PST_KIND_FACTORY, /* it can be called without arguments only */
	PST_KIND_WSGI, /* application(environ, start_response) */
	PST_KIND_ASGI, /* await application(scope, receive, send): ASGI 3 */
	PST_KIND_ASGI_CLASS, /* a class whose instances are that */
	PST_KIND_ASGI2, /* await application(scope)(receive, send), as ASGI had it before 2019 */
	PST_KIND_TORNADO, /* what tornado.httpserver.HTTPServer serves */
	PST_KIND_AIOHTTP, /* aiohttp.web.Application */
};

/* APP can be called. Never leaves an exception set: where APP does not tell, it is WSGI. */
enum pst_kind pst_kind_of(PyObject *app);

#endif
