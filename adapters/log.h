/*
 * Log lines of an adapter: to fd 2, one write() for each line. Under the arbiter fd 2 is a pipe,
 * each line begins with its level as sd-daemon(3) has it ("<3>"), and the arbiter adds time,
 * process id and worker; started by hand, each line begins with the program's name.
 */
#ifndef PST_ADAPTERS_LOG_H
#define PST_ADAPTERS_LOG_H

#include <penstock/plugin.h>

#include <stddef.h>

/* NAME is put before each line, "sync: ", and must live as long as the process. NULL: the arbiter
 * reads the lines. */
void pst_log_begin(const char *name);

/*
 * TEXT, a line for each of its lines. Below PST_LOG_INFO nothing is written; by hand, from
 * PST_LOG_WARNING on the level's name comes first. Bytes that a terminal would obey are written
 * as \xHH, so that nothing that a client sent can forge a line. Any thread.
 */
void pst_log_text(enum pst_log_level level, const char *text, size_t len);

/* The same with "TITLE: " before each line. */
void pst_log_titled(enum pst_log_level level, const char *title, const char *text, size_t len);

/* One formatted line of at most 1 KiB (longer ones are cut). Any thread. */
void pst_log(enum pst_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Begin a line of LEVEL; async-signal-safe, as the two that follow. */
void pst_log_raw_begin(int fd, enum pst_log_level level);
/*
 * Write TEXT to FD with the same escapes and without buffering. N is the length; bytes from the
 * first '?' on are left out when CUT_QUERY is nonzero.
 */
void pst_log_raw(int fd, const char *text, size_t n, int cut_query);
/* End the line. */
void pst_log_raw_end(int fd);

#endif
