#include "adapters/head.h"
#include "adapters/log.h"
#include "adapters/piece.h"
#include "adapters/request.h"
#include "adapters/request_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * So many bytes at the end of a file, and so the whole of a small one, are copied: they leave in
 * one write with what surrounds them. As they are read before they are sent, nothing that a
 * spoilt piece put in a file's place can complete the length that the response promised.
 */
#define COPIED 16384

/* --- X-Sendfile --- */

bool
pst_request_take_file(struct pst_request *request, struct pst_sendfile *file)
{
	*file = request->file;
	if (!request->has_file)
		return false;
	request->has_file = false;
	return true;
}

void
pst_request_drop_file(struct pst_request *request)
{
	struct pst_sendfile file;

	if (pst_request_take_file(request, &file))
		close(file.fd);
}

static bool
is_head(const struct pst_request *request)
{
	const struct pst_field *method = pst_fields_find(&request->params, "REQUEST_METHOD");

	return method && strcmp(method->value, "HEAD") == 0;
}

/* Say WHY the file is not sent, and answer STATUS in its place. */
static int
refuse_file(struct pst_request *request, int status, const char *why)
{
	char title[256], text[400];
	int n = snprintf(text, sizeof(text), "%s: answered %d", why, status);

	pst_request_title(request, title, sizeof(title));
	pst_log_titled(PST_LOG_ERROR, title, text, (size_t)n);
	request->explained = true;
	pst_request_answer(request, status);
	request->replaced = true;
	return PST_RESULT_REPLACED;
}

/* FIELDS without those that are for us, and with the length of the FILE, if there is one. */
static int
append_head(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count, const struct pst_sendfile *file)
{
	struct pst_field *kept = calloc(count + 1, sizeof(*kept));
	char length[24];
	size_t n = 0;
	int result;

	if (!kept)
		return pst_request_fail(request, PST_RESULT_ERROR, "memory is short");
	for (size_t i = 0; i < count; i++)
		if (!(fields[i].name_len == 10 &&
			strncasecmp(fields[i].name, "X-Sendfile", 10) == 0) &&
		    !(fields[i].name_len == 14 &&
			strncasecmp(fields[i].name, "Content-Length", 14) == 0))
			kept[n++] = fields[i];
	if (file)
		kept[n++] = (struct pst_field){"Content-Length", 14, length,
		    (size_t)snprintf(length, sizeof(length), "%zu", file->length)};
	result = pst_head_append(&request->gather, NULL, status, reason, kept, n, request->reason,
	    sizeof(request->reason));
	free(kept);
	return result;
}

int
pst_request_respond_with_file(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count, const struct pst_field *field)
{
	bool bodyless = status == 204 || status == 304;
	struct pst_sendfile file = {.fd = -1};
	char why[300];
	int result = 0;

	if (!bodyless)
		result = pst_sendfile_open(&file, field, status, fields, count, why, sizeof(why));
	if (result != 0)
		return refuse_file(request, result, why);
	result = append_head(request, status, reason, fields, count, bodyless ? NULL : &file);
	request->has_file = result == 0 && !bodyless && file.length > 0 && !is_head(request);
	if (request->has_file)
		request->file = file;
	else if (file.fd >= 0)
		close(file.fd);
	if (result < 0)
		return result;
	request->state = PST_RESPONSE_GATHERED;
	request->replaced = true;
	return PST_RESULT_REPLACED;
}

int
pst_request_send_replacement(struct pst_request *request)
{
	struct pst_sendfile file;
	int result = 0;

	request->replaced = false;
	if (pst_request_take_file(request, &file)) {
		result = pst_request_send_file(request, file.fd, file.offset, file.length);
		close(file.fd);
	}
	return result;
}

/* --- a file of the application's --- */

int
pst_request_check_file(struct pst_request *request, int fd, off_t offset, size_t length)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pst_request_fail(
		    request, PST_RESULT_INVALID, "descriptor %d: %s", fd, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return pst_request_fail(
		    request, PST_RESULT_INVALID, "descriptor %d is no regular file", fd);
	if (offset < 0)
		return pst_request_fail(request, PST_RESULT_INVALID, "the offset is negative");
	if (offset > st.st_size ||
	    (unsigned long long)length > (unsigned long long)(st.st_size - offset))
		return pst_request_fail(request, PST_RESULT_ERROR,
		    "the file has %lld bytes, not the %zu from %lld that are to be sent",
		    (long long)st.st_size, length, (long long)offset);
	return 0;
}

/* Reading the file failed with the error ERR, or it ended early (0). */
static int
fail_file(struct pst_request *request, int err)
{
	if (err != 0)
		return pst_request_fail(
		    request, PST_RESULT_ERROR, "reading the file: %s", strerror(err));
	return pst_request_fail(
	    request, PST_RESULT_ERROR, "the file became shorter while it was sent");
}

/* Send a file's N bytes from OFFSET without copying them. */
static int
send_piece(struct pst_request *request, int fd, off_t offset, size_t n)
{
	struct pst_piece piece = {.fd = fd, .offset = offset};
	int result = pst_request_pass(request);

	if (result == 0)
		result =
		    pst_request_carried(request, request->carrier->send_piece(request, &piece, n));
	request->spoilt |= piece.spoilt;
	return result == 0 && piece.spoilt ? fail_file(request, piece.err) : result;
}

static int
copy_file(struct pst_request *request, int fd, off_t offset, size_t length)
{
	char bytes[COPIED];
	int result = 0;

	while (result == 0 && length > 0) {
		ssize_t n = pread(fd, bytes, length < COPIED ? length : COPIED, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_file(request, n < 0 ? errno : 0);
		result = pst_request_write(request, bytes, (size_t)n);
		offset += n;
		length -= (size_t)n;
	}
	return result;
}

/* The client reads the file: a file that is far away must not make it wait. */
static bool
is_near(int fd)
{
	/* statfs(2): NFS, SMB, CIFS, SMB 2, FUSE, Ceph, Coda, AFS, 9P; no header has them all. */
	static const uint32_t far[] = {0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546, 0xc36400,
	    0x73757245, 0x5346414f, 0x01021997};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		if ((uint32_t)fs.f_type == far[i])
			return false;
	return true;
}

static int
send_descriptor(struct pst_request *request, int fd, off_t offset, size_t length)
{
	int result = pst_request_pass(request);

	if (result < 0)
		return result;
	return pst_request_carried(
	    request, request->carrier->send_descriptor(request, fd, offset, length));
}

int
pst_request_send_file(struct pst_request *request, int fd, off_t offset, size_t length)
{
	int result;

	if (request->state == PST_RESPONSE_NONE)
		return pst_request_fail(request, PST_RESULT_STATE, "a body before its head");
	if (request->replaced)
		return request->gone ? pst_request_carried(request, PST_RESULT_GONE) : 0;
	result = pst_request_check_file(request, fd, offset, length);
	if (result == 0 && request->files && length > COPIED && is_near(fd))
		return send_descriptor(request, fd, offset, length);
	while (result == 0 && length > COPIED) {
		size_t n = length - COPIED;
		if (n > PST_SESSION_EXTERNAL_MAX)
			n = PST_SESSION_EXTERNAL_MAX;
		result = send_piece(request, fd, offset, n);
		offset += (off_t)n;
		length -= n;
		if (result == 0)
			result = pst_request_check_file(request, fd, offset, length);
	}
	return result == 0 ? copy_file(request, fd, offset, length) : result;
}
