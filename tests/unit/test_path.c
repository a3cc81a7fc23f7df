/* Paths as routes compare them: gateway/front/path.h. */
#include "gateway/front/path.h"

#include "tests/unit/runner.h"

#include <check.h>
#include <string.h>

static const struct {
	const char *path;
	const char *normal;
	bool dots;
} cases[] = {
    {"/", "/", false},
    {"/a", "/a", false},
    {"/a/", "/a/", false},
    {"//", "/", false},
    {"///a", "/a", false},
    {"/a//b", "/a/b", false},
    {"/a//", "/a/", false},
    {"/.", "/", true},
    {"/./", "/", true},
    {"/..", "/", true},
    {"/../..", "/", true},
    {"/../a", "/a", true},
    {"/a/.", "/a/", true},
    {"/a/..", "/", true},
    {"/a/../", "/", true},
    {"/a/b/..", "/a/", true},
    {"/a/b/../c", "/a/c", true},
    {"/a/b/../../../c", "/c", true},
    {"/a//../b", "/b", true},
    {"/a/./b/./c/", "/a/b/c/", true},
    {"/...", "/...", false},
    {"/.a", "/.a", false},
    {"/..a", "/..a", false},
    {"/a.", "/a.", false},
    {"/a..", "/a..", false},
    {"/a/..;/b", "/a/..;/b", false},
    {"/\\..\\a", "/\\..\\a", false},
    {"/%2e%2e/a", "/%2e%2e/a", false},
    {"/a\x80\xff", "/a\x80\xff", false},
};

START_TEST(test_case)
{
	const char *path = cases[_i].path;
	struct pst_http_text text = {path, strlen(path)};
	char normal[64];
	size_t len = pst_path_normalise(text, normal);

	ck_assert_uint_eq(len, strlen(cases[_i].normal));
	ck_assert_msg(
	    memcmp(normal, cases[_i].normal, len) == 0, "%s: %.*s", path, (int)len, normal);
	ck_assert_int_eq(pst_path_is_normal(text), strcmp(path, cases[_i].normal) == 0);
	ck_assert_int_eq(pst_path_has_dots(text), cases[_i].dots);
}
END_TEST

/* Path number NUMBER of those of LEN bytes that are made of '/', '.' and 'a'. */
static void
spell(char *path, size_t len, unsigned number)
{
	path[0] = '/';
	for (size_t i = 1; i < len; i++, number /= 3)
		path[i] = "/.a"[number % 3];
}

/* What it makes is normal, has no dots, begins with a slash, is not longer, and says whether the
 * path was normal before; for every path of up to 9 bytes. */
START_TEST(test_all_short_paths)
{
	unsigned count = 1;

	for (size_t len = 1; len <= 9; len++, count *= 3) {
		for (unsigned number = 0; number < count; number++) {
			char path[16], normal[16];
			struct pst_http_text text = {path, len};
			struct pst_http_text made = {normal, 0};

			spell(path, len, number);
			made.len = pst_path_normalise(text, normal);
			ck_assert(made.len >= 1 && made.len <= len && normal[0] == '/');
			ck_assert(pst_path_is_normal(made) && !pst_path_has_dots(made));
			ck_assert_int_eq(pst_path_is_normal(text),
			    made.len == len && memcmp(path, normal, len) == 0);
		}
	}
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("path");

	tcase_add_loop_test(tcase, test_case, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_all_short_paths);
	return run_case("path", tcase);
}
