#include "protocol/session_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX 1024

void
pst_session_table_init(struct pst_session_table *table)
{
	table->buckets = table->first;
	table->size = PST_TABLE_FIRST;
	table->free_hint = 1;
}

void
pst_session_table_free(struct pst_session_table *table)
{
	assert(table->count == 0);
	if (table->buckets != table->first)
		free(table->buckets);
	pst_session_table_init(table);
	memset(table->first, 0, sizeof table->first);
}

static struct pst_session_request **
bucket(const struct pst_session_table *table, uint16_t id)
{
	return &table->buckets[id & (table->size - 1)];
}

static void
push(struct pst_session_table *table, struct pst_session_request *request)
{
	struct pst_session_request **head = bucket(table, request->id);

	request->next = *head;
	*head = request;
}

/* Twice the buckets. Without the memory the chains are longer, that is all. */
static void
grow(struct pst_session_table *table)
{
	struct pst_session_request **old = table->buckets, **fresh, *request;
	size_t old_size = table->size;

	fresh = calloc(old_size * 2, sizeof *fresh);
	if (fresh == NULL)
		return;
	table->buckets = fresh;
	table->size = old_size * 2;
	for (size_t i = 0; i < old_size; i++) {
		while ((request = old[i]) != NULL) {
			old[i] = request->next;
			push(table, request);
		}
	}
	if (old != table->first)
		free(old);
}

void
pst_session_table_add(struct pst_session_table *table, struct pst_session_request *request)
{
	if (table->count >= table->size && table->size < TABLE_MAX)
		grow(table);
	push(table, request);
	table->count++;
}

void
pst_session_table_remove(struct pst_session_table *table, struct pst_session_request *request)
{
	struct pst_session_request **link = bucket(table, request->id);

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	request->next = NULL;
	table->count--;
	if (request->id < table->free_hint)
		table->free_hint = request->id;
}

struct pst_session_request *
pst_session_table_any(const struct pst_session_table *table)
{
	for (size_t i = 0; table->count > 0 && i < table->size; i++) {
		if (table->buckets[i] != NULL)
			return table->buckets[i];
	}
	return NULL;
}

uint16_t
pst_session_table_free_id(struct pst_session_table *table)
{
	assert(table->count < UINT16_MAX);
	while (pst_session_table_find(table, table->free_hint) != NULL)
		table->free_hint++;
	return table->free_hint;
}
