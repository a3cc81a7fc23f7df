#include "gateway/arbiter/share.h"

unsigned
pst_share_number(unsigned slot, unsigned of)
{
	return (slot - 1) % of + 1;
}

bool
pst_share_has(struct pst_share share, unsigned slot)
{
	return pst_share_number(slot, share.of) == share.number;
}

unsigned long long
pst_share_part(struct pst_share share, unsigned long long whole)
{
	return whole / share.of + (share.number <= whole % share.of);
}
