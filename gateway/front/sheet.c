#include "gateway/front/sheet.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* So much more is reserved at a time. */
#define STEP ((size_t)65536)
/* A larger one is not kept. */
#define KEPT_MOST (4 * STEP)
/* So many are kept beyond those that are in use. */
#define SPARE 4

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

struct pst_sheets {
	LIST_HEAD(, pst_sheet) idle; /* the last one that was used first */
	unsigned idle_count;
	unsigned used;
	bool closed;
};

struct pst_sheets *
pst_sheets_new(void)
{
	return calloc(1, sizeof(struct pst_sheets));
}

static void
destroy(struct pst_sheet *sheet)
{
	if (sheet->bytes != NULL)
		munmap(sheet->bytes, PST_SHEET_SIZE);
	if (sheet->fd >= 0)
		close(sheet->fd);
	free(sheet);
}

static void
drop_idle(struct pst_sheets *sheets)
{
	struct pst_sheet *sheet = LIST_FIRST(&sheets->idle);

	LIST_REMOVE(sheet, idle);
	sheets->idle_count--;
	destroy(sheet);
}

void
pst_sheets_free(struct pst_sheets *sheets)
{
	if (sheets == NULL)
		return;
	while (sheets->idle_count > 0)
		drop_idle(sheets);
	sheets->closed = true;
	if (sheets->used == 0)
		free(sheets);
}

/* Only the mapping that is there by then can be written to. */
static int
seal(int fd)
{
	return fcntl(
	    fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
}

static int
set_up(struct pst_sheet *sheet)
{
	void *bytes;

	sheet->fd = memfd_create("penstock-body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (sheet->fd < 0 || ftruncate(sheet->fd, (off_t)PST_SHEET_SIZE) < 0)
		return -1;
	bytes = mmap(NULL, PST_SHEET_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, sheet->fd, 0);
	if (bytes == MAP_FAILED)
		return -1;
	sheet->bytes = bytes;
	return seal(sheet->fd);
}

static struct pst_sheet *
create(struct pst_sheets *sheets)
{
	struct pst_sheet *sheet = calloc(1, sizeof(*sheet));

	if (sheet == NULL)
		return NULL;
	sheet->sheets = sheets;
	sheet->fd = -1;
	if (set_up(sheet) == 0)
		return sheet;
	destroy(sheet);
	return NULL;
}

struct pst_sheet *
pst_sheet_take(struct pst_sheets *sheets)
{
	struct pst_sheet *sheet = LIST_FIRST(&sheets->idle);

	assert(!sheets->closed);
	if (sheet != NULL) {
		LIST_REMOVE(sheet, idle);
		sheets->idle_count--;
	} else {
		sheet = create(sheets);
	}
	sheets->used += sheet != NULL;
	return sheet;
}

/* By fallocate(), which can fail, where a store to the mapping would be a signal. */
int
pst_sheet_reserve(struct pst_sheet *sheet, size_t n)
{
	size_t size = (n + STEP - 1) / STEP * STEP;
	int err;

	assert(n <= PST_SHEET_SIZE);
	if (n <= sheet->size)
		return 0;
	do
		err = fallocate(sheet->fd, 0, (off_t)sheet->size, (off_t)(size - sheet->size));
	while (err < 0 && errno == EINTR);
	if (err < 0)
		return -1;
	sheet->size = size;
	return 0;
}

void
pst_sheet_release(struct pst_sheet *sheet, bool spent)
{
	struct pst_sheets *sheets = sheet->sheets;

	sheets->used--;
	while (sheets->idle_count > sheets->used + SPARE)
		drop_idle(sheets);
	if (spent || sheets->closed || sheet->size > KEPT_MOST ||
	    sheets->idle_count == sheets->used + SPARE) {
		destroy(sheet);
	} else {
		LIST_INSERT_HEAD(&sheets->idle, sheet, idle);
		sheets->idle_count++;
	}
	if (sheets->closed && sheets->used == 0)
		free(sheets);
}
