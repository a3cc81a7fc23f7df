/* A number in decimal digits, without printf: it is done for each request. */
#ifndef PST_FRONT_DECIMAL_H
#define PST_FRONT_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

/* The digits of 2^64-1. */
#define PST_DECIMAL_MAX 20

/* Write N into DIGITS, without a NUL: how many digits it has. */
static inline size_t
pst_decimal(char digits[PST_DECIMAL_MAX], uint64_t n)
{
	uint64_t above = 10;
	size_t length = 1;

	while (n >= above && length < PST_DECIMAL_MAX) {
		above *= 10;
		length++;
	}
	for (size_t i = length; i-- > 0; n /= 10)
		digits[i] = (char)('0' + n % 10);
	return length;
}

#endif
