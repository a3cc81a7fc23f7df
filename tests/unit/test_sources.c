/*
 * A look at source files: what it sees of a tree, and what it does not.
 */
#include "gateway/arbiter/sources.h"

#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/test_sources.XXXXXX";
static struct pst_sources sources;

/* A shell's command in the tree. */
static void __attribute__((format(printf, 1, 2))) run(const char *format, ...)
{
	char command[1024];
	int n = snprintf(command, sizeof(command), "cd %s && ", root);
	va_list args;

	va_start(args, format);
	vsnprintf(command + n, sizeof(command) - (size_t)n, format, args);
	va_end(args);
	ck_assert_int_eq(system(command), 0);
}

static void
set_up(void)
{
	strcpy(strrchr(root, '.') + 1, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void
tear_down(void)
{
	run("rm -rf %s", root);
}

/* Write to a file, in a directory that is made. */
static void
put(const char *name)
{
	run("mkdir -p $(dirname %s) && echo a >> %s", name, name);
}

static uint64_t
look(void)
{
	pst_sources_init(&sources);
	pst_sources_add_directory(&sources, AT_FDCWD, root);
	return sources.sum;
}

START_TEST(test_changes)
{
	uint64_t before, first;

	put("a.py");
	put("shop/deep/b.py");
	first = before = look();
	ck_assert_uint_eq(sources.files, 2);
	ck_assert_uint_eq(look(), first);

	put("a.py");
	ck_assert_uint_ne(look(), before);
	ck_assert_str_eq(sources.name, "a.py");
	before = sources.sum;
	put("shop/c.py");
	ck_assert_uint_ne(look(), before);
	ck_assert_uint_eq(sources.files, 3);
	before = sources.sum;
	run("rm shop/deep/b.py");
	ck_assert_uint_ne(look(), before);
	/* The same bytes at the same time, but another file. */
	before = sources.sum;
	run("cp -p a.py new && mv new a.py");
	ck_assert_uint_ne(look(), before);
}
END_TEST

static const char *const unseen[] = {"a.txt", "a.pyc", ".git/a.py", "__pycache__/a.py",
    "lib/site-packages/a.py", "node_modules/a.py", "venv/a.py", "there/a.py"};

START_TEST(test_unseen)
{
	uint64_t before;

	put("seen.py");
	run("mkdir venv .there && touch venv/pyvenv.cfg && ln -s .there there");
	before = look();
	put(unseen[_i]);
	ck_assert_uint_eq(look(), before);
	ck_assert_uint_eq(sources.files, 1);
	ck_assert(!sources.is_cut);
}
END_TEST

START_TEST(test_files)
{
	int base = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint64_t none;

	pst_sources_init(&sources);
	pst_sources_add_file(&sources, base, "a.html");
	none = sources.sum;
	put("a.html");
	pst_sources_add_file(&sources, base, "a.html");
	ck_assert_uint_ne(sources.sum, none);
	ck_assert_str_eq(sources.name, "a.html");
	close(base);
}
END_TEST

/* Directories that are there twice count once, and those that are not there do no harm. */
START_TEST(test_roots)
{
	put("lib/a.py");
	look();
	pst_sources_add_directory(&sources, AT_FDCWD, root);
	pst_sources_add_directory(&sources, AT_FDCWD, "/nonexistent");
	pst_sources_add_directory(&sources, AT_FDCWD, "/dev/null");
	ck_assert_uint_eq(sources.files, 1);
	for (unsigned i = 0; i <= PST_SOURCES_ROOTS; i++) {
		char name[300];

		snprintf(name, sizeof(name), "%s/d%u", root, i);
		ck_assert_int_eq(mkdir(name, 0700), 0);
		pst_sources_add_directory(&sources, AT_FDCWD, name);
	}
	ck_assert(sources.is_cut);
}
END_TEST

START_TEST(test_depth)
{
	char name[256] = "";

	for (unsigned i = 0; i < PST_SOURCES_DEPTH; i++)
		strcat(name, "d/");
	strcat(name, "a.py");
	put(name);
	look();
	ck_assert_uint_eq(sources.files, 1);
	ck_assert(!sources.is_cut);
	strcpy(strrchr(name, '/'), "/d/a.py");
	put(name);
	look();
	ck_assert_uint_eq(sources.files, 1);
	ck_assert(sources.is_cut);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sources");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_changes);
	tcase_add_loop_test(tcase, test_unseen, 0, (int)(sizeof(unseen) / sizeof(unseen[0])));
	tcase_add_test(tcase, test_files);
	tcase_add_test(tcase, test_roots);
	tcase_add_test(tcase, test_depth);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
