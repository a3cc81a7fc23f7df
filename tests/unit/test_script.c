/* Which script serves a path: gateway/front/script.h. */
#include "gateway/front/script.h"

#include "protocol/error.h"
#include "tests/unit/failmalloc.h"
#include "tests/unit/runner.h"

#include <check.h>
#include <string.h>

static const struct pst_script_rules php = {"/srv/www", PST_SCRIPT_INDEX, PST_SCRIPT_SUFFIX};

static struct pst_http_text
text(const char *string)
{
	return (struct pst_http_text){string, strlen(string)};
}

static void
assert_text(struct pst_http_text is, const char *wanted)
{
	ck_assert_mem_eq(is.data != NULL ? is.data : "", wanted, is.len);
	ck_assert_uint_eq(is.len, strlen(wanted));
}

static void
check(const struct pst_script_rules *rules, const char *prefix, const char *path,
    const char *filename, const char *name, const char *info)
{
	struct pst_script script;

	ck_assert_int_eq(pst_script_find(&script, rules, text(prefix), text(path)), 1);
	assert_text(script.filename, filename);
	assert_text(script.name, name);
	assert_text(script.info, info);
	ck_assert_uint_eq(script.uri.len, script.name.len + script.info.len);
	ck_assert_ptr_eq(script.uri.data, script.name.data);
	pst_script_free(&script);
}

START_TEST(test_a_script_and_what_follows_it)
{
	check(&php, "", "/cart.php", "/srv/www/cart.php", "/cart.php", "");
	check(&php, "", "/cart.php/", "/srv/www/cart.php", "/cart.php", "/");
	check(&php, "", "/a/cart.php/items/3", "/srv/www/a/cart.php", "/a/cart.php", "/items/3");
	check(&php, "", "/a.php/b.php", "/srv/www/a.php", "/a.php", "/b.php");
	check(&php, "", "/v1.php.d/x.php", "/srv/www/v1.php.d/x.php", "/v1.php.d/x.php", "");
}
END_TEST

START_TEST(test_the_front_controller_takes_the_rest)
{
	check(&php, "", "/", "/srv/www/index.php", "/index.php", "");
	check(&php, "", "/2026/11/hello/", "/srv/www/index.php", "/index.php", "");
	check(&php, "", "/style.css", "/srv/www/index.php", "/index.php", "");
	check(&php, "", "/.php", "/srv/www/index.php", "/index.php", "");
	check(&php, "", "/a/.php/x", "/srv/www/index.php", "/index.php", "");
	check(&php, "", "/CART.PHP", "/srv/www/index.php", "/index.php", "");
	check(&php, "", "", "/srv/www/index.php", "/index.php", "");
}
END_TEST

START_TEST(test_an_index_in_each_directory)
{
	const struct pst_script_rules rules = {"/srv/www/", "index.php", ".php"};
	struct pst_script script;

	check(&rules, "", "/", "/srv/www/index.php", "/index.php", "");
	check(&rules, "", "/pma/", "/srv/www/pma/index.php", "/pma/index.php", "");
	check(&rules, "", "/pma/x.php/y/", "/srv/www/pma/x.php", "/pma/x.php", "/y/");
	ck_assert_int_eq(pst_script_find(&script, &rules, text(""), text("/pma")), 0);
	ck_assert_int_eq(pst_script_find(&script, &rules, text(""), text("")), 0);
	pst_script_free(&script);
}
END_TEST

START_TEST(test_every_path_is_a_script)
{
	const struct pst_script_rules rules = {"/usr/lib/cgi-bin", "index", ""};

	check(&rules, "", "/env/x", "/usr/lib/cgi-bin/env/x", "/env/x", "");
	check(&rules, "", "/env/", "/usr/lib/cgi-bin/env/index", "/env/index", "");
}
END_TEST

START_TEST(test_a_mounted_pool_has_its_own_root)
{
	check(&php, "/blog", "/a.php/x", "/srv/www/a.php", "/blog/a.php", "/x");
	check(&php, "/blog", "/hello", "/srv/www/index.php", "/blog/index.php", "");
	check(&php, "/blog", "", "/srv/www/index.php", "/blog/index.php", "");
}
END_TEST

START_TEST(test_the_root_of_the_file_system)
{
	const struct pst_script_rules rules = {"/", PST_SCRIPT_INDEX, PST_SCRIPT_SUFFIX};

	check(&rules, "", "/a.php", "/a.php", "/a.php", "");
}
END_TEST

START_TEST(test_a_translated_path)
{
	struct pst_script script;

	ck_assert_int_eq(pst_script_find(&script, &php, text("/blog"), text("/a.php/x")), 1);
	assert_text(script.translated, "/srv/www/x");
	assert_text(script.uri, "/blog/a.php/x");
	assert_text(script.root, "/srv/www");
	pst_script_free(&script);
	ck_assert_int_eq(pst_script_find(&script, &php, text(""), text("/a.php")), 1);
	assert_text(script.translated, "");
	pst_script_free(&script);
}
END_TEST

START_TEST(test_memory_is_short)
{
	struct pst_script script;

	failmalloc_count = 0;
	failmalloc_at = 1;
	ck_assert_int_eq(pst_script_find(&script, &php, text(""), text("/a.php")), PST_ERR_NOMEM);
	failmalloc_at = 0;
	pst_script_free(&script);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("script");

	tcase_add_test(tcase, test_a_script_and_what_follows_it);
	tcase_add_test(tcase, test_the_front_controller_takes_the_rest);
	tcase_add_test(tcase, test_an_index_in_each_directory);
	tcase_add_test(tcase, test_every_path_is_a_script);
	tcase_add_test(tcase, test_a_mounted_pool_has_its_own_root);
	tcase_add_test(tcase, test_the_root_of_the_file_system);
	tcase_add_test(tcase, test_a_translated_path);
	tcase_add_test(tcase, test_memory_is_short);
	return run_case("script", tcase);
}
