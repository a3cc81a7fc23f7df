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
	char reversed[PST_DECIMAL_MAX];
	size_t length = 0;

	do
		reversed[length++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	for (size_t i = 0; i < length; i++)
		digits[i] = reversed[length - 1 - i];
	return length;
}

#endif
