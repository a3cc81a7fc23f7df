#include "gateway/front/heap.h"

#include <assert.h>
#include <stdlib.h>

int
pst_heap_reserve(struct pst_heap *heap, size_t count)
{
	struct pst_heap_item **items;

	if (count < heap->size)
		return 0;
	items = reallocarray(heap->items, 2 * count + 1, sizeof(*items));
	if (items == NULL)
		return -1;
	heap->items = items;
	heap->size = 2 * count + 1;
	return 0;
}

void
pst_heap_free(struct pst_heap *heap)
{
	free(heap->items);
	*heap = (struct pst_heap){0};
}

struct pst_heap_item *
pst_heap_first(const struct pst_heap *heap)
{
	return heap->count > 0 ? heap->items[1] : NULL;
}

static bool
is_before(const struct pst_heap_item *a, const struct pst_heap_item *b)
{
	return a->weight != b->weight ? a->weight < b->weight : a->order < b->order;
}

static void
place(struct pst_heap *heap, struct pst_heap_item *item, size_t at)
{
	heap->items[at] = item;
	item->place = at;
}

/* Put ITEM where PLACE is, or above it. */
static void
rise(struct pst_heap *heap, struct pst_heap_item *item, size_t at)
{
	for (; at > 1 && is_before(item, heap->items[at / 2]); at /= 2)
		place(heap, heap->items[at / 2], at);
	place(heap, item, at);
}

/* ... or below it. */
static void
sink(struct pst_heap *heap, struct pst_heap_item *item, size_t at)
{
	size_t child;

	for (; (child = 2 * at) <= heap->count; at = child) {
		if (child < heap->count && is_before(heap->items[child + 1], heap->items[child]))
			child++;
		if (!is_before(heap->items[child], item))
			break;
		place(heap, heap->items[child], at);
	}
	rise(heap, item, at);
}

void
pst_heap_put(struct pst_heap *heap, struct pst_heap_item *item, uint64_t weight, uint64_t order)
{
	item->weight = weight;
	item->order = order;
	if (item->place == 0) {
		assert(heap->count + 1 < heap->size);
		item->place = ++heap->count;
	}
	sink(heap, item, item->place);
}

void
pst_heap_remove(struct pst_heap *heap, struct pst_heap_item *item)
{
	size_t at = item->place;
	struct pst_heap_item *last;

	if (at == 0)
		return;
	item->place = 0;
	last = heap->items[heap->count--];
	if (last != item)
		sink(heap, last, at);
}
