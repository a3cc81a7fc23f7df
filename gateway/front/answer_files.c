#include "gateway/front/answer_files.h"

#include "protocol/error.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void
pst_answer_files_init(struct pst_answer_files *files)
{
	STAILQ_INIT(&files->parts);
	files->left = 0;
}

static void
drop_front(struct pst_answer_files *files)
{
	struct pst_answer_part *part = STAILQ_FIRST(&files->parts);

	STAILQ_REMOVE_HEAD(&files->parts, link);
	files->left -= part->left;
	files->done++;
	close(part->fd);
	free(part);
}

void
pst_answer_files_free(struct pst_answer_files *files)
{
	while (!STAILQ_EMPTY(&files->parts))
		drop_front(files);
}

/* What else could be sent, a device or a pipe, might not give its bytes at once. */
static const char *
fault_of(const struct pst_session_file *file)
{
	struct stat status;

	if (fstat(file->fd, &status) == -1 || !S_ISREG(status.st_mode))
		return "a descriptor that is no regular file";
	if ((uint64_t)status.st_size < file->offset + file->length)
		return "a file that is shorter than it says";
	return NULL;
}

void
pst_answer_files_refuse(struct pst_answer_files *files, const struct pst_session_file *file)
{
	close(file->fd);
	files->done++;
}

int
pst_answer_files_add(struct pst_answer_files *files, const struct pst_session_file *file,
    uint64_t behind, const char **reason)
{
	struct pst_answer_part *part = NULL;
	int err = PST_ERR_PROTOCOL;

	*reason = fault_of(file);
	if (*reason == NULL) {
		part = malloc(sizeof(*part));
		err = PST_ERR_NOMEM;
	}
	if (part == NULL) {
		if (*reason == NULL)
			*reason = pst_error_string(err);
		pst_answer_files_refuse(files, file);
		return err;
	}
	*part = (struct pst_answer_part){
	    .fd = file->fd, .offset = (off_t)file->offset, .left = file->length, .behind = behind};
	STAILQ_INSERT_TAIL(&files->parts, part, link);
	files->left += part->left;
	return 0;
}

struct pst_answer_part *
pst_answer_files_front(const struct pst_answer_files *files)
{
	return STAILQ_FIRST(&files->parts);
}

void
pst_answer_files_shorten(struct pst_answer_files *files, uint64_t n)
{
	struct pst_answer_part *part = STAILQ_FIRST(&files->parts);

	assert(n > 0 && n <= part->left);
	files->left -= part->left - n;
	part->left = n;
}

bool
pst_answer_files_sent(struct pst_answer_files *files, uint64_t n)
{
	struct pst_answer_part *part = STAILQ_FIRST(&files->parts);

	assert(n <= part->left);
	part->offset += (off_t)n;
	part->left -= n;
	files->left -= n;
	if (part->left > 0)
		return false;
	drop_front(files);
	return true;
}
