/*
 * The files of the error log and the access log.
 */
#ifndef PST_ARBITER_LOGFILE_H
#define PST_ARBITER_LOGFILE_H

#include "gateway/conf.h"

#include <stdbool.h>

/* ID, a log's option, names a file that can be opened again; "-" and no value do not. */
bool pst_logfile_is_file(const struct pst_conf *conf, enum pst_option_id id);

/* Open the file of log ID, and make it if need be: a descriptor, or -1 with errno set. */
int pst_logfile_open(const struct pst_conf *conf, enum pst_option_id id);

#endif
