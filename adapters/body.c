#include "adapters/body.h"

#include "protocol/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pst_body_file {
	int fd;
	off_t offset;
	uint64_t left;
	size_t before; /* bytes that stand between the one before it, or the front, and it */
};

static void
drop_file(struct pst_body *body)
{
	close(body->files[0].fd);
	body->file_count--;
	memmove(body->files, body->files + 1, body->file_count * sizeof(body->files[0]));
}

static void
drop_files(struct pst_body *body)
{
	while (body->file_count > 0)
		drop_file(body);
}

void
pst_body_free(struct pst_body *body)
{
	drop_files(body);
	free(body->files);
	pst_buf_free(&body->bytes);
	*body = (struct pst_body){0};
}

void
pst_body_clear(struct pst_body *body, size_t keep)
{
	drop_files(body);
	if (body->bytes.size > keep)
		pst_buf_free(&body->bytes);
	else
		pst_buf_consume(&body->bytes, pst_buf_length(&body->bytes));
}

int
pst_body_add(struct pst_body *body, const void *bytes, size_t n)
{
	return pst_buf_append(&body->bytes, bytes, n);
}

static int
check(const struct pst_session_file *file)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
	    file->offset > (uint64_t)st.st_size ||
	    file->length > (uint64_t)st.st_size - file->offset)
		return PST_ERR_PROTOCOL;
	return 0;
}

/* Bytes behind the last file. */
static size_t
tail(const struct pst_body *body)
{
	size_t n = pst_buf_length(&body->bytes);

	for (size_t i = 0; i < body->file_count; i++)
		n -= body->files[i].before;
	return n;
}

static int
reserve_file(struct pst_body *body)
{
	if (body->file_count == PST_BODY_FILES)
		return PST_ERR_LIMIT;
	if (!body->files)
		body->files = calloc(PST_BODY_FILES, sizeof(body->files[0]));
	return body->files ? 0 : PST_ERR_NOMEM;
}

int
pst_body_add_file(struct pst_body *body, const struct pst_session_file *file)
{
	int err = check(file);

	if (err == 0)
		err = reserve_file(body);
	if (err < 0) {
		close(file->fd);
		return err;
	}
	body->files[body->file_count] = (struct pst_body_file){.fd = file->fd,
	    .offset = (off_t)file->offset,
	    .left = file->length,
	    .before = tail(body)};
	body->file_count++;
	return 0;
}

int
pst_body_move(struct pst_body *body, struct pst_body *from)
{
	size_t before = tail(body);
	struct pst_body empty = *body;

	if (pst_body_is_empty(body)) {
		*body = *from;
		*from = empty;
		return 0;
	}
	if (from->file_count > 0 && body->file_count + from->file_count > PST_BODY_FILES)
		return PST_ERR_LIMIT;
	if (from->file_count > 0 && reserve_file(body) < 0)
		return PST_ERR_NOMEM;
	if (pst_body_add(body, pst_buf_bytes(&from->bytes), pst_buf_length(&from->bytes)) < 0)
		return PST_ERR_NOMEM;
	for (size_t i = 0; i < from->file_count; i++) {
		body->files[body->file_count] = from->files[i];
		body->files[body->file_count++].before += i == 0 ? before : 0;
	}
	from->file_count = 0;
	return 0;
}

static ssize_t
read_file(struct pst_body *body, void *bytes, size_t n, size_t *credit)
{
	struct pst_body_file *file = &body->files[0];
	ssize_t got;

	if (n > file->left)
		n = (size_t)file->left;
	do
		got = pread(file->fd, bytes, n, file->offset);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		errno = ENODATA;
	if (got <= 0)
		return -1;
	file->offset += got;
	file->left -= (uint64_t)got;
	if (file->left > 0)
		return got;
	*credit = PST_SESSION_FILE_COST;
	drop_file(body);
	return got;
}

ssize_t
pst_body_read(struct pst_body *body, void *bytes, size_t n, size_t *credit)
{
	size_t held = body->file_count > 0 ? body->files[0].before : pst_buf_length(&body->bytes);

	*credit = 0;
	if (held == 0 && body->file_count > 0)
		return read_file(body, bytes, n, credit);
	if (n > held)
		n = held;
	if (n == 0)
		return 0;
	memcpy(bytes, pst_buf_bytes(&body->bytes), n);
	pst_buf_consume(&body->bytes, n);
	if (body->file_count > 0)
		body->files[0].before -= n;
	*credit = n;
	return (ssize_t)n;
}
