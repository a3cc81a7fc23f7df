/*
 * The command line of a worker.
 */
#ifndef PST_ARBITER_COMMAND_H
#define PST_ARBITER_COMMAND_H

#include "gateway/conf.h"
#include "gateway/worker_class.h"

struct pst_command {
	char *file; /* of the program */
	char **argv; /* NULL-terminated */
	char **owned; /* those words that are no conf's */
	size_t owned_count;
};

/*
 * What starts worker ID of the pool whose settings CONF are: our adapter of MODEL with its options,
 * or the program that CONF names. Good as long as CONF and ID are. 0, or -1 with errno.
 */
int pst_command_make(
    struct pst_command *command, const struct pst_conf *conf, const char *id, enum pst_model model);
void pst_command_free(struct pst_command *command);

#endif
