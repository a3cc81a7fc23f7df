#include "adapters/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What one write() of a line holds; PIPE_BUF bytes are never mixed with another writer's. */
#define LINE_SIZE 4096

struct line {
	char bytes[LINE_SIZE];
	size_t n;
};

static const char *log_name = "";

static const char *const level_names[] = {"debug: ", "", "warning: ", "error: ", "critical: "};
static const char *const level_numbers[] = {"<7>", "<6>", "<4>", "<3>", "<2>"};

void
pst_log_begin(const char *name)
{
	log_name = name;
}

static void
write_all(int fd, const char *bytes, size_t n)
{
	int saved = errno;

	while (n > 0) {
		ssize_t done = write(fd, bytes, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			break; /* there is nowhere else to say it */
		bytes += done;
		n -= (size_t)done;
	}
	errno = saved;
}

static void
line_flush(int fd, struct line *line)
{
	write_all(fd, line->bytes, line->n);
	line->n = 0;
}

/* Printable, or a byte of something beyond ASCII: terminals obey C0 controls and DEL only. */
static int
is_safe(unsigned char c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static void
line_add(int fd, struct line *line, const char *text, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		if (LINE_SIZE - line->n < 5) /* an escape and the line's end */
			line_flush(fd, line);
		if (is_safe(c)) {
			line->bytes[line->n++] = (char)c;
			continue;
		}
		line->bytes[line->n++] = '\\';
		line->bytes[line->n++] = 'x';
		line->bytes[line->n++] = hex[c >> 4];
		line->bytes[line->n++] = hex[c & 15];
	}
}

static void
line_begin(int fd, struct line *line, enum pst_log_level level)
{
	const char *const *words = log_name ? level_names : level_numbers;
	const char *word = words[level > PST_LOG_CRITICAL ? PST_LOG_CRITICAL : level];

	line->n = 0;
	if (log_name)
		line_add(fd, line, log_name, strlen(log_name));
	line_add(fd, line, word, strlen(word));
}

static void
log_lines(enum pst_log_level level, const char *title, const char *text, size_t len)
{
	if ((int)level < PST_LOG_INFO)
		return;
	do {
		struct line line;
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;
		line_begin(2, &line, level);
		if (title) {
			line_add(2, &line, title, strlen(title));
			line_add(2, &line, ": ", 2);
		}
		line_add(2, &line, text, n);
		line.bytes[line.n++] = '\n';
		line_flush(2, &line);
		n += end != NULL;
		text += n;
		len -= n;
	} while (len > 0);
}

void
pst_log_text(enum pst_log_level level, const char *text, size_t len)
{
	log_lines(level, NULL, text, len);
}

void
pst_log_titled(enum pst_log_level level, const char *title, const char *text, size_t len)
{
	log_lines(level, title, text, len);
}

void
pst_log(enum pst_log_level level, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0)
		return;
	pst_log_text(level, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void
pst_log_raw_begin(int fd, enum pst_log_level level)
{
	struct line line;

	line_begin(fd, &line, level);
	line_flush(fd, &line);
}

void
pst_log_raw(int fd, const char *text, size_t n, int cut_query)
{
	struct line line = {.n = 0};
	size_t shown = 0;

	while (shown < n && !(cut_query && text[shown] == '?'))
		shown++;
	line_add(fd, &line, text, shown);
	line_flush(fd, &line);
}

void
pst_log_raw_end(int fd)
{
	write_all(fd, "\n", 1);
}
