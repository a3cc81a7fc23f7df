/*
 * The parts of files that an answer has among its bytes: each stands behind so many bytes of the
 * answer's spool. As many as the worker's credit allows: PST_SESSION_FILE_COST for each.
 */
#ifndef PST_FRONT_ANSWER_FILES_H
#define PST_FRONT_ANSWER_FILES_H

#include "protocol/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

struct pst_answer_part {
	STAILQ_ENTRY(pst_answer_part) link;
	int fd;
	off_t offset;
	uint64_t left;
	uint64_t behind; /* bytes that were ever in the spool before it */
};

struct pst_answer_files {
	STAILQ_HEAD(, pst_answer_part) parts;
	uint64_t left; /* of all */
	unsigned done; /* that were sent, dropped or refused: the owner sets it to 0 */
};

void pst_answer_files_init(struct pst_answer_files *files);
/* Close all. */
void pst_answer_files_free(struct pst_answer_files *files);

/*
 * Add a part, behind BEHIND bytes of the spool; its descriptor is taken in any case. 0, or
 * PST_ERR_PROTOCOL (it is no regular file, or too short), PST_ERR_NOMEM, with a constant *REASON.
 */
int pst_answer_files_add(struct pst_answer_files *files, const struct pst_session_file *file,
    uint64_t behind, const char **reason);

/* Nobody wants FILE. */
void pst_answer_files_refuse(struct pst_answer_files *files, const struct pst_session_file *file);

/* The first; NULL: there is none. */
struct pst_answer_part *pst_answer_files_front(const struct pst_answer_files *files);
/* Only N bytes of the first part are left: the rest does not fit. */
void pst_answer_files_shorten(struct pst_answer_files *files, uint64_t n);
/* N bytes of the first part were sent: true when that was the last, and it is gone. */
bool pst_answer_files_sent(struct pst_answer_files *files, uint64_t n);

#endif
