#include "gateway/front/utf8.h"

#include <string.h>

/* The first byte of a character (RFC 3629, section 4). Bounds of the second byte rule out overlong
 * forms, surrogates and what is beyond U+10FFFF. */
static bool
begin(struct pst_utf8 *text, unsigned char byte)
{
	text->low = 0x80;
	text->high = 0xbf;
	if (byte < 0xc2 || byte > 0xf4)
		return false;
	text->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
	switch (byte) {
	case 0xe0: text->low = 0xa0; break;
	case 0xed: text->high = 0x9f; break;
	case 0xf0: text->low = 0x90; break;
	case 0xf4: text->high = 0x8f; break;
	default: break;
	}
	return true;
}

/* How many of N bytes are ASCII, to a multiple of eight. */
static size_t
skip_ascii(const unsigned char *bytes, size_t n)
{
	size_t at = 0;

	for (; n - at >= 8; at += 8) {
		uint64_t word;

		memcpy(&word, bytes + at, 8);
		if (word & UINT64_C(0x8080808080808080))
			break;
	}
	return at;
}

bool
pst_utf8_take(struct pst_utf8 *text, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t at = 0; at < n; at++) {
		if (text->left > 0) {
			if (p[at] < text->low || p[at] > text->high)
				return false;
			text->left--;
			text->low = 0x80;
			text->high = 0xbf;
			continue;
		}
		at += skip_ascii(p + at, n - at);
		if (at < n && p[at] >= 0x80 && !begin(text, p[at]))
			return false;
	}
	return true;
}
