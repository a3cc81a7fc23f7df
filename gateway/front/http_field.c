#include "gateway/front/http_field.h"

#include "gateway/front/http_chars.h"
#include "protocol/error.h"

#include <string.h>

/* The names of each length: at most two, of which the first letter tells. */
static const struct known {
	const char *name;
	enum pst_http_name id;
} names[][2] = {
    [2] = {{"te", PST_HTTP_TE}},
    [4] = {{"host", PST_HTTP_HOST}, {"date", PST_HTTP_DATE}},
    [5] = {{"proxy", PST_HTTP_PROXY}},
    [6] = {{"server", PST_HTTP_SERVER}, {"expect", PST_HTTP_EXPECT}},
    [7] = {{"upgrade", PST_HTTP_UPGRADE}, {"trailer", PST_HTTP_TRAILER}},
    [10] = {{"connection", PST_HTTP_CONNECTION}, {"keep-alive", PST_HTTP_KEEP_ALIVE}},
    [12] = {{"content-type", PST_HTTP_CONTENT_TYPE}},
    [14] = {{"content-length", PST_HTTP_CONTENT_LENGTH}},
    [16] = {{"proxy-connection", PST_HTTP_PROXY_CONNECTION}},
    [17] = {{"transfer-encoding", PST_HTTP_TRANSFER_ENCODING}},
};

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
	field->id = pst_http_name_find(field->name);
	field->hop = pst_http_name_is_hop(field->id);
	field->plain = (classes & PST_HTTP_PLAIN) != 0;
	return 0;
}

enum pst_http_name
pst_http_name_find(struct pst_http_text name)
{
	const struct known *known;

	if (name.len >= sizeof(names) / sizeof(names[0]))
		return PST_HTTP_OTHER;
	known = names[name.len];
	for (int i = 0; i < 2 && known[i].name != NULL; i++)
		if ((name.data[0] | 0x20) == known[i].name[0] &&
		    pst_http_same_letters(name.data, known[i].name, name.len))
			return known[i].id;
	return PST_HTTP_OTHER;
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
