/*
 * How much memory a process takes, as /proc says.
 */
#ifndef PST_ARBITER_MEMORY_H
#define PST_ARBITER_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes of RSS: what it has in memory, shared pages counted whole. Cheap. 0: not known. */
uint64_t pst_memory_rss(pid_t pid);

/*
 * Bytes of PSS: shared pages counted in parts, so that the PSS of all processes add up. Takes a
 * millisecond for each GiB or so. 0: not known, or not permitted (errno is EACCES).
 */
uint64_t pst_memory_pss(pid_t pid);

#endif
