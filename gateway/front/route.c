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

static const char *
host_name(const char *host)
{
	return is_wildcard(host) ? host + 1 : host;
}

static unsigned char
lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static void
lower_all(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)lower(*text);
}

/* Longer ones stand first. */
static int
compare_hosts(struct pst_http_text a, struct pst_http_text b)
{
	if (a.len != b.len)
		return a.len > b.len ? -1 : 1;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.data[i]) != lower(b.data[i]))
			return lower(a.data[i]) < lower(b.data[i]) ? -1 : 1;
	return 0;
}

/* --- paths --- */

static bool
path_valid(const char *path)
{
	return path[0] == '/' && pst_path_is_normal((struct pst_http_text){path, strlen(path)});
}

static bool
path_matches(const struct pst_route *route, struct pst_http_text path)
{
	size_t len = route->path_len;

	if (path.len < len || memcmp(path.data, route->path, len) != 0)
		return false;
	return route->path[len - 1] == '/' || path.len == len || path.data[len] == '/';
}

static unsigned
rank(char c)
{
	return c == '/' ? 0 : 1u + (unsigned char)c;
}

static int
compare_paths(struct pst_http_text a, struct pst_http_text b)
{
	size_t n = a.len < b.len ? a.len : b.len, i = 0;

	while (i < n && a.data[i] == b.data[i])
		i++;
	if (i < n)
		return rank(a.data[i]) < rank(b.data[i]) ? -1 : 1;
	return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

/* --- places in the table --- */

/* What a request asks for, or a route is for. */
struct key {
	struct pst_http_text host; /* without the '*' of a wildcard */
	struct pst_http_text path;
};

static struct key
key_of(const struct pst_route *route)
{
	return (struct key){
	    .host = {host_name(route->host), route->host_len},
	    .path = {route->path, route->path_len},
	};
}

/* Routes whose hosts are of one kind. */
struct range {
	size_t first;
	size_t end;
};

/* Exact hosts, then wildcards, then any. */
static struct range
range_of(const struct pst_routes *routes, const char *host)
{
	size_t wild = routes->exact, any = wild + routes->wildcards;

	if (host[0] == '\0')
		return (struct range){any, routes->count};
	return is_wildcard(host) ? (struct range){wild, any} : (struct range){0, wild};
}

/* The place behind all of the range that stand before KEY, and behind that of KEY itself. */
static size_t
search(const struct pst_routes *routes, struct range range, const struct key *key)
{
	while (range.first < range.end) {
		size_t middle = range.first + (range.end - range.first) / 2;
		struct key other = key_of(&routes->list[middle]);
		int order = compare_hosts(other.host, key->host);

		if (order == 0)
			order = compare_paths(other.path, key->path);
		if (order <= 0)
			range.first = middle + 1;
		else
			range.end = middle;
	}
	return range.first;
}

/* The route of KEY's host with the longest path that matches, as 1 + its place: it is the one
 * before PLACE, where KEY would stand, or above that. 0: there is none. */
static size_t
longest(const struct pst_routes *routes, size_t first, size_t place, const struct key *key)
{
	if (place == first || compare_hosts(key_of(&routes->list[place - 1]).host, key->host) != 0)
		return 0;
	while (place > 0 && !path_matches(&routes->list[place - 1], key->path))
		place = routes->list[place - 1].above;
	return place;
}

static void
free_route(struct pst_route *route)
{
	free(route->host);
	free(route->path);
}

/* --- the table --- */

/* One was put in at PLACE: what stands above others has moved, or is that one. */
static void
lift(struct pst_routes *routes, struct range range, size_t place)
{
	struct pst_route *list = routes->list, *fresh = &list[place];
	struct key key = key_of(fresh);

	fresh->above = longest(routes, range.first, place, &key);
	for (size_t i = 0; i < routes->count; i++)
		if (i != place && list[i].above > place)
			list[i].above++;
	for (size_t i = place + 1; i < range.end; i++) {
		struct key other = key_of(&list[i]);

		if (compare_hosts(other.host, key.host) != 0 || !path_matches(fresh, other.path))
			break;
		if (list[i].above == fresh->above)
			list[i].above = place + 1;
	}
}

static void
count(struct pst_routes *routes, const struct pst_route *route)
{
	routes->count++;
	if (is_wildcard(route->host)) {
		routes->wildcards++;
		if (route->host_len > routes->longest)
			routes->longest = route->host_len;
	} else if (route->host[0] != '\0') {
		routes->exact++;
	}
}

/* Room for one more: 0, or -1 without memory. */
static int
make_room(struct pst_routes *routes)
{
	size_t room = routes->room > 0 ? 2 * routes->room : 8;
	struct pst_route *list;

	if (routes->count < routes->room)
		return 0;
	list = realloc(routes->list, room * sizeof(*list));
	if (list == NULL)
		return -1;
	routes->list = list;
	routes->room = room;
	return 0;
}

/* Put ROUTE in its place: NULL, or why not. */
static const char *
insert(struct pst_routes *routes, const struct pst_route *route)
{
	struct range range = range_of(routes, route->host);
	struct key key = key_of(route);
	size_t place = search(routes, range, &key);
	struct pst_route *list;

	if (place > range.first) {
		struct key before = key_of(&routes->list[place - 1]);

		if (compare_hosts(before.host, key.host) == 0 &&
		    compare_paths(before.path, key.path) == 0)
			return "there is another one of the same host and path";
	}
	if (make_room(routes) < 0)
		return "out of memory";
	list = routes->list;
	memmove(list + place + 1, list + place, (routes->count - place) * sizeof(*list));
	list[place] = *route;
	count(routes, route);
	lift(routes, range_of(routes, route->host), place);
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
		lower_all(route.host);
		route.host_len = strlen(host_name(route.host));
		route.path_len = strlen(path);
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

static size_t
find(const struct pst_routes *routes, struct range range, const struct key *key)
{
	if (range.first == range.end)
		return 0;
	return longest(routes, range.first, search(routes, range, key), key);
}

/* The longest wildcard first: what follows each dot, but for what is longer than any. */
static size_t
find_wildcard(const struct pst_routes *routes, struct range range, struct key key)
{
	size_t found = 0;

	if (range.first == range.end)
		return 0;
	if (key.host.len > routes->longest + 1) {
		key.host.data += key.host.len - routes->longest - 1;
		key.host.len = routes->longest + 1;
	}
	while (found == 0 && key.host.len > 1) {
		const char *dot = memchr(key.host.data + 1, '.', key.host.len - 1);

		if (dot == NULL)
			return 0;
		key.host.len -= (size_t)(dot - key.host.data);
		key.host.data = dot;
		found = find(routes, range, &key);
	}
	return found;
}

const struct pst_route *
pst_routes_find(
    const struct pst_routes *routes, struct pst_http_text host, struct pst_http_text path)
{
	struct key key = {host, path};
	size_t found = 0;

	/* One for all, as most tables have. */
	if (routes->count == 1 && routes->list->host[0] == '\0')
		return path_matches(routes->list, path) ? routes->list : NULL;
	if (host.len > 0 && host.data[host.len - 1] == '.')
		key.host.len--;
	if (key.host.len > 0)
		found = find(routes, range_of(routes, "x"), &key);
	if (found == 0)
		found = find_wildcard(routes, range_of(routes, "*"), key);
	key.host.len = 0;
	if (found == 0)
		found = find(routes, range_of(routes, ""), &key);
	return found == 0 ? NULL : &routes->list[found - 1];
}

struct pst_http_text
pst_route_prefix(const struct pst_route *route)
{
	size_t len = route->path_len;

	return (struct pst_http_text){route->path, route->path[len - 1] == '/' ? len - 1 : len};
}
