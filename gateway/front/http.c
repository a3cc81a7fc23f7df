#include "gateway/front/http.h"

const struct pst_http_limits PST_HTTP_DEFAULT_LIMITS = {
    .line = 4094,
    .field = 8190,
    .fields = 100,
    .head = 65536,
    .extensions = 16384,
    .trailers = 8192,
    .map = PST_HTTP_MAP_DROP,
};

bool
pst_http_text_is(struct pst_http_text text, const char *word)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (word[i] == '\0' || c != word[i])
			return false;
	}
	return word[text.len] == '\0';
}
