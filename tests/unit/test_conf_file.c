/*
 * The configuration file: what it says, and every way to get it wrong with its place.
 */
#include "gateway/conf.h"
#include "gateway/front/route.h"
#include "gateway/yaml.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_WORDS 16

static struct pst_conf *conf;
static unsigned long fail_at; /* which allocation of pst_conf_read(); 0: none */
static char all[16384]; /* what is wrong, a line each */

static void
set_up(void)
{
	unsetenv("PORT");
	unsetenv("WEB_CONCURRENCY");
	unsetenv("PENSTOCK_CMD_ARGS");
	unsetenv("FORWARDED_ALLOW_IPS");
	conf = NULL;
	fail_at = 0;
}

static void
tear_down(void)
{
	pst_conf_free(conf);
}

/* Write TEXT into the file f and read it with the options of LINE, parted by blanks. */
static enum pst_conf_wish
read_with(const char *text, size_t length, const char *line)
{
	static char words[1024], program[] = "penstock", option[] = "-c", name[] = "f";
	char *argv[LINE_MAX_WORDS + 4] = {program, option, name}, *save = NULL;
	int argc = 3;
	enum pst_conf_wish wish;
	FILE *file = fopen("f", "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, length, file), length);
	fclose(file);
	snprintf(words, sizeof(words), "%s", line);
	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	pst_conf_free(conf);
	conf = pst_conf_new();
	ck_assert_ptr_nonnull(conf);
	failmalloc_count = 0;
	failmalloc_at = fail_at;
	wish = pst_conf_read(conf, argc, argv);
	failmalloc_at = 0;
	all[0] = '\0';
	for (size_t i = 0; i < pst_conf_mistake_count(conf); i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s\n",
		    pst_conf_mistake_text(conf, i));
	return wish;
}

static void
must_run(const char *text, const char *line)
{
	ck_assert_msg(
	    read_with(text, strlen(text), line) == PST_CONF_RUN, "%s\nsays\n%s", text, all);
}

static void
must_fail(const char *text, const char *line, const char *lines)
{
	ck_assert_int_eq(read_with(text, strlen(text), line), PST_CONF_ERROR);
	ck_assert_str_eq(all, lines);
}

static const struct pst_conf *
pool(const char *name)
{
	for (size_t i = 0; i < pst_conf_pool_count(conf); i++)
		if (strcmp(pst_conf_pool_name(pst_conf_pool(conf, i)), name) == 0)
			return pst_conf_pool(conf, i);
	ck_abort_msg("no pool %s", name);
}

START_TEST(test_every_kind_of_value)
{
	must_run("# a file\n"
		 "listen: [':8001', 'unix:/run/p']\n"
		 "workers: 4\n"
		 "log_level: \"debug\"\n"
		 "daemon: true\n"
		 "initgroups: false\n"
		 "max_memory: 2M\n"
		 "pythonpath: [a, 'b,c']\n"
		 "env: {A: 1, B: ''}\n"
		 "app: shop\n",
	    "");
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 2);
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_BIND, 1), "unix:/run/p");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 4);
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_LOG_LEVEL), "debug");
	ck_assert_ptr_nonnull(pst_conf_text(conf, PST_OPT_DAEMON));
	ck_assert_ptr_null(pst_conf_text(conf, PST_OPT_INITGROUPS));
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_MAX_MEMORY), 2 << 20);
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_PYTHONPATH), 3);
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_ENV, 0), "A=1");
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_ENV, 1), "B=");
	ck_assert(!pst_conf_has_named_pools(conf));
	ck_assert_uint_eq(pst_conf_pool_count(conf), 1);
	ck_assert_str_eq(pst_conf_app(pst_conf_pool(conf, 0)), "shop");
}
END_TEST

START_TEST(test_sources_in_order)
{
	static const char text[] = "workers: 4\nbind: [':1', ':2']\napp: f\ntimeout: 7\n";

	setenv("WEB_CONCURRENCY", "9", 1);
	setenv("PORT", "99", 1);
	setenv("PENSTOCK_CMD_ARGS", "-t 8", 1);
	must_run(text, "");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 4);
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 2);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_TIMEOUT), 8);
	must_run(text, "-w 2 -b :3 -t 9 line");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 2);
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 1);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_TIMEOUT), 9);
	ck_assert_str_eq(pst_conf_app(conf), "line");
}
END_TEST

START_TEST(test_pools_inherit)
{
	must_run("timeout: 5\n"
		 "app: top\n"
		 "env: [A=1]\n"
		 "chdir: there\n"
		 "initgroups: true\n"
		 "pools:\n"
		 "  one: {timeout: 6, env: {B: 2}, chdir: sub, initgroups: false}\n"
		 "  two: {app: second, workers: 3}\n"
		 "  far: {fastcgi: 'unix:/run/php', root: /srv}\n"
		 "  old: {command: [/bin/prog, '', x]}\n"
		 "routes: [{path: /, pool: one}]\n",
	    "-w 2");
	ck_assert(pst_conf_has_named_pools(conf));
	ck_assert_uint_eq(pst_conf_pool_count(conf), 4);
	ck_assert_uint_eq(pst_conf_number(pool("one"), PST_OPT_TIMEOUT), 6);
	ck_assert_uint_eq(pst_conf_number(pool("two"), PST_OPT_TIMEOUT), 5);
	ck_assert_uint_eq(pst_conf_number(pool("one"), PST_OPT_WORKERS), 2);
	ck_assert_uint_eq(pst_conf_number(pool("two"), PST_OPT_WORKERS), 3);
	ck_assert_str_eq(pst_conf_app(pool("one")), "top");
	ck_assert_str_eq(pst_conf_app(pool("two")), "second");
	ck_assert_ptr_null(pst_conf_app(pool("far")));
	ck_assert_uint_eq(pst_conf_count(pool("one"), PST_OPT_ENV), 2);
	ck_assert_str_eq(pst_conf_item(pool("one"), PST_OPT_ENV, 0), "A=1");
	ck_assert_str_eq(pst_conf_item(pool("one"), PST_OPT_ENV, 1), "B=2");
	ck_assert_str_eq(pst_conf_text(pool("one"), PST_OPT_CHDIR), "sub");
	ck_assert_ptr_null(pst_conf_text(pool("two"), PST_OPT_CHDIR));
	ck_assert_ptr_null(pst_conf_text(pool("one"), PST_OPT_INITGROUPS));
	ck_assert_ptr_nonnull(pst_conf_text(pool("two"), PST_OPT_INITGROUPS));
	ck_assert_int_eq(pst_conf_pool_kind(pool("one")), PST_POOL_APP);
	ck_assert_int_eq(pst_conf_pool_kind(pool("far")), PST_POOL_REMOTE);
	ck_assert_int_eq(pst_conf_pool_kind(pool("old")), PST_POOL_PROGRAM);
	ck_assert_uint_eq(pst_conf_count(pool("old"), PST_OPT_COMMAND), 3);
	/* two, far and old have no route; -w does not change two. */
	ck_assert_uint_eq(pst_conf_warning_count(conf), 4);
}
END_TEST

START_TEST(test_routes)
{
	must_run("pools: {a: {app: x}, b: {app: y}}\n"
		 "routes:\n"
		 "  - {path: /a, pool: a, mount: true}\n"
		 "  - {host: [Example.ORG, '*.example.org', '[::1]'], pool: b}\n"
		 "  - {host: example.org, path: /a, pool: a, mount: false}\n",
	    "");
	ck_assert_uint_eq(pst_conf_route_count(conf), 5);
	ck_assert_str_eq(pst_conf_route(conf, 0)->host, "");
	ck_assert_str_eq(pst_conf_route(conf, 0)->path, "/a");
	ck_assert_str_eq(pst_conf_route(conf, 0)->pool, "a");
	ck_assert(pst_conf_route(conf, 0)->mount);
	ck_assert_str_eq(pst_conf_route(conf, 1)->host, "example.org");
	ck_assert_str_eq(pst_conf_route(conf, 1)->path, "/");
	ck_assert(!pst_conf_route(conf, 1)->mount);
	ck_assert_str_eq(pst_conf_route(conf, 2)->host, "*.example.org");
	ck_assert_str_eq(pst_conf_route(conf, 3)->host, "[::1]");
	ck_assert_uint_eq(pst_conf_warning_count(conf), 0);
	must_run("app: x\nroutes: [{path: /shop, mount: true}]\n", "");
	ck_assert_str_eq(pst_conf_route(conf, 0)->pool, "default");
}
END_TEST

/* Take " # where it came from" off each line, and the blanks before it. */
static void
strip_comments(char *text)
{
	char *to = text;

	for (const char *line = text, *lf; (lf = strchr(line, '\n')); line = lf + 1) {
		const char *end = lf;

		while (end > line && strncmp(end, " # ", 3) != 0)
			end--;
		if (end == line)
			end = lf;
		while (end > line && end[-1] == ' ')
			end--;
		memmove(to, line, (size_t)(end - line));
		to += end - line;
		*to++ = '\n';
	}
	*to = '\0';
}

/* What is printed is a file that means the same. */
START_TEST(test_print_is_a_file)
{
	char once[16384] = "", twice[16384] = "", *text[2] = {once, twice};

	must_run(
	    "bind: [':1', 'unix:/run/a b\"c']\n"
	    "env: {A: \"new\\nline\", B: 'x y'}\n"
	    "pools:\n"
	    "  one: {app: 'x:y', env: {C: '*'}, workers: 3, chdir: sub}\n"
	    "  far: {fastcgi: 'localhost:9000', connections: 3}\n"
	    "  old: {command: [/bin/prog, '']}\n"
	    "routes: [{path: /, pool: one, mount: true}, {host: '*.a.b', pool: far}, {path: /o, "
	    "pool: old}]\n",
	    "-t 3 --daemon");
	for (int turn = 0; turn < 2; turn++) {
		FILE *out = fmemopen(text[turn], sizeof(once), "w");

		pst_conf_print(conf, out);
		fclose(out);
		must_run(text[turn], "");
	}
	strip_comments(once);
	strip_comments(twice);
	if (strcmp(once, twice) != 0)
		fprintf(stderr, "first\n%s\nthen\n%s\n", once, twice);
	ck_assert_msg(strcmp(once, twice) == 0, "printed, read and printed is not the same");
	ck_assert_uint_eq(pst_conf_number(pool("one"), PST_OPT_TIMEOUT), 3);
}
END_TEST

static const struct {
	const char *text, *lines;
} wrong[] = {
    {"app: x\nwokers: 3\n", "f:2:1: wokers is no key; did you mean workers?\n"},
    {"app: x\nroute: 3\n", "f:2:1: route is no key; did you mean routes?\n"},
    {"app: x\nadaptor: sync\n", "f:2:1: adaptor is no key; did you mean adapter?\n"},
    {"app: x\nmax-requests: 3\n", "f:2:1: max-requests is no key; did you mean max_requests?\n"},
    {"app: x\nfrobnicate: 3\n", "f:2:1: frobnicate is no key; penstock.yaml(5) lists them\n"},
    {"app: x\ncheck_config: true\n",
	"f:2:1: check_config is for the command line, not for a file\n"},
    {"app: x\nspew: true\n", "f:2:1: spew is not there yet: gunicorn has this setting, this "
			     "version of Penstock does not\n"},
    {"app: x\npreload: true\n", "f:2:1: preload has no effect, leave it out: each worker imports "
				"the application for itself\n"},
    {"app: x\nloglevel: info\n", "f:2:1: loglevel is gunicorn's name; here it is log_level\n"},
    {"app: x\nworkers: 3\nworkers: 4\n", "f:3:1: workers is there already, in line 2\n"},
    {"app: x\nbind: ':1'\nlisten: ':2'\n",
	"f:3:1: listen is there already, by another name, in line 2\n"},
    {"app: x\nworkers: 0\n", "f:2:10: workers wants a whole number from 1 to 1024, not '0'\n"},
    {"app: x\nworkers: [1]\n", "f:2:10: workers wants a single value, as N, and this is a list\n"},
    {"app: x\nworkers: {a: b}\n",
	"f:2:10: workers wants a single value, as N, and this is a mapping\n"},
    {"app: x\nworkers:\n", "f:2:9: workers has no value\n"},
    {"app: x\nworkers: ~\n", "f:2:10: workers has no value\n"},
    {"app: x\nbind: []\n", "f:2:7: bind has an empty list\n"},
    {"app: x\nbind: [':1', [':2']]\n",
	"f:2:14: bind wants a single value, as ADDRESS, and this is a list\n"},
    {"app: x\nbind: {a: b}\n",
	"f:2:7: bind wants a single value, as ADDRESS, and this is a mapping\n"},
    {"app: x\ndaemon: yes\n", "f:2:9: daemon wants true or false, not 'yes'\n"},
    {"app: x\ndaemon: [true]\n",
	"f:2:9: daemon wants a single value, as true, and this is a list\n"},
    {"app: x\nenv: {A=: 1}\n", "f:2:7: 'A=' is no name of a variable\n"},
    {"app: x\nenv: {A: 1, A: 2}\n", "f:2:13: A is there already, in line 2\n"},
    {"app: x\nenv: {A: [1]}\n",
	"f:2:10: A wants a single value, as NAME: VALUE, and this is a list\n"},
    {"app: x\nenv: [A]\n", "f:2:7: env wants NAME=VALUE, not 'A'\n"},
    {"- a\n", "f:1:1: a configuration is a mapping, as 'workers: 4'\n"},
    {"", "f: nothing is served: the file wants app or pools, or the command line an "
	 "application\n"},
    {"app: x\nfastcgi: 'h:1'\n",
	"f:1:1: app (line 1) and fastcgi (line 2) are two kinds of pool; it can be one\n"},
    {"fastcgi: 'h:1'\nworkers: 3\n",
	"f:2:1: workers has no meaning in pool default, whose server runs by itself\n"},
    {"pools: {}\n", "f:1:8: pools is empty\n"},
    {"pools: {a b: {app: x}, c: {app: x}}\n",
	"f:1:9: a pool's name is 1 to 32 letters, digits, '_' and '-', not 'a b'\n"},
    {"pools: {a: x}\n", "f:1:12: a wants a mapping, as {app: shop.wsgi}, and this is a single "
			"value\n"},
    {"pools: {a: {}}\n", "f:1:9: pool a serves nothing: it wants app, command or fastcgi\n"},
    {"pools: {a: {app: x, bind: ':1'}}\n",
	"f:1:21: bind belongs at the top of the file, not into a pool\n"},
    {"pools: {a: {app: x, conections: 1}}\n",
	"f:1:21: conections is no key; did you mean connections?\n"},
    {"pools: {a: {app: x, connections: 1}}\n",
	"f:1:21: connections has no meaning in pool a, which serves an application\n"},
    {"pools: {a: {app: x, keep_conn: on}}\n",
	"f:1:21: keep_conn has no meaning in pool a, which serves an application\n"},
    {"fastcgi: 'h:1'\nkeep_conn: perhaps\n",
	"f:2:12: keep_conn does not know 'perhaps'; it takes on or off\n"},
    {"fastcgi: 'h:1'\nconnections: 0\n",
	"f:2:14: connections wants a whole number from 1 to 65535, not '0'\n"},
    {"fastcgi: 'h:1'\nindex: a/b\nroot: x\nscript_suffix: /\n",
	"f:2:8: index wants /index.php, one for all paths, or index.php, one in each directory, "
	"not 'a/b'\nf:3:7: root wants a path that begins with a slash, not 'x'\nf:4:16: "
	"script_suffix wants the end of file names, as .php, not '/'\n"},
    {"pools: {a: {command: x, python: y}}\n",
	"f:1:25: python has no meaning in pool a, whose workers are a FastCGI program\n"},
    {"pools: {a: {app: x}, a: {app: y}}\n", "f:1:22: a is there already, in line 1\n"},
    {"pools: {a: {app: x}, b: {app: y}}\n",
	"f:1:1: there are several pools and no routes, so no request would get to any\n"},
    {"app: x\nroutes: []\n", "f:2:9: routes is empty\n"},
    {"app: x\nroutes: {path: /}\n",
	"f:2:9: routes wants a list, as [{path: /shop, pool: web}], and this is a mapping\n"},
    {"app: x\nroutes: [/]\n", "f:2:10: a route wants a mapping, as {path: /shop, pool: web}, and "
			      "this is a single value\n"},
    {"app: x\nroutes: [{path: x}]\n", "f:2:17: a path begins with a slash, not 'x'\n"},
    {"app: x\nroutes: [{path: '/x*'}]\n",
	"f:2:17: a path is the beginning of what it matches, without *, not '/x*'\n"},
    {"app: x\nroutes: [{path: '/x y'}]\n",
	"f:2:17: a path has no blanks or control characters in it, not '/x y'\n"},
    {"app: x\nroutes: [{path: '/x?y'}]\n", "f:2:17: a path has no query in it, not '/x?y'\n"},
    {"app: x\nroutes: [{path: /a/../b}]\n", "f:2:17: a path has no '//', '.' or '..' in it, since "
					    "requests are matched without them, not '/a/../b'\n"},
    {"app: x\nroutes: [{mount: true}]\n", "f:2:10: a route wants a path or a host\n"},
    {"app: x\nroutes: [{path: /, mount: 1}]\n", "f:2:27: mount wants true or false, not '1'\n"},
    {"app: x\nroutes: [{path: /, to: 1}]\n",
	"f:2:20: to is no key of a route; it has path, host, pool and mount\n"},
    {"app: x\nroutes: [{path: /a}, {path: /a}]\n",
	"f:2:22: the route in line 2 has the same path\n"},
    {"app: x\nroutes: [{host: A.b}, {host: a.B, path: /}]\n",
	"f:2:23: the route in line 2 has the same host and path\n"},
    {"app: x\nroutes: [{host: 'a:80'}]\n", "f:2:17: a host is told without a port, not 'a:80'\n"},
    {"app: x\nroutes: [{host: 'a.*.b'}]\n",
	"f:2:17: a host has a * at its beginning only, as *.example.org, not 'a.*.b'\n"},
    {"app: x\nroutes: [{host: 'a/b'}]\n",
	"f:2:17: a host is a name such as example.org or *.example.org, not 'a/b'\n"},
    {"app: x\nroutes: [{host: []}]\n", "f:2:17: host has an empty list\n"},
    {"app: x\nroutes: [{path: /, pool: def}]\n", "f:2:26: there is no pool def\n"},
    {"pools: {web: {app: x}}\nroutes: [{path: /, pool: wed}]\n",
	"f:2:26: there is no pool wed; did you mean web?\n"},
    {"pools: {a: {app: x}, b: {app: y}}\nroutes: [{path: /}]\n",
	"f:2:10: the route says no pool\n"},
    /* several at once */
    {"workers: x\ntimeout: y\npools: {a: {apq: z, workers: q}}\nroutes: [{path: /, pool: b}]\n",
	"f:1:10: workers wants a whole number from 1 to 1024, not 'x'\n"
	"f:2:10: timeout wants a whole number from 0 to 2147483647, not 'y'\n"
	"f:3:13: apq is no key; did you mean app?\n"
	"f:3:30: workers wants a whole number from 1 to 1024, not 'q'\n"
	"f:4:26: there is no pool b; did you mean a?\n"
	"f:3:9: pool a serves nothing: it wants app, command or fastcgi\n"},
    /* YAML */
    {"a: [b\nc: d\n", "f:2:2: did not find expected ',' or ']' (while parsing a flow sequence "
		      "from line 1 on)\n"},
    {"a:\n\tb: c\n", "f:2:1: a tab stands where YAML wants blanks\n"},
    {"a: &x 1\n", "f:1:4: anchors (&name) are not taken: what pools share stands at the top\n"},
    {"a: *x\n", "f:1:4: aliases (*name) are not taken: a text with * in front wants quotes, what "
		"pools share stands at the top\n"},
    {"a: *\n", "f:1:5: a text that begins with * wants quotes around it\n"},
    {"a: !!str x\n", "f:1:4: tags (!name) are not taken\n"},
    {"{a: b}: c\n", "f:1:1: a key is a word, not a list or a mapping\n"},
    {"a: b\n---\nc: d\n", "f:2:1: a second document begins; one is read\n"},
    {"a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n",
	"f:1:19: lists and mappings are nested too deeply\n"},
    {"a: \"x\\0y\"\n", "f:1:4: a text cannot hold a NUL character\n"},
    {"# \xc3\xa4\na: \xff\n",
	"f:2:4: invalid leading UTF-8 octet: the file wants to be text in UTF-8\n"},
};

START_TEST(test_wrong)
{
	must_fail(wrong[_i].text, "", wrong[_i].lines);
}
END_TEST

START_TEST(test_the_command_line_and_pools)
{
	static const char text[] = "pools: {a: {app: x, timeout: 3}}\n";

	must_run(text, "-t 4");
	ck_assert_uint_eq(pst_conf_warning_count(conf), 1);
	ck_assert_str_eq(pst_conf_warning_text(conf, 0),
	    "--timeout of the command line does not change pool a, which has its own (f:1:21)");
	must_fail(text, "y",
	    "the command line names an application, y, but each pool of the file says for itself "
	    "what it serves\n");
	must_fail("fastcgi: 'h:1'\n", "y",
	    "the command line names an application, y, and the file a FastCGI server\n");
	must_run("pools: {a: {workers: 3}}\n", "y");
	ck_assert_str_eq(pst_conf_app(pool("a")), "y");
	must_fail(text, "-w 0 -t x",
	    "--workers wants a whole number from 1 to 1024, not '0'\n"
	    "--timeout wants a whole number from 0 to 2147483647, not 'x'\n");
}
END_TEST

START_TEST(test_too_much)
{
	char *text = malloc(PST_YAML_SIZE + 2), *at = text;

	memset(text, '#', PST_YAML_SIZE + 1);
	text[PST_YAML_SIZE + 1] = '\0';
	must_fail(text, "", "f: it is larger than 1 MiB\n");
	for (int i = 0; i < PST_YAML_NODES; i++)
		at += sprintf(at, "- v\n");
	ck_assert_int_eq(read_with(text, strlen(text), ""), PST_CONF_ERROR);
	ck_assert_str_eq(all,
	    "f:131072:3: there are too many keys and values: 131072 are the most, of which a route "
	    "with host, path and pool takes 7\n");
	at = text;
	for (int i = 0; i < 100; i++)
		at += sprintf(at, "k%d: v\n", i);
	ck_assert_int_eq(read_with(text, strlen(text), ""), PST_CONF_ERROR);
	ck_assert_uint_eq(pst_conf_mistake_count(conf), 51);
	ck_assert_str_eq(
	    pst_conf_mistake_text(conf, 50), "and there is more that is not told here");
	free(text);
}
END_TEST

/* What would not fit into the line by which the gateway is told of it. */
START_TEST(test_long_path)
{
	char text[9000], sentence[400];
	int before = sprintf(text, "app: x\nroutes:\n- path: /");

	memset(text + before, 'x', 4095);
	strcpy(text + before + 4095, "\n");
	must_run(text, "");
	strcpy(text + before + 4095, "x\n");
	snprintf(sentence, sizeof(sentence),
	    "f:3:9: a path takes at most 4096 bytes ('%%' and what is not ASCII take three each), "
	    "not '/%.99s'\n",
	    text + before);
	must_fail(text, "", sentence);
	text[before] = '%'; /* three bytes */
	strcpy(text + before + 4094, "\n");
	sentence[strlen(sentence) - 101] = '%';
	must_fail(text, "", sentence);
}
END_TEST

/* As many routes as there may be, and two more. */
START_TEST(test_many_routes)
{
	char *text = malloc(PST_YAML_SIZE), *at = text;

	at += sprintf(at, "pools: {a: {app: x}}\nroutes:\n");
	for (int i = 0; i < PST_ROUTES_MAX; i++)
		at += sprintf(at, "- {host: h%d.example, path: /p, pool: a}\n", i);
	must_run(text, "");
	ck_assert_uint_eq(pst_conf_route_count(conf), PST_ROUTES_MAX);
	sprintf(at, "- {path: /q, pool: a}\n- {path: /r, pool: a}\n");
	must_fail(text, "",
	    "f:16387:3: there are more than 16384 routes (each host of a list is one): routes to "
	    "the same pool can often be one, with a shorter path or with a host like "
	    "'*.example.org'\n");
	free(text);
}
END_TEST

START_TEST(test_nul_bytes)
{
	ck_assert_int_eq(read_with("app: x\n\0\n", 9, ""), PST_CONF_ERROR);
	ck_assert_str_eq(all,
	    "f:2:1: control characters are not allowed: the file wants to be text "
	    "in UTF-8\n");
}
END_TEST

/* Whichever allocation fails: it is said, or what was read is whole. */
START_TEST(test_out_of_memory)
{
	static const char text[] = "env: {A: b}\nbind: [':1', ':2']\nname: x\n"
				   "pools: {a: {app: x, env: [B=c]}, b: {app: y}}\n"
				   "routes: [{path: /, pool: a}, {host: [x, y], pool: b}]\n";
	unsigned long failed = 0;

	must_run(text, "-w 3");
	for (unsigned long n = 1;; n++) {
		enum pst_conf_wish wish;

		fail_at = n;
		wish = read_with(text, strlen(text), "-w 3");
		if (wish == PST_CONF_RUN) {
			ck_assert_uint_eq(pst_conf_route_count(conf), 3);
			ck_assert_uint_eq(pst_conf_count(pool("a"), PST_OPT_ENV), 2);
			ck_assert_uint_eq(pst_conf_number(pool("b"), PST_OPT_WORKERS), 3);
		} else {
			ck_assert_uint_ge(pst_conf_mistake_count(conf), 1);
			failed++;
		}
		if (failmalloc_count < n)
			break;
	}
	ck_assert_uint_ge(failed, 50);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf_file");
	TCase *right = tcase_create("right"), *bad = tcase_create("wrong");
	char directory[] = "/tmp/penstock-test-conf-XXXXXX";
	SRunner *runner;
	int failed;

	if (!mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	tcase_add_checked_fixture(right, set_up, tear_down);
	tcase_add_test(right, test_every_kind_of_value);
	tcase_add_test(right, test_sources_in_order);
	tcase_add_test(right, test_pools_inherit);
	tcase_add_test(right, test_routes);
	tcase_add_test(right, test_print_is_a_file);
	tcase_add_checked_fixture(bad, set_up, tear_down);
	tcase_add_loop_test(bad, test_wrong, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_test(bad, test_the_command_line_and_pools);
	tcase_add_test(bad, test_too_much);
	tcase_add_test(bad, test_long_path);
	tcase_add_test(bad, test_many_routes);
	tcase_add_test(bad, test_nul_bytes);
	tcase_add_test(bad, test_out_of_memory);
	suite_add_tcase(suite, right);
	suite_add_tcase(suite, bad);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	unlink("f");
	rmdir(directory);
	return failed ? 1 : 0;
}
