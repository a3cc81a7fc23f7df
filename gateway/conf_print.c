#include "gateway/conf_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COMMENT_COLUMN 48

/* A line of the output, put together so that the comment can be aligned. */
struct line {
	FILE *out;
	int column;
};

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
put(struct line *line, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vfprintf(line->out, format, args);
	va_end(args);
	line->column += n > 0 ? n : 0;
}

/* TEXT means itself in YAML without quotes. */
static bool
is_plain(const char *text)
{
	static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "~"};
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_./+=";

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(text, words[i]) == 0)
			return false;
	return *text && text[strspn(text, letters)] == '\0' && *text != '=';
}

/* The character at *TEXT, which is moved behind it; what is no UTF-8 is taken as Latin-1. */
static unsigned
next_character(const char **text)
{
	const unsigned char *at = (const unsigned char *)*text;
	unsigned length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc0 ? 2 : 1;
	unsigned character = length == 1 ? at[0] : at[0] & (0xffu >> (length + 1));

	for (unsigned i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80) {
			*text += 1;
			return at[0];
		}
		character = character << 6 | (at[i] & 0x3fu);
	}
	*text += length;
	return character;
}

/* YAML takes it within double quotes as it is. */
static bool
is_printable(unsigned character)
{
	if (character == 0x2028 || character == 0x2029 || character == 0xfeff)
		return false;
	return (character >= 0x20 && character < 0x7f) ||
	       (character >= 0xa0 && character < 0xd800) ||
	       (character >= 0xe000 && character < 0xfffe) || character >= 0x10000;
}

static void
put_scalar(struct line *line, const char *text)
{
	if (is_plain(text)) {
		put(line, "%s", text);
		return;
	}
	put(line, "\"");
	while (*text) {
		const char *from = text;
		unsigned character = next_character(&text);

		if (character == '"' || character == '\\')
			put(line, "\\%c", (int)character);
		else if (!is_printable(character) || (character >= 0x80 && text == from + 1))
			put(line, "\\U%08x", character);
		else
			put(line, "%.*s", (int)(text - from), from);
	}
	put(line, "\"");
}

/* FIRST and the values behind it. */
static void
put_value(struct line *line, const struct pst_conf *conf, enum pst_option_id id, size_t first)
{
	enum pst_option_kind kind = pst_options[id].kind;
	size_t count = pst_conf_count(conf, id);

	if (kind == PST_KIND_FLAG) {
		put(line, "%s", count ? "true" : "false");
		return;
	}
	if (kind != PST_KIND_LIST && kind != PST_KIND_PATHS) {
		put_scalar(line, pst_conf_text(conf, id));
		return;
	}
	put(line, "[");
	for (size_t i = first; i < count; i++) {
		put(line, "%s", i > first ? ", " : "");
		put_scalar(line, pst_conf_item(conf, id, i));
	}
	put(line, "]");
}

/* The option's own variable, of which there are three. */
static const char *
variable_name(enum pst_option_id id)
{
	switch (id) {
	case PST_OPT_BIND: return "PORT";
	case PST_OPT_WORKERS: return "WEB_CONCURRENCY";
	default: return "FORWARDED_ALLOW_IPS";
	}
}

static void
put_source(struct line *line, const struct pst_conf *top, const struct pst_conf *conf,
    enum pst_option_id id)
{
	put(line, "%*s # ", line->column < COMMENT_COLUMN ? COMMENT_COLUMN - line->column : 0, "");
	if (conf != top && !pst_conf_is_own(conf, id) &&
	    pst_conf_source(conf, id) != PST_FROM_NOWHERE)
		put(line, "from the top: ");
	switch (pst_conf_source(conf, id)) {
	case PST_FROM_NOWHERE: put(line, "not set"); break;
	case PST_FROM_DEFAULT: put(line, "default"); break;
	case PST_FROM_VARIABLE: put(line, "%s of the environment", variable_name(id)); break;
	case PST_FROM_FILE:
		put(line, "%s:%u", pst_conf_text(top, PST_OPT_CONFIG),
		    pst_conf_place(conf, id).line);
		break;
	case PST_FROM_CMD_ARGS: put(line, "PENSTOCK_CMD_ARGS"); break;
	case PST_FROM_COMMAND_LINE: put(line, "command line"); break;
	}
	put(line, "\n");
}

static void
print_option(FILE *out, const struct pst_conf *top, const struct pst_conf *conf,
    enum pst_option_id id, const char *indent)
{
	struct line line = {.out = out};
	size_t first = conf != top && id == PST_OPT_ENV ? pst_conf_count(top, id) : 0;
	bool is_set = pst_conf_count(conf, id) > first || pst_options[id].kind == PST_KIND_FLAG;
	char key[64];

	pst_option_key(id, key, sizeof(key));
	put(&line, "%s%s%s: ", indent, is_set ? "" : "# ", key);
	if (is_set)
		put_value(&line, conf, id, first);
	put_source(&line, top, conf, id);
}

/* Without named pools what is about a pool stands at the top, too. */
static void
print_top(const struct pst_conf *conf, FILE *out)
{
	for (int i = 0; i < PST_OPT_COUNT; i++) {
		enum pst_option_id id = (enum pst_option_id)i;

		if (pst_options[id].scope == PST_SCOPE_TOP ||
		    (pst_options[id].scope == PST_SCOPE_POOL &&
			(pst_conf_is_own(conf, id) || !pst_conf_has_named_pools(conf)) &&
			pst_conf_has_meaning(pst_conf_has_named_pools(conf) ? NULL : conf, id)))
			print_option(out, conf, conf, id, "");
	}
}

static void
print_pool(const struct pst_conf *top, const struct pst_conf *pool, FILE *out)
{
	fprintf(out, "  %s:\n", pst_conf_pool_name(pool));
	for (int i = 0; i < PST_OPT_COUNT; i++) {
		enum pst_option_id id = (enum pst_option_id)i;

		if (pst_options[id].scope == PST_SCOPE_POOL && pst_conf_has_meaning(pool, id))
			print_option(out, top, pool, id, "    ");
	}
}

static void
print_route(const struct pst_conf *conf, size_t i, FILE *out)
{
	const struct pst_conf_route *route = pst_conf_route(conf, i);
	struct line line = {.out = out};

	put(&line, "  - {");
	if (*route->host) {
		put(&line, "host: ");
		put_scalar(&line, route->host);
		put(&line, ", ");
	}
	put(&line, "path: ");
	put_scalar(&line, route->path);
	if (pst_conf_has_named_pools(conf))
		put(&line, ", pool: \"%s\"", route->pool);
	put(&line, "%s}", route->mount ? ", mount: true" : "");
	put(&line, "%*s # %s:%u\n", line.column < COMMENT_COLUMN ? COMMENT_COLUMN - line.column : 0,
	    "", pst_conf_text(conf, PST_OPT_CONFIG), pst_conf_route_place(conf, i).line);
}

void
pst_conf_print(const struct pst_conf *conf, FILE *out)
{
	print_top(conf, out);
	if (pst_conf_has_named_pools(conf)) {
		fputs("pools:\n", out);
		for (size_t i = 0; i < pst_conf_pool_count(conf); i++)
			print_pool(conf, pst_conf_pool(conf, i), out);
	}
	if (pst_conf_route_count(conf))
		fputs("routes:\n", out);
	for (size_t i = 0; i < pst_conf_route_count(conf); i++)
		print_route(conf, i, out);
}
