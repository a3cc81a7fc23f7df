#include "gateway/board.h"

#include "protocol/sealed.h"

#include <errno.h>
#include <sys/mman.h>

#define SIZE (PST_BOARD_PLACES * sizeof(uint64_t))

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && sizeof(_Atomic uint64_t) == 8,
    "words that several processes see need atomic access");

int
pst_board_create(void)
{
	return pst_sealed_create("penstock-board", SIZE);
}

int
pst_board_map(struct pst_board *board, int fd)
{
	off_t size = pst_sealed_size(fd);
	void *bytes;

	if (size < 0)
		return -1;
	if (size != SIZE) {
		errno = EINVAL;
		return -1;
	}
	bytes = pst_sealed_map(fd, SIZE);
	if (!bytes)
		return -1;
	board->words = bytes;
	return 0;
}

void
pst_board_unmap(struct pst_board *board)
{
	if (board->words)
		munmap((void *)board->words, SIZE);
	board->words = NULL;
}

/* A word is 0, or one more than the number of clients. */
void
pst_board_show(const struct pst_board *board, unsigned place, uint64_t clients)
{
	atomic_store_explicit(&board->words[place], clients + 1, memory_order_relaxed);
}

void
pst_board_hide(const struct pst_board *board, unsigned place)
{
	atomic_store_explicit(&board->words[place], 0, memory_order_relaxed);
}

bool
pst_board_is_turn(const struct pst_board *board, uint64_t mates, uint64_t clients)
{
	for (unsigned place = 0; place < PST_BOARD_PLACES; place++) {
		uint64_t word;

		if (!(mates >> place & 1))
			continue;
		word = atomic_load_explicit(&board->words[place], memory_order_relaxed);
		if (word > 0 && clients > word - 1 && clients - (word - 1) > 1 + (word - 1) / 8)
			return false;
	}
	return true;
}
