/*
 * The known name that somebody probably meant.
 */
#ifndef PST_GATEWAY_NEAREST_H
#define PST_GATEWAY_NEAREST_H

#include <stddef.h>

#define PST_NEAREST_NAME 63 /* longer names are not compared */

struct pst_nearest {
	const char *word;
	const char *name; /* the best so far; NULL when none is near enough */
	unsigned distance;
};

/* Look for the name nearest to WORD, which must outlive the search. */
void pst_nearest_begin(struct pst_nearest *search, const char *word);

/* Offer NAME, which must outlive the search. Near is a third of the word's letters wrong at most.
 */
void pst_nearest_offer(struct pst_nearest *search, const char *name);

#endif
