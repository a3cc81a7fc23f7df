#include "gateway/ctl/ctl.h"

#include "gateway/ctl/find.h"
#include "gateway/ctl/json.h"
#include "gateway/report.h"
#include "gateway/ctl/show.h"
#include "gateway/ctl/talk.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct order {
	const char *socket;
	const char *process;
	bool json;
	char **words; /* the command and its arguments */
	int count;
};

static const struct command {
	const char *name;
	const char *request;
	int arguments;
	const char *usage;
	const char *help;
	bool patient; /* its answer comes when it is done */
} commands[] = {
    {"status", "STATUS", 0, "status", "how arbiter, gateway, pools and workers are", false},
    {"reload", "RELOAD", 0, "reload", "replace every worker, as HUP does, and wait for it", true},
    {"drain", "DRAIN", 0, "drain", "finish the requests and end, as TERM does, and wait for it",
	false},
    {"scale", "SCALE", 2, "scale POOL N", "let POOL have N workers", false},
    {"kill", "KILL", 1, "kill WORKER", "dump the stacks of WORKER, kill and replace it", false},
    {"log-level", "LOG", 1, "log-level LEVEL",
	"log from LEVEL on: debug, info, warning, error, critical", false},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* ---- the command line ---- */

static void
print_help(void)
{
	printf("usage: penstock ctl [options] COMMAND\n"
	       "\n"
	       "Ask a running penstock. Without options it is the only one of this user.\n"
	       "\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-18s %s\n", commands[i].usage, commands[i].help);
	printf("\n"
	       "  -s, --socket PATH  the control socket (--control-socket of the server)\n"
	       "  -p, --pid PID      its process id, or its pid file\n"
	       "  -j, --json         answer in JSON\n"
	       "  -h, --help         print this\n"
	       "\n"
	       "Exit status: 0 done, 1 refused or not reachable, 2 wrong usage. See "
	       "penstock(8).\n");
}

static int
usage(const char *what, const char *which)
{
	fprintf(
	    stderr, "penstock ctl: %s%s; penstock ctl --help lists what there is\n", what, which);
	return -1;
}

/* 1: read; 0: help was printed; -1: it is wrong, which was said. */
static int
read_options(struct order *order, int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", required_argument, NULL, 's'},
	    {"pid", required_argument, NULL, 'p'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int letter;

	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":s:p:jh", options, NULL)) != -1) {
		switch (letter) {
		case 's': order->socket = optarg; break;
		case 'p': order->process = optarg; break;
		case 'j': order->json = true; break;
		case 'h': print_help(); return 0;
		case ':': return usage("a value is missing after ", argv[optind - 1]);
		default: return usage("no such option: ", argv[optind - 1]);
		}
	}
	order->words = argv + optind;
	order->count = argc - optind;
	return 1;
}

static const struct command *
find_command(const struct order *order)
{
	if (order->count == 0) {
		usage("what shall it do?", "");
		return NULL;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, order->words[0]) != 0)
			continue;
		if (commands[i].arguments == order->count - 1)
			return &commands[i];
		usage("it is used as: penstock ctl ", commands[i].usage);
		return NULL;
	}
	usage("no such command: ", order->words[0]);
	return NULL;
}

/* ---- what comes back ---- */

static enum pst_ctl_exit
show_result(const struct order *order, bool done, const char *text)
{
	if (order->json) {
		if (pst_json_print_result(done, text) < 0)
			fprintf(stderr, "penstock ctl: out of memory\n");
	} else if (text[0]) {
		if (!done)
			fprintf(stderr, "penstock ctl: %s: ", order->words[0]);
		pst_show_text(done ? stdout : stderr, text);
	}
	return done ? PST_CTL_DONE : PST_CTL_FAILED;
}

static enum pst_ctl_exit
show_report(const struct order *order, const struct pst_report *report)
{
	int result = order->json ? pst_json_print_report(report) : pst_show_report(report, stdout);

	return result < 0 ? show_result(order, false, "out of memory") : PST_CTL_DONE;
}

/* Read the answer to its end into REPORT. */
static enum pst_ctl_exit
take_answer(const struct order *order, const struct command *command, struct pst_talk *talk,
    struct pst_report *report)
{
	struct pst_control line;
	bool done = false;
	int result;

	while ((result = pst_talk_read(talk, command->patient, &line, &done)) == 1)
		if (strcmp(line.words[0], "STATUS") == 0)
			(void)pst_report_take(report, &line);
	if (result < 0 || !done)
		return show_result(order, false, talk->text);
	if (strcmp(command->name, "status") == 0)
		return show_report(order, report);
	if (strcmp(command->name, "drain") == 0)
		pst_talk_wait_end(talk);
	return show_result(order, true, talk->text);
}

static enum pst_ctl_exit
carry_out(const struct order *order, const struct command *command)
{
	const char *words[4] = {command->request};
	struct pst_report report;
	struct pst_talk talk;
	enum pst_ctl_exit status;
	char why[2048];
	int fd = pst_ctl_find(order->socket, order->process, why, sizeof(why));

	if (fd < 0) {
		if (order->json)
			return show_result(order, false, why);
		fprintf(stderr, "penstock ctl: %s\n", why);
		return PST_CTL_FAILED;
	}
	for (int i = 1; i < order->count; i++)
		words[i] = order->words[i];
	pst_report_init(&report);
	if (pst_talk_ask(&talk, fd, words, (unsigned)order->count) < 0)
		status = show_result(order, false, talk.text);
	else
		status = take_answer(order, command, &talk, &report);
	pst_talk_free(&talk);
	pst_report_free(&report);
	close(fd);
	return status;
}

enum pst_ctl_exit
pst_ctl_main(int argc, char **argv)
{
	struct order order = {0};
	const struct command *command;
	int read = read_options(&order, argc, argv);

	if (read <= 0)
		return read == 0 ? PST_CTL_DONE : PST_CTL_USAGE;
	command = find_command(&order);
	return command ? carry_out(&order, command) : PST_CTL_USAGE;
}
