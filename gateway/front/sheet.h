/*
 * A sheet: memory for a request's body that a worker can be shown without a copy, as a descriptor.
 * It is a memfd that is mapped here. Nobody who has the descriptor can write to it, make it shorter
 * or longer, so what the worker reads is what stands here.
 *
 * Sheets are kept for further bodies, which makes them cheap: as many as are in use, and a few.
 * Those of one store show their bodies to workers that may all see them: one pool's.
 */
#ifndef PST_GATEWAY_FRONT_SHEET_H
#define PST_GATEWAY_FRONT_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

/* What a sheet holds at most; only as much of it as pst_sheet_reserve() said takes memory. */
#define PST_SHEET_SIZE ((size_t)1 << 20)

struct pst_sheet {
	LIST_ENTRY(pst_sheet) idle;
	struct pst_sheets *sheets;
	int fd;
	unsigned char *bytes;
	size_t size; /* that takes memory */
};

struct pst_sheets;

/* A store without sheets; NULL: memory is short. */
struct pst_sheets *pst_sheets_new(void);
/* None is taken any more; it goes with the last one that is in use. NULL is allowed. */
void pst_sheets_free(struct pst_sheets *sheets);

/* One that is not in use; what it held before is still there. NULL: there is none to be had. */
struct pst_sheet *pst_sheet_take(struct pst_sheets *sheets);
/* Its first N bytes (at most PST_SHEET_SIZE) can be written to: 0, or -1: memory is short. */
int pst_sheet_reserve(struct pst_sheet *sheet, size_t n);
/* It is not in use any more. SPENT: somebody may still read from it, so nobody else gets it. */
void pst_sheet_release(struct pst_sheet *sheet, bool spent);

#endif
