#include "gateway/front/access_log.h"

#include "gateway/front/base64.h"
#include "protocol/error.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* What %(b)20s and the like may ask for. */
#define MAX_WIDTH 256

/*
 * A program is a list of pieces: literal text, or one atom. name and literal text point
 * into the log's copy of the format, where %% has become %.
 */
struct piece {
	char atom; /* the letter of a plain atom; 'i', 'o', 'e' with a name; 0: literal text */
	bool named;
	bool left; /* flush left */
	unsigned width; /* at least; 0: as long as it is */
	int precision; /* at most; -1: as long as it is */
	struct pst_http_text text;
};

struct pst_access_log {
	char *format;
	struct piece *pieces;
	size_t count;
	/* The date of the last line: most lines share it with the one before. */
	time_t second;
	char date[40];
	size_t date_len;
};

/* --- compiling --- */

static const char plain_atoms[] = "hlutrmUqHsBbfaTDMLp";

/* The names that {NAME}x knows. */
static const char *const extensions[] = {"worker", "pool", "queue", "cpu", "waited", "lag"};

static bool
text_is(struct pst_http_text text, const char *word)
{
	return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

static bool
is_extension(struct pst_http_text name)
{
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		if (text_is(name, extensions[i]))
			return true;
	return false;
}

/* What stands between the parentheses of %(...): NULL, or what is wrong with it. */
static const char *
compile_atom(struct piece *piece, const char *text, size_t n)
{
	if (n == 1 && strchr(plain_atoms, text[0])) {
		piece->atom = text[0];
		return NULL;
	}
	if (n < 4 || text[0] != '{' || text[n - 2] != '}' || !strchr("ioex", text[n - 1]))
		return "unknown atom";
	piece->atom = text[n - 1];
	piece->named = true;
	piece->text = (struct pst_http_text){text + 1, n - 3};
	if (piece->atom == 'x' && !is_extension(piece->text))
		return "unknown atom";
	return NULL;
}

/* A decimal number at *AT, at most MAX_WIDTH. */
static bool
compile_number(const char **at, unsigned *number)
{
	*number = 0;
	while (**at >= '0' && **at <= '9') {
		*number = *number * 10 + (unsigned)(*(*at)++ - '0');
		if (*number > MAX_WIDTH)
			return false;
	}
	return true;
}

/* What stands between the closing parenthesis and the letter of the conversion, and that letter. */
static const char *
compile_conversion(struct piece *piece, const char **at)
{
	unsigned precision;

	piece->left = **at == '-';
	*at += piece->left;
	if (!compile_number(at, &piece->width))
		return "a width above 256";
	piece->precision = -1;
	if (**at == '.') {
		++*at;
		if (!compile_number(at, &precision))
			return "a precision above 256";
		piece->precision = (int)precision;
	}
	if (**at != 's' && **at != 'd')
		return "no s after %(...)";
	++*at;
	return NULL;
}

/* An atom: *AT stands behind the %. */
static const char *
compile_field(struct piece *piece, const char **at)
{
	const char *open = *at, *close;
	const char *reason;

	if (*open != '(')
		return "% without (ATOM)s; a percent sign is %%";
	close = strchr(open, ')');
	if (!close)
		return "no ) after %(";
	reason = compile_atom(piece, open + 1, close - open - 1);
	*at = close + 1;
	return reason ? reason : compile_conversion(piece, at);
}

/* Text up to the next atom. A %% ends it, too, with one of the two percent signs in it. */
static void
compile_literal(struct piece *piece, const char **at)
{
	const char *from = *at;

	if (from[0] == '%') { /* the second one of %% */
		piece->text = (struct pst_http_text){from, 1};
		*at = from + 1;
		return;
	}
	piece->text = (struct pst_http_text){from, strcspn(from, "%")};
	*at = from + piece->text.len;
}

static const char *
compile(struct pst_access_log *log, size_t *where)
{
	const char *at = log->format;

	while (*at) {
		struct piece *piece = &log->pieces[log->count++];
		const char *reason = NULL;

		*where = at - log->format;
		if (*at == '%')
			at++;
		if (at - log->format == (ptrdiff_t)*where || *at == '%')
			compile_literal(piece, &at);
		else
			reason = compile_field(piece, &at);
		if (reason)
			return reason;
	}
	return NULL;
}

static bool
has_control_character(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

struct pst_access_log *
pst_access_log_compile(const char *format, const char **reason, size_t *at)
{
	struct pst_access_log *log = calloc(1, sizeof(*log));
	size_t n = strlen(format);

	*at = 0;
	*reason = "out of memory";
	if (!log)
		return NULL;
	log->format = strdup(format);
	/* Every piece comes of at least one byte of the format. */
	log->pieces = calloc(n + 1, sizeof(*log->pieces));
	if (log->format && log->pieces)
		*reason = has_control_character(format) ? "a control character" : compile(log, at);
	if (*reason) {
		pst_access_log_free(log);
		return NULL;
	}
	return log;
}

void
pst_access_log_free(struct pst_access_log *log)
{
	if (!log)
		return;
	free(log->pieces);
	free(log->format);
	free(log);
}

/* --- values --- */

/* A value that is made here rather than found in the entry. */
struct scratch {
	char bytes[256];
};

static struct pst_http_text
text_of(const char *string)
{
	return (struct pst_http_text){string, strlen(string)};
}

static struct pst_http_text __attribute__((format(printf, 2, 3)))
number(struct scratch *scratch, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(scratch->bytes, sizeof(scratch->bytes), format, args);
	va_end(args);
	assert(n >= 0 && (size_t)n < sizeof(scratch->bytes));
	return (struct pst_http_text){scratch->bytes, n};
}

static struct pst_http_text
seconds(struct scratch *scratch, uint64_t us)
{
	return number(scratch, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

static struct pst_http_text
looked_up(
    const struct pst_access_entry *entry, enum pst_access_lookup what, struct pst_http_text name)
{
	struct pst_http_text value;

	if (entry->lookup && entry->lookup(entry->lookup_arg, what, name, &value))
		return value;
	return (struct pst_http_text){NULL, 0};
}

static struct pst_http_text
request_field(const struct pst_access_entry *entry, const char *name)
{
	return looked_up(entry, PST_ACCESS_REQUEST_FIELD, text_of(name));
}

/* The user of "Basic dXNlcjpwYXNz" (RFC 7617); never the password. */
static struct pst_http_text
user(const struct pst_access_entry *entry, struct scratch *scratch)
{
	struct pst_http_text value = request_field(entry, "authorization");
	const struct pst_http_text none = {NULL, 0};
	const char *colon;
	size_t skip = 6, n;

	if (value.len < skip || strncasecmp(value.data, "basic ", skip) != 0)
		return none;
	while (skip < value.len && value.data[skip] == ' ')
		skip++;
	n = pst_base64_decode(
	    scratch->bytes, sizeof(scratch->bytes), value.data + skip, value.len - skip);
	colon = memchr(scratch->bytes, ':', n);
	return colon ? (struct pst_http_text){scratch->bytes, colon - scratch->bytes} : none;
}

static struct pst_http_text
date(struct pst_access_log *log, const struct pst_access_entry *entry)
{
	if (log->date_len == 0 || log->second != entry->time.tv_sec) {
		struct tm local;

		log->second = entry->time.tv_sec;
		localtime_r(&log->second, &local);
		log->date_len =
		    strftime(log->date, sizeof(log->date), "[%d/%b/%Y:%H:%M:%S %z]", &local);
	}
	return (struct pst_http_text){log->date, log->date_len};
}

static struct pst_http_text
extension(const struct pst_access_entry *entry, struct pst_http_text name, struct scratch *scratch)
{
	int64_t us;

	if (text_is(name, "worker"))
		return entry->worker;
	if (text_is(name, "pool"))
		return entry->pool;
	us = text_is(name, "cpu")      ? entry->cpu_us
	     : text_is(name, "waited") ? entry->waited_us
	     : text_is(name, "lag")    ? entry->lag_us
				       : entry->queue_us;
	return us < 0 ? (struct pst_http_text){NULL, 0} : seconds(scratch, (uint64_t)us);
}

static struct pst_http_text
value_of(struct pst_access_log *log, const struct piece *piece,
    const struct pst_access_entry *entry, struct scratch *scratch)
{
	switch (piece->atom) {
	case 'h': return entry->client;
	case 'u': return user(entry, scratch);
	case 't': return date(log, entry);
	case 'r': return entry->request_line;
	case 'm': return entry->method;
	case 'U': return entry->path;
	case 'q': return entry->query;
	case 'H': return entry->protocol;
	case 's': return entry->status ? number(scratch, "%u", entry->status) : text_of("-");
	case 'b':
	case 'B': return entry->sent < 0 ? text_of("-") : number(scratch, "%" PRId64, entry->sent);
	case 'f': return request_field(entry, "referer");
	case 'a': return request_field(entry, "user-agent");
	case 'T': return number(scratch, "%" PRIu64, entry->duration_us / 1000000);
	case 'M': return number(scratch, "%" PRIu64, entry->duration_us / 1000);
	case 'D': return number(scratch, "%" PRIu64, entry->duration_us);
	case 'L': return seconds(scratch, entry->duration_us);
	case 'p': return number(scratch, "<%ld>", (long)getpid());
	case 'i': return looked_up(entry, PST_ACCESS_REQUEST_FIELD, piece->text);
	case 'o': return looked_up(entry, PST_ACCESS_RESPONSE_FIELD, piece->text);
	case 'e': return looked_up(entry, PST_ACCESS_VARIABLE, piece->text);
	case 'x': return extension(entry, piece->text, scratch);
	default: return text_of("-"); /* l: the remote log name, which nobody knows */
	}
}

/* --- writing --- */

/* One byte, escaped if it must be; the bytes written, at most 4. */
static size_t
escape_byte(unsigned char byte, char *to)
{
	static const char hex[] = "0123456789abcdef";

	if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
		to[0] = (char)byte;
		return 1;
	}
	to[0] = '\\';
	if (byte == '"' || byte == '\\') {
		to[1] = (char)byte;
		return 2;
	}
	to[1] = 'x';
	to[2] = hex[byte >> 4];
	to[3] = hex[byte & 15];
	return 4;
}

/* The escaped value: width and precision count escaped bytes; an escape is never cut in two. */
static int
append_value(struct pst_buf *out, const struct piece *piece, struct pst_http_text value)
{
	size_t most = piece->precision < 0 ? SIZE_MAX : (size_t)piece->precision;
	size_t length = 0, start, padding;
	char *to = (char *)pst_buf_reserve(out, value.len * 4 + piece->width + 1);

	if (!to)
		return PST_ERR_NOMEM;
	for (size_t i = 0; i < value.len; i++) {
		size_t n = escape_byte((unsigned char)value.data[i], to + length);

		if (n > most - length)
			break;
		length += n;
	}
	padding = length < piece->width ? piece->width - length : 0;
	start = piece->left ? 0 : padding;
	memmove(to + start, to, length);
	memset(piece->left ? to + length : to, ' ', padding);
	pst_buf_commit(out, length + padding);
	return 0;
}

static int
append_piece(struct pst_access_log *log, const struct piece *piece,
    const struct pst_access_entry *entry, struct pst_buf *out)
{
	struct scratch scratch;
	struct pst_http_text value;

	if (!piece->atom)
		return pst_buf_append(out, piece->text.data, piece->text.len);
	value = value_of(log, piece, entry, &scratch);
	if (value.len == 0 && piece->atom != 'q' && piece->atom != 'U')
		value = text_of("-");
	return append_value(out, piece, value);
}

int
pst_access_log_format(
    struct pst_access_log *log, const struct pst_access_entry *entry, struct pst_buf *out)
{
	size_t before = pst_buf_length(out);
	int err = 0;

	for (size_t i = 0; i < log->count && err == 0; i++)
		err = append_piece(log, &log->pieces[i], entry, out);
	if (err == 0)
		err = pst_buf_append(out, "\n", 1);
	if (err < 0)
		out->end = out->start + before;
	return err;
}
