/*
 * The command line: every option, where it may come from, and every way to get it wrong.
 */
#include "gateway/arbiter/command.h"
#include "gateway/conf.h"
#include "gateway/conf_words.h"
#include "gateway/nearest.h"
#include "protocol/page.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 24

static struct pst_conf *conf;

static void
set_up(void)
{
	unsetenv("PORT");
	unsetenv("WEB_CONCURRENCY");
	unsetenv("PENSTOCK_CMD_ARGS");
	unsetenv("FORWARDED_ALLOW_IPS");
	conf = pst_conf_new();
	ck_assert_ptr_nonnull(conf);
}

static void
tear_down(void)
{
	pst_conf_free(conf);
}

/* Read, anew, a command line whose words are parted by single blanks. */
static enum pst_conf_wish
read_line(const char *line)
{
	static char text[9000];
	static char program[] = "penstock";
	char *argv[MAX_WORDS + 2] = {program}, *save = NULL;
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		ck_assert_int_lt(argc, MAX_WORDS);
		argv[argc++] = word;
	}
	pst_conf_free(conf);
	conf = pst_conf_new();
	ck_assert_ptr_nonnull(conf);
	return pst_conf_read(conf, argc, argv);
}

static void
must_run(const char *line)
{
	enum pst_conf_wish wish = read_line(line);

	ck_assert_msg(wish == PST_CONF_RUN, "%s: %s", line,
	    pst_conf_mistake_count(conf) ? pst_conf_mistake_text(conf, 0) : "no mistake");
}

static void
must_fail(const char *line, const char *sentence)
{
	ck_assert_int_eq(read_line(line), PST_CONF_ERROR);
	ck_assert_uint_ge(pst_conf_mistake_count(conf), 1);
	ck_assert_str_eq(pst_conf_mistake_text(conf, 0), sentence);
}

START_TEST(test_defaults)
{
	must_run("shop.wsgi:application");
	ck_assert_str_eq(pst_conf_app(conf), "shop.wsgi:application");
	ck_assert_str_eq(pst_conf_title(conf), "shop.wsgi:application");
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 1);
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_BIND, 0), "127.0.0.1:8000");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 1);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_BACKLOG), 2048);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_TIMEOUT), 30);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_GRACEFUL_TIMEOUT), 30);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_KEEP_ALIVE), 75);
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_WORKER_CLASS), "auto");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_THREADS), 1);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKER_CONNECTIONS), 1000);
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_LOG_LEVEL), "info");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_ERROR_LOGFILE), "-");
	ck_assert_ptr_null(pst_conf_text(conf, PST_OPT_ACCESS_LOGFILE));
	ck_assert_uint_eq(pst_conf_umask(conf), 0);
}
END_TEST

START_TEST(test_every_option)
{
	must_run("-b :8001 -b unix:/run/p -w 4 -k sync -t 5 -e A=1 -e B= -p /run/p.pid -m 022 "
		 "app --graceful-timeout 6");
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 2);
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_BIND, 0), ":8001");
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_BIND, 1), "unix:/run/p");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 4);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_TIMEOUT), 5);
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_ENV), 2);
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_ENV, 1), "B=");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_PID), "/run/p.pid");
	ck_assert_uint_eq(pst_conf_umask(conf), 022);
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_GRACEFUL_TIMEOUT), 6);
	ck_assert_str_eq(pst_conf_app(conf), "app");
}
END_TEST

START_TEST(test_ways_to_write_them)
{
	must_run("--bind=:1 -w3 --log-file x --limit-request-field_size 9 -n shop -- -app");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_BIND), ":1");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 3);
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_ERROR_LOGFILE), "x");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_LIMIT_REQUEST_FIELD_SIZE), 9);
	ck_assert_str_eq(pst_conf_title(conf), "shop");
	ck_assert_str_eq(pst_conf_app(conf), "-app");
}
END_TEST

START_TEST(test_paths)
{
	must_run("--pythonpath a,b --pythonpath ,c, app");
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_PYTHONPATH), 3);
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_PYTHONPATH, 0), "a");
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_PYTHONPATH, 1), "b");
	ck_assert_str_eq(pst_conf_item(conf, PST_OPT_PYTHONPATH, 2), "c");
}
END_TEST

START_TEST(test_the_last_one_counts)
{
	must_run("-w 2 -w 3 app");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 3);
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_WORKERS), 1);
}
END_TEST

START_TEST(test_variables_replace_defaults)
{
	setenv("PORT", "5000", 1);
	setenv("WEB_CONCURRENCY", "7", 1);
	setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8", 1);
	must_run("app");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_FORWARDED_ALLOW_IPS), "10.0.0.0/8");
	setenv("FORWARDED_ALLOW_IPS", "", 1);
	must_run("app");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_FORWARDED_ALLOW_IPS), "");
	must_run("--forwarded-allow-ips * app");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_FORWARDED_ALLOW_IPS), "*");
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 1);
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_BIND), "0.0.0.0:5000");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 7);
}
END_TEST

START_TEST(test_empty_variables_say_nothing)
{
	setenv("PORT", "", 1);
	setenv("WEB_CONCURRENCY", "", 1);
	setenv("PENSTOCK_CMD_ARGS", "", 1);
	must_run("app");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_BIND), "127.0.0.1:8000");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 1);
}
END_TEST

START_TEST(test_cmd_args_replace_variables)
{
	setenv("WEB_CONCURRENCY", "7", 1);
	setenv("PENSTOCK_CMD_ARGS", "-w 6 -b :1 -b :2 -e 'A=b c' cmd:app", 1);
	must_run("");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 6);
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 2);
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_ENV), "A=b c");
	ck_assert_str_eq(pst_conf_app(conf), "cmd:app");
}
END_TEST

START_TEST(test_the_command_line_replaces_cmd_args)
{
	setenv("PENSTOCK_CMD_ARGS", "-w 6 -b :1 -b :2 cmd:app", 1);
	must_run("-w 5 -b :3 line:app");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 5);
	ck_assert_uint_eq(pst_conf_count(conf, PST_OPT_BIND), 1);
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_BIND), ":3");
	ck_assert_str_eq(pst_conf_app(conf), "line:app");
}
END_TEST

START_TEST(test_a_command_line_is_read_twice)
{
	static char words[][8] = {"penstock", "x:app", "-w", "3", "-b", ":1"};
	char *argv[7] = {words[0], words[1], words[2], words[3], words[4], words[5], NULL};

	for (int turn = 0; turn < 2; turn++) {
		ck_assert_int_eq(pst_conf_read(conf, 6, argv), PST_CONF_RUN);
		ck_assert_str_eq(pst_conf_app(conf), "x:app");
		ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_WORKERS), 3);
		for (int i = 0; i < 6; i++)
			ck_assert_ptr_eq(argv[i], words[i]);
		tear_down();
		set_up();
	}
}
END_TEST

START_TEST(test_one_pool_without_a_name)
{
	const struct pst_conf *pool;

	must_run("-w 3 -e A=1 --chdir sub x:app");
	ck_assert_uint_eq(pst_conf_pool_count(conf), 1);
	ck_assert(!pst_conf_has_named_pools(conf));
	ck_assert_uint_eq(pst_conf_route_count(conf), 0);
	pool = pst_conf_pool(conf, 0);
	ck_assert_str_eq(pst_conf_pool_name(pool), "default");
	ck_assert_int_eq(pst_conf_pool_kind(pool), PST_POOL_APP);
	ck_assert_str_eq(pst_conf_app(pool), "x:app");
	ck_assert_str_eq(pst_conf_title(pool), "x:app");
	ck_assert_uint_eq(pst_conf_number(pool, PST_OPT_WORKERS), 3);
	ck_assert_uint_eq(pst_conf_count(pool, PST_OPT_ENV), 1);
	ck_assert_str_eq(pst_conf_item(pool, PST_OPT_ENV, 0), "A=1");
	ck_assert_ptr_null(pst_conf_text(pool, PST_OPT_CHDIR));
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_CHDIR), "sub");
}
END_TEST

START_TEST(test_the_same)
{
	struct pst_conf *other = pst_conf_new();
	char words[][8] = {"other", "-w", "3", "-e", "A=1", "app"};
	char *argv[7] = {words[0], words[1], words[2], words[3], words[4], words[5], NULL};

	must_run("-e A=1 -e B=2 --max-lifetime 3 app");
	ck_assert_int_eq(pst_conf_read(other, 6, argv), PST_CONF_RUN);
	ck_assert(pst_conf_same(conf, other, PST_OPT_APP));
	ck_assert(pst_conf_same(conf, other, PST_OPT_TIMEOUT));
	ck_assert(pst_conf_same(conf, other, PST_OPT_CHDIR));
	ck_assert(!pst_conf_same(conf, other, PST_OPT_ENV));
	ck_assert(!pst_conf_same(conf, other, PST_OPT_WORKERS));
	ck_assert(!pst_conf_same(conf, other, PST_OPT_MAX_LIFETIME));
	pst_conf_free(other);
}
END_TEST

START_TEST(test_sizes)
{
	must_run("--max-memory 3M --min-rate 2k --spool-size 1G --limit-request-body 7 app");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_MAX_MEMORY), "3145728");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_MIN_RATE), "2048");
	ck_assert_str_eq(pst_conf_text(conf, PST_OPT_SPOOL_SIZE), "1073741824");
	ck_assert_uint_eq(pst_conf_number(conf, PST_OPT_LIMIT_REQUEST_BODY), 7);
}
END_TEST

START_TEST(test_help_and_version_need_no_application)
{
	ck_assert_int_eq(read_line("--help"), PST_CONF_HELP);
	tear_down();
	set_up();
	ck_assert_int_eq(read_line("-h"), PST_CONF_HELP);
	tear_down();
	set_up();
	ck_assert_int_eq(read_line("-v"), PST_CONF_VERSION);
}
END_TEST

/* ---- kinds of worker ---- */

static const struct {
	const char *line, *name; /* NAME: what the log calls it */
	enum pst_model model;
	bool is_auto;
} classes[] = {
    {"a", "sync", PST_MODEL_SYNC, true},
    {"--threads 2 a", "threaded", PST_MODEL_THREADED, true},
    {"-k auto --threads 2 a", "threaded", PST_MODEL_THREADED, true},
    {"-k sync a", "sync", PST_MODEL_SYNC, false},
    {"-k sync --threads 2 a", "threaded", PST_MODEL_THREADED, false},
    {"-k gthread a", "threaded", PST_MODEL_THREADED, false},
    {"-k gunicorn.workers.gthread.ThreadWorker a", "threaded", PST_MODEL_THREADED, false},
    {"-k egg:gunicorn#gthread a", "threaded", PST_MODEL_THREADED, false},
    {"-k async --threads 2 a", "async", PST_MODEL_ASYNC, false},
    {"-k uvicorn.workers.UvicornWorker a", "async", PST_MODEL_ASYNC, false},
    {"-k uvicorn_worker.UvicornH11Worker a", "async", PST_MODEL_ASYNC, false},
    {"-k gunicorn.workers.ggevent.GeventWorker a", "gevent", PST_MODEL_ASYNC, false},
    {"-k gevent_pywsgi a", "gevent", PST_MODEL_ASYNC, false},
    {"-k eventlet a", "eventlet", PST_MODEL_ASYNC, false},
    {"-k tornado a", "tornado", PST_MODEL_ASYNC, false},
};

START_TEST(test_worker_classes)
{
	struct pst_worker_class class;

	must_run(classes[_i].line);
	pst_worker_class_of(conf, &class);
	ck_assert_int_eq(class.model, classes[_i].model);
	ck_assert_int_eq(class.is_auto, classes[_i].is_auto);
	ck_assert_str_eq(pst_worker_class_label(conf, class.model), classes[_i].name);
}
END_TEST

/* The words of the command, as one line; what is behind the worker's id and the timeout. */
static const char *
command_line(const char *line, enum pst_model model)
{
	static char text[9000];
	struct pst_command command;
	size_t used = 0;

	must_run(line);
	ck_assert_int_eq(pst_command_make(&command, pst_conf_pool(conf, 0), "1.1", model), 0);
	for (char **word = command.argv + 5; *word; word++)
		used += (size_t)snprintf(
		    text + used, sizeof(text) - used, "%s%s", used ? " " : "", *word);
	pst_command_free(&command);
	return text;
}

START_TEST(test_commands)
{
	ck_assert_str_eq(command_line("-w 2 -k sync a", PST_MODEL_SYNC), "--option workers=2 -- a");
	ck_assert_str_eq(command_line("--factory --threads 4 a", PST_MODEL_THREADED),
	    "--threads 4 --option workers=1 --option model=auto --option factory=1 -- a");
	ck_assert_str_eq(command_line("--threads 4 a", PST_MODEL_ASYNC),
	    "--capacity 1000 --option workers=1 --option model=auto --option loop=auto "
	    "--option lifespan=auto -- a");
	ck_assert_str_eq(
	    command_line("-k gevent --worker-connections 7 --pythonpath x,y a", PST_MODEL_ASYNC),
	    "--capacity 7 --option workers=1 --option loop=gevent --option lifespan=auto "
	    "--pythonpath x --pythonpath y -- a");
	ck_assert_str_eq(
	    command_line("-k sync --x-sendfile /a,/b --pythonpath x a", PST_MODEL_SYNC),
	    "--option workers=1 --pythonpath x --x-sendfile /a --x-sendfile /b -- a");
	ck_assert_str_eq(command_line("-k asgi --loop uvloop --lifespan off a", PST_MODEL_ASYNC),
	    "--capacity 1000 --option workers=1 --option loop=uvloop --option lifespan=off -- a");
}
END_TEST

/* The room that a page has: for whatever the worker may become. */
START_TEST(test_words)
{
	must_run("-k sync --worker-connections 7 a");
	ck_assert_uint_eq(pst_worker_class_words(conf), 1 + PST_PAGE_AHEAD);
	must_run("-k threaded --threads 8 a");
	ck_assert_uint_eq(pst_worker_class_words(conf), 8 + PST_PAGE_AHEAD);
	must_run("-k async --worker-connections 70 a");
	ck_assert_uint_eq(pst_worker_class_words(conf), 70);
	must_run("--threads 90 --worker-connections 70 a");
	ck_assert_uint_eq(pst_worker_class_words(conf), 90 + PST_PAGE_AHEAD);
	must_run("a");
	ck_assert_uint_eq(pst_worker_class_words(conf), 1000);
}
END_TEST

static const struct {
	const char *line, *sentence; /* or NULL for none */
} odd[] = {
    {"-k async --threads 4 a", "--threads has no meaning for async workers"},
    {"-k gevent --threads 4 a", "--threads has no meaning for gevent workers"},
    {"-k sync --worker-connections 4 a", "--worker-connections has no meaning for sync workers"},
    {"-k gthread --asgi-loop auto a", "--loop has no meaning for threaded workers"},
    {"-k sync --asgi-lifespan off a", "--lifespan has no meaning for sync workers"},
    {"-k async --threads 1 a", NULL},
    {"--preload a", "--preload has no effect: each worker imports the application for itself"},
    {"-R a", "--enable-stdio-inheritance has no effect: what workers print is in the error log "
	     "anyway"},
    {"--worker-tmp-dir x a", "--worker-tmp-dir has no effect: there are no heartbeat files"},
    {"--threads 4 --worker-connections 4 --loop uvloop --lifespan off a", NULL},
    {"-k uvicorn.workers.UvicornH11Worker --loop asyncio a", NULL},
};

START_TEST(test_without_meaning)
{
	must_run(odd[_i].line);
	ck_assert_uint_eq(pst_conf_warning_count(conf), odd[_i].sentence ? 1 : 0);
	if (odd[_i].sentence)
		ck_assert_str_eq(pst_conf_warning_text(conf, 0), odd[_i].sentence);
}
END_TEST

static const struct {
	const char *line, *sentence;
} wrong[] = {
    {"", "no application was named: say MODULE:CALLABLE, for example "
	 "'penstock -b :8000 shop.wsgi:application', or ./PLUGIN.so"},
    {"a b", "one application is served, but after 'a' there is 'b'"},
    {"--wokers 2 a", "--wokers is no option; did you mean --workers?"},
    {"--wokers=2 a", "--wokers is no option; did you mean --workers?"},
    {"--tread 2 a", "--tread is no option; did you mean --threads?"},
    {"--host 0.0.0.0 a", "--host is no option: type -b HOST:PORT"},
    {"--uds=/x a", "--uds is no option: type -b unix:PATH"},
    {"--frobnicate a", "--frobnicate is no option; penstock --help lists them"},
    {"-Z a", "-Z is no option; penstock --help lists them"},
    {"-w", "--workers wants a value, as in --workers N"},
    {"--workers", "--workers wants a value, as in --workers N"},
    {"--initgroups=1 a", "--initgroups takes no value"},
    {"-w 0 a", "--workers wants a whole number from 1 to 1024, not '0'"},
    {"-w 1025 a", "--workers wants a whole number from 1 to 1024, not '1025'"},
    {"-w -1 a", "--workers wants a whole number from 1 to 1024, not '-1'"},
    {"-w 2x a", "--workers wants a whole number from 1 to 1024, not '2x'"},
    {"-w +2 a", "--workers wants a whole number from 1 to 1024, not '+2'"},
    {"-w= a", "--workers wants a whole number from 1 to 1024, not '='"},
    {"--workers= a", "--workers wants a whole number from 1 to 1024, not ''"},
    {"-t 99999999999999999999 a",
	"--timeout wants a whole number from 0 to 2147483647, not '99999999999999999999'"},
    {"--backlog 0 a", "--backlog wants a whole number from 1 to 2147483647, not '0'"},
    {"-b 8000 a", "--bind cannot use '8000': a port alone is written with a colon, :8000"},
    {"-e NAME a", "--env wants NAME=VALUE, not 'NAME'"},
    {"-e =v a", "--env wants NAME=VALUE, not '=v'"},
    {"-m 8 a", "--umask wants an octal mask from 0 to 777, not '8'"},
    {"-m 1000 a", "--umask wants an octal mask from 0 to 777, not '1000'"},
    {"-m 0o a", "--umask wants an octal mask from 0 to 777, not '0o'"},
    {"-k snc a", "--worker-class does not know 'snc' (did you mean 'sync'?); it takes auto, sync, "
		 "threaded, async, gevent, eventlet or tornado"},
    {"--threads 0 a", "--threads wants a whole number from 1 to 1024, not '0'"},
    {"--threads 1025 a", "--threads wants a whole number from 1 to 1024, not '1025'"},
    {"--worker-connections 65536 a",
	"--worker-connections wants a whole number from 1 to 65535, not '65536'"},
    {"--loop trio a", "--loop does not know 'trio'; it takes auto, asyncio or uvloop"},
    {"--lifespan yes a", "--lifespan does not know 'yes'; it takes auto, on or off"},
    {"-k gevent --asgi-loop uvloop a",
	"--loop is uvloop, but gevent means the loop gevent: leave one out"},
    {"--header-map keep a",
	"--header-map does not know 'keep'; it takes drop, refuse or dangerous"},
    {"--log-level warn a",
	"--log-level does not know 'warn'; it takes debug, info, warning, error or critical"},
    {"--chdir= a", "--chdir wants a value that is not empty"},
    {"--spew=1 a", "--spew is not there yet: gunicorn has this option, this version of "
		   "Penstock does not"},
    {"--preload=1 a", "--preload takes no value"},
    {"--worker-tmp-dir", "--worker-tmp-dir wants a value"},
    {"--max-memory 2T a",
	"--max-memory wants a number of bytes below 2^63, such as 4096, 64K, 256M or "
	"2G, not '2T'"},
    {"--max-memory 8589934592G a", "--max-memory wants a number of bytes below 2^63, such as 4096, "
				   "64K, 256M or 2G, not '8589934592G'"},
    {"--max-memory G a", "--max-memory wants a number of bytes below 2^63, such as 4096, "
			 "64K, 256M or 2G, not 'G'"},
    {"--forwarded-allow-ips 10.0.0.0/8,x a",
	"--forwarded-allow-ips cannot use 'x': not an IP address, a network such as 10.0.0.0/8, or "
	"*"},
    {"--access-logformat %(z)s a", "--access-logformat cannot use '%(z)s': unknown atom"},
    {"-c x.py a", "--config wants a YAML file, and x.py is Python: 'penstock import-gunicorn x.py "
		  "-o penstock.yaml' makes one of it"},
    {"-c /nonexistent/x a", "--config: cannot open /nonexistent/x: No such file or directory"},
    {"--retry always a", "--retry does not know 'always'; it takes never or idempotent"},
    {"--root-path shop a",
	"--root-path wants a path that begins with a slash, as /shop, not 'shop'"},
    {"--command x a", "--command is no option; penstock --help lists them"},
};

START_TEST(test_wrong)
{
	must_fail(wrong[_i].line, wrong[_i].sentence);
}
END_TEST

/* What would not fit into the line by which the gateway is told of it. */
START_TEST(test_too_long)
{
	static const char more[] =
	    " is too long: it takes 8065 bytes, and 8064 are the most (blanks, '%' and what is "
	    "not ASCII take three each)";
	char line[9000] = "--access-logformat ", sentence[256] = "--access-logformat";
	size_t before = strlen(line);

	memset(line + before, 'x', 8064);
	strcpy(line + before + 8064, " app");
	must_run(line);
	strcpy(line + before + 8064, "x app");
	strcat(sentence, more);
	must_fail(line, sentence);
	memcpy(line + before, "%%", 2); /* six bytes */
	strcpy(line + before + 8061, " app");
	must_fail(line, sentence);
}
END_TEST

START_TEST(test_wrong_variables)
{
	setenv("PORT", "http", 1);
	must_fail("a", "the environment has PORT='http', which is no port");
	unsetenv("PORT");
	setenv("WEB_CONCURRENCY", "many", 1);
	must_fail("a", "the environment has WEB_CONCURRENCY='many', which is no number of "
		       "workers from 1 to 1024");
	unsetenv("WEB_CONCURRENCY");
	setenv("PENSTOCK_CMD_ARGS", "--wokers 3", 1);
	must_fail("a", "in PENSTOCK_CMD_ARGS --wokers is no option; did you mean --workers?");
	setenv("PENSTOCK_CMD_ARGS", "-w 'a", 1);
	must_fail("a", "PENSTOCK_CMD_ARGS cannot be read: a quote is not closed, or a "
		       "backslash stands at the end");
}
END_TEST

START_TEST(test_umasks)
{
	must_run("-m 0o27 a");
	ck_assert_uint_eq(pst_conf_umask(conf), 027);
	tear_down();
	set_up();
	must_run("-m 77 a");
	ck_assert_uint_eq(pst_conf_umask(conf), 077);
}
END_TEST

/* The table itself: every default passes its own check, every name is used once. */
START_TEST(test_table)
{
	char key[64], why[PST_CONF_WHY];

	for (int id = 0; id < PST_OPT_COUNT; id++) {
		const struct pst_option *option = &pst_options[id];

		ck_assert_ptr_nonnull(option->name);
		if (option->scope == PST_SCOPE_LINE)
			ck_assert_ptr_nonnull(option->help);
		ck_assert_int_eq(option->kind == PST_KIND_FLAG, option->argument == NULL);
		if (option->check && option->standard)
			ck_assert_int_eq(option->check(option->standard, why), 0);
		for (size_t i = 0; i < pst_options_missing_count; i++) {
			ck_assert_str_ne(option->name, pst_options_missing[i].name);
			if (option->letter)
				ck_assert_int_ne(option->letter, pst_options_missing[i].letter);
		}
		for (int other = 0; other < id; other++) {
			ck_assert_str_ne(option->name, pst_options[other].name);
			if (option->letter)
				ck_assert_int_ne(option->letter, pst_options[other].letter);
		}
	}
	pst_option_key(PST_OPT_LIMIT_REQUEST_FIELD_SIZE, key, sizeof(key));
	ck_assert_str_eq(key, "limit_request_field_size");
}
END_TEST

START_TEST(test_help_fits_a_screen)
{
	FILE *out = tmpfile();
	char line[256];
	int lines = 0;

	ck_assert_ptr_nonnull(out);
	pst_conf_print_help(out);
	rewind(out);
	while (fgets(line, sizeof(line), out)) {
		ck_assert_msg(strcspn(line, "\n") <= 80, "%s", line);
		lines++;
	}
	ck_assert_int_le(lines, 50);
	fclose(out);
}
END_TEST

static const struct {
	const char *text, *words; /* the words, each ended by '|'; NULL: refused */
} splits[] = {
    {"", ""},
    {" \t\n ", ""},
    {"a", "a|"},
    {" a  b ", "a|b|"},
    {"-e 'A=b c'", "-e|A=b c|"},
    {"\"a 'b' \\\"c\\\" \\\\ \\d\"", "a 'b' \"c\" \\ \\d|"},
    {"'a\\b'", "a\\b|"},
    {"a\\ b", "a b|"},
    {"''", "|"},
    {"a''b\"c\"", "abc|"},
    {"$HOME * `x`", "$HOME|*|`x`|"},
    {"'a", NULL},
    {"\"a\\\"", NULL},
    {"a\\", NULL},
};

START_TEST(test_split)
{
	struct pst_words words;
	const char *reason = NULL;
	char all[256] = "";
	int result = pst_words_split(&words, "penstock", splits[_i].text, &reason);

	if (!splits[_i].words) {
		ck_assert_int_eq(result, -1);
		ck_assert_ptr_nonnull(reason);
		return;
	}
	ck_assert_int_eq(result, 0);
	ck_assert_str_eq(words.word[0], "penstock");
	for (int i = 1; i < words.count; i++) {
		strcat(all, words.word[i]);
		strcat(all, "|");
	}
	ck_assert_ptr_null(words.word[words.count]);
	ck_assert_str_eq(all, splits[_i].words);
	pst_words_free(&words);
}
END_TEST

START_TEST(test_nearest)
{
	struct pst_nearest search;
	char long_name[200];

	pst_nearest_begin(&search, "kitten");
	pst_nearest_offer(&search, "sitting");
	ck_assert_ptr_null(search.name);
	pst_nearest_offer(&search, "sittin");
	ck_assert_str_eq(search.name, "sittin");
	ck_assert_uint_eq(search.distance, 2);
	pst_nearest_offer(&search, "mitten");
	pst_nearest_offer(&search, "bitten");
	ck_assert_str_eq(search.name, "mitten");
	memset(long_name, 'k', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	pst_nearest_offer(&search, long_name);
	ck_assert_str_eq(search.name, "mitten");
	pst_nearest_begin(&search, long_name);
	pst_nearest_offer(&search, "kitten");
	ck_assert_ptr_null(search.name);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf");
	TCase *right = tcase_create("right"), *bad = tcase_create("wrong");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(right, set_up, tear_down);
	tcase_add_test(right, test_defaults);
	tcase_add_test(right, test_every_option);
	tcase_add_test(right, test_ways_to_write_them);
	tcase_add_test(right, test_paths);
	tcase_add_test(right, test_the_last_one_counts);
	tcase_add_test(right, test_variables_replace_defaults);
	tcase_add_test(right, test_empty_variables_say_nothing);
	tcase_add_test(right, test_cmd_args_replace_variables);
	tcase_add_test(right, test_the_command_line_replaces_cmd_args);
	tcase_add_test(right, test_a_command_line_is_read_twice);
	tcase_add_test(right, test_one_pool_without_a_name);
	tcase_add_test(right, test_the_same);
	tcase_add_test(right, test_sizes);
	tcase_add_test(right, test_help_and_version_need_no_application);
	tcase_add_test(right, test_umasks);
	tcase_add_test(right, test_table);
	tcase_add_test(right, test_help_fits_a_screen);
	tcase_add_loop_test(right, test_split, 0, (int)(sizeof(splits) / sizeof(splits[0])));
	tcase_add_test(right, test_nearest);
	tcase_add_checked_fixture(bad, set_up, tear_down);
	tcase_add_loop_test(
	    right, test_worker_classes, 0, (int)(sizeof(classes) / sizeof(classes[0])));
	tcase_add_test(right, test_commands);
	tcase_add_test(right, test_words);
	tcase_add_loop_test(right, test_without_meaning, 0, (int)(sizeof(odd) / sizeof(odd[0])));
	tcase_add_loop_test(bad, test_wrong, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_test(bad, test_wrong_variables);
	tcase_add_test(bad, test_too_long);
	suite_add_tcase(suite, right);
	suite_add_tcase(suite, bad);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
