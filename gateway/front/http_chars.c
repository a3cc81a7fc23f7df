#include "gateway/front/http_chars.h"

#include "protocol/error.h"

#include <string.h>

/* Sums of enum pst_http_class. Every byte from 0x80 is obs-text: VALUE and QDTEXT. */
const unsigned char pst_http_classes[256] = {
    /* clang-format off */
	  0,   0,   0,   0,   0,   0,   0,   0,   0,  66,   0,   0,   0,   0,   0,   0, /* 00 */
	  0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0, /* 10 */
	 66, 207,   6, 195, 207, 199, 207, 207,  78,  78, 207, 207,  78, 207, 207,  70, /* 20 */
	255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  70,  78,  70,  78,  70,  70, /* 30 */
	 70, 239, 239, 239, 239, 239, 239, 207, 207, 207, 207, 207, 207, 207, 207, 207, /* 40 */
	207, 207, 207, 207, 207, 207, 207, 207, 207, 207, 207,  70,   6,  70, 199,  79, /* 50 */
	199, 239, 239, 239, 239, 239, 239, 207, 207, 207, 207, 207, 207, 207, 207, 207, /* 60 */
	207, 207, 207, 207, 207, 207, 207, 207, 207, 207, 207,  70, 199,  70, 207,   0, /* 70 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* 80 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* 90 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* a0 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* b0 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* c0 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* d0 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* e0 */
	 66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66,  66, /* f0 */
    /* clang-format on */
};

unsigned
pst_http_common(struct pst_http_text text)
{
	const unsigned char *at = (const unsigned char *)text.data;
	unsigned all = 0xff;
	size_t i = 0;

	for (; text.len - i >= 4; i += 4)
		all &= pst_http_classes[at[i]] & pst_http_classes[at[i + 1]] &
		       pst_http_classes[at[i + 2]] & pst_http_classes[at[i + 3]];
	for (; i < text.len; i++)
		all &= pst_http_classes[at[i]];
	return all;
}

/* Not 0 where one of 8 bytes is a control character; tab, which may be, is one. */
static uint64_t
controls_8(const char *bytes)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	uint64_t v, deleted;

	memcpy(&v, bytes, 8);
	deleted = v ^ 0x7f * ones;
	return (((v - 0x20 * ones) & ~v) | ((deleted - ones) & ~deleted)) & tops;
}

#ifdef __GNUC__
typedef unsigned char vector __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

/* The same for 16 bytes, but that it knows tabs. */
static uint64_t
controls_16(const char *bytes)
{
	vector v;
	halves bad;

	memcpy(&v, bytes, sizeof(v));
	bad = (halves)(((v < 0x20) & (v != '\t')) | (v == 0x7f));
	return bad[0] | bad[1];
}
#else
static uint64_t
controls_16(const char *bytes)
{
	return controls_8(bytes) | controls_8(bytes + 8);
}
#endif

bool
pst_http_is_value(struct pst_http_text text)
{
	const char *end = text.data + text.len;
	uint64_t controls = 0;

	if (text.len < 8)
		return pst_http_all(text, PST_HTTP_VALUE);
	if (text.len < 16) {
		controls = controls_8(text.data) | controls_8(end - 8);
	} else {
		for (const char *at = text.data; end - at >= 16; at += 16)
			controls |= controls_16(at);
		controls |= controls_16(end - 16);
	}
	return controls == 0 || pst_http_all(text, PST_HTTP_VALUE);
}

unsigned
pst_http_hex(unsigned char byte)
{
	if (byte <= '9')
		return byte - '0';
	return (byte | 0x20u) - 'a' + 10;
}

bool
pst_http_list_next(struct pst_http_text *rest, struct pst_http_text *element)
{
	size_t len = 0;

	if (rest->data == NULL)
		return false;
	while (len < rest->len && rest->data[len] != ',')
		len++;
	*element = pst_http_trim((struct pst_http_text){rest->data, len});
	if (len == rest->len)
		*rest = (struct pst_http_text){NULL, 0};
	else
		*rest = (struct pst_http_text){rest->data + len + 1, rest->len - len - 1};
	return true;
}

/* Digits that may be too many. */
static int
long_number(struct pst_http_text text, uint64_t *number)
{
	uint64_t n = 0;
	bool beyond = false;

	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned char)text.data[i] - '0';

		if (digit > 9)
			return PST_ERR_PROTOCOL;
		beyond |= n > ((uint64_t)INT64_MAX - digit) / 10;
		n = n * 10 + digit;
	}
	if (beyond)
		return PST_ERR_LIMIT;
	*number = n;
	return 0;
}

int
pst_http_number(struct pst_http_text text, uint64_t *number)
{
	uint64_t n = 0;

	if (text.len == 0)
		return PST_ERR_PROTOCOL;
	if (text.len > 18)
		return long_number(text, number);
	for (const char *at = text.data, *end = at + text.len; at < end; at++) {
		unsigned digit = (unsigned char)*at - '0';

		if (digit > 9)
			return PST_ERR_PROTOCOL;
		n = n * 10 + digit;
	}
	*number = n;
	return 0;
}
