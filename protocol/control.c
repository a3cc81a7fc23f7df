#include "protocol/control.h"

#include "protocol/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

int
pst_control_is(const struct pst_control *line, const char *prefix)
{
	size_t length;

	for (unsigned i = 0; *prefix != '\0'; i++) {
		length = strcspn(prefix, " ");
		if (i == line->count || strlen(line->words[i]) != length ||
		    memcmp(line->words[i], prefix, length) != 0)
			return 0;
		prefix += length;
		prefix += *prefix == ' ';
	}
	return 1;
}

static bool
is_plain(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '%';
}

size_t
pst_control_size(const char *word)
{
	size_t size = *word == '\0';

	for (; *word != '\0'; word++)
		size += is_plain((unsigned char)*word) ? 1 : 3;
	return size;
}

static unsigned char *
encode(unsigned char *to, const char *word)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned char c;

	if (*word == '\0')
		*to++ = '%';
	for (; *word != '\0'; word++) {
		c = (unsigned char)*word;
		if (is_plain(c)) {
			*to++ = c;
			continue;
		}
		*to++ = '%';
		*to++ = (unsigned char)digits[c >> 4];
		*to++ = (unsigned char)digits[c & 15];
	}
	return to;
}

int
pst_control_append(struct pst_buf *out, const char *const *words, unsigned count)
{
	unsigned char *to;
	size_t size = 0;

	assert(count > 0);
	if (count > PST_CONTROL_WORDS)
		return PST_ERR_LIMIT;
	for (unsigned i = 0; i < count; i++)
		size += pst_control_size(words[i]) + 1;
	if (size > PST_CONTROL_LINE)
		return PST_ERR_LIMIT;
	to = pst_buf_reserve(out, size);
	if (to == NULL)
		return PST_ERR_NOMEM;
	for (unsigned i = 0; i < count; i++) {
		to = encode(to, words[i]);
		*to++ = i + 1 < count ? ' ' : '\n';
	}
	pst_buf_commit(out, size);
	return 0;
}

int
pst_control_appendl(struct pst_buf *out, ...)
{
	const char *words[PST_CONTROL_WORDS];
	const char *word;
	unsigned count = 0;
	va_list args;

	va_start(args, out);
	while ((word = va_arg(args, const char *)) != NULL && count < PST_CONTROL_WORDS)
		words[count++] = word;
	va_end(args);
	return word != NULL ? PST_ERR_LIMIT : pst_control_append(out, words, count);
}

static int
hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Decode in place the word that ends before END and terminate it. */
static int
decode(unsigned char *word, unsigned char *end)
{
	unsigned char *to = word;
	int high, low;

	if (end - word == 1 && *word == '%') {
		*word = '\0';
		return 0;
	}
	for (unsigned char *from = word; from < end; from++) {
		if (is_plain(*from)) {
			*to++ = *from;
			continue;
		}
		if (*from != '%' || end - from < 3)
			return PST_ERR_PROTOCOL;
		high = hex_value(from[1]);
		low = hex_value(from[2]);
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return PST_ERR_PROTOCOL;
		*to++ = (unsigned char)(high << 4 | low);
		from += 2;
	}
	*to = '\0';
	return to == word ? PST_ERR_PROTOCOL : 0;
}

/* Take apart the line from P to its LF at END. */
static int
split(unsigned char *p, unsigned char *end, struct pst_control *line)
{
	unsigned char *stop;

	line->count = 0;
	for (;;) {
		if (line->count == PST_CONTROL_WORDS)
			return PST_ERR_LIMIT;
		stop = memchr(p, ' ', (size_t)(end - p));
		line->words[line->count++] = (char *)p;
		if (decode(p, stop != NULL ? stop : end) < 0)
			return PST_ERR_PROTOCOL;
		if (stop == NULL)
			return 1;
		p = stop + 1;
	}
}

int
pst_control_take(struct pst_buf *in, struct pst_control *line)
{
	unsigned char *p, *end;
	size_t length = pst_buf_length(in);
	int result;

	if (length == 0)
		return 0;
	p = pst_buf_bytes(in);
	end = memchr(p, '\n', length < PST_CONTROL_LINE ? length : PST_CONTROL_LINE);
	if (end == NULL)
		return length < PST_CONTROL_LINE ? 0 : PST_ERR_LIMIT;
	result = split(p, end, line);
	pst_buf_consume(in, (size_t)(end - p) + 1);
	return result;
}
