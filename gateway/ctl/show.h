/*
 * A report for people.
 */
#ifndef PST_CTL_SHOW_H
#define PST_CTL_SHOW_H

#include "gateway/report.h"

#include <stdio.h>

/* 0, or -1 without memory. */
int pst_show_report(const struct pst_report *report, FILE *out);

/* Print TEXT, which somebody else chose, as what is harmless on a terminal. */
void pst_show_text(FILE *out, const char *text);

#endif
