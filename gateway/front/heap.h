/*
 * A heap: who of many is first, when that changes all the time. O(log n) for each change, O(1)
 * for the first. The items are part of the objects that they stand for. Sans I/O.
 */
#ifndef PST_FRONT_HEAP_H
#define PST_FRONT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An item of zero bytes is in no heap. */
struct pst_heap_item {
	size_t place; /* 0: in no heap */
	uint64_t weight;
	uint64_t order;
};

/* A heap of zero bytes is an empty one. */
struct pst_heap {
	struct pst_heap_item **items; /* from 1; the children of n are 2n and 2n+1 */
	size_t count;
	size_t size;
};

/* Make room for COUNT items: 0, or -1 when memory is short. */
int pst_heap_reserve(struct pst_heap *heap, size_t count);
void pst_heap_free(struct pst_heap *heap);

/* The lightest; of equals the one with the lowest order. NULL: it is empty. */
struct pst_heap_item *pst_heap_first(const struct pst_heap *heap);
/* ITEM, which may be in it already, has this weight and order. There is room for it. */
void pst_heap_put(
    struct pst_heap *heap, struct pst_heap_item *item, uint64_t weight, uint64_t order);
/* One that is not in it is allowed. */
void pst_heap_remove(struct pst_heap *heap, struct pst_heap_item *item);

#endif
