#include "gateway/arbiter/channel.h"

#include "protocol/error.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 8192

/* A descriptor that waits for its line: it leaves with byte AT of all that was ever queued. */
struct parcel {
	struct parcel *next;
	uint64_t at;
	int fd;
};

struct pst_channel {
	int fd;
	struct event *readable;
	struct event *writable;
	struct pst_buf in;
	struct pst_buf out;
	size_t backlog; /* what may wait in OUT */
	uint64_t sent; /* bytes that ever left */
	struct parcel *first;
	struct parcel **last;
	const char *broken; /* why nothing more can be sent; told from the event loop */
	bool ended;
	const struct pst_channel_events *events;
	void *owner;
};

/* ---- ending ---- */

static void
end(struct pst_channel *channel, const char *why)
{
	if (channel->ended)
		return;
	channel->ended = true;
	channel->broken = why;
	event_del(channel->readable);
	event_del(channel->writable);
	channel->events->end(channel->owner, why);
}

/* End, but not from here: the caller does not expect a callback. */
static void
end_later(struct pst_channel *channel, const char *why)
{
	if (channel->broken)
		return;
	channel->broken = why;
	event_active(channel->writable, EV_WRITE, 0);
}

/* ---- sending ---- */

static void
drop_parcel(struct pst_channel *channel)
{
	struct parcel *parcel = channel->first;

	channel->first = parcel->next;
	if (!channel->first)
		channel->last = &channel->first;
	close(parcel->fd);
	free(parcel);
}

/* One sendmsg(): up to where the next descriptor belongs, with the one that belongs here. */
static ssize_t
send_some(struct pst_channel *channel)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct parcel *here = channel->first, *next = here;
	size_t length = pst_buf_length(&channel->out);
	struct iovec iov = {.iov_base = pst_buf_bytes(&channel->out)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (here && here->at == channel->sent) {
		struct cmsghdr *header = &control.header;

		memset(&control, 0, sizeof(control));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &here->fd, sizeof(int));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		next = here->next;
	}
	if (next && next->at - channel->sent < length)
		length = (size_t)(next->at - channel->sent);
	iov.iov_len = length;
	n = sendmsg(channel->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0 && next != here)
		drop_parcel(channel);
	return n;
}

static void
flush(struct pst_channel *channel)
{
	while (pst_buf_length(&channel->out) > 0) {
		ssize_t n = send_some(channel);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(channel->writable, NULL);
			return;
		}
		if (n < 0) {
			end_later(channel, strerror(errno));
			return;
		}
		channel->sent += (uint64_t)n;
		pst_buf_consume(&channel->out, (size_t)n);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_channel *channel = arg;

	(void)fd;
	(void)what;
	if (!channel->broken)
		flush(channel);
	if (channel->broken)
		end(channel, channel->broken);
}

static void
queue(struct pst_channel *channel, const char *const *words, unsigned count)
{
	if (channel->broken)
		return;
	if (pst_buf_length(&channel->out) > channel->backlog)
		end_later(channel, "it does not read its control lines");
	else if (pst_control_append(&channel->out, words, count) < 0)
		end_later(channel, "a control line cannot be made (out of memory, or too long)");
	else
		flush(channel);
}

/* ---- receiving ---- */

static void
take_lines(struct pst_channel *channel)
{
	struct pst_control line;
	int result;

	while (!channel->ended && (result = pst_control_take(&channel->in, &line)) != 0) {
		if (result < 0)
			end(channel, "it sent a malformed control line");
		else
			channel->events->line(channel->owner, &line);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_channel *channel = arg;
	unsigned char *room = pst_buf_reserve(&channel->in, READ_BYTES);
	ssize_t n;

	(void)what;
	if (!room) {
		end(channel, "out of memory");
		return;
	}
	n = recv(fd, room, READ_BYTES, MSG_DONTWAIT);
	if (n > 0) {
		pst_buf_commit(&channel->in, (size_t)n);
		take_lines(channel);
	} else if (n == 0) {
		end(channel, "it closed its control channel");
	} else if (errno != EAGAIN && errno != EINTR) {
		end(channel, strerror(errno));
	}
}

/* ---- what the header lists ---- */

struct pst_channel *
pst_channel_new(
    struct event_base *base, int fd, const struct pst_channel_events *events, void *owner)
{
	struct pst_channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel->fd = fd;
	channel->backlog = PST_CHANNEL_BACKLOG;
	channel->last = &channel->first;
	channel->events = events;
	channel->owner = owner;
	channel->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, channel);
	channel->writable = event_new(base, fd, EV_WRITE, on_writable, channel);
	if (!channel->readable || !channel->writable || event_add(channel->readable, NULL) < 0) {
		channel->fd = -1;
		pst_channel_free(channel);
		return NULL;
	}
	return channel;
}

void
pst_channel_free(struct pst_channel *channel)
{
	if (!channel)
		return;
	if (channel->readable)
		event_free(channel->readable);
	if (channel->writable)
		event_free(channel->writable);
	while (channel->first)
		drop_parcel(channel);
	pst_buf_free(&channel->in);
	pst_buf_free(&channel->out);
	if (channel->fd >= 0)
		close(channel->fd);
	free(channel);
}

void
pst_channel_allow(struct pst_channel *channel, size_t bytes)
{
	channel->backlog = bytes;
}

/* Take the words from ARGS up to the NULL: how many there are. */
static unsigned
take_words(const char *words[PST_CONTROL_WORDS], va_list args)
{
	unsigned count = 0;

	while ((words[count] = va_arg(args, const char *))) {
		count++;
		assert(count < PST_CONTROL_WORDS);
	}
	return count;
}

void
pst_channel_send(struct pst_channel *channel, ...)
{
	const char *words[PST_CONTROL_WORDS];
	unsigned count;
	va_list args;

	va_start(args, channel);
	count = take_words(words, args);
	va_end(args);
	queue(channel, words, count);
}

void
pst_channel_send_lines(struct pst_channel *channel, const void *lines, size_t length)
{
	if (channel->broken)
		return;
	if (pst_buf_length(&channel->out) > channel->backlog)
		end_later(channel, "it does not read its control lines");
	else if (pst_buf_append(&channel->out, lines, length) < 0)
		end_later(channel, "out of memory");
	else
		flush(channel);
}

void
pst_channel_send_fd(struct pst_channel *channel, int fd, ...)
{
	const char *words[PST_CONTROL_WORDS];
	struct parcel *parcel = malloc(sizeof(*parcel));
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	unsigned count;
	va_list args;

	if (!parcel || copy < 0) {
		end_later(channel, parcel ? strerror(errno) : "out of memory");
		free(parcel);
		if (copy >= 0)
			close(copy);
		return;
	}
	*parcel = (struct parcel){
	    .at = channel->sent + pst_buf_length(&channel->out),
	    .fd = copy,
	};
	*channel->last = parcel;
	channel->last = &parcel->next;
	va_start(args, fd);
	count = take_words(words, args);
	va_end(args);
	queue(channel, words, count);
}
