/*
 * penstock: reads the command line, opens the logs and becomes the arbiter.
 */
#include "gateway/arbiter/arbiter.h"
#include "gateway/arbiter/daemon.h"
#include "gateway/arbiter/logfile.h"
#include "gateway/conf.h"
#include "gateway/ctl/ctl.h"
#include "gateway/import_gunicorn.h"
#include "gateway/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the last lines may take to be written. */
#define LOG_CLOSE_MS 2000

static enum pst_exit
usage(const char *why)
{
	fprintf(stderr, "penstock: %s\n", why);
	return PST_EXIT_USAGE;
}

/* What we inherited is for us (fd://N) and not for what we start. */
static void
close_on_exec(void)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		int fd = atoi(entry->d_name);

		if (fd > 2)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	closedir(directory);
}

/* 0, 1 and 2 must be taken, or sockets get their numbers. */
static void
fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* Open the log file of option ID; STANDARD stands for "-". -1 after WHY was filled. */
static int
open_log(const struct pst_conf *conf, enum pst_option_id id, int standard, char *why)
{
	int fd;

	if (!pst_logfile_is_file(conf, id))
		return standard;
	fd = pst_logfile_open(conf, id);
	if (fd < 0)
		snprintf(why, PST_CONF_WHY, "--%s: cannot open %.200s: %s", pst_options[id].name,
		    pst_conf_text(conf, id), strerror(errno));
	return fd;
}

static int
open_error_log(const struct pst_conf *conf, char *why)
{
	enum pst_log_level level = PST_LOG_INFO;
	int fd = open_log(conf, PST_OPT_ERROR_LOGFILE, STDERR_FILENO, why);

	if (fd < 0)
		return -1;
	(void)pst_log_level_parse(pst_conf_text(conf, PST_OPT_LOG_LEVEL), &level);
	if (pst_log_open(fd, level) == 0)
		return 0;
	snprintf(why, PST_CONF_WHY, "cannot start the error log: %s", strerror(errno));
	return -1;
}

/* Serve GENERATION: what follows is the daemon's when there is one. */
static enum pst_exit
serve(struct pst_generation **generation, const struct pst_start *start, int *daemon)
{
	const struct pst_conf *conf = (*generation)->conf;
	enum pst_exit status;
	char why[PST_CONF_WHY];

	if (open_error_log(conf, why) < 0) {
		pst_generation_release(generation);
		return usage(why);
	}
	for (size_t i = 0; i < pst_conf_warning_count(conf); i++)
		pst_log_warning("%s", pst_conf_warning_text(conf, i));
	status = pst_arbiter_run(generation, start, daemon);
	pst_log_close(LOG_CLOSE_MS);
	return status;
}

/* -D: become a daemon. -1 after WHY was filled. */
static int
begin_daemon(const struct pst_conf *conf, int *daemon, char *why)
{
	bool has_log = pst_logfile_is_file(conf, PST_OPT_ERROR_LOGFILE);

	if (!pst_conf_text(conf, PST_OPT_DAEMON))
		return 0;
	*daemon = pst_daemon_begin(has_log ? pst_conf_text(conf, PST_OPT_ERROR_LOGFILE) : NULL);
	if (*daemon >= 0)
		return 0;
	snprintf(why, PST_CONF_WHY, "--daemon: %s", strerror(errno));
	return -1;
}

static enum pst_exit
run(struct pst_conf **conf, const struct pst_start *start)
{
	struct pst_generation *generation;
	char why[PST_CONF_WHY];
	int daemon = -1;
	enum pst_exit status;

	pst_arbiter_block_signals();
	close_on_exec();
	generation = pst_generation_new(conf, why);
	if (!generation || begin_daemon(generation->conf, &daemon, why) < 0) {
		pst_generation_release(&generation);
		return usage(why);
	}
	status = serve(&generation, start, &daemon);
	pst_daemon_tell(&daemon, (int)status);
	return status;
}

/* Every mistake on a line of its own, and the warnings. */
static enum pst_exit
complain(const struct pst_conf *conf)
{
	for (size_t i = 0; i < pst_conf_mistake_count(conf); i++)
		fprintf(stderr, "penstock: %s\n", pst_conf_mistake_text(conf, i));
	for (size_t i = 0; i < pst_conf_warning_count(conf); i++)
		fprintf(stderr, "penstock: warning: %s\n", pst_conf_warning_text(conf, i));
	return pst_conf_mistake_count(conf) ? PST_EXIT_USAGE : PST_EXIT_OK;
}

static enum pst_exit
check(struct pst_conf *conf)
{
	enum pst_exit status;

	pst_conf_probe(conf);
	status = complain(conf);
	if (status == PST_EXIT_OK)
		printf("penstock: the configuration is right; no application was loaded\n");
	return status;
}

int
main(int argc, char **argv)
{
	struct pst_start start = {.argc = argc, .argv = argv};
	struct pst_conf *conf;
	enum pst_exit status = PST_EXIT_OK;

	fill_standard_fds();
	if (argc > 1 && strcmp(argv[1], "ctl") == 0)
		return (int)pst_ctl_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "import-gunicorn") == 0)
		return pst_import_gunicorn(argc - 1, argv + 1);
	start.directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	conf = pst_conf_new();
	if (!conf)
		return usage("out of memory");
	switch (pst_conf_read(conf, argc, argv)) {
	case PST_CONF_ERROR: status = complain(conf); break;
	case PST_CONF_CHECK: status = check(conf); break;
	case PST_CONF_PRINT: pst_conf_print(conf, stdout); break;
	case PST_CONF_HELP: pst_conf_print_help(stdout); break;
	case PST_CONF_VERSION: pst_conf_print_version(stdout); break;
	case PST_CONF_RUN: status = run(&conf, &start); break;
	}
	pst_conf_free(conf);
	return (int)status;
}
