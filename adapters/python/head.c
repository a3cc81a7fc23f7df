#include "adapters/python/head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Fields that there is room for at first. */
#define FIRST_SIZE 16

/* A head with more of strings is not kept for the next response. */
#define KEPT_TEXT ((size_t)4 * 1024)

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
pst_head_clear(struct pst_head *head)
{
	while (head->held > 0)
		Py_DECREF(head->references[--head->held]);
	head->count = 0;
	head->reason = NULL;
	head->content_length = -1;
}

void
pst_head_free(struct pst_head *head)
{
	pst_head_clear(head);
	free(head->fields);
	free(head->references);
	pst_head_init(head);
}

/* Room for COUNT fields: 0, or -1 with an exception. HEAD is empty. */
static int
reserve(struct pst_head *head, size_t count)
{
	size_t size = count > FIRST_SIZE ? count : FIRST_SIZE;

	if (count <= head->size && head->size > 0)
		return 0;
	free(head->fields);
	free(head->references);
	head->size = 0;
	head->fields = calloc(size + 1, sizeof *head->fields);
	head->references = calloc(2 * size + 1, sizeof *head->references);
	if (head->fields == NULL || head->references == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	head->size = size;
	return 0;
}

static void
hold(struct pst_head *head, PyObject *object)
{
	Py_INCREF(object);
	head->references[head->held++] = object;
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
	static const uint64_t tokens[4] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};

	for (size_t i = 0; i < text->length; i++) {
		unsigned char byte = (unsigned char)text->bytes[i];

		if ((tokens[byte / 64] >> byte % 64 & 1) == 0)
			return false;
	}
	return text->length > 0;
}

/* Eight bytes at once: true when none is below 0x20 or 0x7f. */
static inline bool
are_visible(const char *bytes)
{
	const uint64_t ones = UINT64_MAX / 255;
	uint64_t word, del;

	memcpy(&word, bytes, sizeof word);
	del = word ^ ones * 0x7f;
	return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & ones * 0x80) == 0;
}

/* Visible characters, spaces, tabs and obs-text (RFC 9110, 5.5). */
static bool
is_clean(const struct text *text)
{
	size_t i = 0;

	while (text->length - i >= 8 && are_visible(text->bytes + i))
		i += 8;
	for (; i < text->length; i++) {
		unsigned char byte = (unsigned char)text->bytes[i];

		if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
			return false;
	}
	return true;
}

static bool
is_named(const struct text *text, struct text name)
{
	return name.length == text->length &&
	       strncasecmp(text->bytes, name.bytes, name.length) == 0;
}

/* The two usual ways to write it first, which the compiler compares by the word. */
static bool
is_content_length(const struct text *name)
{
	const size_t n = sizeof "Content-Length" - 1;

	return name->length == n && (memcmp(name->bytes, "Content-Length", n) == 0 ||
					memcmp(name->bytes, "content-length", n) == 0 ||
					strncasecmp(name->bytes, "content-length", n) == 0);
}

/* A bit for each length of a reserved name: few other names have one of those. */
#define RESERVED_LENGTHS                                                                           \
	(1U << 2 | 1U << 6 | 1U << 7 | 1U << 8 | 1U << 10 | 1U << 16 | 1U << 17 | 1U << 18 |       \
	    1U << 19)

/* Fields that are the server's: hop-by-hop ones, and what CGI gives a meaning. */
static bool
is_reserved(const struct text *name)
{
	static const struct text names[] = {{"connection", 10}, {"keep-alive", 10},
	    {"proxy-authenticate", 18}, {"proxy-authorization", 19}, {"proxy-connection", 16},
	    {"status", 6}, {"te", 2}, {"trailer", 7}, {"trailers", 8}, {"transfer-encoding", 17},
	    {"upgrade", 7}};

	if (name->length > 19 || (RESERVED_LENGTHS >> name->length & 1) == 0)
		return false;
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
	if (!is_content_length(name))
		return 0;
	length = check_length(PyTuple_GET_ITEM(header, 1), value);
	if (length >= 0 && *content_length >= 0) {
		PyErr_SetString(PyExc_ValueError, "two Content-Length headers");
		return -1;
	}
	*content_length = length;
	return length < 0 ? -1 : 0;
}

/* Check HEADER and add it to HEAD, which has room for it: 0, or -1 with an exception. */
static int
add_header(struct pst_head *head, PyObject *header)
{
	struct text name, value;

	if (check_header(header, &name, &value, &head->content_length) < 0)
		return -1;
	hold(head, PyTuple_GET_ITEM(header, 0));
	hold(head, PyTuple_GET_ITEM(header, 1));
	head->fields[head->count++] =
	    (struct pst_field){name.bytes, name.length, value.bytes, value.length};
	return 0;
}

/* A new reference, or NULL with an exception. Where there is no GIL, other threads may change the
 * list meanwhile. */
static PyObject *
list_item(PyObject *list, Py_ssize_t i)
{
#if PY_VERSION_HEX >= 0x030d0000
	return PyList_GetItemRef(list, i);
#else
	PyObject *item = PyList_GetItem(list, i);

	Py_XINCREF(item);
	return item;
#endif
}

static int
add_headers(struct pst_head *head, PyObject *headers)
{
	Py_ssize_t count = PyList_GET_SIZE(headers);
	int rc = reserve(head, (size_t)count);

	for (Py_ssize_t i = 0; rc == 0 && i < count; i++) {
		PyObject *header = list_item(headers, i);

		rc = header != NULL ? add_header(head, header) : -1;
		Py_XDECREF(header);
	}
	return rc;
}

int
pst_head_set(struct pst_head *head, PyObject *status, PyObject *headers)
{
	struct text reason;
	int code = check_status(status, &reason);

	if (code < 0)
		return -1;
	if (!PyList_Check(headers)) {
		PyErr_Format(PyExc_TypeError, "headers must be a list of tuples, not %.100s",
		    Py_TYPE(headers)->tp_name);
		return -1;
	}
	if (add_headers(head, headers) < 0)
		return -1;
	hold(head, status);
	head->status = code;
	head->reason = reason.length > 0 ? reason.bytes : NULL;
	return 0;
}

/* Whether OBJECT says the same as KEPT, which was checked. */
static bool
is_same_text(PyObject *kept, PyObject *object)
{
	struct text a, b;

	if (kept == object)
		return true;
	return PyUnicode_Check(object) && text_of(kept, &a) == 0 && text_of(object, &b) == 0 &&
	       a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

bool
pst_head_is(const struct pst_head *head, PyObject *status, PyObject *headers)
{
	size_t count = head->held / 2;

	if (head->held == 0 || !PyList_Check(headers) ||
	    (size_t)PyList_GET_SIZE(headers) != count ||
	    !is_same_text(head->references[2 * count], status))
		return false;
	for (size_t i = 0; i < count; i++) {
		PyObject *header = PyList_GET_ITEM(headers, (Py_ssize_t)i);

		if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2 ||
		    !is_same_text(head->references[2 * i], PyTuple_GET_ITEM(header, 0)) ||
		    !is_same_text(head->references[2 * i + 1], PyTuple_GET_ITEM(header, 1)))
			return false;
	}
	return true;
}

void
pst_head_keep(struct pst_head *head)
{
	size_t text = 0;

	if (head->count > head->held / 2) {
		head->count--;
		head->content_length = -1;
	}
	for (size_t i = 0; i < head->count; i++)
		text += head->fields[i].name_len + head->fields[i].value_len;
	if (text > KEPT_TEXT)
		pst_head_clear(head);
}

void
pst_head_add_length(struct pst_head *head, long long length)
{
	struct pst_field *field = &head->fields[head->count];
	char *end = head->length + PST_HEAD_LENGTH - 1;
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
