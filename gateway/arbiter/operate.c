/*
 * What the operator asks for while it serves: other log files, more workers, fewer workers.
 */
#include "gateway/arbiter/logfile.h"
#include "gateway/arbiter/state.h"
#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- logs ---- */

/* Open the file of log ID again; -1: it goes on where it goes, which was logged, or is no file. */
static int
reopen(const struct pst_arbiter *arbiter, enum pst_option_id id)
{
	int fd;

	if (!pst_logfile_is_file(arbiter->conf, id))
		return -1;
	fd = pst_logfile_open(arbiter->conf, id);
	if (fd < 0)
		pst_log_error("--%s: cannot open %.200s again: %s; what is logged goes on to the "
			      "file that was open",
		    pst_options[id].name, pst_conf_text(arbiter->conf, id), strerror(errno));
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

/* ---- the number of workers ---- */

/* The highest slot that has a holder; NULL for none. COUNT becomes how many have. */
static struct pst_worker *
find_last(const struct pst_arbiter *arbiter, unsigned *count)
{
	struct pst_worker *worker, *last = NULL;

	*count = 0;
	TAILQ_FOREACH (worker, &arbiter->workers, link) {
		if (worker->role != PST_WORKER_HOLDER)
			continue;
		++*count;
		if (!last || worker->number > last->number)
			last = worker;
	}
	return last;
}

void
pst_arbiter_more(struct pst_arbiter *arbiter)
{
	unsigned count;
	struct pst_worker *last = find_last(arbiter, &count), *worker;

	if (count >= PST_WORKERS_MOST) {
		pst_log_warning("there are %u workers, and cannot be more", count);
		return;
	}
	worker = pst_worker_new(arbiter, last ? last->number + 1 : 1, PST_WORKER_HOLDER);
	if (!worker) {
		pst_log_error("no worker is added: out of memory");
		return;
	}
	pst_log_info("a worker is added: %u workers", count + 1);
	pst_worker_start(worker);
}

void
pst_arbiter_less(struct pst_arbiter *arbiter)
{
	unsigned count;
	struct pst_worker *last = find_last(arbiter, &count), *heir;

	if (count <= 1) {
		pst_log_warning("the last worker is kept: there cannot be fewer");
		return;
	}
	pst_log_info("worker %s (pid %ld) is taken away: %u worker%s", last->id,
	    (long)last->child.pid, count - 1, count == 2 ? "" : "s");
	TAILQ_FOREACH (heir, &arbiter->workers, link)
		if (heir->role == PST_WORKER_HEIR && heir->number == last->number)
			pst_worker_leave(heir);
	pst_worker_leave(last);
	pst_turnover_next(arbiter);
}
