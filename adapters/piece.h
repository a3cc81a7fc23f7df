/*
 * A piece of a file on its way to a socket: by sendfile(2), or through memory where that does not
 * do. The record that the bytes are part of has begun by then, so they have to come: those that
 * the file does not give any more are zeros, and the piece says that it is spoilt.
 */
#ifndef PST_ADAPTERS_PIECE_H
#define PST_ADAPTERS_PIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pst_piece {
	int fd; /* of the file; its own position is neither used nor changed */
	off_t offset; /* of the byte that is written next */
	bool copies; /* sendfile() failed */
	bool spoilt; /* the file ended early, or could not be read */
	int err; /* why it could not be read, as errno has it; 0: it ended */
};

/* Write up to N (> 0) bytes to SOCKET without waiting: like send(), and its errors are those of
 * the socket. SIGPIPE must be ignored. */
ssize_t pst_piece_send(struct pst_piece *piece, int socket, size_t n);

#endif
