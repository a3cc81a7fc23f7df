/*
 * Fuzz the reader of the configuration file. What it takes, --print-config prints as a file that
 * is taken, too, and means the same.
 */
#include "gateway/conf_internal.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is printed is longer than what was read and has the same bounds. */
#define LARGEST 16384

static const char name[] = "f";

static struct pst_conf *
read_text(const uint8_t *data, size_t size)
{
	struct pst_conf *conf = pst_conf_new();
	char why[PST_CONF_WHY];

	assert(conf);
	assert(pst_conf_set(conf, PST_OPT_CONFIG, name, PST_FROM_COMMAND_LINE, why) == 0);
	pst_conf_read_text(conf, name, data, size);
	pst_conf_check_whole(conf);
	return conf;
}

/* Every mistake is one line and has its place, or is about the file. */
static void
check_mistakes(const struct pst_conf *conf)
{
	for (size_t i = 0; i < pst_conf_mistake_count(conf); i++) {
		const char *text = pst_conf_mistake_text(conf, i);
		unsigned line, column;

		assert(*text && !strchr(text, '\n'));
		assert(strncmp(text, "f: ", 3) == 0 ||
		       strncmp(text, "and there is more", 17) == 0 ||
		       (sscanf(text, "f:%u:%u: ", &line, &column) == 2 && line > 0 && column > 0));
	}
}

static void
check_pools(const struct pst_conf *conf)
{
	assert(pst_conf_pool_count(conf) >= 1);
	for (size_t i = 0; i < pst_conf_pool_count(conf); i++) {
		const struct pst_conf *pool = pst_conf_pool(conf, i);

		assert((pst_conf_pool_kind(pool) == PST_POOL_APP) == (pst_conf_app(pool) != NULL));
		assert(strlen(pst_conf_pool_name(pool)) <= 32);
		assert(pst_conf_has_named_pools(conf) || i == 0);
	}
	for (size_t i = 0; i < pst_conf_route_count(conf); i++) {
		const struct pst_conf_route *route = pst_conf_route(conf, i);
		size_t pool = 0;

		assert(route->path[0] == '/');
		while (strcmp(pst_conf_pool_name(pst_conf_pool(conf, pool)), route->pool) != 0)
			pool++;
	}
}

static void
check_same(const struct pst_conf *a, const struct pst_conf *b)
{
	for (int id = 0; id < PST_OPT_COUNT; id++)
		assert(pst_conf_same(a, b, (enum pst_option_id)id));
}

static void
check_printed(const struct pst_conf *conf)
{
	struct pst_conf *again;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert(out);
	pst_conf_print(conf, out);
	fclose(out);
	again = read_text((const uint8_t *)text, size);
	if (pst_conf_mistake_count(again)) {
		fprintf(stderr, "%s\n%s\n", pst_conf_mistake_text(again, 0), text);
		abort();
	}
	assert(pst_conf_pool_count(again) == pst_conf_pool_count(conf));
	for (size_t i = 0; i < pst_conf_pool_count(conf); i++)
		check_same(pst_conf_pool(conf, i), pst_conf_pool(again, i));
	assert(pst_conf_route_count(again) == pst_conf_route_count(conf));
	pst_conf_free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pst_conf *conf = read_text(data, size);

	check_mistakes(conf);
	if (pst_conf_mistake_count(conf) == 0) {
		check_pools(conf);
		if (size <= LARGEST)
			check_printed(conf);
	}
	pst_conf_free(conf);
	return 0;
}
