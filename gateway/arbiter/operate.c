/*
 * What the operator asks for while it serves: other log files, or that it leaves the terminal; and
 * what a reload means for the arbiter itself.
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

/* From now on all gateways' fds 1 and 2, and our own log, are FD, which is taken over. */
static void
replace_error_log(const struct pst_arbiter *arbiter, int fd)
{
	const struct pst_gate *gate;

	TAILQ_FOREACH (gate, &arbiter->gates, link)
		if (gate->child.channel)
			pst_channel_send_fd(gate->child.channel, fd, "ERROR_LOG", NULL);
	pst_log_reopen(fd);
}

void
pst_arbiter_reopen_logs(struct pst_arbiter *arbiter)
{
	struct pst_generation *generation = arbiter->generation;
	const struct pst_generation *next = arbiter->reload.next;
	const struct pst_gate *gate;
	int error_log = reopen(arbiter, PST_OPT_ERROR_LOGFILE);
	int access_log = reopen(arbiter, PST_OPT_ACCESS_LOGFILE);

	if (error_log >= 0)
		replace_error_log(arbiter, error_log);
	if (access_log < 0)
		return;
	TAILQ_FOREACH (gate, &arbiter->gates, link)
		if (gate->child.channel &&
		    pst_conf_same(gate->generation->conf, generation->conf, PST_OPT_ACCESS_LOGFILE))
			pst_channel_send_fd(gate->child.channel, access_log, "ACCESS_LOG", NULL);
	/* It is what the next gateway is given, also by a reload that has opened it already. */
	dup3(access_log, generation->access_log, O_CLOEXEC);
	if (next && pst_conf_same(next->conf, generation->conf, PST_OPT_ACCESS_LOGFILE) &&
	    pst_conf_same(next->conf, generation->conf, PST_OPT_CHDIR))
		dup3(access_log, next->access_log, O_CLOEXEC);
	close(access_log);
}

/* The end of what the log thread writes to a terminal, before that is gone. */
#define FLUSH_MS 1000

void
pst_arbiter_detach(struct pst_arbiter *arbiter)
{
	const struct pst_conf *conf = arbiter->generation->conf;
	const struct pst_gate *gate;

	if (arbiter->daemon < 0)
		return;
	if (!pst_logfile_is_file(conf, PST_OPT_ERROR_LOGFILE))
		pst_log_warning("--daemon without --error-logfile: from now on nothing is logged");
	pst_log_flush(FLUSH_MS);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(arbiter->null, fd) < 0)
			pst_log_warning("descriptor %d stays open: %s", fd, strerror(errno));
	TAILQ_FOREACH (gate, &arbiter->gates, link)
		if (gate->child.channel && !pst_logfile_is_file(conf, PST_OPT_ERROR_LOGFILE))
			pst_channel_send_fd(gate->child.channel, arbiter->null, "ERROR_LOG", NULL);
	if (arbiter->generation->access_log >= 0 &&
	    !pst_logfile_is_file(conf, PST_OPT_ACCESS_LOGFILE)) {
		dup3(arbiter->null, arbiter->generation->access_log, O_CLOEXEC);
		TAILQ_FOREACH (gate, &arbiter->gates, link)
			if (gate->child.channel)
				pst_channel_send_fd(
				    gate->child.channel, arbiter->null, "ACCESS_LOG", NULL);
	}
	pst_daemon_tell(&arbiter->daemon, PST_EXIT_OK);
}

/* ---- another configuration ---- */

static void
set_error_log(struct pst_arbiter *arbiter)
{
	const struct pst_conf *conf = arbiter->generation->conf;
	int fd = pst_logfile_is_file(conf, PST_OPT_ERROR_LOGFILE)
		     ? pst_logfile_open(conf, PST_OPT_ERROR_LOGFILE)
		     : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	if (fd >= 0)
		replace_error_log(arbiter, fd);
	else
		pst_log_error("--error-logfile: cannot open %.200s: %s; what is logged goes on to "
			      "where it went",
		    pst_conf_text(conf, PST_OPT_ERROR_LOGFILE), strerror(errno));
}

/* What a process is once and for all. */
static void
warn_of_fixed(const struct pst_conf *old, const struct pst_conf *new)
{
	static const enum pst_option_id fixed[] = {PST_OPT_USER, PST_OPT_GROUP, PST_OPT_INITGROUPS,
	    PST_OPT_PID, PST_OPT_DAEMON, PST_OPT_CONTROL_SOCKET, PST_OPT_NO_CONTROL_SOCKET};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!pst_conf_same(old, new, fixed[i]))
			pst_log_warning("--%s is another now, which for penstock itself and its "
					"gateway takes a restart",
			    pst_options[fixed[i]].name);
}

void
pst_operate_settings(struct pst_arbiter *arbiter, const struct pst_conf *old)
{
	const struct pst_conf *conf = arbiter->generation->conf;
	enum pst_log_level level;

	if (!arbiter->log_level && !pst_conf_same(old, conf, PST_OPT_LOG_LEVEL) &&
	    pst_log_level_parse(pst_conf_text(conf, PST_OPT_LOG_LEVEL), &level))
		pst_log_set_level(level);
	if (!pst_conf_same(old, conf, PST_OPT_ERROR_LOGFILE))
		set_error_log(arbiter);
	warn_of_fixed(old, conf);
	pst_source_watch_set(arbiter);
}
