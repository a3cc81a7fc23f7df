/*
 * Writes lines to a descriptor without ever making the caller wait: they go to a bounded ring,
 * and a thread of its own, with all signals blocked, writes them out with blocking write(2).
 * A line that does not fit is dropped and counted; the count is told, by the owner's words, in
 * its place as soon as lines get through again. Lines whose writing fails (disk full, the reader
 * of a pipe gone) are dropped and counted too; an owner that tells elsewhere is also told at once
 * when that begins. The error log and the access log each have one.
 *
 * The descriptor may be shared with other processes: its flags are left alone, and if somebody
 * made it non-blocking the thread polls. Lines stay whole among theirs, in a pipe those of up to
 * PIPE_BUF bytes.
 *
 * fork: the thread does not live in the child, and its lock may be held there for ever. A child
 * must call nothing of this file between fork and exec.
 */
#ifndef PST_GATEWAY_LOG_WRITER_H
#define PST_GATEWAY_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_log_writer;

/*
 * Makes the line that tells of COUNT dropped lines, ERROR being why writing failed, 0 if lines only
 * came too fast: writes at most SIZE bytes to LINE, with the LF, and returns their number; 0 for no
 * line here (the owner told it elsewhere). Called by the writer's thread with no lock held.
 */
typedef size_t pst_log_writer_dropped_fn(
    void *arg, uint64_t count, int error, char *line, size_t size);

/*
 * Start a writer on FD with a ring of SIZE bytes. FD belongs to the writer from now on and is
 * closed by it, except 0, 1 and 2. DROPPED may be NULL. NULL with errno set when memory or a
 * thread cannot be had; FD is then still the caller's.
 */
struct pst_log_writer *pst_log_writer_new(
    int fd, size_t size, pst_log_writer_dropped_fn *dropped, void *arg);

/*
 * Queue N bytes: one or more whole lines, each with its LF. Never blocks; any thread may call it.
 * False when they were dropped and counted.
 */
bool pst_log_writer_put(struct pst_log_writer *writer, const void *lines, size_t n);

/*
 * What is put from now on goes to FD (log rotation; the caller opened it). What was queued before
 * still goes to the old descriptor, which is then closed unless it is 0, 1 or 2. FD belongs to
 * the writer. Does not wait. Of two calls in quick succession the second wins.
 */
void pst_log_writer_reopen(struct pst_log_writer *writer, int fd);

/* Lines dropped since the start, told or not. */
uint64_t pst_log_writer_dropped(struct pst_log_writer *writer);

/* Wait until all that was put before is written, at most MS milliseconds. False: it is not. */
bool pst_log_writer_flush(struct pst_log_writer *writer, unsigned ms);

/*
 * Flush as above, then end the writer: no calls after this. When the reader of a pipe is stuck
 * the thread is left behind; it frees everything if its write ever returns. False: lines were left
 * unwritten. NULL is allowed.
 */
bool pst_log_writer_free(struct pst_log_writer *writer, unsigned ms);

#endif
