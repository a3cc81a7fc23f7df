#include "protocol/page_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_MAPPED (1 << 20)
/* Ids of requests are 1 to 65535. */
#define WORDS_MOST 65535

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void *
map_bytes(int fd, size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return bytes == MAP_FAILED ? NULL : bytes;
}

static int
set_up(int fd, size_t size)
{
	void *bytes;

	if (ftruncate(fd, (off_t)size) < 0)
		return -1;
	bytes = map_bytes(fd, size);
	if (!bytes)
		return -1;
	pst_page_init(bytes, size);
	munmap(bytes, size);
	return fcntl(fd, F_ADD_SEALS, SEALS);
}

int
pst_page_create(size_t words)
{
	int fd = memfd_create("penstock-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t size = PST_PAGE_HEADER + 8 * words;

	assert(words <= WORDS_MOST);
	size += PST_PAGE_SIZE - 1 - (size - 1) % PST_PAGE_SIZE;
	if (fd >= 0 && set_up(fd, size) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		fd = -1;
	}
	return fd;
}

int
pst_page_map(struct pst_page *page, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *bytes;

	if (seals < 0 || fstat(fd, &st) < 0)
		return -1;
	if ((seals & SEALS) != SEALS || st.st_size < PST_PAGE_HEADER ||
	    st.st_size > SIZE_MAX_MAPPED) {
		errno = EINVAL;
		return -1;
	}
	bytes = map_bytes(fd, (size_t)st.st_size);
	if (!bytes)
		return -1;
	if (pst_page_view(page, bytes, (size_t)st.st_size) == 0)
		return 0;
	munmap(bytes, (size_t)st.st_size);
	errno = EINVAL;
	return -1;
}

void
pst_page_unmap(struct pst_page *page)
{
	if (page->bytes)
		munmap(page->bytes, PST_PAGE_HEADER + page->words * 8);
	*page = (struct pst_page){0};
}
