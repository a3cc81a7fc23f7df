/*
 * Answers that are held back for a moment, so that several leave in one write: those of quick
 * requests, while the next of them is handled. Nobody can know that the next one is quick, too. So
 * a watcher thread sends what is still held after a tick or two (PST_HELD_TICK), and the handler of
 * a crash does at once.
 *
 *	the main thread: give ──► the application runs ──► take
 *	the watcher:              sends what it meets twice
 *
 * The bytes belong to the main thread, and stay where they are from give to take. Where there are
 * several threads, it is whoever has the lock of what the bytes are part of.
 */
#ifndef PST_ADAPTERS_HELD_H
#define PST_ADAPTERS_HELD_H

#include <stdbool.h>
#include <stddef.h>

/* An answer may be held back while another request waits, if it took no longer than this, in
 * microseconds, and so many are not held already. */
#define PST_HELD_QUICK 100
#define PST_HELD_MOST  3
/* Where they have been timed: the first of them waits no longer than this, in microseconds, if the
 * next request takes as long as the last. */
#define PST_HELD_WAIT 300

/* How often the watcher looks, in microseconds. */
#define PST_HELD_TICK 1000

struct pst_held;

/* NULL: there is no memory for it, or no thread. */
struct pst_held *pst_held_new(void);
void pst_held_free(struct pst_held *held);

/* The watcher is wanted, for what is given next: it sleeps when it was not for a while. */
void pst_held_wake(struct pst_held *held);

/* N bytes, at least one, are to be sent to the socket FD if they are not taken soon. */
void pst_held_give(struct pst_held *held, int fd, const void *bytes, size_t n);
/* Have them back: how many of them were sent. */
size_t pst_held_take(struct pst_held *held);

/* In the handler of a signal by which the process dies: send what is held. */
void pst_held_crash(void);

#endif
