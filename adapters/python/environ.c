#include "adapters/python/environ.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Shapes that are kept: browsers, health checks and API clients differ, but not by many. */
#define SHAPES 8

/* A request with more parameters, or longer names altogether, leaves no shape. */
#define KEPT_PARAMS ((size_t)128)
#define KEPT_NAMES  ((size_t)8 * 1024)

/* A longer value is not kept for the next request. */
#define KEPT_LIMIT ((size_t)256)

/* After so many changes a value is taken for one that always changes. */
#define CHANGES_LIMIT 8

/* With more of those, or longer strings altogether, parameters are compared one by one. */
#define VARYING   ((size_t)12)
#define KEPT_TEXT ((size_t)8 * 1024)

/* What else follows from a parameter. */
enum role {
	ROLE_PLAIN,
	ROLE_SKIP, /* not for the application */
	ROLE_TARGET, /* REQUEST_URI: RAW_URI is the same */
	ROLE_JOINED, /* the last of several fields of one name: the value of all of them */
	ROLE_SCHEME, /* HTTPS, REQUEST_SCHEME: wsgi.url_scheme follows */
};

struct entry {
	char *name; /* as the host sent it, NUL-terminated */
	size_t name_len;
	enum role role;
	PyObject *key;
	PyObject *value; /* in the shape's dict; NULL when the value is not kept */
	const char *bytes; /* of value, of which there are LENGTH */
	size_t length;
	unsigned changes;
	size_t at; /* of the value in the shape's text */
	size_t end; /* ... and behind it */
};

struct shape {
	size_t count; /* 0: unused */
	struct entry *entries;
	PyObject *dict;
	unsigned long used; /* when, in requests */
	size_t method; /* which of them is REQUEST_METHOD; COUNT: none */
	char *text; /* the strings of the last request, as the host has them; NULL: not kept */
	size_t length;
	size_t varying[VARYING]; /* whose values are not kept */
	size_t varies; /* how many those are */
};

struct pst_environ {
	PyObject *base; /* what every environ begins with */
	PyObject
	    *names; /* usual names, interned as the application's constants are: {name: name} */
	PyObject *input, *errors, *scheme, *raw_uri, *path_info; /* keys */
	PyObject *https, *request_scheme; /* keys */
	PyObject *http_value, *https_value;
	struct shape shapes[SHAPES];
	unsigned long requests;
};

static const char *const usual_names[] = {"AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE",
    "DOCUMENT_ROOT", "DOCUMENT_URI", "GATEWAY_INTERFACE", "HTTPS", "HTTP_ACCEPT",
    "HTTP_ACCEPT_CHARSET", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "HTTP_AUTHORIZATION",
    "HTTP_CACHE_CONTROL", "HTTP_CONNECTION", "HTTP_COOKIE", "HTTP_DNT", "HTTP_EXPECT",
    "HTTP_FORWARDED", "HTTP_HOST", "HTTP_IF_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH",
    "HTTP_ORIGIN", "HTTP_PRAGMA", "HTTP_RANGE", "HTTP_REFERER", "HTTP_SEC_FETCH_DEST",
    "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_USER", "HTTP_TE",
    "HTTP_TRACEPARENT", "HTTP_UPGRADE_INSECURE_REQUESTS", "HTTP_USER_AGENT", "HTTP_VIA",
    "HTTP_X_CSRFTOKEN", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO", "HTTP_X_REAL_IP", "HTTP_X_REQUESTED_WITH", "HTTP_X_REQUEST_ID",
    "PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING", "REDIRECT_STATUS", "REMOTE_ADDR", "REMOTE_HOST",
    "REMOTE_IDENT", "REMOTE_PORT", "REMOTE_USER", "REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI",
    "SCRIPT_FILENAME", "SCRIPT_NAME", "SERVER_ADDR", "SERVER_NAME", "SERVER_PORT",
    "SERVER_PROTOCOL", "SERVER_SOFTWARE"};

/* The eight bytes at A and at B differ in these bits. */
static inline uint64_t
differ8(const char *a, const char *b)
{
	uint64_t x, y;

	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	return x ^ y;
}

static inline uint32_t
differ4(const char *a, const char *b)
{
	uint32_t x, y;

	memcpy(&x, a, 4);
	memcpy(&y, b, 4);
	return x ^ y;
}

/* memcmp() == 0 for names and values, most of which are short. */
static inline bool
is_same(const char *a, const char *b, size_t n)
{
	if (n > 16)
		return memcmp(a, b, n) == 0;
	if (n >= 8)
		return (differ8(a, b) | differ8(a + n - 8, b + n - 8)) == 0;
	if (n >= 4)
		return (differ4(a, b) | differ4(a + n - 4, b + n - 4)) == 0;
	while (n > 0 && a[n - 1] == b[n - 1])
		n--;
	return n == 0;
}

static bool
is_named(const struct pst_field *field, const char *name)
{
	return strlen(name) == field->name_len && memcmp(field->name, name, field->name_len) == 0;
}

static PyObject *
latin1(const char *bytes, size_t n)
{
	return PyUnicode_DecodeLatin1(bytes, (Py_ssize_t)n, NULL);
}

/* --- What does not change -------------------------------------------------------------- */

static PyObject *
make_names(void)
{
	PyObject *names = PyDict_New();

	for (size_t i = 0; names != NULL && i < sizeof usual_names / sizeof *usual_names; i++) {
		PyObject *name = PyUnicode_InternFromString(usual_names[i]);

		if (name == NULL || PyDict_SetItem(names, name, name) < 0)
			Py_CLEAR(names);
		Py_XDECREF(name);
	}
	return names;
}

/* PEP 3333's variables, with what an environ holds when the host has no parameter for one. */
static PyObject *
make_base(bool multithread, bool multiprocess, PyObject *file_wrapper)
{
	PyObject *base = Py_BuildValue("{s(ii) ss sO sO sO sO sO sO sO ss ss ss ss ss ss ss ss}",
	    "wsgi.version", 1, 0, "wsgi.url_scheme", "http", "wsgi.input", Py_None, "wsgi.errors",
	    Py_None, "wsgi.multithread", multithread ? Py_True : Py_False, "wsgi.multiprocess",
	    multiprocess ? Py_True : Py_False, "wsgi.run_once", Py_False, "wsgi.file_wrapper",
	    file_wrapper, "wsgi.input_terminated", Py_True, "REQUEST_METHOD", "GET", "SCRIPT_NAME",
	    "", "PATH_INFO", "", "QUERY_STRING", "", "SERVER_NAME", "localhost", "SERVER_PORT",
	    "80", "SERVER_PROTOCOL", "HTTP/1.0", "SERVER_SOFTWARE", "penstock");
	PyObject *interned = PyDict_New();
	PyObject *key, *value;
	Py_ssize_t at = 0;

	while (base != NULL && interned != NULL && PyDict_Next(base, &at, &key, &value)) {
		Py_INCREF(key);
		PyUnicode_InternInPlace(&key);
		if (PyDict_SetItem(interned, key, value) < 0)
			Py_CLEAR(interned);
		Py_DECREF(key);
	}
	if (base == NULL)
		Py_CLEAR(interned);
	Py_XDECREF(base);
	return interned;
}

struct pst_environ *
pst_environ_new(bool multithread, bool multiprocess, PyObject *file_wrapper)
{
	struct pst_environ *env = calloc(1, sizeof *env);

	if (env == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	env->names = make_names();
	env->base = make_base(multithread, multiprocess, file_wrapper);
	env->input = PyUnicode_InternFromString("wsgi.input");
	env->errors = PyUnicode_InternFromString("wsgi.errors");
	env->scheme = PyUnicode_InternFromString("wsgi.url_scheme");
	env->raw_uri = PyUnicode_InternFromString("RAW_URI");
	env->path_info = PyUnicode_InternFromString("PATH_INFO");
	env->https = PyUnicode_InternFromString("HTTPS");
	env->request_scheme = PyUnicode_InternFromString("REQUEST_SCHEME");
	env->http_value = PyUnicode_InternFromString("http");
	env->https_value = PyUnicode_InternFromString("https");
	if (PyErr_Occurred()) {
		pst_environ_free(env);
		return NULL;
	}
	return env;
}

static void
clear_shape(struct shape *shape)
{
	for (size_t i = 0; i < shape->count; i++) {
		free(shape->entries[i].name);
		Py_XDECREF(shape->entries[i].key);
		Py_XDECREF(shape->entries[i].value);
	}
	free(shape->entries);
	free(shape->text);
	Py_XDECREF(shape->dict);
	memset(shape, 0, sizeof *shape);
}

void
pst_environ_free(struct pst_environ *env)
{
	PyObject *objects[] = {env->base, env->names, env->input, env->errors, env->scheme,
	    env->raw_uri, env->path_info, env->https, env->request_scheme, env->http_value,
	    env->https_value};

	for (size_t i = 0; i < SHAPES; i++)
		clear_shape(&env->shapes[i]);
	for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
		Py_XDECREF(objects[i]);
	free(env);
}

/* --- A shape that is known ------------------------------------------------------------- */

static bool
shape_fits(const struct shape *shape, const struct pst_field *params, size_t count)
{
	if (shape->count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (shape->entries[i].name_len != params[i].name_len ||
		    !is_same(shape->entries[i].name, params[i].name, params[i].name_len))
			return false;
	return true;
}

static struct shape *
find_shape(struct pst_environ *env, const struct pst_field *params, size_t count)
{
	for (size_t i = 0; i < SHAPES && count > 0; i++)
		if (shape_fits(&env->shapes[i], params, count))
			return &env->shapes[i];
	return NULL;
}

static bool
has_value(const struct entry *entry, const struct pst_field *param)
{
	return entry->value != NULL && entry->length == param->value_len &&
	       is_same(entry->bytes, param->value, param->value_len);
}

/* Set the VALUE of ENTRY in DICT, and what is the same. */
static int
set_value(const struct pst_environ *env, const struct entry *entry, PyObject *dict, PyObject *value)
{
	int rc = PyDict_SetItem(dict, entry->key, value);

	if (rc == 0 && entry->role == ROLE_TARGET)
		rc = PyDict_SetItem(dict, env->raw_uri, value);
	return rc;
}

/* Keep VALUE for the next request, or forget what always changes: 0, or -1 with an exception. */
static int
keep_value(const struct pst_environ *env, struct shape *shape, struct entry *entry, PyObject *value)
{
	bool keep =
	    entry->changes < CHANGES_LIMIT && (size_t)PyUnicode_GET_LENGTH(value) <= KEPT_LIMIT;

	if (!keep && entry->value == NULL)
		return 0;
	entry->changes++;
	if (set_value(env, entry, shape->dict, keep ? value : Py_None) < 0)
		return -1;
	Py_CLEAR(entry->value);
	if (keep) {
		Py_INCREF(value);
		entry->value = value;
		entry->bytes = (const char *)PyUnicode_1BYTE_DATA(value);
		entry->length = (size_t)PyUnicode_GET_LENGTH(value);
	}
	return 0;
}

/* Whether the request came over TLS, as nginx (HTTPS=on, REQUEST_SCHEME) and Apache say it. */
static int
set_scheme(const struct pst_environ *env, PyObject *dict)
{
	PyObject *https = PyDict_GetItemWithError(dict, env->https);
	PyObject *scheme = PyDict_GetItemWithError(dict, env->request_scheme);
	bool secure = (https != NULL && PyUnicode_Check(https) &&
			  (PyUnicode_CompareWithASCIIString(https, "on") == 0 ||
			      PyUnicode_CompareWithASCIIString(https, "1") == 0)) ||
		      (scheme != NULL && PyUnicode_Check(scheme) &&
			  PyUnicode_CompareWithASCIIString(scheme, "https") == 0);

	if (PyErr_Occurred())
		return -1;
	return PyDict_SetItem(dict, env->scheme, secure ? env->https_value : env->http_value);
}

/* The values of all of PARAMS, up to the one at LAST, that have its name, as HTTP joins them. */
static PyObject *
join_values(const struct pst_field *params, size_t last)
{
	const char *separator = is_named(&params[last], "HTTP_COOKIE") ? "; " : ", ";
	PyObject *joined = latin1("", 0);

	for (size_t i = 0; i <= last && joined != NULL; i++) {
		PyObject *value;

		if (params[i].name_len != params[last].name_len ||
		    memcmp(params[i].name, params[last].name, params[i].name_len) != 0)
			continue;
		value = latin1(params[i].value, params[i].value_len);
		if (value != NULL && PyUnicode_GET_LENGTH(joined) > 0)
			PyUnicode_AppendAndDel(&joined, latin1(separator, 2));
		PyUnicode_AppendAndDel(&joined, value);
	}
	return joined;
}

/* The value of PARAMS[I] in DICT, a copy of SHAPE's, if it differs: 0, or -1 with an exception.
 * *SCHEME: that may be another one now. */
static int
set_param(const struct pst_environ *env, struct shape *shape, const struct pst_field *params,
    size_t i, PyObject *dict, bool *scheme)
{
	struct entry *entry = &shape->entries[i];
	bool joined = entry->role == ROLE_JOINED;
	PyObject *value;
	int rc;

	if (entry->role == ROLE_SKIP || (!joined && has_value(entry, &params[i])))
		return 0;
	value = joined ? join_values(params, i) : latin1(params[i].value, params[i].value_len);
	if (value == NULL)
		return -1;
	rc = set_value(env, entry, dict, value);
	if (rc == 0 && !joined)
		rc = keep_value(env, shape, entry, value);
	*scheme = *scheme || entry->role == ROLE_SCHEME;
	Py_DECREF(value);
	return rc;
}

/* Set the values of PARAMS that differ from SHAPE's in DICT, its copy; AGAIN: only those that vary
 * may. */
static int
set_values(const struct pst_environ *env, struct shape *shape, const struct pst_field *params,
    PyObject *dict, bool again)
{
	size_t count = again ? shape->varies : shape->count;
	bool scheme = false;

	for (size_t i = 0; i < count; i++)
		if (set_param(env, shape, params, again ? shape->varying[i] : i, dict, &scheme) < 0)
			return -1;
	if (scheme && set_scheme(env, shape->dict) < 0)
		return -1;
	return scheme ? set_scheme(env, dict) : 0;
}

/* --- All strings at once --------------------------------------------------------------- */

/* The strings of COUNT params, at least one, which lie one behind the other. */
static size_t
text_length(const struct pst_field *params, size_t count)
{
	const struct pst_field *last = &params[count - 1];

	return (size_t)(last->value + last->value_len + 1 - params[0].name);
}

/* Whether PARAMS are those of SHAPE's last request, but for values that vary. No string holds a
 * NUL, so the same bytes are the same strings. */
static bool
is_again(const struct shape *shape, const struct pst_field *params, size_t count)
{
	const char *text, *end;
	size_t at = 0, n;

	if (shape->count != count || shape->text == NULL)
		return false;
	text = params[0].name;
	end = text + text_length(params, count);
	for (size_t i = 0; i < shape->varies; i++) {
		const struct entry *entry = &shape->entries[shape->varying[i]];
		const struct pst_field *param = &params[shape->varying[i]];

		n = entry->at - at;
		if (text + n != param->value || memcmp(text, shape->text + at, n) != 0)
			return false;
		text = param->value + param->value_len;
		at = entry->end;
	}
	n = shape->length - at;
	return (size_t)(end - text) == n && memcmp(text, shape->text + at, n) == 0;
}

/* Which of SHAPE's values are not in its dict, or not for long: false when those are many. */
static bool
find_varying(struct shape *shape)
{
	shape->varies = 0;
	for (size_t i = 0; i < shape->count; i++) {
		const struct entry *entry = &shape->entries[i];

		if (entry->role == ROLE_SKIP || entry->value != NULL)
			continue;
		if (shape->varies == VARYING)
			return false;
		shape->varying[shape->varies++] = i;
	}
	return true;
}

/* The values of PARAMS were set: keep their strings, if memory is not short, for the next request.
 * NULL: some may have been, some not. */
static void
keep_text(struct shape *shape, const struct pst_field *params)
{
	size_t length = params != NULL && shape->count > 0 ? text_length(params, shape->count) : 0;
	char *text = NULL;

	if (length > 0 && length <= KEPT_TEXT && find_varying(shape))
		text =
		    shape->length >= length && shape->text != NULL ? shape->text : malloc(length);
	if (text != shape->text)
		free(shape->text);
	shape->text = text;
	if (text == NULL)
		return;
	shape->length = length;
	memcpy(text, params[0].name, length);
	for (size_t i = 0; i < shape->count; i++) {
		shape->entries[i].at = (size_t)(params[i].value - params[0].name);
		shape->entries[i].end = shape->entries[i].at + params[i].value_len;
	}
}

/* --- A shape that is new --------------------------------------------------------------- */

static enum role
role_of(const struct pst_field *param)
{
	if ((param->name_len >= 5 && strncasecmp(param->name, "wsgi.", 5) == 0) ||
	    is_named(param, "HTTP_CONTENT_TYPE") || is_named(param, "HTTP_CONTENT_LENGTH"))
		return ROLE_SKIP;
	if (is_named(param, "REQUEST_URI"))
		return ROLE_TARGET;
	if (is_named(param, "HTTPS") || is_named(param, "REQUEST_SCHEME"))
		return ROLE_SCHEME;
	return ROLE_PLAIN;
}

static PyObject *
make_key(const struct pst_environ *env, const struct pst_field *param, bool has_path)
{
	PyObject *name = latin1(param->name, param->name_len);
	PyObject *usual;

	if (name == NULL)
		return NULL;
	usual = !has_path && is_named(param, "SCRIPT_NAME")
		    ? env->path_info
		    : PyDict_GetItemWithError(env->names, name);
	if (usual == NULL && !PyErr_Occurred())
		return name;
	Py_DECREF(name);
	Py_XINCREF(usual);
	return usual;
}

static int
fill_entry(const struct pst_environ *env, struct entry *entry, const struct pst_field *param,
    bool has_path)
{
	entry->name = malloc(param->name_len + 1);
	if (entry->name == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	memcpy(entry->name, param->name, param->name_len);
	entry->name[param->name_len] = '\0';
	entry->name_len = param->name_len;
	entry->role = role_of(param);
	entry->key = make_key(env, param, has_path);
	return entry->key != NULL ? 0 : -1;
}

/* That entry I is one of several: a field's values are joined. */
static void
mark_joined(struct shape *shape, size_t i)
{
	if (strncmp(shape->entries[i].name, "HTTP_", 5) != 0)
		return;
	for (size_t last = shape->count; last > i + 1; last--) {
		struct entry *entry = &shape->entries[last - 1];

		if (entry->role == ROLE_SKIP || strcmp(entry->name, shape->entries[i].name) != 0)
			continue;
		entry->role = ROLE_JOINED;
		return;
	}
}

/* Skip all but the last of the parameters that have one name. */
static int
skip_repeated(struct shape *shape)
{
	PyObject *seen = PySet_New(NULL);
	int found = seen != NULL ? 0 : -1;

	for (size_t i = shape->count; i > 0 && found >= 0; i--) {
		struct entry *entry = &shape->entries[i - 1];

		found = PySet_Contains(seen, entry->key);
		if (found > 0) {
			mark_joined(shape, i - 1);
			entry->role = ROLE_SKIP;
		}
		if (found == 0)
			found = PySet_Add(seen, entry->key);
	}
	Py_XDECREF(seen);
	return found < 0 ? -1 : 0;
}

/* The dict of SHAPE: the base, and a place for each parameter and for what follows from it. */
static int
fill_dict(const struct pst_environ *env, struct shape *shape)
{
	shape->dict = PyDict_Copy(env->base);
	if (shape->dict == NULL)
		return -1;
	for (size_t i = 0; i < shape->count; i++) {
		const struct entry *entry = &shape->entries[i];

		if ((entry->role != ROLE_SKIP &&
			PyDict_SetItem(shape->dict, entry->key, Py_None) < 0) ||
		    (entry->role == ROLE_TARGET &&
			PyDict_SetItem(shape->dict, env->raw_uri, Py_None) < 0))
			return -1;
	}
	return 0;
}

static int
make_shape(const struct pst_environ *env, struct shape *shape, const struct pst_field *params,
    size_t count)
{
	bool has_path = false;

	memset(shape, 0, sizeof *shape);
	shape->entries = calloc(count > 0 ? count : 1, sizeof *shape->entries);
	if (shape->entries == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	shape->count = shape->method = count;
	for (size_t i = count; i > 0; i--)
		if (is_named(&params[i - 1], "REQUEST_METHOD"))
			shape->method = i - 1;
	for (size_t i = 0; i < count; i++)
		has_path = has_path || is_named(&params[i], "PATH_INFO");
	for (size_t i = 0; i < count; i++)
		if (fill_entry(env, &shape->entries[i], &params[i], has_path) < 0)
			return -1;
	return skip_repeated(shape) == 0 ? fill_dict(env, shape) : -1;
}

static struct shape *
oldest_shape(struct pst_environ *env)
{
	struct shape *oldest = &env->shapes[0];

	for (size_t i = 1; i < SHAPES; i++)
		if (env->shapes[i].used < oldest->used)
			oldest = &env->shapes[i];
	return oldest;
}

static struct shape *
add_shape(struct pst_environ *env, const struct pst_field *params, size_t count)
{
	struct shape *place;
	struct shape shape;

	if (make_shape(env, &shape, params, count) < 0) {
		clear_shape(&shape);
		return NULL;
	}
	place = oldest_shape(env);
	clear_shape(place);
	*place = shape;
	return place;
}

/* --- A request ------------------------------------------------------------------------- */

static PyObject *
make_of(const struct pst_environ *env, struct shape *shape, const struct pst_field *params,
    PyObject *input, PyObject *errors, bool again)
{
	PyObject *dict = PyDict_Copy(shape->dict);

	if (dict == NULL)
		return NULL;
	if (PyDict_SetItem(dict, env->input, input) < 0 ||
	    PyDict_SetItem(dict, env->errors, errors) < 0 ||
	    set_values(env, shape, params, dict, again) < 0) {
		Py_DECREF(dict);
		return NULL;
	}
	return dict;
}

static const struct pst_field *
method_of(const struct shape *shape, const struct pst_field *params)
{
	return shape->method < shape->count ? &params[shape->method] : NULL;
}

static PyObject *
make_once(const struct pst_environ *env, const struct pst_field *params, size_t count,
    PyObject *input, PyObject *errors, const struct pst_field **method)
{
	struct shape shape;
	PyObject *dict = NULL;

	if (make_shape(env, &shape, params, count) == 0) {
		*method = method_of(&shape, params);
		dict = make_of(env, &shape, params, input, errors, false);
	}
	clear_shape(&shape);
	return dict;
}

/* Whether PARAMS are a usual request's: what is kept for the next one is bounded by it. */
static bool
is_kept(const struct pst_field *params, size_t count)
{
	size_t names = 0;

	if (count > KEPT_PARAMS)
		return false;
	for (size_t i = 0; i < count; i++)
		names += params[i].name_len;
	return names <= KEPT_NAMES;
}

static struct shape *
find_again(struct pst_environ *env, const struct pst_field *params, size_t count)
{
	for (size_t i = 0; i < SHAPES; i++)
		if (is_again(&env->shapes[i], params, count))
			return &env->shapes[i];
	return NULL;
}

PyObject *
pst_environ_make(struct pst_environ *env, const struct pst_field *params, size_t count,
    PyObject *input, PyObject *errors, const struct pst_field **method)
{
	struct shape *shape = find_again(env, params, count);
	bool again = shape != NULL;
	PyObject *dict;

	*method = NULL;
	if (!again)
		shape = find_shape(env, params, count);
	if (shape == NULL && !is_kept(params, count))
		return make_once(env, params, count, input, errors, method);
	if (shape == NULL)
		shape = add_shape(env, params, count);
	if (shape == NULL)
		return NULL;
	shape->used = ++env->requests;
	*method = method_of(shape, params);
	dict = make_of(env, shape, params, input, errors, again);
	if (!again)
		keep_text(shape, dict != NULL ? params : NULL);
	return dict;
}
