#include "gateway/board.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE  (PST_BOARD_PLACES * sizeof(uint64_t))
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && sizeof(_Atomic uint64_t) == 8,
    "words that several processes see need atomic access");

int
pst_board_create(void)
{
	int fd = memfd_create("penstock-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, SIZE) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)) {
		int err = errno;

		close(fd);
		errno = err;
		fd = -1;
	}
	return fd;
}

int
pst_board_map(struct pst_board *board, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *bytes;

	if (seals < 0 || fstat(fd, &st) < 0)
		return -1;
	if ((seals & SEALS) != SEALS || st.st_size != SIZE) {
		errno = EINVAL;
		return -1;
	}
	bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
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
