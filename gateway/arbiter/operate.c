/*
 * What the operator asks for while it serves: other log files, or that it leaves the terminal.
 */
#include "gateway/arbiter/daemon.h"
#include "gateway/arbiter/logfile.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Open the file of log ID again; -1: it goes on where it goes, which was logged, or is no file. */
static int
reopen(const struct pst_arbiter *arbiter, enum pst_option_id id)
{
	int fd;

	if (!pst_logfile_is_file(arbiter->generation->conf, id))
		return -1;
	fd = pst_logfile_open(arbiter->generation->conf, id);
	if (fd < 0)
		pst_log_error("--%s: cannot open %.200s again: %s; what is logged goes on to the "
			      "file that was open",
		    pst_options[id].name, pst_conf_text(arbiter->generation->conf, id),
		    strerror(errno));
	return fd;
}

void
pst_arbiter_reopen_logs(struct pst_arbiter *arbiter)
{
	struct pst_channel *gate = arbiter->gate.child.channel;
	int error_log = reopen(arbiter, PST_OPT_ERROR_LOGFILE);
	int access_log = reopen(arbiter, PST_OPT_ACCESS_LOGFILE);

	if (error_log >= 0 && gate)
		pst_channel_send_fd(gate, error_log, "ERROR_LOG", NULL);
	if (error_log >= 0)
		pst_log_reopen(error_log);
	if (access_log < 0)
		return;
	if (gate)
		pst_channel_send_fd(gate, access_log, "ACCESS_LOG", NULL);
	/* Its number is the caller's, and what the next gateway is given. */
	dup3(access_log, arbiter->access_log, O_CLOEXEC);
	close(access_log);
}

/* The end of what the log thread writes to a terminal, before that is gone. */
#define FLUSH_MS 1000

void
pst_arbiter_detach(struct pst_arbiter *arbiter)
{
	const struct pst_conf *conf = arbiter->generation->conf;
	struct pst_channel *gate = arbiter->gate.child.channel;

	if (arbiter->daemon < 0)
		return;
	if (!pst_logfile_is_file(conf, PST_OPT_ERROR_LOGFILE))
		pst_log_warning("--daemon without --error-logfile: from now on nothing is logged");
	pst_log_flush(FLUSH_MS);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(arbiter->null, fd) < 0)
			pst_log_warning("descriptor %d stays open: %s", fd, strerror(errno));
	if (gate && !pst_logfile_is_file(conf, PST_OPT_ERROR_LOGFILE))
		pst_channel_send_fd(gate, arbiter->null, "ERROR_LOG", NULL);
	if (gate && arbiter->access_log == STDOUT_FILENO)
		pst_channel_send_fd(gate, arbiter->null, "ACCESS_LOG", NULL);
	pst_daemon_tell(&arbiter->daemon, PST_EXIT_OK);
}
