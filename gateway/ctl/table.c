#include "gateway/ctl/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void
pst_table_init(struct pst_table *table, const char *const *heads, size_t columns, unsigned right)
{
	assert(columns <= PST_TABLE_COLUMNS);
	*table = (struct pst_table){.columns = columns, .heads = heads, .right = right};
}

void
pst_table_free(struct pst_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
}

static int
grow(struct pst_table *table)
{
	size_t room = table->room ? table->room * 2 : 64;
	char **cells = reallocarray(table->cells, room, sizeof(*cells));

	if (!cells)
		return -1;
	table->cells = cells;
	table->room = room;
	return 0;
}

void
pst_table_add(struct pst_table *table, const char *format, ...)
{
	char *cell = NULL;
	va_list list;

	va_start(list, format);
	if (vasprintf(&cell, format, list) < 0)
		cell = NULL;
	va_end(list);
	if (!cell || (table->count == table->room && grow(table) < 0)) {
		table->failed = true;
		free(cell);
		return;
	}
	table->cells[table->count++] = cell;
}

/* 0: all its cells are empty. */
static size_t
width_of(const struct pst_table *table, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < table->count; i += table->columns)
		if (strlen(table->cells[i]) > width)
			width = strlen(table->cells[i]);
	if (width > 0 && strlen(table->heads[column]) > width)
		width = strlen(table->heads[column]);
	return width;
}

static void
print_row(const struct pst_table *table, const char *const *cells, const size_t *widths, FILE *out)
{
	size_t owed = 0; /* spaces, which no row ends with */

	for (size_t i = 0; i < table->columns; i++) {
		size_t length = strlen(cells[i]);
		size_t space = widths[i] - (length < widths[i] ? length : widths[i]);

		if (widths[i] == 0)
			continue;
		if (table->right >> i & 1) {
			owed += space;
			space = 0;
		}
		if (length > 0) {
			fprintf(out, "%*s%s", (int)owed, "", cells[i]);
			owed = 0;
		}
		owed += (length > 0 ? space : widths[i] * !(table->right >> i & 1)) + 2;
	}
	fputc('\n', out);
}

int
pst_table_print(const struct pst_table *table, FILE *out)
{
	size_t widths[PST_TABLE_COLUMNS];

	if (table->failed)
		return -1;
	assert(table->count % table->columns == 0);
	for (size_t i = 0; i < table->columns; i++)
		widths[i] = width_of(table, i);
	print_row(table, table->heads, widths, out);
	for (size_t i = 0; i < table->count; i += table->columns)
		print_row(table, (const char *const *)table->cells + i, widths, out);
	return 0;
}
