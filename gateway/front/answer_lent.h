/*
 * Pieces of an answer's body that lie where they were read, or where their worker wrote them: they
 * are sent from there, without a copy. They come after all else that is to be sent, and are gone
 * when their bytes are (pst_loop_prompt()).
 *
 *	pieces:  [ first ] [ ... ] [ last ]      count of them, bytes in all
 *	         <---- a frame ---->             what one call sends
 */
#ifndef PST_FRONT_ANSWER_LENT_H
#define PST_FRONT_ANSWER_LENT_H

#include <stddef.h>
#include <sys/uio.h>

#define PST_ANSWER_LENT 32

struct pst_answer_lent {
	unsigned count;
	size_t bytes;
	struct iovec pieces[PST_ANSWER_LENT]; /* the last member, of which only COUNT are set */
};

/* Add N bytes; there must be fewer than PST_ANSWER_LENT pieces. */
void pst_answer_lent_add(struct pst_answer_lent *lent, const void *bytes, size_t n);
/* Show the first N bytes, at most all: how many of PIECES, which has room for all, they take. */
unsigned pst_answer_lent_show(const struct pst_answer_lent *lent, size_t n, struct iovec *pieces);
/* The first N bytes are done with. */
void pst_answer_lent_consume(struct pst_answer_lent *lent, size_t n);

#endif
