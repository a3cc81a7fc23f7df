#include "gateway/log_writer.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 * After a write the thread lets lines gather for this long, unless the ring is half full: a busy
 * access log costs a hundred wake-ups a second, not one for each line. The first line after a
 * pause is written at once.
 */
#define LINGER_MS 10

/*
 * The ring; start + length may pass size and then goes on at 0.
 *
 *	0        start                       size
 *	 | free   | length bytes  | free      |
 *
 * What the thread is writing stays counted in length until it is written, so nobody writes there
 * and the thread reads it without the lock.
 */
struct pst_log_writer {
	pthread_mutex_t lock;
	pthread_cond_t work; /* for the thread: see what_to_do() */
	pthread_cond_t done; /* for flush and free: taken or exited changed */
	pthread_t thread;

	char *ring;
	size_t size;
	size_t start;
	size_t length;
	uint64_t put; /* bytes that ever came into the ring */
	uint64_t taken; /* bytes that ever left it, written or lost */

	uint64_t dropped; /* lines */
	uint64_t told;
	pst_log_writer_dropped_fn *tell;
	void *tell_arg;

	int fd;
	bool is_stream; /* fd is a pipe or a socket; the thread's */
	int error; /* why lines could not be written since the count was told; 0: they could be */
	bool torn; /* the last byte written to fd is in the middle of a line; the thread's */
	int next_fd; /* -1: none */
	uint64_t next_at; /* what comes after this many bytes put goes to next_fd */

	bool waiting; /* the thread sleeps until there is anything to do */
	bool hurry; /* somebody waits: do not linger */
	bool ending; /* write what is there, then exit */
	bool exited; /* the thread touches nothing any more */
	bool abandoned; /* nobody waits for the thread: it frees the writer */
};

static void
close_descriptor(int fd)
{
	if (fd > STDERR_FILENO)
		close(fd);
}

static bool
is_stream(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static void
writer_destroy(struct pst_log_writer *writer)
{
	close_descriptor(writer->fd);
	close_descriptor(writer->next_fd);
	pthread_cond_destroy(&writer->done);
	pthread_cond_destroy(&writer->work);
	pthread_mutex_destroy(&writer->lock);
	free(writer->ring);
	free(writer);
}

static uint64_t
count_lines(const char *bytes, size_t n)
{
	const char *end = bytes + n;
	uint64_t lines = 0;

	for (const char *at = bytes; at < end && (at = memchr(at, '\n', end - at)) != NULL; at++)
		lines++;
	return lines;
}

static struct timespec
deadline_in(unsigned ms)
{
	struct timespec when;

	clock_gettime(CLOCK_MONOTONIC, &when);
	when.tv_sec += ms / 1000;
	when.tv_nsec += (long)(ms % 1000) * 1000000;
	if (when.tv_nsec >= 1000000000) {
		when.tv_sec++;
		when.tv_nsec -= 1000000000;
	}
	return when;
}

/* --- the thread's side: writing --- */

/* Drop the first N bytes of the two pieces. */
static void
advance(struct iovec iov[2], size_t n)
{
	for (int i = 0; i < 2; i++) {
		size_t part = n < iov[i].iov_len ? n : iov[i].iov_len;

		iov[i].iov_base = (char *)iov[i].iov_base + part;
		iov[i].iov_len -= part;
		n -= part;
	}
}

/*
 * True: try to write again. Another process that shares the descriptor may have made it
 * non-blocking.
 */
static bool
may_retry(int fd, int err)
{
	if (err == EAGAIN) {
		struct pollfd wait = {.fd = fd, .events = POLLOUT};

		return poll(&wait, 1, -1) >= 0 || errno == EINTR;
	}
	return err == EINTR;
}

static char
byte_at(const struct iovec iov[2], size_t i)
{
	return i < iov[0].iov_len ? ((const char *)iov[0].iov_base)[i]
				  : ((const char *)iov[1].iov_base)[i - iov[0].iov_len];
}

/*
 * How much of the two pieces one write takes. Others may write to a pipe, too: what has at most
 * PIPE_BUF bytes comes through whole, so that is whole lines, or one that is longer. A file takes
 * any write as one.
 */
static size_t
portion(const struct iovec iov[2], bool is_stream)
{
	size_t all = iov[0].iov_len + iov[1].iov_len, n = PIPE_BUF;

	if (!is_stream || all <= PIPE_BUF)
		return all;
	while (n > 0 && byte_at(iov, n - 1) != '\n')
		n--;
	if (n > 0)
		return n;
	for (n = PIPE_BUF; n < all && byte_at(iov, n - 1) != '\n'; n++) {
		/* the end of this line */
	}
	return n;
}

/* Write all of it; what could not be written is left in IOV. */
static bool
write_pieces(int fd, struct iovec iov[2], bool is_stream)
{
	while (iov[0].iov_len + iov[1].iov_len > 0) {
		size_t most = portion(iov, is_stream);
		struct iovec now[2] = {iov[0], iov[1]};
		ssize_t n;

		if (now[0].iov_len > most)
			now[0].iov_len = most;
		now[1].iov_len = most - now[0].iov_len;
		n = writev(fd, now, 2);

		if (n >= 0)
			advance(iov, n);
		else if (!may_retry(fd, errno))
			return false;
	}
	return true;
}

/*
 * Write whole lines. A write that failed in the middle of a line (a full disk) must not make the
 * next line part of it: that one is ended first.
 */
static bool
write_lines(struct pst_log_writer *writer, struct iovec iov[2])
{
	char lf = '\n';
	struct iovec end[2] = {{.iov_base = &lf, .iov_len = 1}, {.iov_len = 0}};
	size_t first = iov[0].iov_len, total = first + iov[1].iov_len;
	size_t left;

	if (writer->torn && !write_pieces(writer->fd, end, writer->is_stream))
		return false;
	writer->torn = false;
	if (write_pieces(writer->fd, iov, writer->is_stream))
		return true;
	left = iov[0].iov_len + iov[1].iov_len;
	if (left < total) {
		/*
		 * Written is the byte before what is left; at the seam it is the first piece's
		 * last.
		 */
		const char *rest = iov[0].iov_len > 0 || iov[1].iov_len == total - first
				       ? iov[0].iov_base
				       : iov[1].iov_base;

		writer->torn = rest[-1] != '\n';
	}
	return false;
}

/*
 * With the lock held; gives it up while writing. Called after a write that succeeded, so that a
 * descriptor that takes nothing is not tried over and over.
 */
static void
tell_dropped(struct pst_log_writer *writer)
{
	uint64_t count = writer->dropped - writer->told;
	char line[512];
	struct iovec iov[2] = {{.iov_base = line}, {.iov_len = 0}};
	bool told = true;

	if (count == 0)
		return;
	pthread_mutex_unlock(&writer->lock);
	if (writer->tell) {
		iov[0].iov_len =
		    writer->tell(writer->tell_arg, count, writer->error, line, sizeof(line));
		assert(iov[0].iov_len <= sizeof(line));
		told = write_lines(writer, iov);
	}
	if (told)
		writer->error = 0;
	pthread_mutex_lock(&writer->lock);
	if (told)
		writer->told += count;
}

/* The same when writing begins to fail for ERROR: an owner that has another place tells it there.
 */
static void
tell_failure(struct pst_log_writer *writer, int error)
{
	uint64_t count = writer->dropped - writer->told;
	bool told = false;
	char line[512];

	if (writer->error != 0)
		return;
	writer->error = error;
	pthread_mutex_unlock(&writer->lock);
	if (writer->tell)
		told = writer->tell(writer->tell_arg, count, error, line, sizeof(line)) == 0;
	pthread_mutex_lock(&writer->lock);
	if (told)
		writer->told += count;
}

/* With the lock held; gives it up while writing. LENGTH bytes, which end a line. */
static void
write_batch(struct pst_log_writer *writer, size_t length)
{
	size_t first = writer->size - writer->start;
	struct iovec iov[2] = {
	    {.iov_base = writer->ring + writer->start}, {.iov_base = writer->ring, .iov_len = 0}};
	uint64_t lost = 0;
	bool written;
	int error;

	if (first > length)
		first = length;
	iov[0].iov_len = first;
	iov[1].iov_len = length - first;

	pthread_mutex_unlock(&writer->lock);
	written = write_lines(writer, iov);
	error = errno;
	if (!written)
		lost = count_lines(iov[0].iov_base, iov[0].iov_len) +
		       count_lines(iov[1].iov_base, iov[1].iov_len);
	pthread_mutex_lock(&writer->lock);

	writer->dropped += lost;
	if (written)
		tell_dropped(writer);
	else
		tell_failure(writer, error);
	writer->taken += length;
	writer->length -= length;
	writer->start = writer->length ? (writer->start + length) % writer->size : 0;
	pthread_cond_broadcast(&writer->done);
}

/* --- the thread's side: what to do next --- */

/* With the lock held. What was put before the change of descriptor has been written. */
static void
change_descriptor(struct pst_log_writer *writer)
{
	int old = writer->fd;

	writer->fd = writer->next_fd;
	writer->next_fd = -1;
	writer->torn = false;
	pthread_mutex_unlock(&writer->lock);
	writer->is_stream = is_stream(writer->fd);
	close_descriptor(old);
	pthread_mutex_lock(&writer->lock);
}

static void
linger(struct pst_log_writer *writer)
{
	struct timespec until = deadline_in(LINGER_MS);

	while (!writer->hurry && !writer->ending && writer->length <= writer->size / 2)
		if (pthread_cond_timedwait(&writer->work, &writer->lock, &until) != 0)
			break;
}

static void
wait_for_work(struct pst_log_writer *writer)
{
	writer->waiting = true;
	while (writer->length == 0 && writer->next_fd < 0 && !writer->ending)
		pthread_cond_wait(&writer->work, &writer->lock);
	writer->waiting = false;
}

static void *
writer_thread(void *arg)
{
	struct pst_log_writer *writer = arg;
	bool abandoned;

	pthread_mutex_lock(&writer->lock);
	while (!writer->abandoned) {
		wait_for_work(writer);
		if (writer->next_fd >= 0 && writer->taken >= writer->next_at) {
			change_descriptor(writer);
			continue;
		}
		if (writer->length == 0)
			break;
		if (writer->next_fd >= 0)
			write_batch(writer, writer->next_at - writer->taken);
		else
			write_batch(writer, writer->length);
		linger(writer);
		writer->hurry = false;
	}
	writer->exited = true;
	abandoned = writer->abandoned;
	pthread_cond_broadcast(&writer->done);
	pthread_mutex_unlock(&writer->lock);
	if (abandoned)
		writer_destroy(writer);
	return NULL;
}

/* --- the callers' side --- */

/* Start the thread with all signals blocked: they are for the threads that wait for them. */
static int
start_thread(struct pst_log_writer *writer)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&writer->thread, NULL, writer_thread, writer);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

struct pst_log_writer *
pst_log_writer_new(int fd, size_t size, pst_log_writer_dropped_fn *dropped, void *arg)
{
	struct pst_log_writer *writer = calloc(1, sizeof(*writer));
	pthread_condattr_t monotonic;
	int err;

	assert(fd >= 0 && size > 0);
	if (!writer || !(writer->ring = malloc(size))) {
		free(writer);
		errno = ENOMEM;
		return NULL;
	}
	writer->size = size;
	writer->fd = fd;
	writer->is_stream = is_stream(fd);
	writer->next_fd = -1;
	writer->tell = dropped;
	writer->tell_arg = arg;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->work, &monotonic);
	pthread_cond_init(&writer->done, &monotonic);
	pthread_condattr_destroy(&monotonic);

	err = start_thread(writer);
	if (err) {
		writer->fd = -1;
		writer_destroy(writer);
		errno = err;
		return NULL;
	}
	return writer;
}

/* With the lock held and room for them. */
static void
copy_in(struct pst_log_writer *writer, const char *bytes, size_t n)
{
	size_t at = (writer->start + writer->length) % writer->size;
	size_t first = writer->size - at < n ? writer->size - at : n;

	memcpy(writer->ring + at, bytes, first);
	memcpy(writer->ring, bytes + first, n - first);
	writer->length += n;
	writer->put += n;
}

bool
pst_log_writer_put(struct pst_log_writer *writer, const void *lines, size_t n)
{
	bool fits, wake;

	if (n == 0)
		return true;
	assert(((const char *)lines)[n - 1] == '\n');
	pthread_mutex_lock(&writer->lock);
	fits = n <= writer->size - writer->length;
	if (fits)
		copy_in(writer, lines, n);
	else
		writer->dropped += count_lines(lines, n);
	wake = writer->waiting || writer->length > writer->size / 2;
	if (wake)
		pthread_cond_signal(&writer->work);
	pthread_mutex_unlock(&writer->lock);
	return fits;
}

void
pst_log_writer_reopen(struct pst_log_writer *writer, int fd)
{
	int unused;

	assert(fd >= 0);
	pthread_mutex_lock(&writer->lock);
	unused = writer->next_fd;
	writer->next_fd = fd;
	writer->next_at = writer->put;
	writer->hurry = true;
	pthread_cond_signal(&writer->work);
	pthread_mutex_unlock(&writer->lock);
	close_descriptor(unused);
}

uint64_t
pst_log_writer_dropped(struct pst_log_writer *writer)
{
	uint64_t dropped;

	pthread_mutex_lock(&writer->lock);
	dropped = writer->dropped;
	pthread_mutex_unlock(&writer->lock);
	return dropped;
}

bool
pst_log_writer_flush(struct pst_log_writer *writer, unsigned ms)
{
	struct timespec until = deadline_in(ms);
	uint64_t goal;
	bool written;

	pthread_mutex_lock(&writer->lock);
	goal = writer->put;
	while (writer->taken < goal) {
		writer->hurry = true;
		pthread_cond_signal(&writer->work);
		if (pthread_cond_timedwait(&writer->done, &writer->lock, &until) != 0)
			break;
	}
	written = writer->taken >= goal;
	pthread_mutex_unlock(&writer->lock);
	return written;
}

bool
pst_log_writer_free(struct pst_log_writer *writer, unsigned ms)
{
	struct timespec until = deadline_in(ms);
	bool exited;

	if (!writer)
		return true;
	pthread_mutex_lock(&writer->lock);
	writer->ending = true;
	pthread_cond_signal(&writer->work);
	while (!writer->exited)
		if (pthread_cond_timedwait(&writer->done, &writer->lock, &until) != 0)
			break;
	exited = writer->exited;
	writer->abandoned = !exited;
	if (!exited)
		pthread_detach(writer->thread);
	pthread_mutex_unlock(&writer->lock);
	if (exited) {
		pthread_join(writer->thread, NULL);
		writer_destroy(writer);
	}
	return exited;
}
