/*
 * The head of a response as start_response() takes it (PEP 3333): checked, and kept by references
 * to the strings, because the application may change its list afterwards, but no string.
 */
#ifndef PST_PYTHON_HEAD_H
#define PST_PYTHON_HEAD_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

/* Digits of a Content-Length that is added, with its NUL. */
#define PST_HEAD_LENGTH 24

struct pst_head {
	int status;
	const char *reason; /* NULL: the usual phrase */
	struct pst_field *fields; /* with room for SIZE and one more, as references has for twice
				     as many and the status */
	size_t count;
	long long content_length; /* -1: none was given */

	/* What the above points into. */
	PyObject **references;
	size_t held; /* of them */
	size_t size;
	char length[PST_HEAD_LENGTH];
};

void pst_head_init(struct pst_head *head);
/* Forget the head, and keep its memory for another. May run code of the application: a string of
 * a class of its own can have a finalizer. */
void pst_head_clear(struct pst_head *head);
/* The same, and release the memory. */
void pst_head_free(struct pst_head *head);

/*
 * Fill HEAD, which is empty, with what the application gave: 0, or -1 with an exception set and
 * HEAD as it was, to be cleared. There is always room for one more field (pst_head_add_length).
 *
 * STATUS is a native string, "200 OK": 200 to 599; the reason may be left out. HEADERS is a list
 * of tuples of two native strings; names are tokens (RFC 9110, 5.1), values hold no control
 * characters but tabs, latin-1 throughout. Refused, as PEP 3333 has it: hop-by-hop fields,
 * because the gateway frames the response, and `Status`.
 */
int pst_head_set(struct pst_head *head, PyObject *status, PyObject *headers);

/* Whether HEAD, kept from a former response, is what pst_head_set() would make of these. */
bool pst_head_is(const struct pst_head *head, PyObject *status, PyObject *headers);
/* Make a head that was used ready to be kept: without what was added, and cleared if it is large.
 */
void pst_head_keep(struct pst_head *head);

/* Add Content-Length to a head that has none. */
void pst_head_add_length(struct pst_head *head, long long length);

/* Whether a response with this status has no body (RFC 9110, 15.3.5 and 15.4.5). */
bool pst_head_without_body(const struct pst_head *head);

#endif
