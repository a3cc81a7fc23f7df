/*
 * Which running penstock is meant: by the path of its socket, by its pid or pid file, or because it
 * is the only one of this user.
 */
#ifndef PST_CTL_FIND_H
#define PST_CTL_FIND_H

#include <stddef.h>

/*
 * Connect to the socket at PATH (or NULL), or to the one of PROCESS, a pid or the name of a file
 * with one (or NULL), or to the only one: a blocking stream socket, or -1 with WHY, lines for
 * people, filled.
 */
int pst_ctl_find(const char *path, const char *process, char *why, size_t size);

#endif
