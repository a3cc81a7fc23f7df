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
pst_http_same_letters(const char *text, const char *word, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (c != word[i])
			return false;
	}
	return true;
}
