#include "gateway/arbiter/share.h"

bool
pst_share_has(struct pst_share share, unsigned slot)
{
	return (slot - 1) % share.of == share.number - 1;
}

unsigned long long
pst_share_part(struct pst_share share, unsigned long long whole)
{
	return whole / share.of + (share.number <= whole % share.of);
}
