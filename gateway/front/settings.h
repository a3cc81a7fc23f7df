/*
 * The gateway's settings and those of its pools, as SET lines bring them; named as the long options
 * with '_' for '-'.
 */
#ifndef PST_FRONT_SETTINGS_H
#define PST_FRONT_SETTINGS_H

#include "gateway/front/http.h"
#include "gateway/log.h"

#include <stdint.h>

struct pst_settings {
	uint64_t graceful_timeout; /* ms */
	uint64_t keep_alive; /* ms; 0: every answer is its connection's last */
	uint64_t client_header_timeout; /* ms; 0: none, as the next two */
	uint64_t client_body_timeout;
	uint64_t send_timeout;
	uint64_t min_rate; /* bytes/s */
	uint64_t websocket_max_message_size; /* bytes; 0: any */
	uint64_t websocket_ping_interval; /* ms; 0: no pings */
	bool websocket_deflate;
	struct pst_http_limits limits;
	enum pst_log_level log_level;
	char *forwarded_allow_ips; /* as given; pst_trust_parse() judges it */
	char *access_logformat; /* as given; pst_access_log_compile() judges it */
	char *spool_dir; /* NULL: not told */
	uint64_t spool_size; /* bytes of all its files */
	char *runtime_dir; /* NULL: not told */
	char *health_path; /* NULL: none */
	bool successor; /* another gateway serves with the same workers until it takes over */
};

enum pst_retry {
	PST_RETRY_NEVER,
	PST_RETRY_IDEMPOTENT,
};

struct pst_pool_settings {
	uint64_t timeout; /* ms; 0: none, as the next two */
	uint64_t request_timeout;
	uint64_t queue_timeout;
	uint64_t queue_limit; /* requests */
	uint64_t max_requests; /* of a worker; 0: no limit */
	uint64_t max_requests_jitter;
	uint64_t limit_request_body; /* bytes; 0: no limit */
	enum pst_retry retry;
	char *root_path; /* "" or "/app" */
	char *fastcgi; /* where the server of a remote pool listens; NULL: not told */
	uint64_t connections; /* to that server at once */
	bool keep_conn; /* of a program or server that is not ours: after a request, too */
	char *root; /* directory of a foreign pool's scripts; NULL: it has none */
	char *index; /* see script.h, as the next one */
	char *script_suffix;
};

/* The defaults: 0, or -1 when memory is short; it may be freed even so. */
int pst_settings_init(struct pst_settings *settings);
void pst_settings_free(struct pst_settings *settings);

/* Set NAME to VALUE: NULL, or a constant phrase that says why not; nothing is changed then. */
const char *pst_settings_set(struct pst_settings *settings, const char *name, const char *value);

/* The same for a pool's. */
int pst_pool_settings_init(struct pst_pool_settings *settings);
void pst_pool_settings_free(struct pst_pool_settings *settings);
const char *pst_pool_settings_set(
    struct pst_pool_settings *settings, const char *name, const char *value);

#endif
