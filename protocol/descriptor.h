/*
 * A descriptor beside the bytes of a unix stream socket (SCM_RIGHTS): it reaches the peer with the
 * first byte of the call that sent it, and a read never goes beyond the bytes of that call.
 */
#ifndef PST_PROTOCOL_DESCRIPTOR_H
#define PST_PROTOCOL_DESCRIPTOR_H

#include <stddef.h>
#include <sys/types.h>

/* Like send(2); FD goes along, if it is not -1, and stays the caller's. */
ssize_t pst_descriptor_send(int socket, const void *bytes, size_t n, int flags, int fd);

/* Like recv(2); *FD is the caller's: the descriptor that came, close-on-exec, or -1. EPROTO when
 * several came at once, all of which are closed. */
ssize_t pst_descriptor_recv(int socket, void *bytes, size_t n, int flags, int *fd);

#endif
