#include "gateway/front/trailers.h"

#include "gateway/front/http_chars.h"
#include "gateway/front/http_field.h"
#include "protocol/error.h"

#include <string.h>
#include <strings.h>

static const char *const refused[] = {
    "accept-ranges",
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "warning",
    "www-authenticate",
};

static bool
text_is(struct pst_http_text text, const char *word)
{
	return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

bool
pst_trailers_are_wanted(const struct pst_http_request *request)
{
	struct pst_http_text value, option;

	for (size_t i = 0; request->minor > 0 && i < request->field_count; i++) {
		if (!text_is(request->fields[i].name, "te"))
			continue;
		value = request->fields[i].value;
		while (pst_http_list_next(&value, &option)) {
			if (text_is(option, "trailers"))
				return true;
		}
	}
	return false;
}

static const char *
fault_of(struct pst_http_text name, struct pst_http_text value)
{
	if (name.len == 0 || !pst_http_all(name, PST_HTTP_TCHAR))
		return "a name that is not a token";
	if (!pst_http_is_value(value))
		return "a control character in the value";
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (text_is(name, refused[i]))
			return "a field that cannot follow the body";
	}
	return NULL;
}

int
pst_trailers_add(
    struct pst_buf *out, struct pst_http_text name, struct pst_http_text value, const char **reason)
{
	*reason = fault_of(name, value);
	if (*reason != NULL)
		return PST_ERR_PROTOCOL;
	value = pst_http_trim(value);
	if (pst_buf_reserve(out, name.len + value.len + 4) == NULL)
		return PST_ERR_NOMEM;
	(void)pst_buf_append(out, name.data, name.len);
	(void)pst_buf_append(out, ": ", 2);
	if (value.len > 0)
		(void)pst_buf_append(out, value.data, value.len);
	(void)pst_buf_append(out, "\r\n", 2);
	return 0;
}
