/*
 * Control lines: what arbiter, gateway and adapters tell each other, and what the admin socket
 * will speak. A line is words parted by single spaces and ended by LF, PST_CONTROL_LINE bytes
 * at most with the LF. In a word every byte outside 0x21..0x7e, and '%', is written %XX; an
 * empty word is a lone '%'. docs/architecture.md, "Control lines", lists them all.
 *
 * Sans I/O: bytes in, words out. Descriptors travel beside the lines and are the caller's affair.
 */
#ifndef PST_PROTOCOL_CONTROL_H
#define PST_PROTOCOL_CONTROL_H

#include "protocol/buf.h"

#include <stddef.h>

#define PST_CONTROL_LINE  8192
#define PST_CONTROL_WORDS 16

/* One line taken apart. The words are NUL-terminated and decoded; a decoded NUL is refused. */
struct pst_control {
	unsigned count; /* at least 1 */
	char *words[PST_CONTROL_WORDS];
};

/* True when LINE begins with the words of PREFIX, e.g. pst_control_is(&line, "SLOT up"). */
int pst_control_is(const struct pst_control *line, const char *prefix);

/* What WORD takes in a line. */
size_t pst_control_size(const char *word);

/* Append one line of COUNT words to OUT: 0, PST_ERR_NOMEM, or PST_ERR_LIMIT (too long). */
int pst_control_append(struct pst_buf *out, const char *const *words, unsigned count);
/* The same with the words as NULL-terminated arguments. */
int pst_control_appendl(struct pst_buf *out, ...) __attribute__((sentinel));

/*
 * Take the first whole line from IN. 1: *LINE is filled and its words stay valid until IN is
 * changed again (they are decoded in place); 0: no whole line yet; PST_ERR_PROTOCOL: a bad line
 * (it is consumed, so that the caller may go on); PST_ERR_LIMIT: too long without an end, or too
 * many words: close.
 */
int pst_control_take(struct pst_buf *in, struct pst_control *line);

#endif
