/* Fields of a response that are the server's to send, because they tell how it is framed. */
#ifndef PST_PYTHON_HOP_H
#define PST_PYTHON_HOP_H

#include <stdbool.h>
#include <stddef.h>

/* Whether NAME, of N bytes, is one: an application's is left out. */
bool pst_hop_is(const char *name, size_t n);

#endif
