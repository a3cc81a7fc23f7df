#include "gateway/front/http_field.h"

#include "gateway/front/http_chars.h"
#include "protocol/error.h"

#include <string.h>

static const char *
name_fault(struct pst_http_text name)
{
	char last;

	if (name.len == 0)
		return "empty field name";
	last = name.data[name.len - 1];
	if (last == ' ' || last == '\t')
		return "whitespace before the colon of a field";
	return pst_http_line_fault(name, "invalid character in a field name");
}

int
pst_http_field_parse(struct pst_http_field *field, struct pst_http_text line, const char **reason)
{
	const char *colon = memchr(line.data, ':', line.len);
	struct pst_http_text value;
	unsigned classes;

	if (colon == NULL) {
		*reason = pst_http_line_fault(line, "field line without a colon");
		return PST_ERR_PROTOCOL;
	}
	field->name = (struct pst_http_text){line.data, colon - line.data};
	classes = pst_http_common(field->name);
	if (field->name.len == 0 || !(classes & PST_HTTP_TCHAR)) {
		*reason = name_fault(field->name);
		return PST_ERR_PROTOCOL;
	}
	value = (struct pst_http_text){colon + 1, line.len - field->name.len - 1};
	if (!pst_http_is_value(value)) {
		*reason = pst_http_line_fault(value, "control character in a field value");
		return PST_ERR_PROTOCOL;
	}
	field->value = pst_http_trim(value);
	pst_http_field_describe(field, (classes & PST_HTTP_PLAIN) != 0);
	return 0;
}

/* ID if NAME is WORD, whose length it has. */
static inline PST_HTTP_ALWAYS_INLINE enum pst_http_name
if_is(struct pst_http_text name, const char *word, enum pst_http_name id)
{
	return pst_http_same_letters(name.data, word, strlen(word)) ? id : PST_HTTP_OTHER;
}

/* Length and first letter leave one or two. */
#define KEY(length, first) ((length) << 8 | (first))

enum pst_http_name
pst_http_name_find(struct pst_http_text name)
{
	enum pst_http_name id;

	if (name.len == 0)
		return PST_HTTP_OTHER;
	switch (KEY(name.len, (unsigned char)(name.data[0] | 0x20))) {
	case KEY(2, 't'): return if_is(name, "te", PST_HTTP_TE);
	case KEY(4, 'h'): return if_is(name, "host", PST_HTTP_HOST);
	case KEY(4, 'd'): return if_is(name, "date", PST_HTTP_DATE);
	case KEY(5, 'p'): return if_is(name, "proxy", PST_HTTP_PROXY);
	case KEY(6, 's'):
		id = if_is(name, "status", PST_HTTP_STATUS);
		return id != PST_HTTP_OTHER ? id : if_is(name, "server", PST_HTTP_SERVER);
	case KEY(6, 'e'): return if_is(name, "expect", PST_HTTP_EXPECT);
	case KEY(7, 'u'): return if_is(name, "upgrade", PST_HTTP_UPGRADE);
	case KEY(7, 't'): return if_is(name, "trailer", PST_HTTP_TRAILER);
	case KEY(8, 'l'): return if_is(name, "location", PST_HTTP_LOCATION);
	case KEY(10, 'c'): return if_is(name, "connection", PST_HTTP_CONNECTION);
	case KEY(10, 'k'): return if_is(name, "keep-alive", PST_HTTP_KEEP_ALIVE);
	case KEY(12, 'c'): return if_is(name, "content-type", PST_HTTP_CONTENT_TYPE);
	case KEY(14, 'c'): return if_is(name, "content-length", PST_HTTP_CONTENT_LENGTH);
	case KEY(16, 'p'): return if_is(name, "proxy-connection", PST_HTTP_PROXY_CONNECTION);
	case KEY(17, 't'): return if_is(name, "transfer-encoding", PST_HTTP_TRANSFER_ENCODING);
	default: return PST_HTTP_OTHER;
	}
}

const char *
pst_http_line_fault(struct pst_http_text line, const char *otherwise)
{
	if (memchr(line.data, '\r', line.len) != NULL)
		return "bare CR in a line";
	if (memchr(line.data, '\0', line.len) != NULL)
		return "NUL in a line";
	return otherwise;
}
