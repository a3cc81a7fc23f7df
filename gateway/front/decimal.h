/* A number in decimal digits, without printf: it is done for each request. */
#ifndef PST_FRONT_DECIMAL_H
#define PST_FRONT_DECIMAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The digits of 2^64-1. */
#define PST_DECIMAL_MAX 20

/* The same for a number below 100,000, as nearly all are: N / 10^4 as a fixed-point number, of
 * which each step brings the next digit before the point. */
static inline size_t
pst_decimal_small(char digits[PST_DECIMAL_MAX], uint32_t n)
{
	uint64_t point = (uint64_t)n * (((uint64_t)1 << 32) / 10000 + 1);
	size_t skipped = (n < 10) + (n < 100) + (n < 1000) + (n < 10000);
	char all[16] = {0};

	all[0] = (char)('0' + (point >> 32));
	point = (point & UINT32_MAX) * 10;
	all[1] = (char)('0' + (point >> 32));
	point = (point & UINT32_MAX) * 10;
	all[2] = (char)('0' + (point >> 32));
	point = (point & UINT32_MAX) * 10;
	all[3] = (char)('0' + (point >> 32));
	point = (point & UINT32_MAX) * 10;
	all[4] = (char)('0' + (point >> 32));
	memcpy(digits, all + skipped, 8);
	return 5 - skipped;
}

/* Write N into DIGITS, without a NUL: how many digits it has. */
static inline size_t
pst_decimal(char digits[PST_DECIMAL_MAX], uint64_t n)
{
	char reversed[PST_DECIMAL_MAX];
	size_t at = sizeof(reversed), length;

	if (n < 100000)
		return pst_decimal_small(digits, (uint32_t)n);
	for (; n > 0; n /= 10)
		reversed[--at] = (char)('0' + n % 10);
	length = sizeof(reversed) - at;
	memcpy(digits, reversed + at, length);
	return length;
}

#endif
