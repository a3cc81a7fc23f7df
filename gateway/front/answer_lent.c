#include "gateway/front/answer_lent.h"

#include <assert.h>
#include <string.h>

void
pst_answer_lent_add(struct pst_answer_lent *lent, const void *bytes, size_t n)
{
	assert(lent->count < PST_ANSWER_LENT);
	lent->pieces[lent->count++] = (struct iovec){(void *)bytes, n};
	lent->bytes += n;
}

unsigned
pst_answer_lent_show(const struct pst_answer_lent *lent, size_t n, struct iovec *pieces)
{
	unsigned count = 0;

	assert(n <= lent->bytes);
	while (n > 0) {
		pieces[count] = lent->pieces[count];
		if (pieces[count].iov_len > n)
			pieces[count].iov_len = n;
		n -= pieces[count++].iov_len;
	}
	return count;
}

void
pst_answer_lent_consume(struct pst_answer_lent *lent, size_t n)
{
	unsigned gone = 0;

	assert(n <= lent->bytes);
	lent->bytes -= n;
	while (gone < lent->count && n >= lent->pieces[gone].iov_len)
		n -= lent->pieces[gone++].iov_len;
	lent->count -= gone;
	memmove(lent->pieces, lent->pieces + gone, lent->count * sizeof(lent->pieces[0]));
	if (n == 0)
		return;
	lent->pieces[0].iov_base = (char *)lent->pieces[0].iov_base + n;
	lent->pieces[0].iov_len -= n;
}
