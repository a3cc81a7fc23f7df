/*
 * A body store: a queue of bytes that is kept in memory up to a limit and then goes on in an
 * unlinked file. The memory part always comes before the file part:
 *
 *	0           consumed        total - file part           total
 *	 | consumed  | in memory     | in the file                |
 *
 * Once bytes are in the file, all further ones go there until everything is consumed; then the
 * file is emptied and the memory is used again. An empty spool holds no memory beyond its struct.
 *
 * Two kinds. PST_SPOOL_QUEUE frees what is consumed, in the file by punching holes (a response).
 * PST_SPOOL_KEEP keeps everything until it is freed, so that it can be read again from the
 * start with pst_spool_rewind() (a request's body).
 *
 * File I/O is ordinary blocking I/O on the page cache. No event loop. One thread.
 */
#ifndef PST_GATEWAY_FRONT_SPOOL_H
#define PST_GATEWAY_FRONT_SPOOL_H

#include "gateway/front/sheet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum pst_spool_error {
	PST_SPOOL_OK = 0,
	PST_SPOOL_ERR_MEMORY = -16, /* an allocation failed */
	PST_SPOOL_ERR_LIMIT = -17, /* this spool's own limits are reached */
	PST_SPOOL_ERR_BUDGET = -18, /* the process's budget is spent */
	PST_SPOOL_ERR_FULL = -19, /* ENOSPC, EDQUOT, EFBIG: disk full, quota, file size limit */
	PST_SPOOL_ERR_IO = -20, /* anything else that the system said: pst_spool_errno() */
};

/* A constant phrase for the log: "no space left in the spool directory"; never NULL. */
const char *pst_spool_error_string(int err);

/*
 * What all spools of the process share. Zeroed, then the limits and the directory set; it must
 * outlive its spools, the directory's string too. The two sums are kept by the spools; read them
 * for the figures.
 */
struct pst_spool_budget {
	const char *directory; /* files are made there and unlinked at once */
	uint64_t memory_limit; /* bytes */
	uint64_t file_limit;
	uint64_t memory; /* allocated now */
	uint64_t file; /* held in files now */
	unsigned sheets_limit; /* each takes a descriptor */
	unsigned sheets; /* in use now */
};

/* 0 when a file can be made in the directory, or errno. */
int pst_spool_try(const struct pst_spool_budget *budget);

enum pst_spool_kind {
	PST_SPOOL_QUEUE,
	PST_SPOOL_KEEP,
};

/* Less is copied rather than lent: that costs a descriptor. */
#define PST_SPOOL_LEAST_LENT 16384

struct pst_spool;

/*
 * A spool of MEMORY bytes in memory and FILE bytes more in a file at most. NULL: no memory.
 * No file is made before one is needed.
 */
struct pst_spool *pst_spool_new(
    struct pst_spool_budget *budget, enum pst_spool_kind kind, size_t memory, uint64_t file);
/* Of a PST_SPOOL_KEEP that nothing was appended to: its memory is one of SHEETS, if there is one to
 * be had, so that it can be lent. Its own limit of memory is PST_SHEET_SIZE at most. */
void pst_spool_use_sheet(struct pst_spool *spool, struct pst_sheets *sheets);
/* NULL is allowed. */
void pst_spool_free(struct pst_spool *spool);

/*
 * Append N bytes, all or none: 0 or an error of the above. After an error the spool is as it was.
 * When the budget's memory is spent, bytes go to the file though the spool's own memory is not.
 */
int pst_spool_append(struct pst_spool *spool, const void *bytes, size_t n);

/* How many bytes its own limits and the budget's files still let in: what a reader stops at. The
 * budget's last eighth does not count. */
uint64_t pst_spool_room(const struct pst_spool *spool);
/* How many bytes of those fit into its memory: 0 as long as something is in its file. */
size_t pst_spool_memory_room(const struct pst_spool *spool);
/* All bytes appended since the spool was made. */
uint64_t pst_spool_total(const struct pst_spool *spool);
/* Bytes from the front to the end: what is still to be consumed. */
uint64_t pst_spool_length(const struct pst_spool *spool);

/* What stands at the front. Valid until the next call that changes the spool. */
struct pst_spool_piece {
	const void *bytes; /* in memory; NULL: in the file */
	int fd; /* -1 when in memory; for sendfile or pread, never to close */
	off_t offset;
	uint64_t length; /* 0: the spool is empty */
};

void pst_spool_front(const struct pst_spool *spool, struct pst_spool_piece *piece);

/*
 * Copy up to N bytes from the front into TO without consuming them, from memory and file alike:
 * the number copied (less than N only at the end), or PST_SPOOL_ERR_IO.
 */
ssize_t pst_spool_read(struct pst_spool *spool, void *to, size_t n);

/* N bytes of the front are done with; at most pst_spool_length(). */
void pst_spool_consume(struct pst_spool *spool, uint64_t n);

/* PST_SPOOL_KEEP only: the front is the first byte again. */
void pst_spool_rewind(struct pst_spool *spool);
/*
 * PST_SPOOL_KEEP only: a descriptor from which what stands at the front can be read, and only read;
 * PIECE says which part of it. The caller owns it. -1: it is in memory of its own, or too little to
 * be worth it, or no descriptor is left.
 */
int pst_spool_lend(struct pst_spool *spool, struct pst_spool_piece *piece);
/* Nobody reads from what was lent any more. Until then its memory serves no other spool. */
void pst_spool_returned(struct pst_spool *spool);
/* All of it would be lent. */
bool pst_spool_lends_all(const struct pst_spool *spool);

/* From now on it is a PST_SPOOL_QUEUE: what was consumed is freed, as all that will be. */
void pst_spool_let_go(struct pst_spool *spool);
bool pst_spool_keeps(const struct pst_spool *spool);

/* errno of the last PST_SPOOL_ERR_FULL or PST_SPOOL_ERR_IO. */
int pst_spool_errno(const struct pst_spool *spool);

#endif
