#include "gateway/front/exchange_internal.h"
#include "gateway/front/path.h"
#include "gateway/front/pool.h"
#include "gateway/front/route.h"
#include "protocol/error.h"

#include <stdlib.h>
#include <string.h>

/* It is HOST[:PORT], which the parser has checked. */
void
pst_exchange_split_host(struct pst_exchange *x)
{
	struct pst_http_text host = x->request.host;
	size_t len = host.len;
	unsigned port = 0, place = 1;

	for (; len > 0 && host.data[len - 1] >= '0' && host.data[len - 1] <= '9'; len--) {
		port += (unsigned)(host.data[len - 1] - '0') * place;
		place *= 10;
	}
	x->host = host;
	if (len == 0 || host.data[len - 1] != ':')
		return;
	x->port = (uint16_t)port;
	x->host.len = len - 1;
}

struct pst_http_text
pst_exchange_host(const struct pst_exchange *x)
{
	return x->from.host.len > 0 ? x->from.host : x->host;
}

/* The path that routes are compared with. It may stand in memory of X's. */
static int
normalise(struct pst_exchange *x, struct pst_http_text *path)
{
	*path = x->request.target.path;
	if (path->data[0] != '/') /* OPTIONS * */
		*path = (struct pst_http_text){"/", 1};
	if (pst_path_is_normal(*path))
		return 0;
	x->normal_path = malloc(path->len);
	if (x->normal_path == NULL)
		return PST_ERR_NOMEM;
	*path = (struct pst_http_text){x->normal_path, pst_path_normalise(*path, x->normal_path)};
	return 0;
}

static bool
begins_with(struct pst_http_text text, struct pst_http_text prefix)
{
	return text.len >= prefix.len && memcmp(text.data, prefix.data, prefix.len) == 0 &&
	       (text.len == prefix.len || text.data[prefix.len] == '/');
}

/*
 * A mounted application gets the rest of the path as the client sent it, unless that would not say
 * where it is below PREFIX.
 */
static struct pst_http_text
rest_of(const struct pst_exchange *x, struct pst_http_text normal, struct pst_http_text prefix)
{
	struct pst_http_text path = x->request.target.path;

	if (!begins_with(path, prefix) || (x->normal_path != NULL && pst_path_has_dots(path)))
		path = normal;
	return (struct pst_http_text){path.data + prefix.len, path.len - prefix.len};
}

/* SCRIPT_NAME and PATH_INFO of a request that came to PREFIX of a pool that stands at ROOT. */
static int
mount(struct pst_exchange *x, struct pst_http_text normal, struct pst_http_text prefix,
    struct pst_http_text root)
{
	x->path_info = rest_of(x, normal, prefix);
	x->script_name = prefix;
	if (root.len == 0)
		return 0;
	x->full_script_name = malloc(root.len + prefix.len);
	if (x->full_script_name == NULL)
		return PST_ERR_NOMEM;
	memcpy(x->full_script_name, root.data, root.len);
	memcpy(x->full_script_name + root.len, prefix.data, prefix.len);
	x->script_name = (struct pst_http_text){x->full_script_name, root.len + prefix.len};
	return 0;
}

/* The script for PATH, which is normal and below what is known of SCRIPT_NAME. */
static int
find_script(
    struct pst_exchange *x, const struct pst_pool_settings *settings, struct pst_http_text path)
{
	const struct pst_script_rules rules = {
	    .root = settings->root,
	    .index = settings->index,
	    .suffix = settings->script_suffix,
	};

	return pst_script_find(&x->script, &rules, x->script_name, path);
}

/* PATH without PREFIX, if it begins with that. */
static struct pst_http_text
strip(struct pst_http_text path, struct pst_http_text prefix)
{
	if (!begins_with(path, prefix))
		return path;
	return (struct pst_http_text){path.data + prefix.len, path.len - prefix.len};
}

int
pst_exchange_route(struct pst_exchange *x)
{
	const struct pst_route *route;
	struct pst_http_text normal, prefix, root;
	const struct pst_front_pool *to;
	int err = normalise(x, &normal);

	if (err != 0)
		return err;
	route = pst_routes_find(x->context->routes, pst_exchange_host(x), normal);
	if (route == NULL)
		return 0;
	to = route->to;
	x->pool = to->pool;
	prefix = pst_route_prefix(route);
	root = (struct pst_http_text){to->settings.root_path, strlen(to->settings.root_path)};
	if (!route->mount || prefix.len == 0) {
		x->script_name = root;
		prefix = root;
	} else {
		err = mount(x, normal, prefix, root);
	}
	if (err != 0 || to->settings.root == NULL)
		return err == 0 ? 1 : err;
	return find_script(x, &to->settings, strip(normal, prefix));
}
