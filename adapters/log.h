/*
 * Log lines of an adapter: to fd 2, one write() for each line. Under the arbiter fd 2 is a pipe,
 * and the arbiter adds time, process id and worker; started by hand, each line begins with the
 * program's name.
 */
#ifndef PST_ADAPTERS_LOG_H
#define PST_ADAPTERS_LOG_H

#include <penstock/plugin.h>

#include <stddef.h>

/* PREFIX is put before each line: "" or e.g. "sync: ". It must live as long as the process. */
void pst_log_begin(const char *prefix);

/*
 * TEXT, a line for each of its lines. Below PST_LOG_INFO nothing is written; from
 * PST_LOG_WARNING on the level's name comes first. Bytes that a terminal would obey are written
 * as \xHH, so that nothing that a client sent can forge a line. Any thread.
 */
void pst_log_text(enum pst_log_level level, const char *text, size_t len);

/* One formatted line of at most 1 KiB (longer ones are cut). Any thread. */
void pst_log(enum pst_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Write TEXT to FD with the same escapes and without buffering; async-signal-safe. N is the
 * length; bytes from the first '?' on are left out when CUT_QUERY is nonzero.
 */
void pst_log_raw(int fd, const char *text, size_t n, int cut_query);
/* End the line. */
void pst_log_raw_end(int fd);

#endif
