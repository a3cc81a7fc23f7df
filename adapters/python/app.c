#include "adapters/python/app.h"

#include "adapters/python/interp.h"
#include "adapters/python/say.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_NAME "application"

/* What is loaded, and for whom. */
struct loading {
	const struct pst_host *host;
	const struct pst_app_config *config;
	const char *spec;
	char module[256];
	char callable[512];
	PyObject *object; /* the module */
};

/* One line for a failure: always NULL. */
static PyObject *fail(const struct loading *loading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static PyObject *
fail(const struct loading *loading, const char *format, ...)
{
	char reason[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof reason, format, args);
	va_end(args);
	PyErr_Clear();
	pst_say(loading->host, PST_LOG_ERROR, "cannot load %s: %s", loading->spec, reason);
	return NULL;
}

/* Print the traceback; unlike PyErr_Print(), SystemExit exits nothing. */
static void
print_exception(void)
{
	PyObject *type, *value, *traceback;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL)
		PyException_SetTraceback(value, traceback);
	PyErr_Display(type, value, traceback);
	PyErr_Clear();
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
}

/* repr() of an exception's message, "ModuleNotFoundError: No module named 'flask'", in TEXT. */
static const char *
describe_exception(char *text, size_t size)
{
	PyObject *type, *value, *traceback;
	PyObject *string;
	const char *utf8;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	string = value != NULL ? PyObject_Str(value) : NULL;
	utf8 = string != NULL ? PyUnicode_AsUTF8(string) : NULL;
	snprintf(text, size, "%s%s%s",
	    type != NULL ? ((PyTypeObject *)(void *)type)->tp_name : "an exception",
	    utf8 != NULL && *utf8 != '\0' ? ": " : "", utf8 != NULL ? utf8 : "");
	PyErr_Clear();
	Py_XDECREF(string);
	PyErr_Restore(type, value, traceback);
	return text;
}

/* "a, b, c" of a list of strings, in TEXT. */
static const char *
join(PyObject *list, const char *separator, char *text, size_t size)
{
	PyObject *glue = PyUnicode_FromString(separator);
	PyObject *joined = glue != NULL && list != NULL ? PyUnicode_Join(glue, list) : NULL;
	PyObject *bytes = joined != NULL ? PyUnicode_EncodeFSDefault(joined) : NULL;

	snprintf(text, size, "%s", bytes != NULL ? PyBytes_AS_STRING(bytes) : "?");
	PyErr_Clear();
	Py_XDECREF(bytes);
	Py_XDECREF(joined);
	Py_XDECREF(glue);
	return text;
}

/* --- The module ------------------------------------------------------------------------ */

/* Whether the exception says that the module itself, or a package above it, does not exist. */
static bool
is_missing(const char *module)
{
	PyObject *type, *value, *traceback;
	PyObject *name;
	const char *utf8;
	bool missing = false;
	size_t n;

	if (!PyErr_ExceptionMatches(PyExc_ModuleNotFoundError))
		return false;
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	name = PyObject_GetAttrString(value, "name");
	utf8 = name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
	n = utf8 != NULL ? strlen(utf8) : 0;
	if (n > 0 && strncmp(module, utf8, n) == 0)
		missing = module[n] == '\0' || module[n] == '.';
	PyErr_Clear();
	Py_XDECREF(name);
	PyErr_Restore(type, value, traceback);
	return missing;
}

static PyObject *
import_failed(const struct loading *loading)
{
	char text[1024];
	bool missing = is_missing(loading->module);
	size_t n = strlen(loading->module);
	PyObject *path;

	describe_exception(text, sizeof text);
	print_exception();
	if (missing && n > 3 && strcmp(loading->module + n - 3, ".py") == 0)
		return fail(loading, "%s is a file's name, not a module's; did you mean %.*s:%s?",
		    loading->module, (int)n - 3, loading->module, loading->callable);
	if (!missing)
		return fail(loading, "importing module %s failed with %s", loading->module, text);
	path = pst_interp_search_path(loading->config);
	join(path, ", ", text, sizeof text);
	Py_XDECREF(path);
	return fail(loading,
	    "there is no module %s in %s, or among the installed packages (add directories with "
	    "--pythonpath, or start in another one with --chdir)",
	    loading->module, text);
}

/* --- The callable ---------------------------------------------------------------------- */

/* The usual names and those that look like NAME, of what can be called in OBJECT: in TEXT. */
static const char *
suggest(PyObject *object, const char *name, char *text, size_t size)
{
	static const char *const usual[] = {"application", "app", "wsgi", "create_app", "make_app"};
	PyObject *difflib = PyImport_ImportModule("difflib");
	PyObject *names = PyObject_Dir(object);
	PyObject *near = difflib != NULL && names != NULL
			     ? PyObject_CallMethod(difflib, "get_close_matches", "sO", name, names)
			     : NULL;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof usual / sizeof *usual && near != NULL; i++) {
		PyObject *string = PyUnicode_FromString(usual[i]);

		if (string != NULL && PySequence_Contains(near, string) == 0 &&
		    PyObject_HasAttr(object, string))
			PyList_Append(near, string);
		Py_XDECREF(string);
	}
	PyErr_Clear();
	if (near != NULL && PyList_GET_SIZE(near) > 0)
		join(near, ", ", text, size);
	Py_XDECREF(near);
	Py_XDECREF(names);
	Py_XDECREF(difflib);
	PyErr_Clear();
	return text;
}

static const char *
file_of(const struct loading *loading, char *text, size_t size)
{
	PyObject *file = PyObject_GetAttrString(loading->object, "__file__");
	PyObject *list = file != NULL && PyUnicode_Check(file) ? PyList_New(0) : NULL;

	text[0] = '\0';
	if (list != NULL && PyList_Append(list, file) == 0)
		join(list, "", text, size);
	PyErr_Clear();
	Py_XDECREF(list);
	Py_XDECREF(file);
	return text;
}

static PyObject *
attribute_failed(const struct loading *loading, PyObject *object, const char *name)
{
	char text[1024], near[512], file[1024];

	if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
		describe_exception(text, sizeof text);
		print_exception();
		return fail(loading, "getting %s failed with %s", name, text);
	}
	PyErr_Clear();
	suggest(object, name, near, sizeof near);
	file_of(loading, file, sizeof file);
	return fail(loading, "module %s (%s) has no %s%s%s%s", loading->module, file, name,
	    near[0] != '\0' ? "; it has " : "", near,
	    near[0] != '\0' ? " (did you mean that?)" : "");
}

/* The attribute at the end of a dotted path: a new reference, or NULL after a line. */
static PyObject *
get_path(const struct loading *loading, const char *path)
{
	PyObject *object = loading->object;

	Py_INCREF(object);
	while (object != NULL) {
		char name[256];
		size_t n = strcspn(path, ".");
		PyObject *next;

		snprintf(name, sizeof name, "%.*s", (int)n, path);
		next = PyObject_GetAttrString(object, name);
		if (next == NULL)
			attribute_failed(loading, object, name);
		Py_DECREF(object);
		object = next;
		if (path[n] == '\0')
			break;
		path += n + 1;
	}
	return object;
}

/* --- The call of a factory --------------------------------------------------------------- */

/* ast.literal_eval() of each item of LIST into TUPLE_OR_DICT: 0, or -1 with an exception. */
static int
literals(PyObject *ast, PyObject *call, PyObject *args, PyObject *kwargs)
{
	PyObject *nodes = PyObject_GetAttrString(call, "args");
	PyObject *keywords = PyObject_GetAttrString(call, "keywords");
	int rc = nodes != NULL && keywords != NULL ? 0 : -1;

	for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(nodes); i++) {
		PyObject *value =
		    PyObject_CallMethod(ast, "literal_eval", "O", PyList_GET_ITEM(nodes, i));

		rc = value != NULL ? PyList_Append(args, value) : -1;
		Py_XDECREF(value);
	}
	for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(keywords); i++) {
		PyObject *name = PyObject_GetAttrString(PyList_GET_ITEM(keywords, i), "arg");
		PyObject *node = PyObject_GetAttrString(PyList_GET_ITEM(keywords, i), "value");
		PyObject *value =
		    node != NULL ? PyObject_CallMethod(ast, "literal_eval", "O", node) : NULL;

		rc = name != NULL && value != NULL ? PyDict_SetItem(kwargs, name, value) : -1;
		Py_XDECREF(value);
		Py_XDECREF(node);
		Py_XDECREF(name);
	}
	Py_XDECREF(keywords);
	Py_XDECREF(nodes);
	return rc;
}

/* Parse "create_app(1, b=2)": its arguments, 0, or -1 with an exception. */
static int
parse_call(const char *text, PyObject *args, PyObject *kwargs)
{
	PyObject *ast = PyImport_ImportModule("ast");
	PyObject *tree =
	    ast != NULL ? PyObject_CallMethod(ast, "parse", "sss", text, "<application>", "eval")
			: NULL;
	PyObject *call = tree != NULL ? PyObject_GetAttrString(tree, "body") : NULL;
	int rc = -1;

	if (call != NULL)
		rc = literals(ast, call, args, kwargs);
	Py_XDECREF(call);
	Py_XDECREF(tree);
	Py_XDECREF(ast);
	return rc;
}

static PyObject *
call_factory(const struct loading *loading, PyObject *factory)
{
	PyObject *list = PyList_New(0);
	PyObject *kwargs = PyDict_New();
	PyObject *args = NULL;
	PyObject *app = NULL;
	char text[1024];

	if (list != NULL && kwargs != NULL && parse_call(loading->callable, list, kwargs) == 0)
		args = PyList_AsTuple(list);
	if (args == NULL) {
		fail(loading, "%s is not a name, or a call with literal arguments",
		    loading->callable);
	} else {
		app = PyObject_Call(factory, args, kwargs);
		if (app == NULL) {
			describe_exception(text, sizeof text);
			print_exception();
			fail(loading, "calling %s failed with %s", loading->callable, text);
		}
	}
	Py_XDECREF(args);
	Py_XDECREF(kwargs);
	Py_XDECREF(list);
	return app;
}

/* --- What it is -------------------------------------------------------------------------- */

/* Whether OBJECT is a coroutine function. */
static bool
is_coroutine_function(PyObject *inspect, PyObject *object)
{
	PyObject *result = PyObject_CallMethod(inspect, "iscoroutinefunction", "O", object);
	bool is = result == Py_True;

	Py_XDECREF(result);
	PyErr_Clear();
	return is;
}

static bool
is_asgi(PyObject *inspect, PyObject *app)
{
	PyObject *call = PyType_Check(app) ? NULL : PyObject_GetAttrString(app, "__call__");
	bool is;

	PyErr_Clear();
	is = is_coroutine_function(inspect, app) ||
	     (call != NULL && is_coroutine_function(inspect, call));
	Py_XDECREF(call);
	return is;
}

/* Whether APP can be called with two arguments, as far as it can be known. */
static bool
takes_two(PyObject *inspect, PyObject *app)
{
	PyObject *function = PyObject_GetAttrString(inspect, "signature");
	PyObject *args = Py_BuildValue("(O)", app);
	PyObject *kwargs = Py_BuildValue("{sO}", "follow_wrapped", Py_False);
	PyObject *signature = function != NULL && args != NULL && kwargs != NULL
				  ? PyObject_Call(function, args, kwargs)
				  : NULL;
	PyObject *bound =
	    signature != NULL ? PyObject_CallMethod(signature, "bind", "ii", 0, 0) : NULL;
	bool takes = signature == NULL || bound != NULL;

	PyErr_Clear();
	Py_XDECREF(bound);
	Py_XDECREF(signature);
	Py_XDECREF(kwargs);
	Py_XDECREF(args);
	Py_XDECREF(function);
	return takes;
}

/* APP, or NULL after a line when it is no WSGI application; the reference is taken. */
static PyObject *
check(const struct loading *loading, PyObject *app)
{
	PyObject *inspect;
	bool asgi, two;

	if (app != NULL && !PyCallable_Check(app)) {
		fail(loading, "%s is a %.100s, which cannot be called", loading->callable,
		    Py_TYPE(app)->tp_name);
		Py_CLEAR(app);
	}
	inspect = app != NULL ? PyImport_ImportModule("inspect") : NULL;
	if (inspect == NULL) {
		PyErr_Clear();
		return app;
	}
	asgi = is_asgi(inspect, app);
	two = asgi || takes_two(inspect, app);
	Py_DECREF(inspect);
	if (asgi)
		fail(loading, "it is an ASGI application (calling it makes a coroutine), and this "
			      "worker serves "
			      "WSGI; Penstock has no async workers yet: name a WSGI application, "
			      "or wrap it with "
			      "a2wsgi.ASGIMiddleware");
	else if (!two)
		fail(loading,
		    "it cannot be called with (environ, start_response); if it is a factory, write "
		    "'%s:%s()'",
		    loading->module, loading->callable);
	if (asgi || !two)
		Py_CLEAR(app);
	return app;
}

/* --- All of it --------------------------------------------------------------------------- */

/* Split "MODULE:CALLABLE": 0, or -1 after a line. */
static int
split(struct loading *loading)
{
	size_t n = strcspn(loading->spec, ":");
	const char *callable = loading->spec + n + (loading->spec[n] == ':');

	if (*callable == '\0')
		callable = DEFAULT_NAME;
	if (n == 0 || n >= sizeof loading->module || strlen(callable) >= sizeof loading->callable) {
		fail(loading, "an application is MODULE:CALLABLE, like shop.wsgi:application");
		return -1;
	}
	snprintf(loading->module, sizeof loading->module, "%.*s", (int)n, loading->spec);
	snprintf(loading->callable, sizeof loading->callable, "%s", callable);
	return 0;
}

static PyObject *
resolve(const struct loading *loading)
{
	char path[512];
	size_t n = strcspn(loading->callable, "(");
	PyObject *object, *app;

	snprintf(path, sizeof path, "%.*s", (int)n, loading->callable);
	object = get_path(loading, path);
	if (object == NULL || loading->callable[n] == '\0')
		return object;
	app = call_factory(loading, object);
	Py_DECREF(object);
	return app;
}

PyObject *
pst_app_load(const struct pst_host *host, const struct pst_app_config *config)
{
	struct loading loading = {.host = host, .config = config, .spec = config->app};
	PyObject *app;

	if (split(&loading) < 0)
		return NULL;
	loading.object = PyImport_ImportModule(loading.module);
	if (loading.object == NULL)
		return import_failed(&loading);
	app = check(&loading, resolve(&loading));
	Py_DECREF(loading.object);
	return app;
}
