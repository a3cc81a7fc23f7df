#include "gateway/front/front_pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < PST_POOL_NAME &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		   len;
}

static bool
parse_kind(const char *text, enum pst_pool_kind *kind)
{
	static const char *const names[] = {
	    [PST_POOL_APP] = "app",
	    [PST_POOL_PROGRAM] = "program",
	    [PST_POOL_REMOTE] = "remote",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*kind = (enum pst_pool_kind)i;
			return true;
		}
	}
	return false;
}

static void
free_one(struct pst_front_pool *one)
{
	pst_pool_free(one->pool);
	pst_pool_settings_free(&one->settings);
	free(one);
}

const char *
pst_front_pools_add(struct pst_front_pools *pools, const char *name, const char *kind)
{
	struct pst_front_pool *one;
	enum pst_pool_kind parsed;

	if (!name_valid(name))
		return "its name is none";
	if (!parse_kind(kind, &parsed))
		return "its kind is not known";
	if (pst_front_pools_find(pools, name) != NULL)
		return "there is another one of that name";
	one = calloc(1, sizeof(*one));
	if (one == NULL)
		return "out of memory";
	if (pst_pool_settings_init(&one->settings) == -1) {
		free_one(one);
		return "out of memory";
	}
	snprintf(one->name, sizeof(one->name), "%s", name);
	one->kind = parsed;
	TAILQ_INSERT_TAIL(pools, one, link);
	return NULL;
}

struct pst_front_pool *
pst_front_pools_find(const struct pst_front_pools *pools, const char *name)
{
	struct pst_front_pool *one;

	TAILQ_FOREACH (one, pools, link) {
		if (strcmp(one->name, name) == 0)
			return one;
	}
	return NULL;
}

static const char *
connect_remote(struct pst_front_pool *one)
{
	const char *reason;

	if (one->settings.fastcgi == NULL)
		return "it was not told where its server listens (fastcgi)";
	one->remote.pool = one->name;
	one->remote.where = one->settings.fastcgi;
	reason = pst_remote_resolve(&one->remote.address, one->remote.where);
	if (reason == NULL && pst_pool_connect(one->pool, &one->remote) == -1)
		reason = "out of memory";
	return reason;
}

const char *
pst_front_pools_start(struct pst_front_pools *pools, struct pst_loop *loop,
    const struct pst_pool_events *events, void *arg, const struct pst_front_pool **wrong)
{
	struct pst_front_pool *one;

	TAILQ_FOREACH (one, pools, link) {
		const char *reason = "out of memory";

		*wrong = one;
		one->pool = pst_pool_new(loop, one->name, one->kind, &one->settings, events, arg);
		if (one->pool != NULL)
			reason = one->kind == PST_POOL_REMOTE ? connect_remote(one) : NULL;
		if (reason != NULL)
			return reason;
	}
	return NULL;
}

void
pst_front_pools_free(struct pst_front_pools *pools)
{
	struct pst_front_pool *one;

	while ((one = TAILQ_FIRST(pools)) != NULL) {
		TAILQ_REMOVE(pools, one, link);
		free_one(one);
	}
}

void
pst_front_pools_slot_page(struct pst_front_pools *pools, const char *worker, int page)
{
	struct pst_front_pool *one;

	TAILQ_FOREACH (one, pools, link)
		pst_pool_slot_page(one->pool, worker, page);
}

void
pst_front_pools_slot_down(struct pst_front_pools *pools, const char *worker)
{
	struct pst_front_pool *one;

	TAILQ_FOREACH (one, pools, link)
		pst_pool_slot_down(one->pool, worker);
}

void
pst_front_pools_slot_drain(struct pst_front_pools *pools, const char *worker)
{
	struct pst_front_pool *one;

	TAILQ_FOREACH (one, pools, link)
		pst_pool_slot_drain(one->pool, worker);
}

void
pst_front_pools_let_go(struct pst_front_pools *pools)
{
	struct pst_front_pool *one;

	TAILQ_FOREACH (one, pools, link)
		pst_pool_let_go(one->pool);
}

int
pst_front_pools_status(const struct pst_front_pools *pools, struct pst_buf *out)
{
	struct pst_front_pool *one;
	int result = 0;

	TAILQ_FOREACH (one, pools, link)
		if (one->pool != NULL)
			result |= pst_pool_status(one->pool, out);
	return result;
}

const struct pst_front_pool *
pst_front_pools_without_worker(const struct pst_front_pools *pools)
{
	const struct pst_front_pool *pool;

	TAILQ_FOREACH (pool, pools, link)
		if (pool->kind != PST_POOL_REMOTE && !pst_pool_has_worker(pool->pool))
			return pool;
	return NULL;
}
