/* What the application sends, read and checked. */
#include "adapters/python/asgi_internal.h"

#include "adapters/python/hop.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool
pst_asgi_is(PyObject *string, PyObject *name)
{
	return string == name || (PyUnicode_Check(string) && PyUnicode_Compare(string, name) == 0);
}

int
pst_asgi_get(PyObject *event, PyObject *key, PyObject **value)
{
#if PY_VERSION_HEX >= 0x030d0000
	return PyDict_GetItemRef(event, key, value) < 0 ? -1 : 0;
#else
	*value = PyDict_GetItemWithError(event, key);
	Py_XINCREF(*value);
	return *value == NULL && PyErr_Occurred() ? -1 : 0;
#endif
}

int
pst_asgi_get_bool(PyObject *event, PyObject *key, bool *value)
{
	PyObject *object;
	int truth = 0;

	if (pst_asgi_get(event, key, &object) < 0)
		return -1;
	if (object == Py_True)
		truth = 1;
	else if (object != NULL && object != Py_False)
		truth = PyObject_IsTrue(object);
	Py_XDECREF(object);
	*value = truth > 0;
	return truth < 0 ? -1 : 0;
}

/* --- Fields ---------------------------------------------------------------------------- */

static int
not_bytes(const char *what, PyObject *object)
{
	PyErr_Format(PyExc_TypeError, "a header's %s must be bytes, not %.100s", what,
	    Py_TYPE(object)->tp_name);
	return -1;
}

static int
parse_length(struct pst_asgi_fields *fields, const char *text, size_t n)
{
	long long length = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9' || length > (long long)1e17)
			n = 0;
		else
			length = length * 10 + text[i] - '0';
	}
	if (n == 0 || (fields->content_length >= 0 && fields->content_length != length)) {
		PyErr_SetString(PyExc_ValueError,
		    n == 0 ? "Content-Length is not a number" : "two Content-Length headers");
		return -1;
	}
	if (fields->content_length >= 0)
		return 1; /* a second one that says the same */
	fields->content_length = length;
	return 0;
}

/* Add the pair ITEM; its bytes live as long as it does. 0, or -1 with an exception. */
static int
add_field(struct pst_asgi_fields *fields, PyObject *item)
{
	struct pst_field *field = &fields->fields[fields->count];
	PyObject *name, *value;
	size_t n;
	int rc;

	name = PySequence_Fast_GET_ITEM(item, 0);
	value = PySequence_Fast_GET_ITEM(item, 1);
	if (!PyBytes_Check(name))
		return not_bytes("name", name);
	if (!PyBytes_Check(value))
		return not_bytes("value", value);
	n = (size_t)PyBytes_GET_SIZE(name);
	if (pst_hop_is(PyBytes_AS_STRING(name), n))
		return 0;
	*field = (struct pst_field){
	    PyBytes_AS_STRING(name), n, PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
	while (field->value_len > 0 && (*field->value == ' ' || *field->value == '\t')) {
		field->value++;
		field->value_len--;
	}
	while (field->value_len > 0 && (field->value[field->value_len - 1] == ' ' ||
					   field->value[field->value_len - 1] == '\t'))
		field->value_len--;
	if (n == 14 && strncasecmp(field->name, "content-length", n) == 0) {
		rc = parse_length(fields, field->value, field->value_len);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
	fields->count++;
	return 0;
}

/* ITEM of the headers as a sequence of two that owns its bytes: a new reference, or NULL. */
static PyObject *
pair_of(PyObject *item)
{
	PyObject *pair = PySequence_Tuple(item);

	if (pair != NULL && PyTuple_GET_SIZE(pair) == 2)
		return pair;
	if (pair == NULL)
		PyErr_Clear();
	Py_XDECREF(pair);
	PyErr_Format(PyExc_TypeError, "header %R is not a pair of bytes", item);
	return NULL;
}

/* The list of pairs that ITEMS, any iterable, has. */
static PyObject *
pairs_of(PyObject *headers)
{
	PyObject *items = PySequence_List(headers);

	for (Py_ssize_t i = 0; items != NULL && i < PyList_GET_SIZE(items); i++) {
		PyObject *pair = pair_of(PyList_GET_ITEM(items, i));

		if (pair == NULL || PyList_SetItem(items, i, pair) < 0)
			Py_CLEAR(items);
	}
	return items;
}

int
pst_asgi_fields_get(struct pst_asgi_fields *fields, PyObject *event, PyObject *key)
{
	PyObject *headers;
	Py_ssize_t count;

	fields->fields = fields->few;
	fields->count = 0;
	fields->content_length = -1;
	fields->items = NULL;
	if (pst_asgi_get(event, key, &headers) < 0)
		return -1;
	if (headers == NULL)
		return 0;
	if (PyUnicode_Check(headers) || PyBytes_Check(headers)) {
		PyErr_Format(PyExc_TypeError, "%U must be an iterable of pairs, not %.100s", key,
		    Py_TYPE(headers)->tp_name);
		Py_DECREF(headers);
		return -1;
	}
	fields->items = pairs_of(headers);
	Py_DECREF(headers);
	if (fields->items == NULL)
		return -1;
	count = PyList_GET_SIZE(fields->items);
	if (count > (Py_ssize_t)(sizeof fields->few / sizeof *fields->few)) {
		fields->fields = calloc((size_t)count, sizeof *fields->fields);
		if (fields->fields == NULL)
			PyErr_NoMemory();
	}
	for (Py_ssize_t i = 0; i < count && !PyErr_Occurred(); i++)
		add_field(fields, PyList_GET_ITEM(fields->items, i));
	if (!PyErr_Occurred())
		return 0;
	pst_asgi_fields_free(fields);
	return -1;
}

void
pst_asgi_fields_free(struct pst_asgi_fields *fields)
{
	if (fields->fields != fields->few)
		free(fields->fields);
	fields->fields = NULL;
	Py_CLEAR(fields->items);
}
