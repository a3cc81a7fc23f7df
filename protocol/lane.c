#include "protocol/lane.h"

#include "protocol/sealed.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

static _Atomic uint64_t *
done_of(const struct pst_lane *lane)
{
	return (_Atomic uint64_t *)(void *)lane->bytes;
}

void
pst_lane_unmap(struct pst_lane *lane)
{
	if (lane->bytes)
		munmap(lane->bytes, lane->size);
	*lane = (struct pst_lane){0};
}

/* --- the worker --- */

int
pst_lane_create(struct pst_lane *lane, size_t size)
{
	int fd = pst_sealed_create("penstock-lane", size);
	int err;

	if (fd < 0)
		return -1;
	*lane = (struct pst_lane){.bytes = pst_sealed_map(fd, size), .size = size};
	if (lane->bytes)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* How many bytes of the ring are lent, and what was left out between them. When none is, it begins
 * anew: what is used again and again is the same few pages. */
static uint64_t
lent(struct pst_lane *lane, uint64_t ring)
{
	uint64_t done = atomic_load_explicit(done_of(lane), memory_order_acquire);

	if (done == lane->put && lane->put % ring != 0) {
		lane->put += ring - lane->put % ring;
		lane->emptied = lane->put;
	}
	if (lane->put - lane->emptied < lane->put - done)
		done = lane->emptied;
	return lane->put - done;
}

bool
pst_lane_put(struct pst_lane *lane, const void *bytes, size_t n, struct pst_lane_place *place)
{
	uint64_t ring = lane->size - PST_LANE_HEADER;
	uint64_t used, at, skipped;

	if (n > ring)
		return false;
	used = lent(lane, ring);
	at = lane->put % ring;
	skipped = at + n > ring ? ring - at : 0;
	if (used > ring || skipped + n > ring - used)
		return false;
	at = (at + skipped) % ring;
	memcpy(lane->bytes + PST_LANE_HEADER + at, bytes, n);
	lane->put = lane->put + skipped + n;
	place->offset = (uint32_t)(PST_LANE_HEADER + at);
	place->length = (uint32_t)n;
	place->mark = lane->put;
	return true;
}

/* --- the gateway --- */

int
pst_lane_map(struct pst_lane *lane, int fd, size_t size)
{
	struct statfs fs;

	/* Huge pages may be missing when they are first touched, which is fatal. */
	if (fstatfs(fd, &fs) < 0)
		return -1;
	if (fs.f_type != TMPFS_MAGIC || size <= PST_LANE_HEADER || size > PST_LANE_MAX ||
	    pst_sealed_size(fd) != (off_t)size) {
		errno = EINVAL;
		return -1;
	}
	*lane = (struct pst_lane){.bytes = pst_sealed_map(fd, size), .size = size};
	return lane->bytes ? 0 : -1;
}

void
pst_lane_done(struct pst_lane *lane, uint64_t mark)
{
	atomic_store_explicit(done_of(lane), mark, memory_order_release);
}
