#include "adapters/python/asgi_scope.h"

#include <stdlib.h>
#include <string.h>

/* Positions that are remembered. */
#define PLACES 96

/* Longer names and values are not remembered. */
#define NAME_LIMIT  ((size_t)64)
#define VALUE_LIMIT ((size_t)256)

#define SPEC_VERSION "2.5"

/* What a parameter is to the scope. */
enum role {
	ROLE_NONE = 0,
	ROLE_HEADER,
	ROLE_CONTENT_LENGTH, /* a header, unless it is empty */
	ROLE_CONTENT_TYPE, /* a header, unless it is empty */
	ROLE_METHOD,
	ROLE_PROTOCOL,
	ROLE_SCHEME,
	ROLE_HTTPS,
	ROLE_TARGET,
	ROLE_SCRIPT,
	ROLE_PATH,
	ROLE_QUERY,
	ROLE_CLIENT,
	ROLE_CLIENT_PORT,
	ROLE_SERVER,
	ROLE_SERVER_PORT,
	ROLES,
};

/* What was made of the parameter at one position. */
struct place {
	char name[NAME_LIMIT];
	size_t name_len; /* 0: nothing is remembered */
	enum role role;
	PyObject *key; /* of a header: its name in bytes */
	PyObject *pair; /* of a header: (name, value), or NULL */
};

/* A value that was made of the text of one or two parameters. */
struct kept {
	char text[VALUE_LIMIT];
	size_t len;
	PyObject *value; /* NULL: none */
};

/* (host, port), and what it was made of. */
struct kept_address {
	struct kept host, port;
	PyObject *pair; /* NULL: none */
};

/* Keys of the scope that each request sets. */
enum key {
	KEY_METHOD,
	KEY_HTTP_VERSION,
	KEY_SCHEME,
	KEY_PATH,
	KEY_RAW_PATH,
	KEY_QUERY,
	KEY_ROOT_PATH,
	KEY_CLIENT,
	KEY_SERVER,
	KEY_HEADERS,
	KEY_STATE,
	KEY_EXTENSIONS,
	KEY_SUBPROTOCOLS,
	KEYS,
};

enum scheme {
	SCHEME_HTTP,
	SCHEME_HTTPS,
	SCHEME_WS,
	SCHEME_WSS,
	SCHEMES,
};

/*
 * What a scope is a copy of. It has what the last request had, where that is likely to be what the
 * next one has, too.
 */
struct template
{
	PyObject *dict;
	PyObject *extensions; /* of which each scope has a copy */
	PyObject *now[KEYS]; /* borrowed of DICT: what it has for KEY; NULL: not known */
};

struct pst_asgi_scope {
	struct template http, websocket;
	PyObject *state;
	PyObject *keys[KEYS];
	PyObject *schemes[SCHEMES];
	struct kept kept[KEYS];
	struct kept_address client, server;
	struct place places[PLACES];
};

static const char *const key_names[KEYS] = {"method", "http_version", "scheme", "path", "raw_path",
    "query_string", "root_path", "client", "server", "headers", "state", "extensions",
    "subprotocols"};

static const char *const scheme_names[SCHEMES] = {"http", "https", "ws", "wss"};

/* --- What does not change -------------------------------------------------------------- */

/* A dict with interned keys of FORMAT's pairs. */
static PyObject *
intern_keys(PyObject *dict)
{
	PyObject *interned = dict != NULL ? PyDict_New() : NULL;
	PyObject *key, *value;
	Py_ssize_t at = 0;

	while (interned != NULL && PyDict_Next(dict, &at, &key, &value)) {
		Py_INCREF(key);
		PyUnicode_InternInPlace(&key);
		if (PyDict_SetItem(interned, key, value) < 0)
			Py_CLEAR(interned);
		Py_DECREF(key);
	}
	Py_XDECREF(dict);
	return interned;
}

static PyObject *
make_template(const char *type)
{
	PyObject *dict = Py_BuildValue("{ss s{ssss} sO sO sO ss ss sy ss sO sO sO sO}", "type",
	    type, "asgi", "version", "3.0", "spec_version", SPEC_VERSION, "http_version", Py_None,
	    "server", Py_None, "client", Py_None, "scheme", "http", "root_path", "", "raw_path", "",
	    "path", "", "query_string", Py_None, "headers", Py_None, "state", Py_None, "extensions",
	    Py_None);

	return intern_keys(dict);
}

static int
make_templates(struct pst_asgi_scope *maker)
{
	maker->http.dict = make_template("http");
	maker->websocket.dict = make_template("websocket");
	maker->http.extensions = Py_BuildValue("{s{}s{}s{}s{}}", "http.response.early_hint",
	    "http.response.trailers", "http.response.pathsend", "http.response.zerocopysend");
	maker->websocket.extensions = Py_BuildValue("{s{}}", "websocket.http.response");
	if (maker->http.dict == NULL || maker->websocket.dict == NULL ||
	    maker->http.extensions == NULL || maker->websocket.extensions == NULL)
		return -1;
	if (maker->state == NULL && (PyDict_DelItemString(maker->http.dict, "state") < 0 ||
					PyDict_DelItemString(maker->websocket.dict, "state") < 0))
		return -1;
	/* The order of keys is the application's to see; the method is no WebSocket's. */
	return PyDict_SetItem(maker->http.dict, maker->keys[KEY_METHOD], Py_None) < 0 ||
		       PyDict_SetItem(
			   maker->websocket.dict, maker->keys[KEY_SUBPROTOCOLS], Py_None) < 0
		   ? -1
		   : 0;
}

static int
intern(PyObject **strings, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		strings[i] = PyUnicode_InternFromString(texts[i]);
		if (strings[i] == NULL)
			return -1;
	}
	return 0;
}

struct pst_asgi_scope *
pst_asgi_scope_new(PyObject *state)
{
	struct pst_asgi_scope *maker = calloc(1, sizeof *maker);

	if (maker == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	Py_XINCREF(state);
	maker->state = state;
	if (intern(maker->keys, key_names, KEYS) < 0 ||
	    intern(maker->schemes, scheme_names, SCHEMES) < 0 || make_templates(maker) < 0) {
		pst_asgi_scope_free(maker);
		return NULL;
	}
	return maker;
}

static void
free_address(struct kept_address *address)
{
	Py_XDECREF(address->host.value);
	Py_XDECREF(address->port.value);
	Py_XDECREF(address->pair);
}

void
pst_asgi_scope_free(struct pst_asgi_scope *maker)
{
	for (size_t i = 0; i < PLACES; i++) {
		Py_XDECREF(maker->places[i].key);
		Py_XDECREF(maker->places[i].pair);
	}
	for (size_t i = 0; i < KEYS; i++) {
		Py_XDECREF(maker->keys[i]);
		Py_XDECREF(maker->kept[i].value);
	}
	for (size_t i = 0; i < SCHEMES; i++)
		Py_XDECREF(maker->schemes[i]);
	free_address(&maker->client);
	free_address(&maker->server);
	Py_XDECREF(maker->http.dict);
	Py_XDECREF(maker->http.extensions);
	Py_XDECREF(maker->websocket.dict);
	Py_XDECREF(maker->websocket.extensions);
	Py_XDECREF(maker->state);
	free(maker);
}

/* --- The names of parameters ----------------------------------------------------------- */

static enum role
role_of(const struct pst_field *param)
{
	static const struct {
		const char *name;
		enum role role;
	} roles[] = {{"REQUEST_METHOD", ROLE_METHOD}, {"SERVER_PROTOCOL", ROLE_PROTOCOL},
	    {"REQUEST_SCHEME", ROLE_SCHEME}, {"HTTPS", ROLE_HTTPS}, {"REQUEST_URI", ROLE_TARGET},
	    {"SCRIPT_NAME", ROLE_SCRIPT}, {"PATH_INFO", ROLE_PATH}, {"QUERY_STRING", ROLE_QUERY},
	    {"REMOTE_ADDR", ROLE_CLIENT}, {"REMOTE_PORT", ROLE_CLIENT_PORT},
	    {"SERVER_NAME", ROLE_SERVER}, {"SERVER_PORT", ROLE_SERVER_PORT},
	    {"CONTENT_LENGTH", ROLE_CONTENT_LENGTH}, {"CONTENT_TYPE", ROLE_CONTENT_TYPE},
	    /* nginx sends these beside the two above */
	    {"HTTP_CONTENT_LENGTH", ROLE_NONE}, {"HTTP_CONTENT_TYPE", ROLE_NONE}};

	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (strlen(roles[i].name) == param->name_len &&
		    memcmp(roles[i].name, param->name, param->name_len) == 0)
			return roles[i].role;
	return param->name_len > 5 && memcmp(param->name, "HTTP_", 5) == 0 ? ROLE_HEADER
									   : ROLE_NONE;
}

/* b"accept-encoding" for "HTTP_ACCEPT_ENCODING", of which the first SKIP bytes are left out. */
static PyObject *
header_name(const struct pst_field *param, size_t skip)
{
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(param->name_len - skip));
	char *to;

	if (bytes == NULL)
		return NULL;
	to = PyBytes_AS_STRING(bytes);
	for (size_t i = skip; i < param->name_len; i++) {
		char c = param->name[i];

		*to++ = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c == '_' ? '-' : c);
	}
	return bytes;
}

/* Make PLACE that of PARAM's name: 0, or -1 with an exception. */
static int
learn(struct place *place, const struct pst_field *param)
{
	place->name_len = 0;
	Py_CLEAR(place->key);
	Py_CLEAR(place->pair);
	place->role = role_of(param);
	if (place->role == ROLE_HEADER)
		place->key = header_name(param, 5);
	else if (place->role == ROLE_CONTENT_LENGTH || place->role == ROLE_CONTENT_TYPE)
		place->key = header_name(param, 0);
	else
		goto keep;
	if (place->key == NULL)
		return -1;
keep:
	if (param->name_len <= NAME_LIMIT) {
		memcpy(place->name, param->name, param->name_len);
		place->name_len = param->name_len;
	}
	return 0;
}

/* What is known of PARAM, in *PLACE; SPARE serves what is beyond the positions that are kept. */
static struct place *
place_of(struct pst_asgi_scope *maker, size_t i, const struct pst_field *param, struct place *spare)
{
	struct place *place = i < PLACES ? &maker->places[i] : spare;

	if (place->name_len == param->name_len && param->name_len > 0 &&
	    memcmp(place->name, param->name, param->name_len) == 0)
		return place;
	return learn(place, param) == 0 ? place : NULL;
}

/* --- Headers --------------------------------------------------------------------------- */

/* A new reference to the pair of a header, or NULL with an exception. */
static PyObject *
make_pair(struct place *place, const struct pst_field *param)
{
	PyObject *value, *pair;

	if (place->pair != NULL) {
		value = PyTuple_GET_ITEM(place->pair, 1);
		if ((size_t)PyBytes_GET_SIZE(value) == param->value_len &&
		    memcmp(PyBytes_AS_STRING(value), param->value, param->value_len) == 0) {
			Py_INCREF(place->pair);
			return place->pair;
		}
		Py_CLEAR(place->pair);
	}
	value = PyBytes_FromStringAndSize(param->value, (Py_ssize_t)param->value_len);
	pair = value != NULL ? PyTuple_Pack(2, place->key, value) : NULL;
	Py_XDECREF(value);
	if (pair != NULL && param->value_len <= VALUE_LIMIT) {
		Py_INCREF(pair);
		place->pair = pair;
	}
	return pair;
}

static int
add_header(PyObject *headers, struct place *place, const struct pst_field *param)
{
	PyObject *pair = make_pair(place, param);
	int rc = pair != NULL ? PyList_Append(headers, pair) : -1;

	Py_XDECREF(pair);
	return rc;
}

/* --- Values ---------------------------------------------------------------------------- */

typedef PyObject *make_fn(const char *text, size_t n);

/* The value that MAKE makes of TEXT: borrowed of KEPT, or NULL with an exception. */
static PyObject *
value_of(struct kept *kept, const char *text, size_t n, make_fn *make)
{
	if (kept->value != NULL && kept->len == n && n <= VALUE_LIMIT &&
	    memcmp(kept->text, text, n) == 0)
		return kept->value;
	Py_XSETREF(kept->value, make(text, n));
	kept->len = n <= VALUE_LIMIT ? n : SIZE_MAX;
	if (n <= VALUE_LIMIT)
		memcpy(kept->text, text, n);
	return kept->value;
}

static PyObject *
make_utf8(const char *text, size_t n)
{
	return PyUnicode_DecodeUTF8(text, (Py_ssize_t)n, "replace");
}

static PyObject *
make_latin1(const char *text, size_t n)
{
	return PyUnicode_DecodeLatin1(text, (Py_ssize_t)n, NULL);
}

static PyObject *
make_bytes(const char *text, size_t n)
{
	return PyBytes_FromStringAndSize(text, (Py_ssize_t)n);
}

/* "1.1" of "HTTP/1.1", "2" of "HTTP/2.0". */
static PyObject *
make_version(const char *text, size_t n)
{
	if (n > 5 && memcmp(text, "HTTP/", 5) == 0) {
		text += 5;
		n -= 5;
	}
	if (n == 3 && text[0] >= '2' && memcmp(text + 1, ".0", 2) == 0)
		n = 1;
	return make_latin1(text, n);
}

/* None for what is no port. */
static PyObject *
make_port(const char *text, size_t n)
{
	long number = 0;

	for (size_t i = 0; i < n && number <= 65535; i++)
		number = text[i] >= '0' && text[i] <= '9' ? 10 * number + text[i] - '0' : 65536;
	if (n > 0 && number <= 65535)
		return PyLong_FromLong(number);
	Py_INCREF(Py_None);
	return Py_None;
}

/* The path of a request's target as it was received, without what an absolute form has before. */
static void
raw_path(const struct pst_field *target, const char **path, size_t *n)
{
	const char *text = target->value;
	size_t length = strcspn(text, "?");
	const char *authority = length > 0 && text[0] != '/' ? strstr(text, "://") : NULL;

	if (authority != NULL && authority < text + length) {
		const char *slash =
		    memchr(authority + 3, '/', (size_t)(text + length - (authority + 3)));

		*path = slash != NULL ? slash : text + length;
		*n = (size_t)(text + length - *path);
		return;
	}
	*path = text;
	*n = length;
}

/* --- A request ------------------------------------------------------------------------- */

/* The parameters that the scope is made of, by role; those that are not there have no name. */
struct parts {
	struct pst_field of[ROLES];
	PyObject *headers;
};

static int
collect(
    struct pst_asgi_scope *maker, const struct pst_field *params, size_t count, struct parts *parts)
{
	struct place spare = {.name_len = 0};
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		struct place *place = place_of(maker, i, &params[i], &spare);

		if (place == NULL) {
			rc = -1;
		} else if (place->role == ROLE_HEADER) {
			rc = add_header(parts->headers, place, &params[i]);
		} else if (place->role != ROLE_NONE) {
			parts->of[place->role] = params[i];
			if (place->key != NULL && params[i].value_len > 0)
				rc = add_header(parts->headers, place, &params[i]);
		}
	}
	Py_XDECREF(spare.key);
	Py_XDECREF(spare.pair);
	return rc;
}

static bool
is_secure(const struct parts *parts)
{
	const struct pst_field *https = &parts->of[ROLE_HTTPS];
	const struct pst_field *scheme = &parts->of[ROLE_SCHEME];

	return (https->name != NULL &&
		   (strcmp(https->value, "on") == 0 || strcmp(https->value, "1") == 0)) ||
	       (scheme->name != NULL && strcmp(scheme->value, "https") == 0);
}

/* The scope that is being made. */
struct draft {
	struct pst_asgi_scope *maker;
	struct template *template;
	PyObject *scope;
};

/* Set KEY to VALUE, of this request only. */
static int
set(const struct draft *draft, enum key key, PyObject *value)
{
	return value != NULL ? PyDict_SetItem(draft->scope, draft->maker->keys[key], value) : -1;
}

/* The same for a value that is given away. */
static int
put(const struct draft *draft, enum key key, PyObject *value)
{
	int rc = set(draft, key, value);

	Py_XDECREF(value);
	return rc;
}

/* Set KEY to VALUE, which the next request may have, too: every one sets it. */
static int
set_lasting(const struct draft *draft, enum key key, PyObject *value)
{
	struct template *template = draft->template;

	if (value == NULL)
		return -1;
	if (value == template->now[key])
		return 0;
	template->now[key] = NULL;
	if (PyDict_SetItem(template->dict, draft->maker->keys[key], value) < 0)
		return -1;
	template->now[key] = value;
	return set(draft, key, value);
}

/* Set KEY to what MAKE makes of N bytes of TEXT. */
static int
set_bytes(const struct draft *draft, enum key key, const char *text, size_t n, make_fn *make)
{
	return set_lasting(draft, key, value_of(&draft->maker->kept[key], text, n, make));
}

/* Set KEY to what MAKE makes of PARAM, empty when there is none. */
static int
set_text(const struct draft *draft, enum key key, const struct pst_field *param, make_fn *make)
{
	return set_bytes(
	    draft, key, param->name != NULL ? param->value : "", param->value_len, make);
}

/* (host, port), None when there is no host: borrowed, or NULL with an exception. */
static PyObject *
address_of(struct kept_address *kept, const struct pst_field *host, const struct pst_field *port)
{
	PyObject *name, *number;

	if (host->name == NULL || host->value_len == 0)
		return Py_None;
	name = value_of(&kept->host, host->value, host->value_len, make_latin1);
	number = value_of(
	    &kept->port, port->name != NULL ? port->value : "", port->value_len, make_port);
	if (name == NULL || number == NULL)
		return NULL;
	if (kept->pair == NULL || PyTuple_GET_ITEM(kept->pair, 0) != name ||
	    PyTuple_GET_ITEM(kept->pair, 1) != number)
		Py_XSETREF(kept->pair, PyTuple_Pack(2, name, number));
	return kept->pair;
}

/* SCRIPT_NAME and PATH_INFO in one. */
static int
set_joined_path(
    const struct draft *draft, const struct pst_field *script, const struct pst_field *info)
{
	size_t n = script->value_len + info->value_len;
	char *text = malloc(n + 1);
	int rc;

	if (text == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	memcpy(text, script->value, script->value_len);
	memcpy(text + script->value_len, info->value, info->value_len + 1);
	rc = set_bytes(draft, KEY_PATH, text, n, make_utf8);
	free(text);
	return rc;
}

/* path, root_path and raw_path. Without PATH_INFO (nginx's fastcgi_params) SCRIPT_NAME is it. */
static int
set_paths(const struct draft *draft, const struct parts *parts)
{
	static const struct pst_field none = {.name = NULL};
	const struct pst_field *script = &parts->of[ROLE_SCRIPT];
	const struct pst_field *info = &parts->of[ROLE_PATH];
	const struct pst_field *target = &parts->of[ROLE_TARGET];
	const char *raw;
	size_t raw_len;
	int rc;

	if (info->name == NULL)
		rc = set_text(draft, KEY_PATH, script, make_utf8);
	else if (script->name == NULL || script->value_len == 0)
		rc = set_text(draft, KEY_PATH, info, make_utf8);
	else
		rc = set_joined_path(draft, script, info);
	if (rc < 0 ||
	    set_text(draft, KEY_ROOT_PATH, info->name != NULL ? script : &none, make_utf8) < 0)
		return -1;
	if (target->name == NULL)
		return set_lasting(draft, KEY_RAW_PATH, Py_None);
	raw_path(target, &raw, &raw_len);
	return set_bytes(draft, KEY_RAW_PATH, raw, raw_len, make_bytes);
}

static PyObject *
scheme_of(const struct pst_asgi_scope *maker, const struct parts *parts, bool websocket)
{
	bool secure = is_secure(parts);

	if (websocket)
		return maker->schemes[secure ? SCHEME_WSS : SCHEME_WS];
	return maker->schemes[secure ? SCHEME_HTTPS : SCHEME_HTTP];
}

/* The items of Sec-WebSocket-Protocol, of which there may be several. */
static int
set_subprotocols(const struct draft *draft, PyObject *headers)
{
	PyObject *list = PyList_New(0);
	int rc = list != NULL ? 0 : -1;

	for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(headers); i++) {
		PyObject *pair = PyList_GET_ITEM(headers, i);
		const char *at = PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 1));

		if (strcmp(PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 0)),
			"sec-websocket-protocol") != 0)
			continue;
		while (rc == 0 && *(at += strspn(at, ", \t")) != '\0') {
			size_t n = strcspn(at, ", \t");
			PyObject *name = make_latin1(at, n);

			rc = name != NULL ? PyList_Append(list, name) : -1;
			Py_XDECREF(name);
			at += n;
		}
	}
	if (rc == 0)
		rc = set(draft, KEY_SUBPROTOCOLS, list);
	Py_XDECREF(list);
	return rc;
}

static int
fill(const struct draft *draft, const struct parts *parts, bool websocket)
{
	struct pst_asgi_scope *maker = draft->maker;
	const struct pst_field *of = parts->of;
	PyObject *client = address_of(&maker->client, &of[ROLE_CLIENT], &of[ROLE_CLIENT_PORT]);
	PyObject *server = address_of(&maker->server, &of[ROLE_SERVER], &of[ROLE_SERVER_PORT]);

	if ((websocket ? set_subprotocols(draft, parts->headers)
		       : set_text(draft, KEY_METHOD, &of[ROLE_METHOD], make_latin1)) < 0 ||
	    set_text(draft, KEY_HTTP_VERSION, &of[ROLE_PROTOCOL], make_version) < 0 ||
	    set_lasting(draft, KEY_SCHEME, scheme_of(maker, parts, websocket)) < 0 ||
	    set_paths(draft, parts) < 0 ||
	    set_text(draft, KEY_QUERY, &of[ROLE_QUERY], make_bytes) < 0 ||
	    set(draft, KEY_CLIENT, client) < 0 || set_lasting(draft, KEY_SERVER, server) < 0 ||
	    set(draft, KEY_HEADERS, parts->headers) < 0)
		return -1;
	if (maker->state != NULL && put(draft, KEY_STATE, PyDict_Copy(maker->state)) < 0)
		return -1;
	return put(draft, KEY_EXTENSIONS, PyDict_Copy(draft->template->extensions));
}

static void
find_facts(const struct parts *parts, struct pst_asgi_facts *facts)
{
	const struct pst_field *length = &parts->of[ROLE_CONTENT_LENGTH];
	const struct pst_field *method = &parts->of[ROLE_METHOD];
	char *end;

	facts->content_length = -1;
	if (length->name != NULL && length->value_len > 0 && length->value_len < 19) {
		facts->content_length = strtoll(length->value, &end, 10);
		if (*end != '\0')
			facts->content_length = -1;
	}
	facts->head = method->name != NULL && strcmp(method->value, "HEAD") == 0;
}

PyObject *
pst_asgi_scope_make(struct pst_asgi_scope *maker, const struct pst_field *params, size_t count,
    bool websocket, struct pst_asgi_facts *facts)
{
	struct parts parts = {.headers = PyList_New(0)};
	struct draft draft = {maker, websocket ? &maker->websocket : &maker->http, NULL};

	if (parts.headers == NULL)
		return NULL;
	if (collect(maker, params, count, &parts) == 0)
		draft.scope = PyDict_Copy(draft.template->dict);
	if (draft.scope != NULL && fill(&draft, &parts, websocket) < 0)
		Py_CLEAR(draft.scope);
	find_facts(&parts, facts);
	Py_DECREF(parts.headers);
	return draft.scope;
}
