/* The parts of an adapter that do no I/O: params, options, addresses, a plugin's tables. */
#include "adapters/allow.h"
#include "adapters/fields.h"
#include "adapters/find.h"
#include "adapters/load.h"
#include "adapters/options.h"
#include "protocol/error.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what is logged: fd 2 goes to a file while a test runs --- */

static int log_fd;
static int saved_fd;

static void
set_up_log(void)
{
	char path[] = "/tmp/penstock-test-XXXXXX";

	log_fd = mkstemp(path);
	ck_assert_int_ge(log_fd, 0);
	unlink(path);
	saved_fd = dup(2);
	dup2(log_fd, 2);
}

static void
tear_down_log(void)
{
	dup2(saved_fd, 2);
	close(saved_fd);
	close(log_fd);
}

/* What was logged since set_up_log(). */
static const char *
logged(void)
{
	static char text[4096];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* --- params --- */

static struct pst_fields params;

static void
tear_down_params(void)
{
	pst_fields_free(&params);
}

/* Every pair that was added is there, in order, terminated, although the memory moved. */
START_TEST(test_fields_keep_all)
{
	char name[16], value[600];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 500; i++) {
			int name_len = snprintf(name, sizeof(name), "NAME_%d", i);
			memset(value, 'a' + i % 26, (size_t)i);
			ck_assert_int_eq(
			    pst_fields_add(&params, name, (size_t)name_len, value, (size_t)i), 0);
		}
		pst_fields_seal(&params);
		ck_assert_uint_eq(params.count, 500);
		for (int i = 0; i < 500; i++) {
			const struct pst_field *item = &params.items[i];
			snprintf(name, sizeof(name), "NAME_%d", i);
			ck_assert_str_eq(item->name, name);
			ck_assert_uint_eq(item->name_len, strlen(name));
			ck_assert_uint_eq(strlen(item->value), (size_t)i);
			ck_assert_uint_eq(item->value_len, (size_t)i);
			ck_assert(i == 0 || item->value[i - 1] == 'a' + i % 26);
			ck_assert_ptr_eq(pst_fields_find(&params, name), item);
		}
		ck_assert_ptr_null(pst_fields_find(&params, "NAME_500"));
		pst_fields_clear(&params);
		ck_assert_uint_eq(params.count, 0);
		ck_assert_uint_le(params.bytes.size, PST_FIELDS_KEEP);
	}
}
END_TEST

START_TEST(test_fields_empty)
{
	pst_fields_seal(&params);
	ck_assert_ptr_null(pst_fields_find(&params, ""));
	ck_assert_int_eq(pst_fields_add(&params, "", 0, "", 0), 0);
	ck_assert_int_eq(pst_fields_add(&params, NULL, 0, NULL, 0), 0);
	pst_fields_seal(&params);
	ck_assert_uint_eq(params.count, 2);
	ck_assert_str_eq(params.items[1].name, "");
	ck_assert_str_eq(params.items[1].value, "");
}
END_TEST

START_TEST(test_fields_refuse)
{
	ck_assert_int_eq(pst_fields_add(&params, "a\0b", 3, "c", 1), PST_ERR_PROTOCOL);
	ck_assert_int_eq(pst_fields_add(&params, "a", 1, "\0", 1), PST_ERR_PROTOCOL);
	for (int i = 0; i < PST_FIELDS_MAX; i++)
		ck_assert_int_eq(pst_fields_add(&params, "", 0, "", 0), 0);
	ck_assert_int_eq(pst_fields_add(&params, "", 0, "", 0), PST_ERR_LIMIT);
	ck_assert_uint_eq(params.count, PST_FIELDS_MAX);
}
END_TEST

/* --- options --- */

static enum pst_options_action
parse_as(struct pst_options *options, enum pst_model model, const char *line)
{
	static char copy[256];
	static char program[] = "sync";
	char *argv[16] = {program};
	char *rest;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	argv[argc] = NULL;
	return pst_options_parse(options, model, argc, argv);
}

static enum pst_options_action
parse(struct pst_options *options, const char *line)
{
	return parse_as(options, PST_MODEL_SYNC, line);
}

START_TEST(test_options_all)
{
	struct pst_options options;

	ck_assert_int_eq(parse(&options, "--worker-id 3.17 --pythonpath a --option x=1=2 "
					 "--python=/usr/bin/python3 --option y= "
					 "--graceful-timeout 0 shop:app"),
	    PST_OPTIONS_SERVE);
	ck_assert_str_eq(options.app, "shop:app");
	ck_assert_str_eq(options.worker_id, "3.17");
	ck_assert_str_eq(options.python, "/usr/bin/python3");
	ck_assert_uint_eq(options.graceful_timeout, 0);
	ck_assert_uint_eq(options.plugin_count, 4);
	ck_assert_str_eq(options.plugin[0].name, "pythonpath");
	ck_assert_str_eq(options.plugin[0].value, "a");
	ck_assert_str_eq(options.plugin[1].name, "x");
	ck_assert_str_eq(options.plugin[1].value, "1=2");
	ck_assert_str_eq(options.plugin[2].name, "python");
	ck_assert_str_eq(options.plugin[3].value, "");
	pst_options_free(&options);
}
END_TEST

START_TEST(test_options_after_the_app)
{
	struct pst_options options;

	ck_assert_int_eq(parse(&options, "app.so --option x=1"), PST_OPTIONS_SERVE);
	ck_assert_uint_eq(options.plugin_count, 1);
	pst_options_free(&options);
	ck_assert_int_eq(parse(&options, "-- --strange"), PST_OPTIONS_SERVE);
	ck_assert_str_eq(options.app, "--strange");
	ck_assert_ptr_null(options.worker_id);
	ck_assert_uint_eq(options.graceful_timeout, 30);
	pst_options_free(&options);
}
END_TEST

START_TEST(test_options_of_models)
{
	struct pst_options options;

	ck_assert_int_eq(parse_as(&options, PST_MODEL_THREADED, "app"), PST_OPTIONS_SERVE);
	ck_assert_uint_eq(options.threads, 8);
	pst_options_free(&options);
	ck_assert_int_eq(
	    parse_as(&options, PST_MODEL_THREADED, "--threads 1024 app"), PST_OPTIONS_SERVE);
	ck_assert_uint_eq(options.threads, 1024);
	pst_options_free(&options);
	ck_assert_int_eq(parse_as(&options, PST_MODEL_ASYNC, "app"), PST_OPTIONS_SERVE);
	ck_assert_uint_eq(options.capacity, 1000);
	pst_options_free(&options);
	ck_assert_int_eq(
	    parse_as(&options, PST_MODEL_ASYNC, "--capacity 65535 app"), PST_OPTIONS_SERVE);
	ck_assert_uint_eq(options.capacity, 65535);
	pst_options_free(&options);
}
END_TEST

static const struct {
	enum pst_model model;
	const char *line;
	const char *said;
} wrong_options[] = {
    {PST_MODEL_SYNC, "", "no APP is given"},
    {PST_MODEL_SYNC, "--worker-id 1.1", "no APP is given"},
    {PST_MODEL_SYNC, "a b", "one APP is served, but \"b\" follows \"a\""},
    {PST_MODEL_SYNC, "--option x app", "--option x: NAME=VALUE is wanted"},
    {PST_MODEL_SYNC, "--option =1 app", "--option =1: NAME=VALUE is wanted"},
    {PST_MODEL_SYNC, "--option a/b=1 app", "NAME=VALUE is wanted"},
    {PST_MODEL_SYNC, "--graceful-timeout 5s app",
	"--graceful-timeout 5s: a number from 0 to 2147483647"},
    {PST_MODEL_SYNC, "--graceful-timeout -1 app",
	"--graceful-timeout -1: a number from 0 to 2147483647"},
    {PST_MODEL_SYNC, "--graceful-timeout= app", "a number from 0"},
    {PST_MODEL_SYNC, "--graceful-timeout 99999999999999999999 app", "a number from 0"},
    {PST_MODEL_SYNC, "--none app", "unrecognized option '--none'"},
    {PST_MODEL_SYNC, "app --python", "requires an argument"},
    {PST_MODEL_SYNC, "--threads 2 app",
	"--threads is an option of the threaded adapter, and this is sync"},
    {PST_MODEL_THREADED, "--capacity 2 app", "--capacity is an option of the async adapter"},
    {PST_MODEL_THREADED, "--threads 0 app", "--threads 0: a number from 1 to 1024"},
    {PST_MODEL_THREADED, "--threads 1025 app", "--threads 1025: a number"},
    {PST_MODEL_ASYNC, "--capacity 65536 app", "--capacity 65536: a number from 1 to 65535"},
};

START_TEST(test_options_wrong)
{
	struct pst_options options;

	ck_assert_int_eq(
	    parse_as(&options, wrong_options[_i].model, wrong_options[_i].line), PST_OPTIONS_USAGE);
	fflush(stderr);
	ck_assert_msg(strstr(logged(), wrong_options[_i].said) != NULL, "%s", logged());
	ck_assert_ptr_null(options.plugin);
}
END_TEST

/* --- FCGI_WEB_SERVER_ADDRS --- */

static bool
is_allowed(const struct pst_allow *allow, const char *address)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, address, &ipv4.sin_addr) == 1)
		return pst_allow_check(allow, (struct sockaddr *)&ipv4);
	ck_assert_int_eq(inet_pton(AF_INET6, address, &ipv6.sin6_addr), 1);
	return pst_allow_check(allow, (struct sockaddr *)&ipv6);
}

START_TEST(test_allow_listed)
{
	const struct sockaddr unix_peer = {.sa_family = AF_UNIX};
	struct pst_allow allow;
	char bad[64];

	ck_assert_int_eq(
	    pst_allow_parse(&allow, "192.0.2.7, 2001:db8::1 ,127.0.0.1", bad, sizeof(bad)), 0);
	ck_assert(is_allowed(&allow, "192.0.2.7"));
	ck_assert(is_allowed(&allow, "::ffff:192.0.2.7"));
	ck_assert(is_allowed(&allow, "2001:db8:0::1"));
	ck_assert(is_allowed(&allow, "127.0.0.1"));
	ck_assert(!is_allowed(&allow, "192.0.2.8"));
	ck_assert(!is_allowed(&allow, "::1"));
	ck_assert(!is_allowed(&allow, "::192.0.2.7"));
	ck_assert(pst_allow_check(&allow, &unix_peer));
}
END_TEST

START_TEST(test_allow_any)
{
	struct pst_allow allow;
	char bad[64];

	ck_assert_int_eq(pst_allow_parse(&allow, NULL, bad, sizeof(bad)), 0);
	ck_assert(is_allowed(&allow, "203.0.113.9"));
	ck_assert_int_eq(pst_allow_parse(&allow, "", bad, sizeof(bad)), 0);
	ck_assert(is_allowed(&allow, "2001:db8::2"));
}
END_TEST

static const struct {
	const char *text;
	const char *bad;
} wrong_addresses[] = {
    {"localhost", "localhost"},
    {"127.0.0.1,", ""},
    {",127.0.0.1", ""},
    {"127.0.0.1,1.2.3", "1.2.3"},
    {"127.0.0.1:80", "127.0.0.1:80"},
    {"10.0.0.0/8", "10.0.0.0/8"},
    {"1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20:21:22", "1:2:3:4:5:6:7:8:9:10"},
};

START_TEST(test_allow_wrong)
{
	struct pst_allow allow;
	char bad[21];

	ck_assert_int_eq(pst_allow_parse(&allow, wrong_addresses[_i].text, bad, sizeof(bad)), -1);
	ck_assert_msg(strncmp(bad, wrong_addresses[_i].bad, 20) == 0, "%s", bad);
}
END_TEST

START_TEST(test_allow_too_many)
{
	char text[8 * (PST_ALLOW_MAX + 2)] = "";
	struct pst_allow allow;
	char bad[64];

	for (int i = 0; i < PST_ALLOW_MAX + 1; i++)
		strcat(text, i ? ",1.1.1.1" : "1.1.1.1");
	ck_assert_int_eq(pst_allow_parse(&allow, text, bad, sizeof(bad)), -1);
	text[8 * PST_ALLOW_MAX - 1] = '\0';
	ck_assert_int_eq(pst_allow_parse(&allow, text, bad, sizeof(bad)), 0);
}
END_TEST

/* --- which plugin --- */

START_TEST(test_find_by_name)
{
	char path[32];

	ck_assert(pst_find_is_plugin("./app"));
	ck_assert(pst_find_is_plugin("app.so"));
	ck_assert(!pst_find_is_plugin("app"));
	ck_assert(!pst_find_is_plugin("shop.wsgi:application"));
	ck_assert(!pst_find_is_plugin("so"));
	ck_assert_int_eq(pst_find("app.so", NULL, path, sizeof(path)), 0);
	ck_assert_str_eq(path, "./app.so");
	ck_assert_int_eq(pst_find("a/b", NULL, path, sizeof(path)), 0);
	ck_assert_str_eq(path, "a/b");
	ck_assert_int_eq(
	    pst_find("./a-path-that-is-longer-than-the-room-for-it", NULL, path, sizeof(path)), -1);
	ck_assert(strstr(logged(), "too long") != NULL);
}
END_TEST

/* --- a plugin's tables --- */

static int
open_app(const struct pst_host *host, const struct pst_app_config *config, void **app)
{
	(void)host;
	(void)config;
	(void)app;
	return 0;
}

static int
handle(void *app, struct pst_request *request)
{
	(void)app;
	(void)request;
	return 0;
}

static void
close_app(void *app)
{
	(void)app;
}

static struct pst_plugin_lifecycle lifecycle;
static struct pst_plugin_blocking blocking;
static struct pst_plugin plugin;
static struct pst_loaded loaded;

static void
set_up_plugin(void)
{
	set_up_log();
	lifecycle = (struct pst_plugin_lifecycle){
	    .size = sizeof(lifecycle), .open = open_app, .close = close_app};
	blocking = (struct pst_plugin_blocking){.size = sizeof(blocking), .handle = handle};
	plugin = (struct pst_plugin){
	    .magic = PST_PLUGIN_MAGIC,
	    .major = PST_PLUGIN_MAJOR,
	    .minor = PST_PLUGIN_MINOR,
	    .size = sizeof(plugin),
	    .models = 1u << PST_MODEL_SYNC,
	    .lifecycle = &lifecycle,
	    .blocking = &blocking,
	};
}

static int
load(enum pst_model model)
{
	return pst_load_tables("x.so", &plugin, model, false, &loaded);
}

static void
assert_refused(const char *said)
{
	ck_assert_int_eq(load(PST_MODEL_SYNC), -1);
	ck_assert_msg(strstr(logged(), said) != NULL, "%s", logged());
	ck_assert_msg(strstr(logged(), "x.so") != NULL, "%s", logged());
}

START_TEST(test_load_whole)
{
	ck_assert_int_eq(load(PST_MODEL_SYNC), 0);
	ck_assert(loaded.lifecycle.open == open_app);
	ck_assert(loaded.lifecycle.close == close_app);
	ck_assert(loaded.blocking.handle == handle);
	ck_assert_ptr_nonnull(loaded.plugin.name);
	ck_assert_ptr_nonnull(loaded.plugin.version);
	ck_assert_str_eq(logged(), "");
}
END_TEST

/* Entries beyond the size that a table says do not exist, whatever the bytes there are. */
START_TEST(test_load_shorter_tables)
{
	lifecycle.size = offsetof(struct pst_plugin_lifecycle, close);
	ck_assert_int_eq(load(PST_MODEL_SYNC), 0);
	ck_assert(loaded.lifecycle.open == open_app);
	ck_assert(loaded.lifecycle.close == NULL);
	lifecycle.size = sizeof(size_t);
	assert_refused("has no lifecycle->open");
}
END_TEST

START_TEST(test_load_longer_tables)
{
	static struct {
		struct pst_plugin_blocking known;
		void *later[4];
	} longer;

	longer.known = blocking;
	longer.known.size = sizeof(longer);
	plugin.blocking = &longer.known;
	ck_assert_int_eq(load(PST_MODEL_SYNC), 0);
	ck_assert(loaded.blocking.handle == handle);
}
END_TEST

START_TEST(test_load_refused)
{
	ck_assert_int_eq(pst_load_tables("x.so", NULL, PST_MODEL_SYNC, false, &loaded), -1);
	plugin.magic ^= 1;
	assert_refused("is no plugin's description");
	plugin.magic ^= 1;
	plugin.major++;
	assert_refused("was built for plugin ABI 1.");
	plugin.major--;
	plugin.minor++;
	assert_refused("build it again");
	plugin.minor--;
	plugin.size = offsetof(struct pst_plugin, lifecycle);
	assert_refused("which is too few");
	plugin.size = offsetof(struct pst_plugin, blocking);
	assert_refused("has no blocking->handle");
	plugin.size = sizeof(plugin);
	plugin.lifecycle = NULL;
	assert_refused("has no lifecycle->open");
	plugin.lifecycle = &lifecycle;
	plugin.models = 1u << PST_MODEL_ASYNC;
	assert_refused("does not support the sync model");
	plugin.models = 1u << PST_MODEL_SYNC;
	ck_assert_int_eq(load(PST_MODEL_THREADED), -1);
	ck_assert(strstr(logged(), "does not support the threaded model") != NULL);
	ck_assert_int_eq(load(PST_MODEL_SYNC), 0);
}
END_TEST

static void
on_request(void *app, struct pst_request *request)
{
	(void)app;
	(void)request;
}

static void
on_abort(void *app, struct pst_request *request, enum pst_abort why)
{
	(void)app;
	(void)request;
	(void)why;
}

static void
stop(void *app)
{
	(void)app;
}

/* The callbacks are needed, and a loop is whole or not there. */
START_TEST(test_load_async)
{
	struct pst_plugin_async async = {.size = sizeof(async), .on_request = on_request};

	plugin.models = 1u << PST_MODEL_ASYNC;
	plugin.blocking = NULL;
	ck_assert_int_eq(load(PST_MODEL_ASYNC), -1);
	ck_assert(strstr(logged(), "has no async->on_request") != NULL);
	plugin.async = &async;
	ck_assert_int_eq(load(PST_MODEL_ASYNC), -1);
	ck_assert(strstr(logged(), "has no async->on_ready") != NULL);
	async.on_ready = on_request;
	async.on_abort = on_abort;
	ck_assert_int_eq(load(PST_MODEL_ASYNC), 0);
	ck_assert(loaded.async.on_request == on_request);
	async.stop = stop;
	ck_assert_int_eq(load(PST_MODEL_ASYNC), -1);
	ck_assert(strstr(logged(), "has no async->run") != NULL);
	async.size = offsetof(struct pst_plugin_async, run);
	ck_assert_int_eq(load(PST_MODEL_ASYNC), 0);
	ck_assert(loaded.async.stop == NULL);
}
END_TEST

/* Where nobody said -k the plugin decides. */
START_TEST(test_load_other_model)
{
	plugin.models = 1u << PST_MODEL_ASYNC | 1u << PST_MODEL_THREADED;
	ck_assert_int_eq(pst_load_tables("x.so", &plugin, PST_MODEL_SYNC, true, &loaded),
	    PST_OPEN_OTHER_MODEL + PST_MODEL_THREADED);
	ck_assert_int_eq(pst_load_tables("x.so", &plugin, PST_MODEL_THREADED, true, &loaded), 0);
	assert_refused("start it with -k threaded");
	plugin.models = 8;
	assert_refused("supports no model");
}
END_TEST

START_TEST(test_load_files)
{
	ck_assert_int_eq(pst_load("./none.so", PST_MODEL_SYNC, false, &loaded), -1);
	ck_assert(strstr(logged(), "plugin ./none.so: No such file or directory") != NULL);
	ck_assert_int_eq(pst_load("/dev/null", PST_MODEL_SYNC, false, &loaded), -1);
	ck_assert(strstr(logged(), "plugin /dev/null cannot be loaded") != NULL);
}
END_TEST

static void
add_case(Suite *suite, const char *name, SFun set_up, SFun tear_down, const TTest *const *tests,
    size_t count)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
}

#define ADD_CASE(suite, name, set_up, tear_down, ...)                                              \
	do {                                                                                       \
		const TTest *const tests[] = {__VA_ARGS__};                                        \
		add_case(suite, name, set_up, tear_down, tests, sizeof(tests) / sizeof(tests[0])); \
	} while (0)

int
main(void)
{
	Suite *suite = suite_create("adapter");
	TCase *tables = tcase_create("tables");
	SRunner *runner;
	int failed;

	ADD_CASE(suite, "params", NULL, tear_down_params, test_fields_keep_all, test_fields_empty,
	    test_fields_refuse);
	ADD_CASE(suite, "options", NULL, NULL, test_options_all, test_options_after_the_app,
	    test_options_of_models);
	ADD_CASE(
	    suite, "allow", NULL, NULL, test_allow_listed, test_allow_any, test_allow_too_many);
	ADD_CASE(suite, "find", set_up_log, tear_down_log, test_find_by_name);
	ADD_CASE(suite, "load", set_up_plugin, tear_down_log, test_load_whole,
	    test_load_shorter_tables, test_load_longer_tables, test_load_refused, test_load_async,
	    test_load_other_model, test_load_files);
	tcase_add_checked_fixture(tables, set_up_log, tear_down_log);
	tcase_add_loop_test(
	    tables, test_options_wrong, 0, sizeof(wrong_options) / sizeof(wrong_options[0]));
	tcase_add_loop_test(
	    tables, test_allow_wrong, 0, sizeof(wrong_addresses) / sizeof(wrong_addresses[0]));
	suite_add_tcase(suite, tables);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
