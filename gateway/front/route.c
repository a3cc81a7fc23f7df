#include "gateway/front/route.h"

#include "gateway/front/path.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- hosts --- */

static bool
is_wildcard(const char *host)
{
	return host[0] == '*';
}

/* Labels of letters, digits, '-' and '_', or an address in brackets; behind "*." or alone. */
static bool
host_valid(const char *host)
{
	const char *name = is_wildcard(host) ? host + 1 : host;

	if (host[0] == '\0')
		return true;
	if (is_wildcard(host) && (name[0] != '.' || name[1] == '\0'))
		return false;
	return strpbrk(name, "*/ \t") == NULL && (name[0] == '[' || strchr(name, ':') == NULL);
}

static bool
host_matches(const char *wanted, struct pst_http_text host)
{
	size_t len;

	if (wanted[0] == '\0')
		return true;
	if (!is_wildcard(wanted))
		return host.len == strlen(wanted) && strncasecmp(wanted, host.data, host.len) == 0;
	len = strlen(++wanted);
	return host.len > len && strncasecmp(wanted, host.data + host.len - len, len) == 0;
}

/* --- paths --- */

static bool
path_valid(const char *path)
{
	return path[0] == '/' && pst_path_is_normal((struct pst_http_text){path, strlen(path)});
}

static bool
path_matches(const char *wanted, struct pst_http_text path)
{
	size_t len = strlen(wanted);

	if (path.len < len || memcmp(path.data, wanted, len) != 0)
		return false;
	return wanted[len - 1] == '/' || path.len == len || path.data[len] == '/';
}

/* --- the table --- */

/* Exact hosts, then wildcards, then any. */
static int
host_rank(const char *host)
{
	if (host[0] == '\0')
		return 2;
	return is_wildcard(host) ? 1 : 0;
}

/* Below 0: A is more specific than B. Different routes of equal length: any order will do. */
static int
compare(const struct pst_route *a, const struct pst_route *b)
{
	int difference = host_rank(a->host) - host_rank(b->host);
	size_t a_len = strlen(a->host), b_len = strlen(b->host);

	if (difference != 0)
		return difference;
	if (a_len != b_len)
		return a_len > b_len ? -1 : 1;
	difference = strcmp(a->host, b->host);
	if (difference != 0)
		return difference;
	a_len = strlen(a->path);
	b_len = strlen(b->path);
	if (a_len != b_len)
		return a_len > b_len ? -1 : 1;
	return strcmp(a->path, b->path);
}

static void
free_route(struct pst_route *route)
{
	free(route->host);
	free(route->path);
}

static void
lower(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
	}
}

/* Put ROUTE in its place: NULL, or why not. */
static const char *
insert(struct pst_routes *routes, const struct pst_route *route)
{
	struct pst_route *list;
	size_t at = 0;
	int order = -1;

	while (at < routes->count && (order = compare(&routes->list[at], route)) < 0)
		at++;
	if (at < routes->count && order == 0)
		return "there is another one of the same host and path";
	list = realloc(routes->list, (routes->count + 1) * sizeof(*list));
	if (list == NULL)
		return "out of memory";
	memmove(list + at + 1, list + at, (routes->count - at) * sizeof(*list));
	list[at] = *route;
	routes->list = list;
	routes->count++;
	return NULL;
}

const char *
pst_routes_add(struct pst_routes *routes, const char *host, const char *path, bool mount, void *to)
{
	struct pst_route route = {.mount = mount, .to = to};
	const char *reason;

	if (!host_valid(host))
		return "its host is none: example.org, *.example.org, or nothing for any";
	if (!path_valid(path))
		return "its path must begin with '/', without '//', '.' and '..'";
	if (routes->count == PST_ROUTES_MAX)
		return "there are too many";
	route.host = strdup(host);
	route.path = strdup(path);
	if (route.host == NULL || route.path == NULL) {
		reason = "out of memory";
	} else {
		lower(route.host);
		reason = insert(routes, &route);
	}
	if (reason != NULL)
		free_route(&route);
	return reason;
}

void
pst_routes_free(struct pst_routes *routes)
{
	for (size_t i = 0; i < routes->count; i++)
		free_route(&routes->list[i]);
	free(routes->list);
	*routes = (struct pst_routes){0};
}

const struct pst_route *
pst_routes_find(
    const struct pst_routes *routes, struct pst_http_text host, struct pst_http_text path)
{
	if (host.len > 0 && host.data[host.len - 1] == '.')
		host.len--;
	for (size_t i = 0; i < routes->count; i++) {
		const struct pst_route *route = &routes->list[i];

		if (host_matches(route->host, host) && path_matches(route->path, path))
			return route;
	}
	return NULL;
}

struct pst_http_text
pst_route_prefix(const struct pst_route *route)
{
	size_t len = strlen(route->path);

	return (struct pst_http_text){route->path, route->path[len - 1] == '/' ? len - 1 : len};
}
