/*
 * What a child starts with, and what is told when it cannot start.
 */
#include "gateway/arbiter/spawn.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct pst_identity same = {.change = false};

/* argv is not const for old times' sake. */
static char *
word(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* Run the shell script in a child that has STDOUT and three times /dev/null: what it prints. */
static const char *
run_script(const char *script, const struct pst_identity *identity, bool raise_nofile)
{
	static char text[4096];
	char *argv[] = {word("sh"), word("-c"), word(script), NULL};
	int ends[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), status;
	struct pst_spawn spawn = {.file = "/bin/sh",
	    .argv = argv,
	    .base = -1,
	    .environment = environ,
	    .identity = identity,
	    .raise_nofile = raise_nofile};
	const char *step;
	ssize_t n;
	size_t used = 0;
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	spawn.fds[0] = spawn.fds[2] = spawn.fds[3] = null;
	spawn.fds[4] = -1;
	spawn.fds[1] = ends[1];
	pid = pst_spawn(&spawn, &step);
	ck_assert_int_gt(pid, 0);
	close(ends[1]);
	while ((n = read(ends[0], text + used, sizeof(text) - used - 1)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(ends[0]);
	close(null);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return text;
}

START_TEST(test_descriptors)
{
	int extra = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* What this test itself inherited, as penstock does at its start. */
	for (int fd = 3; fd < 1024; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* The glob's own directory handle is gone when the names are tested. */
	ck_assert_str_eq(run_script("for f in /proc/self/fd/*; do [ -e $f ] && echo ${f##*/}; done",
			     &same, false),
	    "0\n1\n2\n3\n");
	close(extra);
}
END_TEST

START_TEST(test_signals)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	/* 32 and 33 are the C library's own: nobody can set them. */
	ck_assert_str_eq(run_script("while read -r name mask; do case $name in SigBlk:|SigIgn:) "
				    "echo $((0x$mask & ~0x180000000));; esac; done "
				    "</proc/self/status",
			     &same, false),
	    "0\n0\n");
}
END_TEST

START_TEST(test_process_group)
{
	ck_assert_str_eq(
	    run_script("set -- $(cat /proc/$$/stat); [ $1 = $5 ] && echo its own", &same, false),
	    "its own\n");
}
END_TEST

START_TEST(test_open_files)
{
	struct rlimit limit;
	char soft[32], hard[32];

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_max = 512;
	limit.rlim_cur = 256;
	setrlimit(RLIMIT_NOFILE, &limit);
	snprintf(soft, sizeof(soft), "%d\n", 256);
	snprintf(hard, sizeof(hard), "%d\n", 512);
	ck_assert_str_eq(run_script("ulimit -n", &same, false), soft);
	ck_assert_str_eq(run_script("ulimit -n", &same, true), hard);
}
END_TEST

START_TEST(test_identity)
{
	gid_t groups[] = {65534, 12};
	struct pst_identity nobody = {
	    .change = true, .uid = 65534, .gid = 65534, .groups = groups, .group_count = 2};

	if (geteuid() != 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		char *argv[] = {word("sh"), NULL};
		struct pst_spawn spawn = {.file = "/bin/sh",
		    .argv = argv,
		    .base = -1,
		    .fds = {null, null, null, null, -1},
		    .identity = &nobody};
		const char *step;

		ck_assert_int_eq(pst_spawn(&spawn, &step), -1);
		ck_assert_int_eq(errno, EPERM);
		ck_assert_str_eq(step, "change to the user and group for");
		return;
	}
	ck_assert_str_eq(run_script("grep -E '^(Uid|Gid|Groups)' /proc/self/status | tr '\\t' ' '",
			     &nobody, false),
	    "Uid: 65534 65534 65534 65534\nGid: 65534 65534 65534 65534\nGroups: 12 65534 \n");
}
END_TEST

START_TEST(test_no_such_program)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *argv[] = {word("x"), NULL};
	struct pst_spawn spawn = {.file = "/nonexistent/x",
	    .argv = argv,
	    .base = -1,
	    .fds = {null, null, null, null},
	    .identity = &same};
	const char *step;

	ck_assert_int_eq(pst_spawn(&spawn, &step), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(step, "execute");
	/* It was waited for. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(test_no_descriptor)
{
	char *argv[] = {word("sh"), NULL};
	struct pst_spawn spawn = {.file = "/bin/sh",
	    .argv = argv,
	    .base = -1,
	    .fds = {1000, -1, -1, -1, -1},
	    .identity = &same};
	const char *step;

	ck_assert_int_eq(pst_spawn(&spawn, &step), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_str_eq(step, "set up the descriptors of");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("spawn");
	TCase *child = tcase_create("child");
	SRunner *runner;
	int failed;

	tcase_add_test(child, test_descriptors);
	tcase_add_test(child, test_signals);
	tcase_add_test(child, test_process_group);
	tcase_add_test(child, test_open_files);
	tcase_add_test(child, test_identity);
	tcase_add_test(child, test_no_such_program);
	tcase_add_test(child, test_no_descriptor);
	suite_add_tcase(suite, child);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
