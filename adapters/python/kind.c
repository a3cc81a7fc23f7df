#include "adapters/python/kind.h"

#include <stdbool.h>

/* The modules that are asked; what is NULL is not there. */
struct tools {
	PyObject *inspect;
	PyObject *partial; /* functools.partial */
};

/* True, false, or OTHERWISE for an exception, which is cleared; takes the reference. */
static bool
truth(PyObject *result, bool otherwise)
{
	int is = result != NULL ? PyObject_IsTrue(result) : -1;

	Py_XDECREF(result);
	PyErr_Clear();
	return is < 0 ? otherwise : is;
}

/* An instance of MODULE's CLASS. A module that nobody has imported has no instances. */
static bool
is_instance(PyObject *app, const char *module, const char *class)
{
	PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
	PyObject *name = PyUnicode_FromString(module);
	PyObject *found = name != NULL ? PyObject_GetItem(modules, name) : NULL;
	PyObject *type = found != NULL ? PyObject_GetAttrString(found, class) : NULL;
	bool is = type != NULL && PyObject_IsInstance(app, type) == 1;

	PyErr_Clear();
	Py_XDECREF(type);
	Py_XDECREF(found);
	Py_XDECREF(name);
	return is;
}

static bool
is_coroutine_function(const struct tools *tools, PyObject *object)
{
	return truth(
	    PyObject_CallMethod(tools->inspect, "iscoroutinefunction", "O", object), false);
}

/* Calling OBJECT, a function or an object with __call__, makes a coroutine. */
static bool
makes_coroutine(const struct tools *tools, PyObject *object)
{
	PyObject *call = PyObject_GetAttrString(object, "__call__");
	bool makes;

	PyErr_Clear();
	makes = is_coroutine_function(tools, object) ||
		(call != NULL && is_coroutine_function(tools, call));
	Py_XDECREF(call);
	return makes;
}

/* OBJECT can be called with COUNT arguments, as far as it can be known. */
static bool
takes(const struct tools *tools, PyObject *object, int count)
{
	PyObject *function = PyObject_GetAttrString(tools->inspect, "signature");
	PyObject *args = Py_BuildValue("(O)", object);
	PyObject *kwargs = Py_BuildValue("{sO}", "follow_wrapped", Py_False);
	PyObject *signature = function != NULL && args != NULL && kwargs != NULL
				  ? PyObject_Call(function, args, kwargs)
				  : NULL;
	PyObject *bind = signature != NULL ? PyObject_GetAttrString(signature, "bind") : NULL;
	PyObject *values = PyTuple_New(count);
	PyObject *bound = NULL;

	for (int i = 0; values != NULL && i < count; i++) {
		Py_INCREF(Py_None);
		PyTuple_SET_ITEM(values, i, Py_None);
	}
	if (bind != NULL && values != NULL)
		bound = PyObject_Call(bind, values, NULL);
	PyErr_Clear();
	count = signature == NULL || bound != NULL;
	Py_XDECREF(bound);
	Py_XDECREF(values);
	Py_XDECREF(bind);
	Py_XDECREF(signature);
	Py_XDECREF(kwargs);
	Py_XDECREF(args);
	Py_XDECREF(function);
	return count;
}

/* What functools.partial() was made of; a new reference. */
static PyObject *
inside_partials(const struct tools *tools, PyObject *object)
{
	Py_INCREF(object);
	while (tools->partial != NULL && PyObject_IsInstance(object, tools->partial) == 1) {
		PyObject *inner = PyObject_GetAttrString(object, "func");

		if (inner == NULL)
			break;
		Py_DECREF(object);
		object = inner;
	}
	PyErr_Clear();
	return object;
}

/* A plain function around an ASGI application, as decorators make them (functools.wraps). */
static bool
wraps_asgi(const struct tools *tools, PyObject *object)
{
	PyObject *inner = PyObject_CallMethod(tools->inspect, "unwrap", "O", object);
	bool wraps = inner != NULL && inner != object && makes_coroutine(tools, inner) &&
		     takes(tools, inner, 3) && !takes(tools, inner, 2);

	PyErr_Clear();
	Py_XDECREF(inner);
	return wraps;
}

/* A class is called to make an instance, which is then the response, or the application. */
static enum pst_kind
kind_of_class(const struct tools *tools, PyObject *app, PyObject *class)
{
	bool is_awaited = PyObject_HasAttrString(class, "__await__");

	if (is_awaited && takes(tools, app, 3))
		return PST_KIND_ASGI;
	if (makes_coroutine(tools, class))
		return takes(tools, app, 1) && !takes(tools, app, 0) ? PST_KIND_ASGI2
								     : PST_KIND_ASGI_CLASS;
	if (takes(tools, app, 2))
		return PST_KIND_WSGI;
	return takes(tools, app, 0) ? PST_KIND_FACTORY : PST_KIND_NONE;
}

static enum pst_kind
kind_of_callable(const struct tools *tools, PyObject *app, PyObject *inner)
{
	bool three = takes(tools, app, 3);

	if (makes_coroutine(tools, inner))
		return three ? PST_KIND_ASGI : PST_KIND_NONE;
	if (three && wraps_asgi(tools, inner))
		return PST_KIND_ASGI;
	if (takes(tools, app, 2))
		return PST_KIND_WSGI;
	if (three)
		return PST_KIND_ASGI;
	if (takes(tools, app, 0))
		return PST_KIND_FACTORY;
	return takes(tools, app, 1) ? PST_KIND_ASGI2 : PST_KIND_NONE;
}

enum pst_kind
pst_kind_of(PyObject *app)
{
	struct tools tools = {.inspect = PyImport_ImportModule("inspect")};
	PyObject *functools = PyImport_ImportModule("functools");
	enum pst_kind kind = PST_KIND_WSGI;
	PyObject *inner;

	if (functools != NULL)
		tools.partial = PyObject_GetAttrString(functools, "partial");
	PyErr_Clear();
	if (is_instance(app, "tornado.httputil", "HTTPServerConnectionDelegate")) {
		kind = PST_KIND_TORNADO;
	} else if (is_instance(app, "aiohttp.web", "Application")) {
		kind = PST_KIND_AIOHTTP;
	} else if (tools.inspect != NULL) {
		inner = inside_partials(&tools, app);
		kind = PyType_Check(inner) ? kind_of_class(&tools, app, inner)
					   : kind_of_callable(&tools, app, inner);
		Py_DECREF(inner);
	}
	Py_XDECREF(tools.partial);
	Py_XDECREF(functools);
	Py_XDECREF(tools.inspect);
	return kind;
}
