/* A line to the error log, formatted. */
#ifndef PST_PYTHON_SAY_H
#define PST_PYTHON_SAY_H

#include <penstock/plugin.h>

void pst_say(const struct pst_host *host, enum pst_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
