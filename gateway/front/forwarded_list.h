/*
 * The elements of Forwarded (RFC 7239, section 4): strictly its grammar, except that spaces are
 * allowed around ";".
 */
#ifndef PST_GATEWAY_FRONT_FORWARDED_LIST_H
#define PST_GATEWAY_FRONT_FORWARDED_LIST_H

#include "gateway/front/http.h"

#include <stdbool.h>
#include <stddef.h>

/* A chain of trusted proxies that is longer is not followed further. */
#define PST_FORWARDED_HOPS 32

/* One element. Quotes are taken off; the texts point into the field. Empty: not said. */
struct pst_forwarded_hop {
	struct pst_http_text node, proto, host, by;
	bool any; /* the element has a pair */
};

/* The last elements, as a ring: number i (from 0) is hops[i % PST_FORWARDED_HOPS]. */
struct pst_forwarded_list {
	size_t count; /* of all elements */
	struct pst_forwarded_hop hops[PST_FORWARDED_HOPS];
};

/* Add the elements of one field's value REST; false when it is malformed. */
bool pst_forwarded_list_add(struct pst_forwarded_list *list, struct pst_http_text rest);

#endif
