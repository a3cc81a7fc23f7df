/*
 * The error log of a process, the arbiter's or the gateway's: one per process, in gunicorn's line
 * format.
 *
 *	[2026-11-22 20:31:22 +0000] [4711] [INFO] worker 3.17: ready
 *
 * Logging never blocks once pst_log_open() was called (see log_writer.h). Before that, and when
 * there is no log, lines are written to stderr at once: that is for a process that is starting.
 *
 * A message is one line whatever is in it: control characters (also C1 ones in UTF-8), line
 * separators and bytes that are no UTF-8 are written as \n, \r, \t or \xHH, so nothing that a
 * client or a worker sent can forge a line or steer a terminal. A line is at most PST_LOG_LINE
 * bytes; a longer one is cut and ends in "...".
 *
 * fork: a child calls nothing of this file between fork and exec.
 */
#ifndef PST_GATEWAY_LOG_H
#define PST_GATEWAY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PST_LOG_LINE 8192
#define PST_LOG_RING (1024 * 1024)

/* gunicorn's levels (--log-level). One logs itself and what stands above it. */
enum pst_log_level {
	PST_LOG_CRITICAL,
	PST_LOG_ERROR,
	PST_LOG_WARNING,
	PST_LOG_INFO,
	PST_LOG_DEBUG,
};

/* "debug", "info", "warning", "error", "critical", in any case. False: none of these. */
bool pst_log_level_parse(const char *name, enum pst_log_level *level);

/*
 * Log to FD from now on, which belongs to the log (and is closed by it unless it is 0, 1 or 2).
 * 0, or -1 with errno set and FD still the caller's. Once per process.
 */
int pst_log_open(int fd, enum pst_log_level level);

/* INFO until set, also before pst_log_open(). */
void pst_log_set_level(enum pst_log_level level);
/* True when a message of LEVEL would be written: to spare the making of costly ones. */
bool pst_log_enabled(enum pst_log_level level);

/* Log a message. errno is left as it was. Any thread. */
void pst_log(enum pst_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define pst_log_critical(...) pst_log(PST_LOG_CRITICAL, __VA_ARGS__)
#define pst_log_error(...)    pst_log(PST_LOG_ERROR, __VA_ARGS__)
#define pst_log_warning(...)  pst_log(PST_LOG_WARNING, __VA_ARGS__)
#define pst_log_info(...)     pst_log(PST_LOG_INFO, __VA_ARGS__)
#define pst_log_debug(...)    pst_log(PST_LOG_DEBUG, __VA_ARGS__)

/* The same, with N bytes of TEXT, which may have NULs, after the message. */
void pst_log_quote(enum pst_log_level level, const char *text, size_t n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * A line that worker WORKER ("3.17"), process PID, printed: "[time] [PID] [LEVEL] worker 3.17:
 * line". N bytes without the LF; escaped and cut as above. Written at every level setting: what an
 * application prints to stderr is not ours to hide.
 */
void pst_log_worker(
    pid_t pid, const char *worker, enum pst_log_level level, const char *text, size_t n);

/* The descriptor that is logged to (for a child's fds 1 and 2); 2 before pst_log_open(). */
int pst_log_fd(void);

/* What is logged from now on goes to FD (USR1: the caller opened it again). See log_writer.h. */
void pst_log_reopen(int fd);

/* Lines that were dropped since the start. */
uint64_t pst_log_dropped(void);

/* Wait, MS milliseconds at most, until everything is written. False: it is not. */
bool pst_log_flush(unsigned ms);

/* Flush and end the log; what is logged afterwards goes nowhere. False: lines were left. */
bool pst_log_close(unsigned ms);

#endif
