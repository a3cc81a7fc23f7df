#include "gateway/arbiter/output.h"

#include "gateway/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a pipe holds at most: enough to take what a dead worker left, and bounded. */
#define FINISH_BYTES (64 * 1024)

struct pst_output {
	struct pst_output *next, **link;
	struct event *readable;
	int fd;
	bool ended; /* nobody has the other end any more */
	bool finished; /* the worker has exited: nobody points here */
	pid_t pid;
	char id[PST_OUTPUT_ID];
	bool continued; /* a piece of the line that has not ended was logged, as LEVEL */
	bool hidden; /* the log does not want LEVEL */
	enum pst_log_level level;
	bool said_error; /* SAID is a line of level error */
	char said[PST_OUTPUT_SAID];
	size_t length; /* of the line that has not ended */
	char line[PST_OUTPUT_LINE];
};

static void
output_free(struct pst_output *output)
{
	*output->link = output->next;
	if (output->next)
		output->next->link = output->link;
	if (output->readable)
		event_free(output->readable);
	close(output->fd);
	free(output);
}

/* Take the level that the line of N bytes at TEXT says, if it does: the length of that. */
static size_t
take_level(struct pst_output *output, const char *text, size_t n)
{
	static const enum pst_log_level levels[] = {PST_LOG_CRITICAL, PST_LOG_CRITICAL,
	    PST_LOG_CRITICAL, PST_LOG_ERROR, PST_LOG_WARNING, PST_LOG_INFO, PST_LOG_INFO,
	    PST_LOG_DEBUG};

	output->level = PST_LOG_INFO;
	output->hidden = false;
	if (n < 3 || text[0] != '<' || text[1] < '0' || text[1] > '7' || text[2] != '>')
		return 0;
	output->level = levels[text[1] - '0'];
	output->hidden = !pst_log_enabled(output->level);
	return 3;
}

/* A line begins with the N bytes of TEXT: keep them for who asks why the worker exited. */
static void
remember(struct pst_output *output, const char *text, size_t n)
{
	bool is_error = output->level == PST_LOG_ERROR;

	if (n == 0 || (output->said_error && !is_error))
		return;
	output->said_error = is_error;
	snprintf(output->said, sizeof(output->said), "%.*s", (int)n, text);
}

/* Log N bytes of a line; ENDS: they are its last. */
static void
log_piece(struct pst_output *output, const char *text, size_t n, bool ends)
{
	size_t level = output->continued ? 0 : take_level(output, text, n);

	if (!output->continued)
		remember(output, text + level, n - level);
	if (!output->hidden)
		pst_log_worker(output->pid, output->id, output->level, text + level, n - level);
	output->continued = !ends;
}

/* Log every whole line, and the rest when it fills the buffer. */
static void
take_lines(struct pst_output *output)
{
	char *start = output->line, *end = output->line + output->length, *lf;

	while ((lf = memchr(start, '\n', (size_t)(end - start)))) {
		log_piece(output, start, (size_t)(lf - start), true);
		start = lf + 1;
	}
	output->length = (size_t)(end - start);
	memmove(output->line, start, output->length);
	if (output->length == sizeof(output->line)) {
		log_piece(output, output->line, output->length, false);
		output->length = 0;
	}
}

/* Read once: the number of bytes, 0 when there are none now, -1 when there will be no more. */
static ssize_t
read_some(struct pst_output *output)
{
	ssize_t n =
	    read(output->fd, output->line + output->length, sizeof(output->line) - output->length);

	if (n > 0) {
		output->length += (size_t)n;
		take_lines(output);
		return n;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void
log_rest(struct pst_output *output)
{
	if (output->length > 0)
		log_piece(output, output->line, output->length, true);
	output->length = 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pst_output *output = arg;

	(void)fd;
	(void)what;
	if (read_some(output) >= 0)
		return;
	output->ended = true;
	log_rest(output);
	event_del(output->readable);
	if (output->finished)
		output_free(output);
}

struct pst_output *
pst_output_new(struct pst_outputs *outputs, int fd, const char *id)
{
	struct pst_output *output = calloc(1, sizeof(*output));

	if (!output)
		return NULL;
	output->fd = fd;
	snprintf(output->id, sizeof(output->id), "%s", id);
	output->readable = event_new(outputs->base, fd, EV_READ | EV_PERSIST, on_readable, output);
	if (!output->readable || event_priority_set(output->readable, outputs->priority) < 0 ||
	    event_add(output->readable, NULL) < 0) {
		if (output->readable)
			event_free(output->readable);
		free(output);
		return NULL;
	}
	output->next = outputs->first;
	output->link = &outputs->first;
	if (output->next)
		output->next->link = &output->next;
	outputs->first = output;
	return output;
}

void
pst_output_set_pid(struct pst_output *output, pid_t pid)
{
	output->pid = pid;
}

void
pst_output_finish(struct pst_output *output, char said[PST_OUTPUT_SAID])
{
	size_t budget = FINISH_BYTES;
	ssize_t n = 0;

	output->finished = true;
	while (!output->ended && budget > 0 && (n = read_some(output)) > 0)
		budget -= (size_t)n < budget ? (size_t)n : budget;
	log_rest(output);
	if (said)
		memcpy(said, output->said, PST_OUTPUT_SAID);
	if (output->ended || n < 0)
		output_free(output);
}

void
pst_outputs_close(struct pst_outputs *outputs)
{
	while (outputs->first) {
		struct pst_output *output = outputs->first;

		pst_output_finish(output, NULL);
		if (outputs->first == output)
			output_free(output);
	}
}
