/* What an adapter tells of itself in its page: that its loop comes round, and its CPU time. */
#ifndef PST_ADAPTERS_VITALS_H
#define PST_ADAPTERS_VITALS_H

#include "protocol/page.h"

/* All 0 at first. */
struct pst_vitals {
	struct pst_page_vitals last; /* as it stands in the page */
	uint64_t cpu_asked; /* when */
};

/* The loop comes round: leave word of it in PAGE, which may be NULL. */
void pst_vitals_tell(struct pst_vitals *vitals, struct pst_page *page);

#endif
