#include "gateway/front/settings.h"

#include "gateway/front/access_log.h"
#include "gateway/front/script.h"
#include "gateway/front/trust.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A hundred years: what is more would overflow the clock's arithmetic. */
#define SECONDS_MAX 3153600000u

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const out_of_memory = "out of memory";
#define CONNECTIONS_MAX 65535

static const char *const not_a_number = "not a number, or too large";

/* A number of digits only, at most MAX: 0, or -1. */
static int
parse_number(const char *text, uint64_t max, uint64_t *number)
{
	unsigned long long value;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || value > max)
		return -1;
	*number = value;
	return 0;
}

/* Each sets the member at TO from VALUE, or says why not. */

static const char *
set_seconds(void *to, const char *value)
{
	uint64_t seconds;

	if (parse_number(value, SECONDS_MAX, &seconds) == -1)
		return not_a_number;
	*(uint64_t *)to = seconds * 1000;
	return NULL;
}

static const char *
set_size(void *to, const char *value)
{
	uint64_t number;

	if (parse_number(value, SIZE_MAX / 2, &number) == -1)
		return not_a_number;
	*(size_t *)to = (size_t)number;
	return NULL;
}

static const char *
set_bytes(void *to, const char *value)
{
	return parse_number(value, INT64_MAX, to) == -1 ? not_a_number : NULL;
}

static const char *
set_connections(void *to, const char *value)
{
	uint64_t number;

	if (parse_number(value, CONNECTIONS_MAX, &number) == -1 || number == 0)
		return "not a number from 1 to 65535";
	*(uint64_t *)to = number;
	return NULL;
}

static const char *
set_text(void *to, const char *value)
{
	char **text = to, *copy = strdup(value);

	if (copy == NULL)
		return out_of_memory;
	free(*text);
	*text = copy;
	return NULL;
}

/* Which of COUNT names VALUE is; COUNT: none. */
static size_t
find_name(const char *const *names, size_t count, const char *value)
{
	size_t i = 0;

	while (i < count && strcmp(value, names[i]) != 0)
		i++;
	return i;
}

static const char *
set_map(void *to, const char *value)
{
	static const char *const names[] = {
	    [PST_HTTP_MAP_DROP] = "drop",
	    [PST_HTTP_MAP_REFUSE] = "refuse",
	    [PST_HTTP_MAP_DANGEROUS] = "dangerous",
	};
	size_t i = find_name(names, COUNT(names), value);

	if (i == COUNT(names))
		return "not one of drop, refuse, dangerous";
	*(enum pst_http_map *)to = (enum pst_http_map)i;
	return NULL;
}

static const char *
set_on_off(void *to, const char *value)
{
	static const char *const names[] = {"off", "on"};
	size_t i = find_name(names, COUNT(names), value);

	if (i == COUNT(names))
		return "not one of on, off";
	*(bool *)to = i == 1;
	return NULL;
}

static const char *
set_retry(void *to, const char *value)
{
	static const char *const names[] = {
	    [PST_RETRY_NEVER] = "never",
	    [PST_RETRY_IDEMPOTENT] = "idempotent",
	};
	size_t i = find_name(names, COUNT(names), value);

	if (i == COUNT(names))
		return "not one of never, idempotent";
	*(enum pst_retry *)to = (enum pst_retry)i;
	return NULL;
}

/* A '/' at the end says nothing: SCRIPT_NAME has none. */
static const char *
set_root_path(void *to, const char *value)
{
	char *path, **text = to;
	size_t len = strlen(value);

	while (len > 0 && value[len - 1] == '/')
		len--;
	if (len > 0 && value[0] != '/')
		return "it must begin with '/'";
	path = strndup(value, len);
	if (path == NULL)
		return out_of_memory;
	free(*text);
	*text = path;
	return NULL;
}

static const char *
set_level(void *to, const char *value)
{
	return pst_log_level_parse(value, to) ? NULL : "not a level";
}

/* --- the tables --- */

struct setting {
	const char *name;
	size_t offset;
	const char *(*set)(void *to, const char *value);
};

static const struct setting of_gateway[] = {
#define AT(member) offsetof(struct pst_settings, member)
    {"graceful_timeout", AT(graceful_timeout), set_seconds},
    {"keep_alive", AT(keep_alive), set_seconds},
    {"client_header_timeout", AT(client_header_timeout), set_seconds},
    {"client_body_timeout", AT(client_body_timeout), set_seconds},
    {"send_timeout", AT(send_timeout), set_seconds},
    {"min_rate", AT(min_rate), set_bytes},
    {"websocket_max_message_size", AT(websocket_max_message_size), set_bytes},
    {"websocket_ping_interval", AT(websocket_ping_interval), set_seconds},
    {"websocket_deflate", AT(websocket_deflate), set_on_off},
    {"limit_request_line", AT(limits.line), set_size},
    {"limit_request_fields", AT(limits.fields), set_size},
    {"limit_request_field_size", AT(limits.field), set_size},
    {"header_map", AT(limits.map), set_map},
    {"log_level", AT(log_level), set_level},
    {"forwarded_allow_ips", AT(forwarded_allow_ips), set_text},
    {"access_logformat", AT(access_logformat), set_text},
    {"spool_dir", AT(spool_dir), set_text},
    {"spool_size", AT(spool_size), set_bytes},
    {"runtime_dir", AT(runtime_dir), set_text},
    {"health_path", AT(health_path), set_text},
    {"successor", AT(successor), set_on_off},
#undef AT
};

static const struct setting of_pool[] = {
#define AT(member) offsetof(struct pst_pool_settings, member)
    {"timeout", AT(timeout), set_seconds},
    {"request_timeout", AT(request_timeout), set_seconds},
    {"queue_timeout", AT(queue_timeout), set_seconds},
    {"queue_limit", AT(queue_limit), set_bytes},
    {"max_requests", AT(max_requests), set_bytes},
    {"max_requests_jitter", AT(max_requests_jitter), set_bytes},
    {"limit_request_body", AT(limit_request_body), set_bytes},
    {"retry", AT(retry), set_retry},
    {"root_path", AT(root_path), set_root_path},
    {"fastcgi", AT(fastcgi), set_text},
    {"connections", AT(connections), set_connections},
    {"keep_conn", AT(keep_conn), set_on_off},
    {"root", AT(root), set_text},
    {"index", AT(index), set_text},
    {"script_suffix", AT(script_suffix), set_text},
#undef AT
};

static const char *
set(const struct setting *table, size_t count, void *settings, const char *name, const char *value)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(name, table[i].name) == 0)
			return table[i].set((char *)settings + table[i].offset, value);
	}
	return "no such setting";
}

const char *
pst_settings_set(struct pst_settings *settings, const char *name, const char *value)
{
	return set(of_gateway, COUNT(of_gateway), settings, name, value);
}

const char *
pst_pool_settings_set(struct pst_pool_settings *settings, const char *name, const char *value)
{
	return set(of_pool, COUNT(of_pool), settings, name, value);
}

/* --- defaults --- */

int
pst_settings_init(struct pst_settings *settings)
{
	*settings = (struct pst_settings){
	    .graceful_timeout = 30000,
	    .keep_alive = 75000,
	    .client_header_timeout = 60000,
	    .client_body_timeout = 60000,
	    .send_timeout = 60000,
	    .min_rate = 500,
	    .websocket_max_message_size = 16 << 20,
	    .websocket_ping_interval = 20000,
	    .websocket_deflate = true,
	    .spool_size = (uint64_t)16 << 30,
	    .limits = PST_HTTP_DEFAULT_LIMITS,
	    .log_level = PST_LOG_INFO,
	    .forwarded_allow_ips = strdup(PST_TRUST_DEFAULT),
	    .access_logformat = strdup(PST_ACCESS_LOG_DEFAULT),
	};
	return settings->forwarded_allow_ips == NULL || settings->access_logformat == NULL ? -1 : 0;
}

void
pst_settings_free(struct pst_settings *settings)
{
	free(settings->forwarded_allow_ips);
	free(settings->access_logformat);
	free(settings->spool_dir);
	free(settings->runtime_dir);
	free(settings->health_path);
}

int
pst_pool_settings_init(struct pst_pool_settings *settings)
{
	*settings = (struct pst_pool_settings){
	    .timeout = 30000,
	    .queue_timeout = 60000,
	    .queue_limit = 2048,
	    .root_path = strdup(""),
	    .connections = 5,
	    .index = strdup(PST_SCRIPT_INDEX),
	    .script_suffix = strdup(PST_SCRIPT_SUFFIX),
	};
	return settings->root_path == NULL || settings->index == NULL ||
		       settings->script_suffix == NULL
		   ? -1
		   : 0;
}

void
pst_pool_settings_free(struct pst_pool_settings *settings)
{
	free(settings->root_path);
	free(settings->fastcgi);
	free(settings->root);
	free(settings->index);
	free(settings->script_suffix);
}
