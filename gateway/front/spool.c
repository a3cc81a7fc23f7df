#include "gateway/front/spool.h"

#include "protocol/buf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Consumed bytes of a file are given back to the disk in pieces of this size. */
#define PUNCH (1024 * 1024)

/*
 * All bytes that are held, by their place in the body:
 *
 *	base           base + memory             total
 *	 | memory       | file: [file_start, file_end) |
 *	       ^ front, somewhere between base and total
 *
 * A queue drops what was consumed: in memory front is always at base. A spool that keeps has base
 * 0. In the file nothing before file_front is needed; [0, file_freed) was given back to the disk.
 * When everything of a queue is consumed, the file is emptied and file_* return to 0.
 */
struct pst_spool {
	struct pst_spool_budget *budget;
	enum pst_spool_kind kind;
	size_t memory_limit;
	uint64_t file_limit;
	int error;

	struct pst_buf memory;
	size_t memory_front; /* of the bytes in memory: consumed, but kept */
	struct pst_sheet *sheet; /* the memory is its, not pst_buf's; NULL: it is not */
	bool lent; /* somebody may read from its descriptors */
	bool spent; /* somebody may for ever */

	int fd; /* -1: no file yet */
	uint64_t file_front;
	uint64_t file_end;
	uint64_t file_freed; /* a multiple of PUNCH */

	uint64_t total;
};

const char *
pst_spool_error_string(int err)
{
	switch (err) {
	case PST_SPOOL_OK: return "no error";
	case PST_SPOOL_ERR_MEMORY: return "out of memory";
	case PST_SPOOL_ERR_LIMIT: return "the body is larger than its limit";
	case PST_SPOOL_ERR_BUDGET: return "all bodies together reach their limit";
	case PST_SPOOL_ERR_FULL: return "no space left in the spool directory";
	case PST_SPOOL_ERR_IO: return "reading or writing the spool file failed";
	default: return "unknown error";
	}
}

/* --- the file --- */

static int
system_error(struct pst_spool *spool, int err)
{
	spool->error = err;
	return err == ENOSPC || err == EDQUOT || err == EFBIG ? PST_SPOOL_ERR_FULL
							      : PST_SPOOL_ERR_IO;
}

/* For file systems without O_TMPFILE (overlayfs of old, NFS). */
static int
open_and_unlink(const char *directory)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/penstock-body-XXXXXX", directory);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* A descriptor, or -1 with errno set. */
static int
open_in(const char *directory)
{
	int fd;

	assert(directory);
	fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		fd = open_and_unlink(directory);
	return fd;
}

int
pst_spool_try(const struct pst_spool_budget *budget)
{
	int fd = open_in(budget->directory);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
open_file(struct pst_spool *spool)
{
	spool->fd = open_in(spool->budget->directory);
	return spool->fd < 0 ? system_error(spool, errno) : 0;
}

/* Write behind file_end, which stays: after an error the bytes are written over or cut off. */
static int
write_file(struct pst_spool *spool, const char *bytes, size_t n)
{
	uint64_t at = spool->file_end;

	while (n > 0) {
		ssize_t written = pwrite(spool->fd, bytes, n, (off_t)at);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			int err = system_error(spool, written < 0 ? errno : ENOSPC);

			/* What was written of it would take up space that nobody counts. */
			while (ftruncate(spool->fd, (off_t)spool->file_end) < 0 && errno == EINTR)
				continue;
			return err;
		}
		bytes += written;
		at += written;
		n -= written;
	}
	return 0;
}

static uint64_t
file_held(const struct pst_spool *spool)
{
	return spool->file_end - spool->file_freed;
}

static int
append_file(struct pst_spool *spool, const void *bytes, size_t n)
{
	int err;

	if (n == 0)
		return 0;
	if (n > spool->file_limit || file_held(spool) > spool->file_limit - n)
		return PST_SPOOL_ERR_LIMIT;
	if (n > spool->budget->file_limit || spool->budget->file > spool->budget->file_limit - n)
		return PST_SPOOL_ERR_BUDGET;
	if (spool->fd < 0 && (err = open_file(spool)) < 0)
		return err;
	err = write_file(spool, bytes, n);
	if (err < 0)
		return err;
	spool->file_end += n;
	spool->budget->file += n;
	return 0;
}

/* Everything in the file was consumed, or is given up. */
static void
empty_file(struct pst_spool *spool)
{
	if (spool->fd < 0)
		return;
	spool->budget->file -= file_held(spool);
	spool->file_front = spool->file_end = spool->file_freed = 0;
	/* Closing gives back a descriptor and all of the disk, and cannot fail. */
	close(spool->fd);
	spool->fd = -1;
}

/*
 * Give consumed pieces of the file back to the disk; where that is not possible they stay
 * counted.
 */
static void
punch_file(struct pst_spool *spool)
{
	uint64_t until = spool->file_front / PUNCH * PUNCH;

	if (until == spool->file_freed)
		return;
	if (fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)spool->file_freed, (off_t)(until - spool->file_freed)) < 0)
		return;
	spool->budget->file -= until - spool->file_freed;
	spool->file_freed = until;
}

/* --- the memory --- */

size_t
pst_spool_memory_room(const struct pst_spool *spool)
{
	size_t held = pst_buf_length(&spool->memory);

	if (spool->file_end > 0)
		return 0;
	return held < spool->memory_limit ? spool->memory_limit - held : 0;
}

/* The bytes that pst_buf has allocated are what counts, not the ones that it holds. */
static void
count_memory(struct pst_spool *spool, size_t before)
{
	spool->budget->memory += spool->memory.size;
	spool->budget->memory -= before;
}

static void
free_memory(struct pst_spool *spool)
{
	size_t before = spool->memory.size;

	if (spool->sheet != NULL) {
		pst_sheet_release(spool->sheet, spool->spent || spool->lent);
		spool->sheet = NULL;
		spool->budget->sheets--;
		spool->memory = (struct pst_buf){0};
	}
	pst_buf_free(&spool->memory);
	spool->memory_front = 0;
	count_memory(spool, before);
}

/* How many of N bytes go to memory. */
static size_t
memory_share(const struct pst_spool *spool, size_t n)
{
	const struct pst_spool_budget *budget = spool->budget;
	size_t room = pst_spool_memory_room(spool);

	if (n > room)
		n = room;
	/* A growing pst_buf at most doubles: what it would take must be in the budget. */
	if (n > spool->memory.size - spool->memory.end) {
		uint64_t left = budget->memory < budget->memory_limit
				    ? budget->memory_limit - budget->memory
				    : 0;

		if (2 * (uint64_t)(pst_buf_length(&spool->memory) + n) > left + spool->memory.size)
			n = spool->memory.size - spool->memory.end;
	}
	return n;
}

/* N bytes more, of which nothing is to fail later. */
static unsigned char *
reserve_memory(struct pst_spool *spool, size_t n)
{
	if (spool->sheet == NULL)
		return pst_buf_reserve(&spool->memory, n);
	if (pst_sheet_reserve(spool->sheet, spool->memory.end + n) < 0)
		return NULL;
	spool->memory.data = spool->sheet->bytes;
	spool->memory.size = spool->sheet->size;
	return spool->memory.data + spool->memory.end;
}

/* --- the whole --- */

struct pst_spool *
pst_spool_new(
    struct pst_spool_budget *budget, enum pst_spool_kind kind, size_t memory, uint64_t file)
{
	struct pst_spool *spool = calloc(1, sizeof(*spool));

	if (!spool)
		return NULL;
	spool->budget = budget;
	spool->kind = kind;
	spool->memory_limit = memory;
	spool->file_limit = file;
	spool->fd = -1;
	return spool;
}

void
pst_spool_use_sheet(struct pst_spool *spool, struct pst_sheets *sheets)
{
	assert(spool->kind == PST_SPOOL_KEEP && spool->total == 0 && spool->sheet == NULL);
	if (spool->budget->sheets >= spool->budget->sheets_limit)
		return;
	spool->sheet = pst_sheet_take(sheets);
	if (spool->sheet == NULL)
		return;
	spool->budget->sheets++;
	if (spool->memory_limit > PST_SHEET_SIZE)
		spool->memory_limit = PST_SHEET_SIZE;
}

void
pst_spool_free(struct pst_spool *spool)
{
	if (!spool)
		return;
	free_memory(spool);
	empty_file(spool);
	free(spool);
}

int
pst_spool_append(struct pst_spool *spool, const void *bytes, size_t n)
{
	size_t share = memory_share(spool, n), before = spool->memory.size;
	unsigned char *to = NULL;
	int err;

	/* First what can fail, then what cannot. */
	if (share > 0) {
		to = reserve_memory(spool, share);
		count_memory(spool, before);
		if (!to)
			return PST_SPOOL_ERR_MEMORY;
	}
	err = append_file(spool, (const char *)bytes + share, n - share);
	if (err < 0) {
		if (pst_buf_length(&spool->memory) == 0 && spool->sheet == NULL)
			free_memory(spool);
		return err;
	}
	if (share > 0) {
		memcpy(to, bytes, share);
		pst_buf_commit(&spool->memory, share);
	}
	spool->total += n;
	return 0;
}

/* An eighth is kept back: many readers may find the same room before any of them has filled it. */
static uint64_t
budget_room(const struct pst_spool_budget *budget)
{
	uint64_t limit = budget->file_limit - budget->file_limit / 8;

	return budget->file < limit ? limit - budget->file : 0;
}

uint64_t
pst_spool_room(const struct pst_spool *spool)
{
	uint64_t held = file_held(spool), all = budget_room(spool->budget);
	uint64_t own = held < spool->file_limit ? spool->file_limit - held : 0;

	return pst_spool_memory_room(spool) + (own < all ? own : all);
}

uint64_t
pst_spool_total(const struct pst_spool *spool)
{
	return spool->total;
}

static size_t
memory_left(const struct pst_spool *spool)
{
	return pst_buf_length(&spool->memory) - spool->memory_front;
}

uint64_t
pst_spool_length(const struct pst_spool *spool)
{
	return memory_left(spool) + (spool->file_end - spool->file_front);
}

void
pst_spool_front(const struct pst_spool *spool, struct pst_spool_piece *piece)
{
	size_t left = memory_left(spool);

	*piece = (struct pst_spool_piece){.fd = -1};
	if (left > 0) {
		piece->bytes = pst_buf_bytes(&spool->memory) + spool->memory_front;
		piece->length = left;
	} else if (spool->file_end > spool->file_front) {
		piece->fd = spool->fd;
		piece->offset = (off_t)spool->file_front;
		piece->length = spool->file_end - spool->file_front;
	}
}

/* Read exactly N bytes from the front of the file's part. */
static int
read_file(struct pst_spool *spool, char *to, size_t n)
{
	uint64_t at = spool->file_front;

	while (n > 0) {
		ssize_t got = pread(spool->fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) /* 0: somebody else has cut the file */
			return spool->error = got < 0 ? errno : EIO, PST_SPOOL_ERR_IO;
		to += got;
		at += got;
		n -= got;
	}
	return 0;
}

ssize_t
pst_spool_read(struct pst_spool *spool, void *to, size_t n)
{
	size_t from_memory = memory_left(spool);
	uint64_t in_file = spool->file_end - spool->file_front;
	int err;

	if (from_memory > n)
		from_memory = n;
	if (n - from_memory > in_file)
		n = from_memory + (size_t)in_file;
	if (from_memory > 0)
		memcpy(to, pst_buf_bytes(&spool->memory) + spool->memory_front, from_memory);
	err = read_file(spool, (char *)to + from_memory, n - from_memory);
	return err < 0 ? err : (ssize_t)n;
}

static void
consume_memory(struct pst_spool *spool, size_t n)
{
	if (spool->kind == PST_SPOOL_KEEP) {
		spool->memory_front += n;
		return;
	}
	pst_buf_consume(&spool->memory, n);
	if (pst_buf_length(&spool->memory) == 0)
		free_memory(spool);
}

void
pst_spool_consume(struct pst_spool *spool, uint64_t n)
{
	size_t from_memory = memory_left(spool);

	assert(n <= pst_spool_length(spool));
	if (from_memory > n)
		from_memory = (size_t)n;
	if (from_memory > 0)
		consume_memory(spool, from_memory);
	spool->file_front += n - from_memory;
	if (spool->kind == PST_SPOOL_KEEP || spool->fd < 0)
		return;
	if (pst_spool_length(spool) == 0)
		empty_file(spool);
	else
		punch_file(spool);
}

void
pst_spool_rewind(struct pst_spool *spool)
{
	assert(spool->kind == PST_SPOOL_KEEP);
	spool->memory_front = 0;
	spool->file_front = 0;
	/* It is lent again, before it was returned: by a worker that was lost. */
	spool->spent = spool->spent || spool->lent;
}

/* Another open file of the same bytes, which cannot be written to. */
static int
open_to_read(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int
pst_spool_lend(struct pst_spool *spool, struct pst_spool_piece *piece)
{
	int fd = -1;

	assert(spool->kind == PST_SPOOL_KEEP);
	pst_spool_front(spool, piece);
	if (piece->length < PST_SPOOL_LEAST_LENT)
		return -1;
	if (piece->bytes == NULL) {
		fd = open_to_read(piece->fd);
	} else if (spool->sheet != NULL) {
		fd = fcntl(spool->sheet->fd, F_DUPFD_CLOEXEC, 3);
		piece->offset = (off_t)spool->memory_front;
	}
	spool->lent = spool->lent || fd >= 0;
	return fd;
}

void
pst_spool_returned(struct pst_spool *spool)
{
	spool->lent = false;
}

bool
pst_spool_lends_all(const struct pst_spool *spool)
{
	return spool->sheet != NULL && spool->file_end == 0;
}

void
pst_spool_let_go(struct pst_spool *spool)
{
	if (spool->kind == PST_SPOOL_QUEUE)
		return;
	assert(spool->sheet == NULL);
	spool->kind = PST_SPOOL_QUEUE;
	pst_buf_consume(&spool->memory, spool->memory_front);
	spool->memory_front = 0;
	if (pst_buf_length(&spool->memory) == 0)
		free_memory(spool);
	pst_spool_consume(spool, 0);
}

bool
pst_spool_keeps(const struct pst_spool *spool)
{
	return spool->kind == PST_SPOOL_KEEP;
}

int
pst_spool_errno(const struct pst_spool *spool)
{
	return spool->error;
}
