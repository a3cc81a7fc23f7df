#include "protocol/page_map.h"

#include "protocol/sealed.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE_MAX_MAPPED (1 << 20)
/* Ids of requests are 1 to 65535. */
#define WORDS_MOST 65535

int
pst_page_create(size_t words)
{
	size_t size = PST_PAGE_HEADER + 8 * words;
	void *bytes;
	int fd;

	assert(words <= WORDS_MOST);
	size += PST_PAGE_SIZE - 1 - (size - 1) % PST_PAGE_SIZE;
	fd = pst_sealed_create("penstock-page", size);
	if (fd < 0)
		return -1;
	bytes = pst_sealed_map(fd, size);
	if (!bytes) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	pst_page_init(bytes, size);
	munmap(bytes, size);
	return fd;
}

int
pst_page_map(struct pst_page *page, int fd)
{
	off_t size = pst_sealed_size(fd);
	void *bytes;

	if (size < 0)
		return -1;
	if (size < PST_PAGE_HEADER || size > SIZE_MAX_MAPPED) {
		errno = EINVAL;
		return -1;
	}
	bytes = pst_sealed_map(fd, (size_t)size);
	if (!bytes)
		return -1;
	if (pst_page_view(page, bytes, (size_t)size) == 0)
		return 0;
	munmap(bytes, (size_t)size);
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
