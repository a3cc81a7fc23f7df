/*
 * Answers for programs: JSON on standard output.
 */
#ifndef PST_CTL_JSON_H
#define PST_CTL_JSON_H

#include "gateway/report.h"

#include <stdbool.h>

/* A report: 0, or -1 without memory. */
int pst_json_print_report(const struct pst_report *report);
/* What came of a command: {"done": true, "text": "..."}. 0, or -1 without memory. */
int pst_json_print_result(bool done, const char *text);

#endif
