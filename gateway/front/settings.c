#include "gateway/front/settings.h"

#include "gateway/front/access_log.h"
#include "gateway/front/trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A hundred years: what is more would overflow the clock's arithmetic. */
#define SECONDS_MAX 3153600000u

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

static const char *
set_seconds(uint64_t *ms, const char *value)
{
	uint64_t seconds;

	if (parse_number(value, SECONDS_MAX, &seconds) == -1)
		return not_a_number;
	*ms = seconds * 1000;
	return NULL;
}

static const char *
set_size(size_t *size, const char *value)
{
	uint64_t number;

	if (parse_number(value, SIZE_MAX / 2, &number) == -1)
		return not_a_number;
	*size = (size_t)number;
	return NULL;
}

static const char *
set_body(uint64_t *size, const char *value)
{
	return parse_number(value, INT64_MAX, size) == -1 ? not_a_number : NULL;
}

static const char *
set_text(char **text, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return "out of memory";
	free(*text);
	*text = copy;
	return NULL;
}

static const char *
set_map(enum pst_http_map *map, const char *value)
{
	static const char *const names[] = {
	    [PST_HTTP_MAP_DROP] = "drop",
	    [PST_HTTP_MAP_REFUSE] = "refuse",
	    [PST_HTTP_MAP_DANGEROUS] = "dangerous",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			*map = (enum pst_http_map)i;
			return NULL;
		}
	}
	return "not one of drop, refuse, dangerous";
}

static const char *
set_level(enum pst_log_level *level, const char *value)
{
	return pst_log_level_parse(value, level) ? NULL : "not a level";
}

const char *
pst_settings_set(struct pst_settings *settings, const char *name, const char *value)
{
	struct pst_http_limits *limits = &settings->limits;

	if (strcmp(name, "timeout") == 0)
		return set_seconds(&settings->timeout, value);
	if (strcmp(name, "graceful_timeout") == 0)
		return set_seconds(&settings->graceful_timeout, value);
	if (strcmp(name, "keep_alive") == 0)
		return set_seconds(&settings->keep_alive, value);
	if (strcmp(name, "limit_request_line") == 0)
		return set_size(&limits->line, value);
	if (strcmp(name, "limit_request_fields") == 0)
		return set_size(&limits->fields, value);
	if (strcmp(name, "limit_request_field_size") == 0)
		return set_size(&limits->field, value);
	if (strcmp(name, "limit_request_body") == 0)
		return set_body(&limits->body, value);
	if (strcmp(name, "header_map") == 0)
		return set_map(&limits->map, value);
	if (strcmp(name, "log_level") == 0)
		return set_level(&settings->log_level, value);
	if (strcmp(name, "forwarded_allow_ips") == 0)
		return set_text(&settings->forwarded_allow_ips, value);
	if (strcmp(name, "access_logformat") == 0)
		return set_text(&settings->access_logformat, value);
	if (strcmp(name, "runtime_dir") == 0)
		return set_text(&settings->runtime_dir, value);
	return "no such setting";
}

int
pst_settings_init(struct pst_settings *settings)
{
	*settings = (struct pst_settings){
	    .timeout = 30000,
	    .graceful_timeout = 30000,
	    .keep_alive = 75000,
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
	free(settings->runtime_dir);
}
