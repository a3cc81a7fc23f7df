/* A number in decimal digits, without printf: it is done for each request. */
#ifndef PST_FRONT_DECIMAL_H
#define PST_FRONT_DECIMAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The digits of 2^64-1. */
#define PST_DECIMAL_MAX 20

/* Write N into DIGITS, without a NUL: how many digits it has. */
static inline size_t
pst_decimal(char digits[PST_DECIMAL_MAX], uint64_t n)
{
	char reversed[PST_DECIMAL_MAX];
	size_t at = sizeof(reversed), length;

	for (; n > UINT32_MAX; n /= 10)
		reversed[--at] = (char)('0' + n % 10);
	/* Most numbers are small, for which shorter instructions do. */
	for (uint32_t few = (uint32_t)n;; few /= 10) {
		reversed[--at] = (char)('0' + few % 10);
		if (few < 10)
			break;
	}
	length = sizeof(reversed) - at;
	memcpy(digits, reversed + at, length);
	return length;
}

#endif
