/*
 * The head of a response as start_response() takes it (PEP 3333): checked, and copied, because
 * the application may change its list afterwards.
 */
#ifndef PST_PYTHON_HEAD_H
#define PST_PYTHON_HEAD_H

#include <Python.h>

#include <penstock/plugin.h>

#include <stdbool.h>

struct pst_head {
	int status;
	const char *reason; /* NULL: the usual phrase */
	struct pst_field *fields;
	size_t count;
	long long content_length; /* -1: none was given */

	/* The storage of the above. */
	char *block;
	size_t block_size;
};

void pst_head_init(struct pst_head *head);
void pst_head_free(struct pst_head *head);

/*
 * Replace HEAD by what the application gave: 0, or -1 with an exception set and HEAD as it was.
 * There is always room for one more field (pst_head_add_length).
 *
 * STATUS is a native string, "200 OK": 200 to 599; the reason may be left out. HEADERS is a list
 * of tuples of two native strings; names are tokens (RFC 9110, 5.1), values hold no control
 * characters but tabs, latin-1 throughout. Refused, as PEP 3333 has it: hop-by-hop fields,
 * because the gateway frames the response, and `Status`.
 */
int pst_head_set(struct pst_head *head, PyObject *status, PyObject *headers);

/* Add Content-Length to a head that has none. */
void pst_head_add_length(struct pst_head *head, long long length);

/* Whether a response with this status has no body (RFC 9110, 15.3.5 and 15.4.5). */
bool pst_head_without_body(const struct pst_head *head);

#endif
