#include "gateway/front/http_chars.h"

#include "protocol/error.h"

#include <string.h>

/* Sums of enum pst_http_class. Every byte from 0x80 is obs-text: VALUE and QDTEXT. */
const unsigned char pst_http_classes[256] = {
    /* clang-format off */
	  0,   0,   0,   0,   0,   0,   0,   0,   0,  66,   0,   0,   0,   0,   0,   0, /* 00 */
	  0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0, /* 10 */
	 66,  79,   6,  67,  79,  71,  79,  79,  78,  78,  79,  79,  78,  79,  79,  70, /* 20 */
	127, 127, 127, 127, 127, 127, 127, 127, 127, 127,  70,  78,  70,  78,  70,  70, /* 30 */
	 70, 111, 111, 111, 111, 111, 111,  79,  79,  79,  79,  79,  79,  79,  79,  79, /* 40 */
	 79,  79,  79,  79,  79,  79,  79,  79,  79,  79,  79,  70,   6,  70,  71,  79, /* 50 */
	 71, 111, 111, 111, 111, 111, 111,  79,  79,  79,  79,  79,  79,  79,  79,  79, /* 60 */
	 79,  79,  79,  79,  79,  79,  79,  79,  79,  79,  79,  70,  71,  70,  79,   0, /* 70 */
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

bool
pst_http_all(struct pst_http_text text, enum pst_http_class class)
{
	unsigned all = class;

	for (size_t i = 0; i < text.len; i++)
		all &= pst_http_classes[(unsigned char)text.data[i]];
	return all != 0;
}

#ifdef __GNUC__
typedef unsigned char vector __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

/* How many of N bytes were looked at, all of them in the class; less than 16 are left, or the rest
 * holds one that is not. */
static size_t
skip_values(const char *bytes, size_t n)
{
	size_t done = 0;

	for (; n - done >= sizeof(vector); done += sizeof(vector)) {
		vector v;
		halves bad;

		memcpy(&v, bytes + done, sizeof(v));
		bad = (halves)(((v < 0x20) & (v != '\t')) | (v == 0x7f));
		if ((bad[0] | bad[1]) != 0)
			break;
	}
	return done;
}
#else
static size_t
skip_values(const char *bytes, size_t n)
{
	(void)bytes;
	(void)n;
	return 0;
}
#endif

bool
pst_http_is_value(struct pst_http_text text)
{
	size_t done = text.len >= 16 ? skip_values(text.data, text.len) : 0;

	return pst_http_all(
	    (struct pst_http_text){text.data + done, text.len - done}, PST_HTTP_VALUE);
}

unsigned
pst_http_hex(unsigned char byte)
{
	if (byte <= '9')
		return byte - '0';
	return (byte | 0x20u) - 'a' + 10;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct pst_http_text
pst_http_trim(struct pst_http_text text)
{
	while (text.len > 0 && is_blank(text.data[0])) {
		text.data++;
		text.len--;
	}
	while (text.len > 0 && is_blank(text.data[text.len - 1]))
		text.len--;
	return text;
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

int
pst_http_number(struct pst_http_text text, uint64_t *number)
{
	uint64_t n = 0;

	if (text.len == 0 || !pst_http_all(text, PST_HTTP_DIGIT))
		return PST_ERR_PROTOCOL;
	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = text.data[i] - '0';

		if (n > ((uint64_t)INT64_MAX - digit) / 10)
			return PST_ERR_LIMIT;
		n = n * 10 + digit;
	}
	*number = n;
	return 0;
}
