#include "gateway/escape.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The length of the UTF-8 character at BYTES and its code point in *CODE; 0 when it is none. */
static size_t
utf8_decode(const unsigned char *bytes, size_t n, uint32_t *code)
{
	static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = bytes[0] < 0x80                       ? 1
			: bytes[0] >= 0xc2 && bytes[0] < 0xe0 ? 2
			: bytes[0] >= 0xe0 && bytes[0] < 0xf0 ? 3
			: bytes[0] >= 0xf0 && bytes[0] < 0xf5 ? 4
							      : 0;

	if (length == 0 || length > n)
		return 0;
	*code = length == 1 ? bytes[0] : bytes[0] & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (bytes[i] & 0x3f);
	}
	if (*code < smallest[length] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return length;
}

static bool
is_harmless(uint32_t code)
{
	return code >= 0x20 && !(code >= 0x7f && code < 0xa0) && code != 0x2028 && code != 0x2029;
}

/* One byte as \n or \xHH into TO; its length. */
static size_t
escape_byte(unsigned char byte, char to[4])
{
	static const char hex[] = "0123456789abcdef";
	const char *names = "\nn\rr\tt";

	to[0] = '\\';
	for (; *names; names += 2) {
		if ((unsigned char)names[0] == byte) {
			to[1] = names[1];
			return 2;
		}
	}
	to[1] = 'x';
	to[2] = hex[byte >> 4];
	to[3] = hex[byte & 15];
	return 4;
}

size_t
pst_escape_line(char *to, size_t size, const char *bytes, size_t n)
{
	const unsigned char *at = (const unsigned char *)bytes, *end = at + n;
	size_t length = 0, cut = 0; /* cut: where "..." still fits */

	assert(size >= 3);
	while (at < end) {
		uint32_t code = 0;
		size_t taken = utf8_decode(at, end - at, &code);
		char escaped[4];
		const void *piece = at;
		size_t piece_length = taken;

		if (taken == 0 || !is_harmless(code)) {
			taken = 1;
			piece_length = escape_byte(*at, escaped);
			piece = escaped;
		}
		if (piece_length > size - length) {
			memcpy(to + cut, "...", 3);
			return cut + 3;
		}
		memcpy(to + length, piece, piece_length);
		length += piece_length;
		at += taken;
		if (length + 3 <= size)
			cut = length;
	}
	return length;
}
