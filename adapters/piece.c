#include "adapters/piece.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* Fill BYTES, of N, from the file: how many. */
static size_t
read_some(struct pst_piece *piece, char *bytes, size_t n)
{
	ssize_t got = 0;

	while (!piece->spoilt && (got = pread(piece->fd, bytes, n, piece->offset)) <= 0) {
		if (got < 0 && errno == EINTR)
			continue;
		piece->err = got < 0 ? errno : 0;
		piece->spoilt = true;
	}
	if (!piece->spoilt)
		return (size_t)got;
	memset(bytes, 0, n);
	return n;
}

static ssize_t
copy_some(struct pst_piece *piece, int socket, size_t n)
{
	char bytes[16384];
	size_t got = read_some(piece, bytes, n < sizeof(bytes) ? n : sizeof(bytes));
	ssize_t done = send(socket, bytes, got, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (done > 0)
		piece->offset += done;
	return done;
}

/*
 * An error of sendfile() may be the file's, the socket's or of both (EINVAL: a file system that
 * does not have it). Copying tells them apart, and does where sendfile() does not.
 */
ssize_t
pst_piece_send(struct pst_piece *piece, int socket, size_t n)
{
	ssize_t done;

	if (!piece->copies) {
		done = sendfile(socket, piece->fd, &piece->offset, n);
		if (done > 0 || (done < 0 && (errno == EAGAIN || errno == EINTR)))
			return done;
		piece->copies = true;
	}
	return copy_some(piece, socket, n);
}
