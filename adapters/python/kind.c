#include "adapters/python/kind.h"

#include <stdbool.h>

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

/*
 * A function whose code tells everything. For all others the inspect module is asked, which costs
 * a process 10 ms and 1.5 MiB unless the application uses it, too.
 */
static const PyCodeObject *
plain_code(PyObject *object)
{
	const PyFunctionObject *function = (const PyFunctionObject *)object;
	const PyCodeObject *code;

	/* Decorators, and whoever says something else about it, leave something in its dict. */
	if (!PyFunction_Check(object) ||
	    (function->func_dict != NULL && PyDict_GET_SIZE(function->func_dict) > 0))
		return NULL;
	code = (const PyCodeObject *)function->func_code;
	return code->co_kwonlyargcount == 0 ? code : NULL;
}

static bool
is_coroutine_function(PyObject *object)
{
	const PyCodeObject *code = plain_code(object);
	PyObject *inspect;
	bool is;

	if (code != NULL)
		return (code->co_flags & CO_COROUTINE) != 0;
	inspect = PyImport_ImportModule("inspect");
	is = inspect != NULL &&
	     truth(PyObject_CallMethod(inspect, "iscoroutinefunction", "O", object), false);
	PyErr_Clear();
	Py_XDECREF(inspect);
	return is;
}

/* Calling OBJECT, a function or an object with __call__, makes a coroutine. */
static bool
makes_coroutine(PyObject *object)
{
	PyObject *call;
	bool makes;

	if (plain_code(object) != NULL)
		return is_coroutine_function(object);
	call = PyObject_GetAttrString(object, "__call__");
	PyErr_Clear();
	makes = is_coroutine_function(object) || (call != NULL && is_coroutine_function(call));
	Py_XDECREF(call);
	return makes;
}

/* The function FUNCTION with CODE can be called with COUNT arguments. */
static bool
plain_takes(PyObject *function, const PyCodeObject *code, int count)
{
	PyObject *defaults = PyFunction_GET_DEFAULTS(function); /* borrowed */
	Py_ssize_t optional = defaults != NULL ? PyTuple_GET_SIZE(defaults) : 0;

	return count >= code->co_argcount - optional &&
	       (count <= code->co_argcount || (code->co_flags & CO_VARARGS) != 0);
}

static bool
signature_takes(PyObject *inspect, PyObject *object, int count)
{
	PyObject *function = PyObject_GetAttrString(inspect, "signature");
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

/* OBJECT can be called with COUNT arguments, as far as it can be known. */
static bool
takes(PyObject *object, int count)
{
	const PyCodeObject *code = plain_code(object);
	PyObject *inspect;
	bool can;

	if (code != NULL)
		return plain_takes(object, code, count);
	inspect = PyImport_ImportModule("inspect");
	can = inspect == NULL || signature_takes(inspect, object, count);
	PyErr_Clear();
	Py_XDECREF(inspect);
	return can;
}

/* What functools.partial() was made of; a new reference. */
static PyObject *
inside_partials(PyObject *object)
{
	Py_INCREF(object);
	while (is_instance(object, "functools", "partial")) {
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
wraps_asgi(PyObject *object)
{
	PyObject *inspect = PyImport_ImportModule("inspect");
	PyObject *inner =
	    inspect != NULL ? PyObject_CallMethod(inspect, "unwrap", "O", object) : NULL;
	bool wraps = inner != NULL && inner != object && makes_coroutine(inner) &&
		     takes(inner, 3) && !takes(inner, 2);

	PyErr_Clear();
	Py_XDECREF(inner);
	Py_XDECREF(inspect);
	return wraps;
}

/* A class is called to make an instance, which is then the response, or the application. */
static enum pst_kind
kind_of_class(PyObject *app, PyObject *class)
{
	bool is_awaited = PyObject_HasAttrString(class, "__await__");

	if (is_awaited && takes(app, 3))
		return PST_KIND_ASGI;
	if (makes_coroutine(class))
		return takes(app, 1) && !takes(app, 0) ? PST_KIND_ASGI2 : PST_KIND_ASGI_CLASS;
	if (takes(app, 2))
		return PST_KIND_WSGI;
	return takes(app, 0) ? PST_KIND_FACTORY : PST_KIND_NONE;
}

static enum pst_kind
kind_of_callable(PyObject *app, PyObject *inner)
{
	bool three = takes(app, 3);

	if (makes_coroutine(inner))
		return three ? PST_KIND_ASGI : PST_KIND_NONE;
	if (three && plain_code(inner) == NULL && wraps_asgi(inner))
		return PST_KIND_ASGI;
	if (takes(app, 2))
		return PST_KIND_WSGI;
	if (three)
		return PST_KIND_ASGI;
	if (takes(app, 0))
		return PST_KIND_FACTORY;
	return takes(app, 1) ? PST_KIND_ASGI2 : PST_KIND_NONE;
}

enum pst_kind
pst_kind_of(PyObject *app)
{
	enum pst_kind kind;
	PyObject *inner;

	if (is_instance(app, "tornado.httputil", "HTTPServerConnectionDelegate"))
		return PST_KIND_TORNADO;
	if (is_instance(app, "aiohttp.web", "Application"))
		return PST_KIND_AIOHTTP;
	inner = inside_partials(app);
	kind = PyType_Check(inner) ? kind_of_class(app, inner) : kind_of_callable(app, inner);
	Py_DECREF(inner);
	return kind;
}
