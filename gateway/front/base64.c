#include "gateway/front/base64.h"

#include <stdint.h>

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t
pst_base64_decode(char *to, size_t size, const char *text, size_t n)
{
	uint32_t bits = 0;
	unsigned have = 0; /* bits in BITS that were not written yet */
	size_t length = 0;

	for (size_t i = 0; i < n && length < size; i++) {
		int value = value_of(text[i]);

		if (value < 0)
			break;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[length++] = (char)(bits >> have & 0xff);
		}
	}
	return length;
}

void
pst_base64_encode(char *to, const void *bytes, size_t n)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = bytes;

	for (size_t at = 0; at < n; at += 3) {
		size_t left = n - at;
		uint32_t bits = (uint32_t)p[at] << 16;

		if (left > 1)
			bits |= (uint32_t)p[at + 1] << 8;
		if (left > 2)
			bits |= p[at + 2];
		*to++ = alphabet[bits >> 18];
		*to++ = alphabet[bits >> 12 & 63];
		*to++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
		*to++ = left > 2 ? alphabet[bits & 63] : '=';
	}
}
