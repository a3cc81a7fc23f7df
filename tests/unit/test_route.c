/* Which route a request takes: gateway/front/route.h. */
#include "gateway/front/route.h"

#include "tests/unit/failmalloc.h"
#include "tests/unit/runner.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct pst_routes routes;

static void
tear_down(void)
{
	pst_routes_free(&routes);
}

/* A route whose target is TO. */
static void
add(const char *host, const char *path, const char *to)
{
	const char *reason = pst_routes_add(&routes, host, path, false, (void *)to);

	ck_assert_msg(reason == NULL, "%s%s: %s", host, path, reason);
}

static const char *
find(const char *host, const char *path)
{
	const struct pst_route *route = pst_routes_find(&routes,
	    (struct pst_http_text){host, strlen(host)}, (struct pst_http_text){path, strlen(path)});

	return route == NULL ? "none" : route->to;
}

START_TEST(test_segments)
{
	add("", "/blog", "blog");
	add("", "/ws/", "ws");
	ck_assert_str_eq(find("", "/blog"), "blog");
	ck_assert_str_eq(find("", "/blog/"), "blog");
	ck_assert_str_eq(find("", "/blog/a/b"), "blog");
	ck_assert_str_eq(find("", "/blogger"), "none");
	ck_assert_str_eq(find("", "/blo"), "none");
	ck_assert_str_eq(find("", "/Blog"), "none");
	ck_assert_str_eq(find("", "/ws/"), "ws");
	ck_assert_str_eq(find("", "/ws/a"), "ws");
	ck_assert_str_eq(find("", "/ws"), "none");
	ck_assert_str_eq(find("", "/"), "none");
}
END_TEST

START_TEST(test_the_longest_path_counts)
{
	add("", "/", "all");
	add("", "/a", "a");
	add("", "/a/b/c", "abc");
	add("", "/a/b/", "ab");
	ck_assert_str_eq(find("", "/"), "all");
	ck_assert_str_eq(find("", "/ab"), "all");
	ck_assert_str_eq(find("", "/a/b"), "a");
	ck_assert_str_eq(find("", "/a/b/x"), "ab");
	ck_assert_str_eq(find("", "/a/b/cc"), "ab");
	ck_assert_str_eq(find("", "/a/b/c"), "abc");
}
END_TEST

START_TEST(test_hosts)
{
	add("", "/", "any");
	add("Example.org", "/", "exact");
	add("*.example.org", "/", "below");
	add("*.a.example.org", "/", "below a");
	add("b.example.org", "/", "b");
	add("[::1]", "/", "v6");
	ck_assert_str_eq(find("example.org", "/"), "exact");
	ck_assert_str_eq(find("EXAMPLE.ORG", "/"), "exact");
	ck_assert_str_eq(find("example.org.", "/"), "exact");
	ck_assert_str_eq(find("b.example.org", "/"), "b");
	ck_assert_str_eq(find("c.example.org", "/"), "below");
	ck_assert_str_eq(find("d.c.example.org.", "/"), "below");
	ck_assert_str_eq(find("a.example.org", "/"), "below");
	ck_assert_str_eq(find("x.a.example.org", "/"), "below a");
	ck_assert_str_eq(find("notexample.org", "/"), "any");
	ck_assert_str_eq(find(".example.org", "/"), "any");
	ck_assert_str_eq(find("", "/"), "any");
	ck_assert_str_eq(find("[::1]", "/"), "v6");
}
END_TEST

START_TEST(test_the_host_counts_before_the_path)
{
	add("", "/a/b/c", "any, long");
	add("", "/", "any");
	add("example.org", "/a", "exact");
	ck_assert_str_eq(find("example.org", "/a/b/c"), "exact");
	ck_assert_str_eq(find("example.net", "/a/b/c"), "any, long");
	/* A route for any host is one for this host, too. */
	ck_assert_str_eq(find("example.org", "/b"), "any");
}
END_TEST

START_TEST(test_what_is_no_route)
{
	static const char *const hosts[] = {
	    "*", "*.", "*example.org", "a.*.org", "example.org:80", "a b", "a/b"};
	static const char *const paths[] = {"", "a", "*", "//", "/a//b", "/./a", "/a/..", "/.."};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		ck_assert_msg(
		    pst_routes_add(&routes, hosts[i], "/", false, NULL) != NULL, "%s", hosts[i]);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		ck_assert_msg(
		    pst_routes_add(&routes, "", paths[i], false, NULL) != NULL, "%s", paths[i]);
	ck_assert_uint_eq(routes.count, 0);
}
END_TEST

START_TEST(test_twice)
{
	add("a", "/", "a");
	add("a", "/a", "a/a");
	ck_assert_ptr_nonnull(pst_routes_add(&routes, "A", "/", true, NULL));
	ck_assert_uint_eq(routes.count, 2);
}
END_TEST

START_TEST(test_prefix)
{
	add("", "/a/b/", "");
	add("", "/ab", "");
	add("", "/", "");
	for (size_t i = 0; i < routes.count; i++) {
		const struct pst_route *route = &routes.list[i];
		struct pst_http_text prefix = pst_route_prefix(route);
		char text[8];

		snprintf(text, sizeof(text), "%.*s", (int)prefix.len, prefix.data);
		ck_assert_str_eq(text, i == 0 ? "" : i == 1 ? "/a/b" : "/ab");
	}
}
END_TEST

/* Whatever order they are added in, the same route is found. */
START_TEST(test_order_does_not_matter)
{
	static const struct {
		const char *host, *path, *to;
	} all[] = {{"", "/", "0"}, {"", "/a", "1"}, {"", "/a/", "2"}, {"*.x", "/a", "3"},
	    {"*.y.x", "/", "4"}, {"z.y.x", "/a/b", "5"}};
	static const struct {
		const char *host, *path, *wanted;
	} asked[] = {{"q", "/b", "0"}, {"q", "/a", "1"}, {"q", "/a/b", "2"}, {"q.x", "/a/b", "3"},
	    {"q.x", "/b", "0"}, {"q.y.x", "/a/b", "4"}, {"z.y.x", "/a", "4"},
	    {"z.y.x", "/a/b/c", "5"}};
	const size_t count = sizeof(all) / sizeof(all[0]);

	for (size_t first = 0; first < count; first++) {
		for (size_t step = 1; step < count; step += 4) {
			for (size_t i = 0; i < count; i++) {
				size_t n = (first + i * step) % count;

				add(all[n].host, all[n].path, all[n].to);
			}
			for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
				ck_assert_str_eq(
				    find(asked[i].host, asked[i].path), asked[i].wanted);
			pst_routes_free(&routes);
		}
	}
}
END_TEST

/* --- against the same said plainly --- */

static bool
host_matches(const char *wanted, const char *host)
{
	size_t len = strlen(wanted), n = strlen(host);

	if (wanted[0] != '*')
		return len == 0 || strcmp(wanted, host) == 0;
	return n > len - 1 && strcmp(host + n - (len - 1), wanted + 1) == 0;
}

static bool
path_matches(const char *wanted, const char *path)
{
	size_t len = strlen(wanted);

	return strncmp(path, wanted, len) == 0 &&
	       (wanted[len - 1] == '/' || path[len] == '\0' || path[len] == '/');
}

static bool
is_better(const struct pst_route *a, const struct pst_route *b)
{
	bool a_wild = a->host[0] == '*', b_wild = b->host[0] == '*';
	size_t a_host = strlen(a->host), b_host = strlen(b->host);

	if ((a_host == 0) != (b_host == 0))
		return b_host == 0;
	if (a_wild != b_wild)
		return b_wild;
	if (a_host != b_host)
		return a_host > b_host;
	return strlen(a->path) > strlen(b->path);
}

static const char *
find_plainly(const char *host, const char *path)
{
	const struct pst_route *best = NULL;

	for (size_t i = 0; i < routes.count; i++) {
		const struct pst_route *route = &routes.list[i];

		if (host_matches(route->host, host) && path_matches(route->path, path) &&
		    (best == NULL || is_better(route, best)))
			best = route;
	}
	return best == NULL ? "none" : best->to;
}

static unsigned
draw(unsigned n)
{
	static unsigned long long state = 1;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

static void
draw_path(char *path, bool slash)
{
	static const char *const segments[] = {"/a", "/b", "/a-b", "/ab", "/a!", "/0"};
	unsigned n = draw(4);

	path[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		strcat(path, segments[draw(6)]);
	if (n == 0 || (slash && draw(3) == 0))
		strcat(path, "/");
}

START_TEST(test_as_said_plainly)
{
	static const char *const hosts[] = {
	    "", "a", "b", "a.b", "*.b", "*.a.b", "b.a.b", "*.c", "c.b", "a.c"};
	static char names[64][16];

	for (int round = 0; round < 200; round++) {
		unsigned count = 1 + draw(60);
		char path[64];

		for (unsigned i = 0; i < count; i++) {
			snprintf(names[i], sizeof(names[i]), "%u", i);
			draw_path(path, true);
			(void)pst_routes_add(&routes, hosts[draw(10)], path, false, names[i]);
		}
		for (int i = 0; i < 200; i++) {
			const char *host = hosts[draw(10)];

			draw_path(path, true);
			host += host[0] == '*' ? draw(2) + 1 : 0;
			ck_assert_msg(strcmp(find(host, path), find_plainly(host, path)) == 0,
			    "%s%s: %s, not %s", host, path, find(host, path),
			    find_plainly(host, path));
		}
		pst_routes_free(&routes);
	}
}
END_TEST

START_TEST(test_many)
{
	char path[16];

	for (int i = 0; i < PST_ROUTES_MAX; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		add("", path, "one");
	}
	ck_assert_str_eq(find("", "/77/x"), "one");
	ck_assert_ptr_nonnull(pst_routes_add(&routes, "", "/", false, NULL));
}
END_TEST

START_TEST(test_no_memory)
{
	failmalloc_count = 0;
	failmalloc_at = 1;
	ck_assert_str_eq(pst_routes_add(&routes, "a", "/", false, NULL), "out of memory");
	failmalloc_at = 0;
	ck_assert_uint_eq(routes.count, 0);
	add("a", "/", "a");
	ck_assert_str_eq(find("a", "/"), "a");
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("route");

	tcase_add_checked_fixture(tcase, NULL, tear_down);
	tcase_add_test(tcase, test_segments);
	tcase_add_test(tcase, test_the_longest_path_counts);
	tcase_add_test(tcase, test_hosts);
	tcase_add_test(tcase, test_the_host_counts_before_the_path);
	tcase_add_test(tcase, test_what_is_no_route);
	tcase_add_test(tcase, test_twice);
	tcase_add_test(tcase, test_prefix);
	tcase_add_test(tcase, test_order_does_not_matter);
	tcase_add_test(tcase, test_as_said_plainly);
	tcase_add_test(tcase, test_many);
	tcase_add_test(tcase, test_no_memory);
	return run_case("route", tcase);
}
