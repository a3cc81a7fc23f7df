#include "gateway/nearest.h"

#include <string.h>

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance, one row at a time. */
static unsigned
distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[PST_NEAREST_NAME + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned above = row[j];

			row[j] =
			    least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

void
pst_nearest_begin(struct pst_nearest *search, const char *word)
{
	search->word = word;
	search->name = NULL;
	search->distance = (unsigned)(strlen(word) + 2) / 3 + 1;
}

void
pst_nearest_offer(struct pst_nearest *search, const char *name)
{
	size_t word_len = strlen(search->word), name_len = strlen(name);
	unsigned d;

	if (word_len > PST_NEAREST_NAME || name_len > PST_NEAREST_NAME)
		return;
	d = distance(search->word, word_len, name, name_len);
	if (d < search->distance) {
		search->name = name;
		search->distance = d;
	}
}
