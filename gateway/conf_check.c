#include "gateway/conf_check.h"

#include "gateway/address.h"
#include "gateway/front/access_log.h"
#include "gateway/front/trust.h"
#include "gateway/nearest.h"
#include "gateway/worker_class.h"
#include "protocol/control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int
pst_check_any(const char *value, char why[PST_CONF_WHY])
{
	if (*value)
		return 0;
	snprintf(why, PST_CONF_WHY, "wants a value that is not empty");
	return -1;
}

int
pst_check_bind(const char *value, char why[PST_CONF_WHY])
{
	struct pst_address address;
	const char *reason;

	if (pst_address_parse(&address, value, &reason) == 0)
		return 0;
	snprintf(why, PST_CONF_WHY, "cannot use '%.200s': %s", value, reason);
	return -1;
}

static int
check_range(const char *value, unsigned long long min, unsigned long long max, char *why)
{
	unsigned long long n = 0;
	char *end = NULL;

	errno = 0;
	if (*value >= '0' && *value <= '9')
		n = strtoull(value, &end, 10);
	if (end && !*end && !errno && n >= min && n <= max)
		return 0;
	snprintf(why, PST_CONF_WHY, "wants a whole number from %llu to %llu, not '%.200s'", min,
	    max, value);
	return -1;
}

int
pst_check_number(const char *value, char why[PST_CONF_WHY])
{
	return check_range(value, 0, INT_MAX, why);
}

int
pst_check_positive(const char *value, char why[PST_CONF_WHY])
{
	return check_range(value, 1, INT_MAX, why);
}

int
pst_check_gateways(const char *value, char why[PST_CONF_WHY])
{
	return check_range(value, 1, PST_GATEWAYS_MOST, why);
}

int
pst_check_workers(const char *value, char why[PST_CONF_WHY])
{
	return check_range(value, 1, PST_WORKERS_MOST, why);
}

int
pst_check_threads(const char *value, char why[PST_CONF_WHY])
{
	return check_range(value, 1, PST_THREADS_MOST, why);
}

int
pst_check_capacity(const char *value, char why[PST_CONF_WHY])
{
	return check_range(value, 1, PST_CAPACITY_MOST, why);
}

/* By how many bits VALUE's suffix shifts it; 0 without one. */
static unsigned
size_shift(const char *value)
{
	static const char suffixes[] = "kmg";
	size_t n = strspn(value, "0123456789");
	const char *suffix;

	if (n == 0 || !value[n] || value[n + 1])
		return 0;
	suffix = strchr(suffixes, value[n] | 0x20);
	return suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
}

int
pst_check_connections(const char *value, char why[PST_CONF_WHY])
{
	return check_range(value, 1, 65535, why);
}

int
pst_check_size(const char *value, char why[PST_CONF_WHY])
{
	unsigned shift = size_shift(value);
	char *end = NULL;
	unsigned long long n = 0;

	errno = 0;
	if (*value >= '0' && *value <= '9')
		n = strtoull(value, &end, 10);
	if (end && !errno && end[shift ? 1 : 0] == '\0' &&
	    n <= (unsigned long long)LLONG_MAX >> shift)
		return 0;
	snprintf(why, PST_CONF_WHY,
	    "wants a number of bytes below 2^63, such as 4096, 64K, 256M or 2G, not '%.200s'",
	    value);
	return -1;
}

unsigned long long
pst_check_size_bytes(const char *value)
{
	return strtoull(value, NULL, 10) << size_shift(value);
}

/* gunicorn takes Python's 0o22 as well as C's 022. */
int
pst_check_umask(const char *value, char why[PST_CONF_WHY])
{
	const char *digits = value;
	size_t n;

	if (digits[0] == '0' && (digits[1] == 'o' || digits[1] == 'O'))
		digits += 2;
	n = strspn(digits, "01234567");
	if (n > 0 && !digits[n] && strtoul(digits, NULL, 8) <= 0777)
		return 0;
	snprintf(why, PST_CONF_WHY, "wants an octal mask from 0 to 777, not '%.200s'", value);
	return -1;
}

int
pst_check_env(const char *value, char why[PST_CONF_WHY])
{
	const char *equals = strchr(value, '=');

	if (equals && equals != value)
		return 0;
	snprintf(why, PST_CONF_WHY, "wants NAME=VALUE, not '%.200s'", value);
	return -1;
}

/* One of the N NAMES, by COMPARE. */
static int
check_word(const char *value, const char *const *names, size_t n,
    int (*compare)(const char *, const char *), char *why)
{
	struct pst_nearest search;
	int used = 0;

	pst_nearest_begin(&search, value);
	for (size_t i = 0; i < n; i++) {
		if (compare(value, names[i]) == 0)
			return 0;
		pst_nearest_offer(&search, names[i]);
	}
	used = snprintf(why, PST_CONF_WHY, "does not know '%.100s'", value);
	if (search.name)
		used += snprintf(
		    why + used, PST_CONF_WHY - (size_t)used, " (did you mean '%s'?)", search.name);
	used += snprintf(why + used, PST_CONF_WHY - (size_t)used, "; it takes %s", names[0]);
	for (size_t i = 1; i < n; i++)
		used += snprintf(why + used, PST_CONF_WHY - (size_t)used, "%s%s",
		    i + 1 < n ? ", " : " or ", names[i]);
	return -1;
}

#define CHECK_WORD(value, names, compare, why)                                                     \
	check_word(value, names, sizeof(names) / sizeof((names)[0]), compare, why)

int
pst_check_worker_class(const char *value, char why[PST_CONF_WHY])
{
	static const char *const known[] = {
	    "auto", "sync", "threaded", "async", "gevent", "eventlet", "tornado"};
	struct pst_worker_class found;

	if (pst_worker_class_find(value, &found) == 0)
		return 0;
	return CHECK_WORD(value, known, strcmp, why);
}

int
pst_check_loop(const char *value, char why[PST_CONF_WHY])
{
	static const char *const known[] = {"auto", "asyncio", "uvloop"};

	return CHECK_WORD(value, known, strcmp, why);
}

int
pst_check_lifespan(const char *value, char why[PST_CONF_WHY])
{
	static const char *const known[] = {"auto", "on", "off"};

	return CHECK_WORD(value, known, strcmp, why);
}

int
pst_check_on_off(const char *value, char why[PST_CONF_WHY])
{
	static const char *const known[] = {"on", "off"};

	return CHECK_WORD(value, known, strcmp, why);
}

int
pst_check_header_map(const char *value, char why[PST_CONF_WHY])
{
	static const char *const known[] = {"drop", "refuse", "dangerous"};

	return CHECK_WORD(value, known, strcmp, why);
}

int
pst_check_retry(const char *value, char why[PST_CONF_WHY])
{
	static const char *const known[] = {"never", "idempotent"};

	return CHECK_WORD(value, known, strcmp, why);
}

int
pst_check_root_path(const char *value, char why[PST_CONF_WHY])
{
	if (!*value || *value == '/')
		return 0;
	snprintf(why, PST_CONF_WHY, "wants a path that begins with a slash, as /shop, not '%.200s'",
	    value);
	return -1;
}

/* It is compared with the path as it was sent, so what has to be escaped there cannot match. */
int
pst_check_health_path(const char *value, char why[PST_CONF_WHY])
{
	const char *at = value;

	while (*at > ' ' && *at < 0x7f && !strchr("?#%", *at))
		at++;
	if (*value == '/' && *at == '\0')
		return 0;
	snprintf(why, PST_CONF_WHY,
	    "wants a path that begins with a slash and needs no escapes, as /healthz, not "
	    "'%.200s'",
	    value);
	return -1;
}

int
pst_check_word(const char *value, char why[PST_CONF_WHY])
{
	(void)value;
	(void)why;
	return 0;
}

int
pst_check_fastcgi(const char *value, char why[PST_CONF_WHY])
{
	struct pst_address address;
	const char *reason = "it is where a server listens: unix:PATH or HOST:PORT";

	bool is_clear = strncmp(value, "fd:", 3) != 0 && value[0] != ':' && strchr(value, ':');

	if (is_clear && pst_address_parse(&address, value, &reason) == 0)
		return 0;
	snprintf(why, PST_CONF_WHY, "cannot use '%.200s': %s", value, reason);
	return -1;
}

int
pst_check_absolute(const char *value, char why[PST_CONF_WHY])
{
	if (value[0] == '/')
		return 0;
	snprintf(why, PST_CONF_WHY, "wants a path that begins with a slash, not '%.200s'", value);
	return -1;
}

int
pst_check_index(const char *value, char why[PST_CONF_WHY])
{
	if (*value && value[strlen(value) - 1] != '/' && !strstr(value, "..") &&
	    (*value == '/' || !strchr(value, '/')))
		return 0;
	snprintf(why, PST_CONF_WHY,
	    "wants /index.php, one for all paths, or index.php, one in each directory, not "
	    "'%.200s'",
	    value);
	return -1;
}

int
pst_check_suffix(const char *value, char why[PST_CONF_WHY])
{
	if (!strchr(value, '/'))
		return 0;
	snprintf(why, PST_CONF_WHY, "wants the end of file names, as .php, not '%.200s'", value);
	return -1;
}

int
pst_check_trust(const char *value, char why[PST_CONF_WHY])
{
	const char *reason;
	size_t at;
	struct pst_trust *trust = pst_trust_parse(value, &reason, &at);

	if (!trust) {
		snprintf(why, PST_CONF_WHY, "cannot use '%.200s': %s", value + at, reason);
		return -1;
	}
	pst_trust_free(trust);
	return 0;
}

int
pst_check_access_format(const char *value, char why[PST_CONF_WHY])
{
	const char *reason;
	size_t at;
	struct pst_access_log *log = pst_access_log_compile(value, &reason, &at);

	if (!log) {
		snprintf(why, PST_CONF_WHY, "cannot use '%.200s': %s", value + at, reason);
		return -1;
	}
	pst_access_log_free(log);
	return 0;
}

int
pst_check_log_level(const char *value, char why[PST_CONF_WHY])
{
	static const char *const known[] = {"debug", "info", "warning", "error", "critical"};

	return CHECK_WORD(value, known, strcasecmp, why);
}

/* Room for what stands around a value: SET, the longest key, the longest name of a pool. */
#define TOLD_MOST (PST_CONTROL_LINE - 128)

int
pst_check_told(const char *value, char why[PST_CONF_WHY])
{
	size_t size = pst_control_size(value);

	if (size <= TOLD_MOST)
		return 0;
	snprintf(why, PST_CONF_WHY,
	    "is too long: it takes %zu bytes, and %d are the most (blanks, '%%' and what is not "
	    "ASCII take three each)",
	    size, TOLD_MOST);
	return -1;
}
