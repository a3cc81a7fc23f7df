/*
 * Bytes that somebody else chose, made fit for one line of a log or terminal.
 */
#ifndef PST_GATEWAY_ESCAPE_H
#define PST_GATEWAY_ESCAPE_H

#include <stddef.h>

/*
 * Write N bytes to TO, SIZE bytes at most, not NUL-terminated: control characters (C0, DEL, and C1
 * as UTF-8), the line and paragraph separators U+2028 and U+2029, and bytes that are not UTF-8
 * become \n, \r, \t or \xHH; all else stays. Returns the bytes written. What does not fit is left
 * out, and the text then ends in "..." (SIZE is at least 3). Async-signal-safe.
 */
size_t pst_escape_line(char *to, size_t size, const char *bytes, size_t n);

#endif
