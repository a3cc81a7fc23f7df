#include "gateway/front/uplink.h"

#include "gateway/log.h"
#include "protocol/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors that wait for their lines: each LISTEN brings one. */
#define FDS_MAX 256
/* Of them, what one message may bring. */
#define FDS_IN_MESSAGE 64
/* Bytes that wait for an arbiter that does not read. */
#define OUT_MAX 1048576

struct pst_uplink {
	int fd;
	struct pst_loop *loop;
	struct event *readable;
	struct event *writable;
	struct pst_task flush;
	struct pst_buf in;
	struct pst_buf out;
	int fds[FDS_MAX];
	unsigned fd_count;
	bool lost;
	const struct pst_uplink_callbacks *callbacks;
	void *arg;
};

static void
lose(struct pst_uplink *uplink, const char *reason)
{
	if (uplink->lost)
		return;
	uplink->lost = true;
	event_del(uplink->readable);
	event_del(uplink->writable);
	pst_task_cancel(&uplink->flush);
	uplink->callbacks->lost(uplink->arg, reason);
}

/* --- in --- */

static void
keep_fds(struct pst_uplink *uplink, struct cmsghdr *header)
{
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		if (uplink->fd_count < FDS_MAX)
			uplink->fds[uplink->fd_count++] = fd;
		else
			close(fd);
	}
}

/* Like read(); descriptors that come along are kept. */
static ssize_t
receive(struct pst_uplink *uplink, void *bytes, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_IN_MESSAGE * sizeof(int))];
	} control;
	struct iovec part = {bytes, size};
	struct msghdr message = {
	    .msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(uplink->fd, &message, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return n;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
	     header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
			keep_fds(uplink, header);
	}
	return n;
}

static void
take_lines(struct pst_uplink *uplink)
{
	struct pst_control line;
	int result;

	while (!uplink->lost && (result = pst_control_take(&uplink->in, &line)) != 0) {
		if (result == 1) {
			uplink->callbacks->line(uplink->arg, &line);
		} else {
			lose(uplink, "it sent a malformed line");
		}
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_uplink *uplink = arg;
	unsigned char *bytes = pst_buf_reserve(&uplink->in, PST_CONTROL_LINE);
	ssize_t n;

	(void)fd;
	(void)what;
	if (bytes == NULL) {
		lose(uplink, "out of memory");
		return;
	}
	n = receive(uplink, bytes, PST_CONTROL_LINE);
	if (n > 0) {
		pst_buf_commit(&uplink->in, (size_t)n);
		take_lines(uplink);
	} else if (n == 0) {
		lose(uplink, "it is gone");
	} else if (errno != EAGAIN && errno != EINTR) {
		lose(uplink, strerror(errno));
	}
}

int
pst_uplink_take_fd(struct pst_uplink *uplink)
{
	int fd;

	if (uplink->fd_count == 0)
		return -1;
	fd = uplink->fds[0];
	uplink->fd_count--;
	memmove(uplink->fds, uplink->fds + 1, uplink->fd_count * sizeof(int));
	return fd;
}

/* --- out --- */

static void
flush(void *arg)
{
	struct pst_uplink *uplink = arg;

	while (pst_buf_length(&uplink->out) > 0) {
		ssize_t n = send(uplink->fd, pst_buf_bytes(&uplink->out),
		    pst_buf_length(&uplink->out), MSG_NOSIGNAL);

		if (n >= 0)
			pst_buf_consume(&uplink->out, (size_t)n);
		else if (errno == EAGAIN)
			event_add(uplink->writable, NULL);
		else if (errno != EINTR)
			pst_buf_free(&uplink->out); /* it is gone, which reading tells */
		if (n < 0 && errno != EINTR)
			return;
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

void
pst_uplink_send(struct pst_uplink *uplink, ...)
{
	const char *words[PST_CONTROL_WORDS];
	unsigned count = 0;
	va_list list;

	va_start(list, uplink);
	while (count < PST_CONTROL_WORDS && (words[count] = va_arg(list, const char *)) != NULL)
		count++;
	va_end(list);
	if (uplink->lost)
		return;
	if (pst_buf_length(&uplink->out) > OUT_MAX ||
	    pst_control_append(&uplink->out, words, count) != PST_OK)
		pst_log_error("a line to the arbiter could not be sent: %s %s", words[0],
		    count > 1 ? words[1] : "");
	pst_loop_defer(uplink->loop, &uplink->flush);
}

void
pst_uplink_send_lines(struct pst_uplink *uplink, const void *lines, size_t length)
{
	if (uplink->lost)
		return;
	if (pst_buf_length(&uplink->out) > OUT_MAX ||
	    pst_buf_append(&uplink->out, lines, length) != PST_OK)
		pst_log_error("%zu bytes of lines to the arbiter could not be sent", length);
	pst_loop_defer(uplink->loop, &uplink->flush);
}

/* --- life --- */

struct pst_uplink *
pst_uplink_new(
    struct pst_loop *loop, int fd, const struct pst_uplink_callbacks *callbacks, void *arg)
{
	struct event_base *base = pst_loop_base(loop);
	struct pst_uplink *uplink = calloc(1, sizeof(*uplink));

	if (uplink == NULL)
		return NULL;
	uplink->fd = -1;
	uplink->loop = loop;
	uplink->callbacks = callbacks;
	uplink->arg = arg;
	pst_task_init(&uplink->flush, flush, uplink);
	uplink->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, uplink);
	uplink->writable = event_new(base, fd, EV_WRITE, on_writable, uplink);
	if (uplink->readable == NULL || uplink->writable == NULL ||
	    event_add(uplink->readable, NULL) == -1) {
		pst_uplink_free(uplink);
		return NULL;
	}
	uplink->fd = fd;
	return uplink;
}

void
pst_uplink_free(struct pst_uplink *uplink)
{
	if (uplink == NULL)
		return;
	pst_task_cancel(&uplink->flush);
	if (uplink->readable != NULL)
		event_free(uplink->readable);
	if (uplink->writable != NULL)
		event_free(uplink->writable);
	while (uplink->fd_count > 0)
		close(pst_uplink_take_fd(uplink));
	if (uplink->fd != -1)
		close(uplink->fd);
	pst_buf_free(&uplink->in);
	pst_buf_free(&uplink->out);
	free(uplink);
}
