/*
 * Routes: which requests go where, by host and path. Sans I/O.
 *
 * A route's host is "" (any), "example.org", or "*.example.org" (anything below it, at any depth,
 * but not example.org itself). Its path begins with '/': one that ends in '/' matches what begins
 * with it; "/blog" matches /blog and /blog/..., but not /blogger.
 *
 * Of the routes that match a request in both, the one with the most specific host counts (exact,
 * then the longest wildcard, then any), and among those the one with the longest path. The order
 * in which they were added does not matter.
 */
#ifndef PST_FRONT_ROUTE_H
#define PST_FRONT_ROUTE_H

#include "gateway/front/http.h"

/* Routes of one table. */
#define PST_ROUTES_MAX 16384

struct pst_route {
	char *host; /* in lower case */
	char *path;
	bool mount; /* the application is told to stand at this path (SCRIPT_NAME) */
	void *to;

	/* Private to route.c. */
	size_t host_len; /* without the '*' of a wildcard */
	size_t path_len;
	size_t above; /* 1 + the place of the next longer path of its host that matches where this
			 one does; 0: there is none */
};

/*
 * Exact hosts, the wildcards from the longest on, then any; those of one host by their paths, with
 * '/' before every other letter. So what matches a path stands before it, next to it but for what
 * lies below that: to find a route takes as many comparisons as the number of routes has digits
 * in base 2, and what lies `above`. A struct of zero bytes is an empty table.
 */
struct pst_routes {
	struct pst_route *list;
	size_t count;
	size_t room; /* for so many, without another allocation */
	size_t exact; /* how many of them have an exact host */
	size_t wildcards;
	size_t longest; /* host_len of wildcards */
};

/* Add a route TO: NULL, or a constant phrase that says why not. The texts are copied. */
const char *pst_routes_add(
    struct pst_routes *routes, const char *host, const char *path, bool mount, void *to);
void pst_routes_free(struct pst_routes *routes);

/*
 * The route of a request for PATH, which is normal (path.h), at HOST, which has no port and may be
 * empty or end in a dot; NULL: there is none.
 */
const struct pst_route *pst_routes_find(
    const struct pst_routes *routes, struct pst_http_text host, struct pst_http_text path);

/* ROUTE's path without a '/' at its end: what a mounted application is told. */
struct pst_http_text pst_route_prefix(const struct pst_route *route);

#endif
