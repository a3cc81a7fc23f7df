#include "gateway/front/script.h"

#include "protocol/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool
ends_with(struct pst_http_text text, const char *suffix)
{
	size_t n = strlen(suffix);

	return text.len > n && memcmp(text.data + text.len - n, suffix, n) == 0;
}

/* How much of PATH is the script: up to the end of the first segment with SUFFIX; 0: none. */
static size_t
script_length(struct pst_http_text path, const char *suffix)
{
	size_t begin = 0;

	if (*suffix == '\0')
		return path.len;
	while (begin < path.len) {
		const char *slash = memchr(path.data + begin + 1, '/', path.len - begin - 1);
		size_t end = slash != NULL ? (size_t)(slash - path.data) : path.len;
		struct pst_http_text segment = {path.data + begin + 1, end - begin - 1};

		if (ends_with(segment, suffix))
			return end;
		begin = end;
	}
	return 0;
}

/* PATH is LENGTH bytes of itself, then INDEX, then INFO. */
struct parts {
	size_t length;
	const char *index;
	struct pst_http_text info;
};

static bool
take_apart(struct pst_http_text path, const struct pst_script_rules *rules, struct parts *parts)
{
	bool directory = path.len > 0 && path.data[path.len - 1] == '/';

	*parts = (struct parts){.index = "", .info = {"", 0}};
	if (!directory || *rules->suffix != '\0')
		parts->length = script_length(path, rules->suffix);
	if (parts->length > 0) {
		parts->info =
		    (struct pst_http_text){path.data + parts->length, path.len - parts->length};
		return true;
	}
	parts->index = rules->index;
	if (rules->index[0] != '/') {
		parts->length = path.len;
		return directory;
	}
	return true;
}

static char *
put(char *to, const char *bytes, size_t n)
{
	memcpy(to, bytes, n);
	return to + n;
}

static char *
put_script(char *to, struct pst_http_text path, const struct parts *parts)
{
	to = put(to, path.data, parts->length);
	return put(to, parts->index, strlen(parts->index));
}

static struct pst_http_text
between(const char *from, const char *to)
{
	return (struct pst_http_text){from, (size_t)(to - from)};
}

int
pst_script_find(struct pst_script *script, const struct pst_script_rules *rules,
    struct pst_http_text prefix, struct pst_http_text path)
{
	struct pst_http_text root = {rules->root, strlen(rules->root)};
	struct parts parts;
	size_t name;
	char *at, *info;

	*script = (struct pst_script){0};
	if (!take_apart(path, rules, &parts))
		return 0;
	while (root.len > 0 && root.data[root.len - 1] == '/')
		root.len--;
	name = parts.length + strlen(parts.index);
	at = malloc(prefix.len + 2 * name + 2 * parts.info.len + 2 * root.len + 1);
	if (at == NULL)
		return PST_ERR_NOMEM;
	script->memory = at;
	script->root = root;

	at = put(at, prefix.data, prefix.len);
	info = put_script(at, path, &parts);
	at = put(info, parts.info.data, parts.info.len);
	script->name = between(script->memory, info);
	script->info = between(info, at);
	script->uri = between(script->memory, at);

	script->filename.data = at;
	at = put(at, root.data, root.len);
	at = put_script(at, path, &parts);
	script->filename = between(script->filename.data, at);
	if (parts.info.len > 0) {
		script->translated.data = at;
		at = put(at, root.data, root.len);
		at = put(at, parts.info.data, parts.info.len);
		script->translated = between(script->translated.data, at);
	}
	return 1;
}

void
pst_script_free(struct pst_script *script)
{
	free(script->memory);
	*script = (struct pst_script){0};
}
