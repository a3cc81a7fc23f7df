#include "gateway/arbiter/logfile.h"

#include <fcntl.h>
#include <string.h>

bool
pst_logfile_is_file(const struct pst_conf *conf, enum pst_option_id id)
{
	const char *path = pst_conf_text(conf, id);

	return path && strcmp(path, "-") != 0;
}

int
pst_logfile_open(const struct pst_conf *conf, enum pst_option_id id)
{
	return open(
	    pst_conf_text(conf, id), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
}
