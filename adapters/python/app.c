#include "adapters/python/app.h"

#include "adapters/python/interp.h"
#include "adapters/python/kind.h"
#include "adapters/python/option.h"
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

/* Who serves, as the command line has it: "sync", "gevent" ... */
static const char *
worker_name(const struct pst_app_config *config)
{
	const char *loop = pst_option_value(config, "loop", 0);

	switch (config->model) {
	case PST_MODEL_SYNC: return "sync";
	case PST_MODEL_THREADED: return "threaded";
	case PST_MODEL_ASYNC: break;
	}
	if (loop != NULL && strcmp(loop, "auto") != 0 && strcmp(loop, "asyncio") != 0 &&
	    strcmp(loop, "uvloop") != 0)
		return loop;
	return "async";
}

/* What these workers serve. */
static enum pst_kind
wanted_kind(const struct pst_app_config *config)
{
	const char *worker = worker_name(config);

	if (strcmp(worker, "async") == 0)
		return PST_KIND_ASGI;
	return strcmp(worker, "tornado") == 0 ? PST_KIND_TORNADO : PST_KIND_WSGI;
}

static const char *
kind_name(enum pst_kind kind)
{
	switch (kind) {
	case PST_KIND_ASGI:
	case PST_KIND_ASGI_CLASS: return "an ASGI application";
	case PST_KIND_TORNADO: return "a Tornado application";
	default: return "a WSGI application";
	}
}

/* It is of another KIND than these workers serve. */
static int
say_other_kind(const struct loading *loading, enum pst_kind kind)
{
	const char *class = kind == PST_KIND_WSGI ? "sync" : "async";
	const char *served = "WSGI";

	if (kind == PST_KIND_TORNADO)
		class = "tornado";
	if (wanted_kind(loading->config) == PST_KIND_ASGI)
		served = "ASGI";
	else if (wanted_kind(loading->config) == PST_KIND_TORNADO)
		served = "Tornado applications";
	fail(loading, "it is %s, and %s workers serve %s: type 'penstock -k %s %s%s'%s",
	    kind_name(kind), worker_name(loading->config), served, class, loading->spec,
	    kind == PST_KIND_ASGI_CLASS ? "()" : "",
	    kind == PST_KIND_WSGI
		? ", or -k threaded, gevent or eventlet for many requests at a time"
		: "");
	return -1;
}

/* Whoever started this worker left it to the application which kind it is to be. */
static bool
may_change_model(const struct pst_app_config *config)
{
	const char *model = pst_option_value(config, "model", 0);

	return model != NULL && strcmp(model, "auto") == 0;
}

/* KIND is none that can be served: say what to do. */
static int
say_unfit(const struct loading *loading, enum pst_kind kind)
{
	bool asgi = wanted_kind(loading->config) == PST_KIND_ASGI;

	if (kind == PST_KIND_ASGI2)
		fail(loading,
		    "it takes one argument, as ASGI 2 applications did; ASGI 3 is served: write "
		    "application = asgiref.compatibility.guarantee_single_callable(%s) in %s",
		    loading->callable, loading->module);
	else if (kind == PST_KIND_AIOHTTP)
		fail(loading, "it is an aiohttp application, which is neither WSGI nor ASGI: only "
			      "aiohttp's own server can serve it");
	else if (kind == PST_KIND_ASGI_CLASS)
		fail(loading,
		    "it is a class whose instances are ASGI applications: write '%s:%s()'",
		    loading->module, loading->callable);
	else
		fail(loading,
		    "it cannot be called with (%s); if it is a factory, write '%s:%s()', or add "
		    "--factory",
		    asgi ? "scope, receive, send" : "environ, start_response", loading->module,
		    loading->callable);
	return -1;
}

/* What open() returns about an application of KIND: 0 when it is what these workers serve. */
static int
judge(const struct loading *loading, enum pst_kind kind)
{
	const struct pst_app_config *config = loading->config;
	enum pst_kind wanted = wanted_kind(config);

	if (kind == wanted)
		return 0;
	if (may_change_model(config) && kind == PST_KIND_TORNADO &&
	    config->model == PST_MODEL_ASYNC)
		return 0; /* any of asyncio's loops will do */
	if (may_change_model(config) && (kind == PST_KIND_ASGI || kind == PST_KIND_TORNADO))
		return PST_OPEN_OTHER_MODEL + PST_MODEL_ASYNC;
	if (may_change_model(config) && kind == PST_KIND_WSGI)
		return PST_OPEN_OTHER_MODEL + PST_MODEL_SYNC;
	if (kind == PST_KIND_ASGI_CLASS && wanted != PST_KIND_ASGI && !may_change_model(config))
		return say_other_kind(loading, kind);
	if (kind == PST_KIND_WSGI || kind == PST_KIND_ASGI || kind == PST_KIND_TORNADO)
		return say_other_kind(loading, kind);
	return say_unfit(loading, kind);
}

/* What open() returns about APP; NULL: that was said. */
static int
check(const struct loading *loading, PyObject *app)
{
	if (app == NULL)
		return -1;
	if (PyCallable_Check(app))
		return judge(loading, pst_kind_of(app));
	if (PyCoro_CheckExact(app))
		fail(loading, "%s is a coroutine: a factory is no async function",
		    loading->callable);
	else
		fail(loading, "%s is of the type %.100s, which cannot be called", loading->callable,
		    Py_TYPE(app)->tp_name);
	return -1;
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
	if (n == 0 || n >= sizeof loading->module ||
	    strlen(callable) + 2 >= sizeof loading->callable) {
		fail(loading, "an application is MODULE:CALLABLE, like shop.wsgi:application");
		return -1;
	}
	snprintf(loading->module, sizeof loading->module, "%.*s", (int)n, loading->spec);
	snprintf(loading->callable, sizeof loading->callable, "%s", callable);
	if (pst_option_value(loading->config, "factory", 0) == NULL)
		return 0;
	if (strchr(callable, '(') != NULL) {
		fail(loading,
		    "--factory calls what is named, and %s is a call already: leave one out",
		    callable);
		return -1;
	}
	strcat(loading->callable, "()");
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

int
pst_app_load(const struct pst_host *host, const struct pst_app_config *config, PyObject **app)
{
	struct loading loading = {.host = host, .config = config, .spec = config->app};
	int status;

	*app = NULL;
	if (split(&loading) < 0)
		return -1;
	loading.object = PyImport_ImportModule(loading.module);
	if (loading.object == NULL) {
		import_failed(&loading);
		return -1;
	}
	*app = resolve(&loading);
	status = check(&loading, *app);
	Py_DECREF(loading.object);
	if (status != 0)
		Py_CLEAR(*app);
	return status;
}
