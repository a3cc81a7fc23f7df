/* UTF-8 (RFC 3629), checked as its bytes come. */
#ifndef PST_GATEWAY_FRONT_UTF8_H
#define PST_GATEWAY_FRONT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Within a character: how many bytes are still to come, and between what the next one lies. A
 * struct of zero bytes stands between two characters. */
struct pst_utf8 {
	uint8_t left;
	uint8_t low;
	uint8_t high;
};

/* Take N bytes: false at the first one that no text goes on with; TEXT is of no use then. */
bool pst_utf8_take(struct pst_utf8 *text, const void *bytes, size_t n);

/* What was taken may end here. */
static inline bool
pst_utf8_may_end(const struct pst_utf8 *text)
{
	return text->left == 0;
}

#endif
