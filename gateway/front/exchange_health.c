#include "gateway/front/exchange_internal.h"
#include "gateway/front/front_pools.h"

#include <stdio.h>
#include <string.h>

static bool
is_text(struct pst_http_text text, const char *expected)
{
	return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

bool
pst_exchange_asks_health(const struct pst_exchange *x)
{
	const struct pst_http_request *request = &x->request;

	return x->context->health_path != NULL && request->stage == PST_HTTP_STAGE_DONE &&
	       is_text(request->target.raw_path, x->context->health_path) &&
	       (is_text(request->method, "GET") || is_text(request->method, "HEAD"));
}

void
pst_exchange_tell_health(struct pst_exchange *x)
{
	const struct pst_front_pool *pool = pst_front_pools_without_worker(x->context->pools);
	char detail[PST_POOL_NAME + 48];

	if (x->context->draining) {
		pst_exchange_refuse(x, 503, "it ends soon", 0);
	} else if (pool != NULL && !x->context->succeeds) {
		snprintf(detail, sizeof(detail), "pool %s has no worker now", pool->name);
		pst_exchange_refuse(x, 503, detail, 0);
	} else {
		pst_exchange_refuse(x, 200, NULL, 0);
	}
}
