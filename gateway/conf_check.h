/*
 * Checks of option values, for the table. Each returns 0, or -1 with the rest of a sentence that
 * begins with the option ("--workers wants ...") in WHY.
 */
#ifndef PST_GATEWAY_CONF_CHECK_H
#define PST_GATEWAY_CONF_CHECK_H

#include "gateway/conf.h"

int pst_check_any(const char *value, char why[PST_CONF_WHY]);
int pst_check_bind(const char *value, char why[PST_CONF_WHY]);
int pst_check_number(const char *value, char why[PST_CONF_WHY]); /* 0 to 2147483647 */
int pst_check_positive(const char *value, char why[PST_CONF_WHY]); /* 1 to 2147483647 */
int pst_check_gateways(const char *value, char why[PST_CONF_WHY]); /* 1 to 16 */
int pst_check_workers(const char *value, char why[PST_CONF_WHY]); /* 1 to 1024 */
int pst_check_connections(const char *value, char why[PST_CONF_WHY]); /* 1 to 65535 */
int pst_check_size(
    const char *value, char why[PST_CONF_WHY]); /* bytes, below 2^63, or with K, M, G */
int pst_check_umask(const char *value, char why[PST_CONF_WHY]);
int pst_check_env(const char *value, char why[PST_CONF_WHY]);
int pst_check_threads(const char *value, char why[PST_CONF_WHY]);
int pst_check_capacity(const char *value, char why[PST_CONF_WHY]);
int pst_check_loop(const char *value, char why[PST_CONF_WHY]);
int pst_check_lifespan(const char *value, char why[PST_CONF_WHY]);
int pst_check_worker_class(const char *value, char why[PST_CONF_WHY]);
int pst_check_on_off(const char *value, char why[PST_CONF_WHY]);
int pst_check_header_map(const char *value, char why[PST_CONF_WHY]);
int pst_check_retry(const char *value, char why[PST_CONF_WHY]);
int pst_check_health_path(const char *value, char why[PST_CONF_WHY]);
int pst_check_root_path(const char *value, char why[PST_CONF_WHY]);
int pst_check_word(const char *value, char why[PST_CONF_WHY]); /* anything, even nothing */
int pst_check_fastcgi(const char *value, char why[PST_CONF_WHY]); /* unix:PATH, HOST:PORT */
int pst_check_absolute(const char *value, char why[PST_CONF_WHY]); /* a path from / on */
int pst_check_index(const char *value, char why[PST_CONF_WHY]); /* see front/script.h */
int pst_check_suffix(const char *value, char why[PST_CONF_WHY]); /* .php, or nothing */
int pst_check_trust(const char *value, char why[PST_CONF_WHY]);
int pst_check_access_format(const char *value, char why[PST_CONF_WHY]);
int pst_check_log_level(const char *value, char why[PST_CONF_WHY]);

/* Of what the gateway is told: it has to fit into a control line. */
int pst_check_told(const char *value, char why[PST_CONF_WHY]);

/* The bytes that VALUE means, which passed pst_check_size(). */
unsigned long long pst_check_size_bytes(const char *value);

#endif
