#include "gateway/ctl/talk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int
fail(struct pst_talk *talk, const char *why)
{
	snprintf(talk->text, sizeof(talk->text), "%s", why);
	return -1;
}

int
pst_talk_ask(struct pst_talk *talk, int fd, const char *const *words, unsigned count)
{
	struct pst_buf out = {0};
	int result = 0;

	memset(talk, 0, sizeof(*talk));
	talk->fd = fd;
	if (pst_control_append(&out, words, count) < 0)
		result = fail(talk, "the request is too long");
	/* A reader that sends us away has said why: that is read next. */
	else if (send(fd, pst_buf_bytes(&out), pst_buf_length(&out), MSG_NOSIGNAL) < 0 &&
		 errno != EPIPE && errno != ECONNRESET)
		result = fail(talk, strerror(errno));
	pst_buf_free(&out);
	return result;
}

void
pst_talk_free(struct pst_talk *talk)
{
	pst_buf_free(&talk->in);
}

/* More bytes: 0, or -1. */
static int
fill(struct pst_talk *talk, bool patient)
{
	struct pollfd readable = {.fd = talk->fd, .events = POLLIN};
	unsigned char *room = pst_buf_reserve(&talk->in, PST_CONTROL_LINE);
	ssize_t n;
	int ready;

	if (!room)
		return fail(talk, "out of memory");
	do
		ready = poll(&readable, 1, patient ? -1 : PST_TALK_PATIENCE_S * 1000);
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		return fail(talk, "penstock does not answer: is it stopped, or very busy?");
	n = ready < 0 ? -1 : recv(talk->fd, room, PST_CONTROL_LINE, 0);
	if (n < 0)
		return fail(talk, strerror(errno));
	if (n == 0)
		return fail(talk, "penstock closed the connection before it had answered: it has "
				  "ended, or the error log says why");
	pst_buf_commit(&talk->in, (size_t)n);
	return 0;
}

static int
end(struct pst_talk *talk, const struct pst_control *line)
{
	snprintf(talk->text, sizeof(talk->text), "%s", line->count > 1 ? line->words[1] : "");
	return 0;
}

int
pst_talk_read(struct pst_talk *talk, bool patient, struct pst_control *line, bool *done)
{
	int result;

	while ((result = pst_control_take(&talk->in, line)) == 0)
		if (fill(talk, patient) < 0)
			return -1;
	if (result < 0)
		return fail(talk, "the answer is no control line: is that penstock's socket?");
	*done = strcmp(line->words[0], "OK") == 0;
	if (*done || strcmp(line->words[0], "ERROR") == 0)
		return end(talk, line);
	return 1;
}

void
pst_talk_wait_end(struct pst_talk *talk)
{
	char bytes[256];
	ssize_t n;

	do
		n = recv(talk->fd, bytes, sizeof(bytes), 0);
	while (n > 0 || (n < 0 && errno == EINTR));
}
