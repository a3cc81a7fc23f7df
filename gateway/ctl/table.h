/*
 * A table of text in columns as wide as their widest cell. Columns whose cells are all empty are
 * left out.
 */
#ifndef PST_CTL_TABLE_H
#define PST_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PST_TABLE_COLUMNS 10

struct pst_table {
	size_t columns;
	const char *const *heads;
	unsigned right; /* a bit for each column that is flush right */
	size_t count; /* of cells */
	size_t room;
	char **cells;
	bool failed;
};

/* HEADS, which must outlive the table, has COLUMNS words; columns of the bits in RIGHT are flush
 * right. */
void pst_table_init(
    struct pst_table *table, const char *const *heads, size_t columns, unsigned right);
void pst_table_free(struct pst_table *table);

/* The next cell, row by row. */
void pst_table_add(struct pst_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* 0, or -1 when memory was short. */
int pst_table_print(const struct pst_table *table, FILE *out);

#endif
