/*
 * Memory that processes share: a memfd of fixed size, sealed against shrinking, growing and other
 * seals, so that no access to what is mapped of it can fail, whatever another process does.
 */
#ifndef PST_PROTOCOL_SEALED_H
#define PST_PROTOCOL_SEALED_H

#include <stddef.h>
#include <sys/types.h>

/* SIZE bytes of zeros, called NAME in /proc: a descriptor, close-on-exec; -1 with errno. */
int pst_sealed_create(const char *name, size_t size);

/* How large the memory behind FD is; -1 with errno, EINVAL when it is not sealed. */
off_t pst_sealed_size(int fd);

/* SIZE bytes of it, to read and write, until munmap(); NULL with errno. FD stays open. */
void *pst_sealed_map(int fd, size_t size);

#endif
