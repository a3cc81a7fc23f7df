/*
 * What one of several gateways gets of what is there once: which slots of a crew, how much of a
 * limit. Pure arithmetic.
 */
#ifndef PST_ARBITER_SHARE_H
#define PST_ARBITER_SHARE_H

#include <stdbool.h>

/* The share of gateway NUMBER, from 1, of OF. */
struct pst_share {
	unsigned number;
	unsigned of;
};

/* The number of the share of OF that has slot SLOT, from 1. Of slots 1 to N each share has as many
 * as any other, or one more; none is without one where N is at least OF. */
unsigned pst_share_number(unsigned slot, unsigned of);
bool pst_share_has(struct pst_share share, unsigned slot);

/* How much of WHOLE is SHARE's: the parts make the whole, the first ones have what is left over. */
unsigned long long pst_share_part(struct pst_share share, unsigned long long whole);

#endif
