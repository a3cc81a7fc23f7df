/* A request in a log line. */
#ifndef PST_PYTHON_TITLE_H
#define PST_PYTHON_TITLE_H

#include <penstock/plugin.h>

/*
 * Write "GET /path" of a request with COUNT parameters to TEXT, N bytes at most with the NUL: fit
 * for a log line, whatever the client sent, and without the query, which may hold secrets.
 * Returns TEXT.
 */
const char *pst_title(const struct pst_field *params, size_t count, char *text, size_t n);

/* The parameter NAME, or NULL. */
const struct pst_field *pst_title_param(
    const struct pst_field *params, size_t count, const char *name);

#endif
