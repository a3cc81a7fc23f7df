#include "protocol/descriptor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor, aligned as its header wants it. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

ssize_t
pst_descriptor_send(int socket, const void *bytes, size_t n, int flags, int fd)
{
	union control control = {0};
	struct iovec piece = {.iov_base = (void *)bytes, .iov_len = n};
	struct msghdr message = {.msg_iov = &piece,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof control.bytes};

	if (fd < 0)
		return send(socket, bytes, n, flags);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	return sendmsg(socket, &message, flags);
}

/* The alignment of the control bytes can leave room for a second one, which is not wanted. */
static int
take(struct msghdr *message)
{
	int taken = -1, fd;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
	     header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof fd <= header->cmsg_len - CMSG_LEN(0);
		     at += sizeof fd) {
			memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
			if (taken >= 0) {
				message->msg_flags |= MSG_CTRUNC;
				close(fd);
			} else {
				taken = fd;
			}
		}
	}
	return taken;
}

ssize_t
pst_descriptor_recv(int socket, void *bytes, size_t n, int flags, int *fd)
{
	union control control;
	struct iovec piece = {.iov_base = bytes, .iov_len = n};
	struct msghdr message = {.msg_iov = &piece,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof control.bytes};
	ssize_t got = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (got < 0)
		return got;
	*fd = take(&message);
	if ((message.msg_flags & MSG_CTRUNC) == 0)
		return got;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = EPROTO;
	return -1;
}
