#include "gateway/log.h"

#include "gateway/escape.h"
#include "gateway/log_writer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

/* Messages go: to stderr at once, to the writer, nowhere. */
enum log_state {
	LOG_EARLY,
	LOG_OPEN,
	LOG_CLOSED,
};

/* The lock keeps the writer alive while it is used. Putting a line takes it as a reader. */
static struct {
	pthread_rwlock_t lock;
	enum log_state state;
	struct pst_log_writer *writer; /* set exactly in LOG_OPEN */
	atomic_int fd;
	atomic_int level;
	atomic_ullong dropped; /* of a writer that is gone */
} logger = {
    .lock = PTHREAD_RWLOCK_INITIALIZER,
    .fd = STDERR_FILENO,
    .level = PST_LOG_INFO,
};

static const char *const level_names[] = {
    [PST_LOG_CRITICAL] = "CRITICAL",
    [PST_LOG_ERROR] = "ERROR",
    [PST_LOG_WARNING] = "WARNING",
    [PST_LOG_INFO] = "INFO",
    [PST_LOG_DEBUG] = "DEBUG",
};

bool
pst_log_level_parse(const char *name, enum pst_log_level *level)
{
	for (int i = PST_LOG_CRITICAL; i <= PST_LOG_DEBUG; i++) {
		if (strcasecmp(name, level_names[i]) == 0) {
			*level = i;
			return true;
		}
	}
	return false;
}

/* --- making a line --- */

/* "[2026-11-22 20:31:22 +0000] [4711] [INFO] " into LINE; its length. */
static size_t
make_prefix(char *line, size_t size, pid_t pid, enum pst_log_level level)
{
	time_t now = time(NULL);
	struct tm local;
	size_t length;
	int n;

	localtime_r(&now, &local);
	length = strftime(line, size, "[%Y-%m-%d %H:%M:%S %z] ", &local);
	n = snprintf(line + length, size - length, "[%ld] [%s] ", (long)pid, level_names[level]);
	assert(n > 0 && (size_t)n < size - length);
	return length + n;
}

/* Add TEXT, escaped and cut to fit, and the LF; the line's length. */
static size_t
finish_line(char line[PST_LOG_LINE], size_t length, const char *text, size_t n)
{
	length += pst_escape_line(line + length, PST_LOG_LINE - 1 - length, text, n);
	line[length++] = '\n';
	return length;
}

/* --- where lines go --- */

static void
write_at_once(const char *line, size_t n)
{
	while (n > 0) {
		ssize_t written = write(STDERR_FILENO, line, n);

		if (written < 0 && errno != EINTR)
			return;
		if (written > 0) {
			line += written;
			n -= written;
		}
	}
}

static void
put_line(const char *line, size_t n)
{
	pthread_rwlock_rdlock(&logger.lock);
	if (logger.state == LOG_OPEN)
		pst_log_writer_put(logger.writer, line, n);
	else if (logger.state == LOG_EARLY)
		write_at_once(line, n);
	pthread_rwlock_unlock(&logger.lock);
}

static size_t
dropped_line(void *arg, uint64_t count, int error, char *line, size_t size)
{
	size_t length = make_prefix(line, size, getpid(), PST_LOG_WARNING);
	int n = snprintf(line + length, size - length, "%llu line%s of this log lost: %s%s\n",
	    (unsigned long long)count, count == 1 ? " was" : "s were",
	    error ? "writing it failed: " : "whoever reads it was too slow",
	    error ? strerror(error) : "");

	(void)arg;
	return n > 0 && (size_t)n < size - length ? length + n : 0;
}

int
pst_log_open(int fd, enum pst_log_level level)
{
	struct pst_log_writer *writer;

	writer = pst_log_writer_new(fd, PST_LOG_RING, dropped_line, NULL);
	if (!writer)
		return -1;
	pst_log_set_level(level);
	atomic_store(&logger.fd, fd);
	pthread_rwlock_wrlock(&logger.lock);
	assert(logger.state == LOG_EARLY);
	logger.writer = writer;
	logger.state = LOG_OPEN;
	pthread_rwlock_unlock(&logger.lock);
	return 0;
}

void
pst_log_set_level(enum pst_log_level level)
{
	atomic_store(&logger.level, level);
}

bool
pst_log_enabled(enum pst_log_level level)
{
	return (int)level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

static void __attribute__((format(printf, 2, 0))) log_message(
    enum pst_log_level level, const char *format, va_list args, const char *text, size_t text_len)
{
	char message[PST_LOG_LINE], line[PST_LOG_LINE];
	int n = vsnprintf(message, sizeof(message), format, args);
	size_t length;

	if (n < 0) /* a wide string that cannot be written: better the bare words than nothing */
		n = snprintf(message, sizeof(message), "%s", format);
	if ((size_t)n >= sizeof(message))
		n = sizeof(message) - 1;
	if (text_len > sizeof(message) - n)
		text_len = sizeof(message) - n;
	if (text_len > 0)
		memcpy(message + n, text, text_len);
	length = make_prefix(line, sizeof(line), getpid(), level);
	put_line(line, finish_line(line, length, message, n + text_len));
}

void
pst_log(enum pst_log_level level, const char *format, ...)
{
	int saved = errno;
	va_list args;

	if (!pst_log_enabled(level))
		return;
	va_start(args, format);
	log_message(level, format, args, NULL, 0);
	va_end(args);
	errno = saved;
}

void
pst_log_quote(enum pst_log_level level, const char *text, size_t n, const char *format, ...)
{
	int saved = errno;
	va_list args;

	if (!pst_log_enabled(level))
		return;
	va_start(args, format);
	log_message(level, format, args, text, n);
	va_end(args);
	errno = saved;
}

void
pst_log_worker(pid_t pid, const char *worker, enum pst_log_level level, const char *text, size_t n)
{
	char line[PST_LOG_LINE];
	int saved = errno, id;
	size_t length = make_prefix(line, sizeof(line), pid, level);

	id = snprintf(line + length, 64, "worker %s: ", worker);
	assert(id > 0 && id < 64);
	put_line(line, finish_line(line, length + id, text, n));
	errno = saved;
}

int
pst_log_fd(void)
{
	return atomic_load(&logger.fd);
}

void
pst_log_reopen(int fd)
{
	pthread_rwlock_rdlock(&logger.lock);
	assert(logger.state == LOG_OPEN);
	atomic_store(&logger.fd, fd);
	pst_log_writer_reopen(logger.writer, fd);
	pthread_rwlock_unlock(&logger.lock);
}

uint64_t
pst_log_dropped(void)
{
	uint64_t dropped;

	pthread_rwlock_rdlock(&logger.lock);
	dropped =
	    logger.writer ? pst_log_writer_dropped(logger.writer) : atomic_load(&logger.dropped);
	pthread_rwlock_unlock(&logger.lock);
	return dropped;
}

bool
pst_log_flush(unsigned ms)
{
	bool written = true;

	/* Lines may be put meanwhile; only open and close wait. */
	pthread_rwlock_rdlock(&logger.lock);
	if (logger.writer)
		written = pst_log_writer_flush(logger.writer, ms);
	pthread_rwlock_unlock(&logger.lock);
	return written;
}

bool
pst_log_close(unsigned ms)
{
	struct pst_log_writer *writer;

	pthread_rwlock_wrlock(&logger.lock);
	writer = logger.writer;
	logger.writer = NULL;
	logger.state = LOG_CLOSED;
	if (writer)
		atomic_store(&logger.dropped, pst_log_writer_dropped(writer));
	pthread_rwlock_unlock(&logger.lock);
	return pst_log_writer_free(writer, ms);
}
