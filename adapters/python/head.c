#include "adapters/python/head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Digits of a Content-Length that is added, with its NUL. */
#define LENGTH_SIZE 24

/* The bytes of a native string: latin-1, as PEP 3333 wants it. */
struct text {
	const char *bytes;
	size_t length;
};

void
pst_head_init(struct pst_head *head)
{
	memset(head, 0, sizeof *head);
	head->content_length = -1;
}

void
pst_head_free(struct pst_head *head)
{
	free(head->block);
	pst_head_init(head);
}

/* 0, or -1 when OBJECT holds characters that latin-1 does not have. */
static int
text_of(PyObject *object, struct text *text)
{
#if PY_VERSION_HEX < 0x030c0000
	if (PyUnicode_READY(object) < 0)
		return -1;
#endif
	if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND)
		return -1;
	text->bytes = (const char *)PyUnicode_1BYTE_DATA(object);
	text->length = (size_t)PyUnicode_GET_LENGTH(object);
	return 0;
}

/* tchar of RFC 9110, 5.6.2: the digits, the letters and !#$%&'*+-.^_`|~, a bit for each. */
static bool
is_token(const struct text *text)
{
	static const uint64_t tokens[2] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};

	for (size_t i = 0; i < text->length; i++) {
		unsigned char byte = (unsigned char)text->bytes[i];

		if (byte >= 128 || (tokens[byte / 64] >> byte % 64 & 1) == 0)
			return false;
	}
	return text->length > 0;
}

/* Visible characters, spaces, tabs and obs-text (RFC 9110, 5.5). */
static bool
is_clean(const struct text *text)
{
	for (size_t i = 0; i < text->length; i++) {
		unsigned char byte = (unsigned char)text->bytes[i];

		if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
			return false;
	}
	return true;
}

#define LITERAL(string) ((struct text){(string), sizeof(string) - 1})

static bool
is_named(const struct text *text, struct text name)
{
	return name.length == text->length &&
	       strncasecmp(text->bytes, name.bytes, name.length) == 0;
}

/* Fields that are the server's: hop-by-hop ones, and what CGI gives a meaning. */
static bool
is_reserved(const struct text *name)
{
	static const struct text names[] = {{"connection", 10}, {"keep-alive", 10},
	    {"proxy-authenticate", 18}, {"proxy-authorization", 19}, {"proxy-connection", 16},
	    {"status", 6}, {"te", 2}, {"trailer", 7}, {"trailers", 8}, {"transfer-encoding", 17},
	    {"upgrade", 7}};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (is_named(name, names[i]))
			return true;
	return false;
}

/* The code of "200 OK", or -1 with an exception. *REASON is what follows it. */
static int
check_status(PyObject *status, struct text *reason)
{
	struct text text;
	int code = 0;

	if (!PyUnicode_Check(status)) {
		PyErr_Format(PyExc_TypeError, "status must be a str like '200 OK', not %.100s",
		    Py_TYPE(status)->tp_name);
		return -1;
	}
	if (text_of(status, &text) < 0 || !is_clean(&text)) {
		PyErr_Format(PyExc_ValueError,
		    "status %R has control characters or characters beyond latin-1", status);
		return -1;
	}
	for (size_t i = 0; i < 3 && i < text.length; i++)
		code = text.bytes[i] >= '0' && text.bytes[i] <= '9'
			   ? code * 10 + text.bytes[i] - '0'
			   : 9999;
	if (text.length < 3 || code < 200 || code > 599 ||
	    (text.length > 3 && text.bytes[3] != ' ')) {
		PyErr_Format(PyExc_ValueError,
		    "status %R is not three digits from 200 to 599, a space and a reason", status);
		return -1;
	}
	*reason = (struct text){text.bytes + 4, text.length > 4 ? text.length - 4 : 0};
	return code;
}

/* The value of a Content-Length, or -1 with an exception. */
static long long
check_length(PyObject *value, const struct text *text)
{
	long long length = 0;

	for (size_t i = 0; i < text->length; i++) {
		if (text->bytes[i] < '0' || text->bytes[i] > '9' || i >= 18) {
			length = -1;
			break;
		}
		length = length * 10 + (text->bytes[i] - '0');
	}
	if (text->length == 0 || length < 0) {
		PyErr_Format(PyExc_ValueError, "Content-Length %R is not a number of bytes", value);
		return -1;
	}
	return length;
}

static void
trim(struct text *text)
{
	while (text->length > 0 && (text->bytes[0] == ' ' || text->bytes[0] == '\t')) {
		text->bytes++;
		text->length--;
	}
	while (text->length > 0 &&
	       (text->bytes[text->length - 1] == ' ' || text->bytes[text->length - 1] == '\t'))
		text->length--;
}

/* Check a name and its value, alone: 0, or -1 with an exception. */
static int
check_texts(PyObject *header, struct text *name, struct text *value)
{
	PyObject *first = PyTuple_GET_ITEM(header, 0);
	PyObject *second = PyTuple_GET_ITEM(header, 1);

	if (text_of(first, name) < 0 || !is_token(name)) {
		PyErr_Format(
		    PyExc_ValueError, "header name %R is not a token (RFC 9110, 5.1)", first);
		return -1;
	}
	if (text_of(second, value) < 0) {
		PyErr_Format(PyExc_ValueError,
		    "header %U: the value %R has characters beyond latin-1", first, second);
		return -1;
	}
	if (!is_clean(value)) {
		PyErr_Format(PyExc_ValueError, "header %U: the value %R has control characters",
		    first, second);
		return -1;
	}
	trim(value);
	return 0;
}

/* Check one item of the list, and note a Content-Length: 0, or -1 with an exception. */
static int
check_header(PyObject *header, struct text *name, struct text *value, long long *content_length)
{
	long long length;

	if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2 ||
	    !PyUnicode_Check(PyTuple_GET_ITEM(header, 0)) ||
	    !PyUnicode_Check(PyTuple_GET_ITEM(header, 1))) {
		PyErr_Format(PyExc_TypeError, "header %R is not a tuple of two str", header);
		return -1;
	}
	if (check_texts(header, name, value) < 0)
		return -1;
	if (is_reserved(name)) {
		PyErr_Format(PyExc_ValueError,
		    "header %U is the server's to send (PEP 3333), not the application's",
		    PyTuple_GET_ITEM(header, 0));
		return -1;
	}
	if (!is_named(name, LITERAL("content-length")))
		return 0;
	length = check_length(PyTuple_GET_ITEM(header, 1), value);
	if (length >= 0 && *content_length >= 0) {
		PyErr_SetString(PyExc_ValueError, "two Content-Length headers");
		return -1;
	}
	*content_length = length;
	return length < 0 ? -1 : 0;
}

/* What HEADERS needs in the block, or -1 with an exception. */
static Py_ssize_t
measure(PyObject *headers, long long *content_length)
{
	Py_ssize_t count = PyTuple_GET_SIZE(headers);
	size_t size = ((size_t)count + 1) * sizeof(struct pst_field);

	for (Py_ssize_t i = 0; i < count; i++) {
		struct text name, value;

		if (check_header(PyTuple_GET_ITEM(headers, i), &name, &value, content_length) < 0)
			return -1;
		size += name.length + value.length + 2;
	}
	return (Py_ssize_t)size;
}

static const char *
store(char **at, const struct text *text)
{
	char *start = *at;

	memcpy(start, text->bytes, text->length);
	start[text->length] = '\0';
	*at += text->length + 1;
	return start;
}

/* Copy texts that were checked; the block has room for them. */
static void
fill(struct pst_head *head, PyObject *headers, const struct text *reason)
{
	char *at;

	head->count = (size_t)PyTuple_GET_SIZE(headers);
	head->fields = (struct pst_field *)(void *)head->block;
	at = head->block + (head->count + 1) * sizeof *head->fields + LENGTH_SIZE;
	for (size_t i = 0; i < head->count; i++) {
		PyObject *header = PyTuple_GET_ITEM(headers, (Py_ssize_t)i);
		struct text name, value;

		text_of(PyTuple_GET_ITEM(header, 0), &name);
		text_of(PyTuple_GET_ITEM(header, 1), &value);
		trim(&value);
		head->fields[i].name_len = name.length;
		head->fields[i].name = store(&at, &name);
		head->fields[i].value_len = value.length;
		head->fields[i].value = store(&at, &value);
	}
	head->reason = reason->length > 0 ? store(&at, reason) : NULL;
}

int
pst_head_set(struct pst_head *head, PyObject *status, PyObject *headers)
{
	struct text reason;
	long long content_length = -1;
	int code = check_status(status, &reason);
	PyObject *items;
	Py_ssize_t size;
	char *block;

	if (code < 0)
		return -1;
	if (!PyList_Check(headers)) {
		PyErr_Format(PyExc_TypeError, "headers must be a list of tuples, not %.100s",
		    Py_TYPE(headers)->tp_name);
		return -1;
	}
	items = PyList_AsTuple(headers);
	size = items != NULL ? measure(items, &content_length) : -1;
	if (size < 0) {
		Py_XDECREF(items);
		return -1;
	}
	size += LENGTH_SIZE + (Py_ssize_t)reason.length + 1;
	if ((size_t)size > head->block_size) {
		block = realloc(head->block, (size_t)size);
		if (block == NULL) {
			Py_DECREF(items);
			PyErr_NoMemory();
			return -1;
		}
		head->block = block;
		head->block_size = (size_t)size;
	}
	fill(head, items, &reason);
	head->status = code;
	head->content_length = content_length;
	Py_DECREF(items);
	return 0;
}

void
pst_head_add_length(struct pst_head *head, long long length)
{
	struct pst_field *field = &head->fields[head->count];
	char *end = (char *)(head->fields + head->count + 1) + LENGTH_SIZE - 1;
	char *digit = end;
	long long rest = length;

	*end = '\0';
	do {
		*--digit = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	*field = (struct pst_field){
	    "Content-Length", sizeof "Content-Length" - 1, digit, (size_t)(end - digit)};
	head->count++;
	head->content_length = length;
}

bool
pst_head_without_body(const struct pst_head *head)
{
	return head->status == 204 || head->status == 304;
}
