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

static char
lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* The same for 8 bytes, each in its place. */
static uint64_t
lower_8(uint64_t bytes)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	uint64_t low = bytes & ~tops;
	uint64_t from_a = low + (0x80 - 'A') * ones, above_z = low + (0x7f - 'Z') * ones;

	return bytes | (((from_a ^ above_z) & ~bytes & tops) >> 2);
}

static bool
same_8(const char *text, const char *word)
{
	uint64_t a, b;

	memcpy(&a, text, 8);
	memcpy(&b, word, 8);
	return lower_8(a) == b;
}

static bool
same_4(const char *text, const char *word)
{
	uint32_t a, b;

	memcpy(&a, text, 4);
	memcpy(&b, word, 4);
	return lower_8(a) == b;
}

bool
pst_http_same_letters(const char *text, const char *word, size_t n)
{
	size_t i = 0;

	for (; n - i >= 8; i += 8)
		if (!same_8(text + i, word + i))
			return false;
	if (i > 0 && i < n)
		return same_8(text + n - 8, word + n - 8);
	if (n - i >= 4)
		return same_4(text + i, word + i) && same_4(text + n - 4, word + n - 4);
	for (; i < n; i++)
		if (lower(text[i]) != word[i])
			return false;
	return true;
}
