/*
 * A bounded list of sentences: what is wrong with a configuration.
 */
#ifndef PST_GATEWAY_SENTENCES_H
#define PST_GATEWAY_SENTENCES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define PST_SENTENCES_MAX    50
#define PST_SENTENCES_LENGTH 640 /* what is longer is cut */

/* All zero is an empty list. */
struct pst_sentences {
	char **list;
	size_t count;
	bool is_cut; /* there were more, or memory was short */
};

void pst_sentences_add(struct pst_sentences *sentences, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void pst_sentences_free(struct pst_sentences *sentences);

/* How many there are, counting one that says that there were more. */
size_t pst_sentences_count(const struct pst_sentences *sentences);
const char *pst_sentences_text(const struct pst_sentences *sentences, size_t i);

#endif
