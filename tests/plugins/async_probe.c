/*
 * A plugin of the async model that does what tests ask for: PATH_INFO (or SCRIPT_NAME) names it,
 * QUERY_STRING is an argument. What is only seen in the log begins with "probe: ". With -DOWN_LOOP
 * it runs a loop of its own, which is as simple as one can be.
 */
#include <penstock/plugin.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

struct task;

/* What is asked for: called when it may go on; true when it is over, with *RESULT for finish(). */
typedef bool step_fn(struct task *task, int *result);

struct task {
	TAILQ_ENTRY(task) all;
	TAILQ_ENTRY(task) queue;
	struct pst_request *request;
	step_fn *step;
	bool queued;
	bool begun; /* its head was sent */
	bool due; /* its timer has come */
	bool aborted;
	long left;
	size_t held; /* bytes of what was read and not taken yet */
	char bytes[16384];
	uint64_t at; /* with a loop of our own: when it is due; 0: no timer */
	struct pst_watch *timer;
};

TAILQ_HEAD(tasks, task);

static const struct pst_host *host;
static struct tasks all = TAILQ_HEAD_INITIALIZER(all);
static struct tasks queue = TAILQ_HEAD_INITIALIZER(queue);
static bool draining;

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	host->log(PST_LOG_INFO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static const char *
param(struct pst_request *request, const char *name)
{
	size_t count;
	const struct pst_field *params = host->params(request, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(params[i].name, name) == 0)
			return params[i].value;
	return "";
}

static long
argument(const struct task *task)
{
	return atol(param(task->request, "QUERY_STRING"));
}

static int
respond(struct task *task)
{
	static const struct pst_field plain = {"Content-Type", 12, "text/plain", 10};

	if (task->begun)
		return 0;
	task->begun = true;
	return host->respond(task->request, 200, NULL, &plain, 1);
}

static bool
answer(struct task *task, int *result, const char *text)
{
	*result = respond(task);
	if (*result == 0)
		*result = host->write(task->request, text, strlen(text));
	return true;
}

static void
enqueue(struct task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	TAILQ_INSERT_TAIL(&queue, task, queue);
}

/* --- timers --- */

#ifdef OWN_LOOP
static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
#endif

static void
on_timer(void *arg, unsigned events)
{
	struct task *task = arg;

	(void)events;
	task->due = true;
	enqueue(task);
}

static void
set_timer(struct task *task, uint64_t microseconds)
{
	task->due = false;
#ifdef OWN_LOOP
	task->at = now() + microseconds;
#else
	host->cancel(task->timer);
	task->timer = host->timer(microseconds, on_timer, task);
#endif
}

/* --- what is asked for --- */

static bool
do_hello(struct task *task, int *result)
{
	return answer(task, result, "hello\n");
}

static bool
do_params(struct task *task, int *result)
{
	size_t count;
	const struct pst_field *params = host->params(task->request, &count);

	*result = respond(task);
	for (size_t i = 0; i < count && *result == 0; i++) {
		host->write(task->request, params[i].name, params[i].name_len);
		host->write(task->request, "=", 1);
		*result = host->write(task->request, params[i].value, params[i].value_len + 1);
	}
	return true;
}

/* The body comes back as it goes; waits on either side. */
static bool
do_echo(struct task *task, int *result)
{
	*result = respond(task);
	while (*result == 0) {
		ssize_t n = (ssize_t)task->held;
		if (n == 0)
			n = host->read(task->request, task->bytes, sizeof(task->bytes));
		if (n == PST_RESULT_AGAIN)
			return false;
		if (n <= 0) {
			*result = (int)n;
			return true;
		}
		task->held = (size_t)n;
		*result = host->write(task->request, task->bytes, task->held);
		if (*result == PST_RESULT_AGAIN)
			return false;
		task->held = 0;
	}
	return true;
}

/* How many bytes the body has; it answers when it has come whole. */
static bool
do_count(struct task *task, int *result)
{
	char text[32];
	ssize_t n;

	while ((n = host->read(task->request, task->bytes, sizeof(task->bytes))) > 0)
		task->left += n;
	if (n == PST_RESULT_AGAIN)
		return false;
	*result = (int)n;
	snprintf(text, sizeof(text), "%ld\n", task->left);
	return n < 0 || answer(task, result, text);
}

/* As many bytes as the argument says. */
static bool
do_big(struct task *task, int *result)
{
	static char bytes[60000];

	if (!task->begun) {
		memset(bytes, 'x', sizeof(bytes));
		task->left = argument(task);
	}
	*result = respond(task);
	while (*result == 0 && task->left > 0) {
		size_t n = task->left < (long)sizeof(bytes) ? (size_t)task->left : sizeof(bytes);
		*result = host->write(task->request, bytes, n);
		if (*result == PST_RESULT_AGAIN)
			return false;
		task->left -= (long)n;
	}
	return true;
}

/* Answer after so many milliseconds. */
static bool
do_sleep(struct task *task, int *result)
{
	if (!task->due) {
		set_timer(task, (uint64_t)argument(task) * 1000);
		return false;
	}
	return answer(task, result, "slept\n");
}

/* A line, which leaves at once, and another one after so many milliseconds. */
static bool
do_drip(struct task *task, int *result)
{
	if (!task->due) {
		answer(task, result, "one\n");
		set_timer(task, (uint64_t)argument(task) * 1000);
		return false;
	}
	return answer(task, result, "two\n");
}

/* Until it is aborted. */
static bool
do_hang(struct task *task, int *result)
{
	*result = -1;
	return task->aborted;
}

/* Also when it is aborted, until another request asks for /release. */
static bool
do_stubborn(struct task *task, int *result)
{
	(void)task;
	*result = -1;
	return task->left == 1;
}

static bool
do_release(struct task *task, int *result)
{
	struct task *other;

	TAILQ_FOREACH (other, &all, all)
		if (other->step == do_stubborn) {
			other->left = 1;
			enqueue(other);
		}
	return answer(task, result, "released\n");
}

/* How many requests there are. */
static bool
do_open(struct task *task, int *result)
{
	struct task *other;
	char text[32];
	int n = 0;

	TAILQ_FOREACH (other, &all, all)
		n++;
	snprintf(text, sizeof(text), "%d\n", n);
	return answer(task, result, text);
}

static bool
do_fail(struct task *task, int *result)
{
	respond(task);
	*result = -1;
	return true;
}

/* The head leaves, then it fails. */
static bool
do_fail_late(struct task *task, int *result)
{
	if (!task->begun) {
		answer(task, result, "half");
		set_timer(task, 1000);
	}
	*result = -1;
	return task->due;
}

static bool
do_nothing(struct task *task, int *result)
{
	(void)task;
	*result = 0;
	return true;
}

static bool
do_error(struct task *task, int *result)
{
	static const char text[] = "something is wrong\nin two lines";

	host->error(task->request, text, strlen(text));
	*result = -1;
	return true;
}

/* The file that the argument names, then a word. */
static bool
do_file(struct task *task, int *result)
{
	const char *path = param(task->request, "QUERY_STRING");
	int fd;

	*result = respond(task);
	if (*result == 0 && task->left == 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		task->left = lseek(fd, 0, SEEK_END);
		*result = host->send_file(task->request, fd, 0, (size_t)task->left);
		close(fd);
	}
	if (*result == 0)
		*result = host->write(task->request, "behind\n", 7);
	return *result != PST_RESULT_AGAIN;
}

/* The loop stands still for so many milliseconds. */
static bool
do_block(struct task *task, int *result)
{
	long ms = argument(task);
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
	return answer(task, result, "blocked\n");
}

static bool woken; /* on_wake() was called */

static void *
wake(void *unused)
{
	host->wake();
	return unused;
}

/* Another thread says when to go on. */
static bool
do_wake(struct task *task, int *result)
{
	pthread_t thread;

	if (!woken && task->left == 0) {
		task->left = 1;
		pthread_create(&thread, NULL, wake, NULL);
		pthread_detach(thread);
	}
	return woken && answer(task, result, "woken\n");
}

static bool
do_crash(struct task *task, int *result)
{
	raise((int)argument(task));
	return answer(task, result, "alive\n");
}

static const struct {
	const char *path;
	step_fn *step;
} steps[] = {
    {"/hello", do_hello},
    {"/params", do_params},
    {"/echo", do_echo},
    {"/count", do_count},
    {"/big", do_big},
    {"/sleep", do_sleep},
    {"/drip", do_drip},
    {"/hang", do_hang},
    {"/stubborn", do_stubborn},
    {"/release", do_release},
    {"/open", do_open},
    {"/fail", do_fail},
    {"/fail-late", do_fail_late},
    {"/nothing", do_nothing},
    {"/error", do_error},
    {"/file", do_file},
    {"/block", do_block},
    {"/wake", do_wake},
    {"/crash", do_crash},
};

static step_fn *
find_step(struct pst_request *request)
{
	const char *path = param(request, "PATH_INFO");

	if (*path == '\0')
		path = param(request, "SCRIPT_NAME");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (strcmp(steps[i].path, path) == 0)
			return steps[i].step;
	return do_nothing;
}

/* --- tasks --- */

static void
end(struct task *task, int result)
{
	TAILQ_REMOVE(&all, task, all);
	if (task->queued)
		TAILQ_REMOVE(&queue, task, queue);
	host->cancel(task->timer);
	host->finish(task->request, result);
	free(task);
}

/* Go on with everything that may. */
static void
run_queue(void)
{
	struct task *task;

	while ((task = TAILQ_FIRST(&queue))) {
		int result = 0;
		TAILQ_REMOVE(&queue, task, queue);
		task->queued = false;
		if (task->step(task, &result))
			end(task, result);
	}
}

static void
on_request(void *app, struct pst_request *request)
{
	struct task *task = calloc(1, sizeof(*task));

	(void)app;
	if (!task) {
		host->finish(request, -1);
		return;
	}
	task->request = request;
	task->step = find_step(request);
	host->set_user(request, task);
	TAILQ_INSERT_TAIL(&all, task, all);
	enqueue(task);
}

static void
on_ready(void *app, struct pst_request *request)
{
	(void)app;
	enqueue(host->user(request));
}

static void
on_abort(void *app, struct pst_request *request, enum pst_abort why)
{
	struct task *task = host->user(request);

	(void)app;
	task->aborted = true;
	say("probe: %s is aborted, reason %d", param(request, "PATH_INFO"), why);
	enqueue(task);
}

/* --- a loop of our own --- */

#ifdef OWN_LOOP
#define FDS 4096

static struct pollfd fds[FDS];
static nfds_t fd_count;
static uint64_t host_timer = UINT64_MAX; /* when */
static bool deferred;
static bool stopped;

static int
own_watch(void *app, int fd, unsigned events)
{
	nfds_t i = 0;

	(void)app;
	while (i < fd_count && fds[i].fd != fd)
		i++;
	if (i == FDS)
		return -1;
	if (i == fd_count)
		fds[fd_count++].fd = fd;
	fds[i].revents = 0;
	fds[i].events = (short)((events & PST_EVENT_READ ? POLLIN : 0) |
				(events & PST_EVENT_WRITE ? POLLOUT : 0));
	if (events == 0)
		fds[i] = fds[--fd_count];
	return 0;
}

static void
own_timer(void *app, uint64_t microseconds)
{
	(void)app;
	host_timer = microseconds == UINT64_MAX ? UINT64_MAX : now() + microseconds;
}

static void
own_defer(void *app)
{
	(void)app;
	deferred = true;
}

static void
own_stop(void *app)
{
	(void)app;
	stopped = true;
}

static int
own_timeout(void)
{
	uint64_t first = host_timer, at = now();
	struct task *task;

	if (deferred || !TAILQ_EMPTY(&queue))
		return 0;
	TAILQ_FOREACH (task, &all, all)
		if (task->at && task->at < first)
			first = task->at;
	if (first == UINT64_MAX)
		return -1;
	return first <= at ? 0 : (int)((first - at) / 1000 + 1);
}

static void
own_timers(void)
{
	struct task *task;

	TAILQ_FOREACH (task, &all, all)
		if (task->at && task->at <= now()) {
			task->at = 0;
			on_timer(task, 0);
		}
	if (host_timer <= now()) {
		host_timer = UINT64_MAX;
		host->timer_due();
	}
}

static void
own_fds(void)
{
	static struct pollfd ready[FDS];
	nfds_t count = fd_count;

	memcpy(ready, fds, count * sizeof(fds[0]));
	for (nfds_t i = 0; i < count; i++) {
		unsigned events =
		    (ready[i].revents & (POLLIN | POLLHUP | POLLERR) ? PST_EVENT_READ : 0u) |
		    (ready[i].revents & (POLLOUT | POLLERR) ? PST_EVENT_WRITE : 0u);
		if (events)
			host->fd_ready(ready[i].fd, events);
	}
}

static int
own_run(void *app)
{
	(void)app;
	while (!stopped) {
		poll(fds, fd_count, own_timeout());
		own_fds();
		own_timers();
		run_queue();
		if (deferred) {
			deferred = false;
			host->turn();
		}
	}
	return 0;
}
#else
static void
on_turn(void *app)
{
	(void)app;
	run_queue();
}
#endif

/* --- the plugin --- */

static void
on_wake(void *app)
{
	struct task *task;

	(void)app;
	woken = true;
	TAILQ_FOREACH (task, &all, all)
		if (task->step == do_wake)
			enqueue(task);
}

static int
probe_open(const struct pst_host *given, const struct pst_app_config *config, void **app)
{
	(void)app;
	host = given;
	say("probe: open, model %d, %u at a time", config->model, config->concurrency);
	return 0;
}

static void
probe_close(void *app)
{
	(void)app;
	say("probe: close");
}

static void
probe_drain(void *app)
{
	struct task *task;

	(void)app;
	draining = true;
	say("probe: drain");
	TAILQ_FOREACH (task, &all, all)
		if (task->step == do_hang) {
			task->aborted = true;
			enqueue(task);
		}
}

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof(lifecycle),
    .open = probe_open,
    .close = probe_close,
    .drain = probe_drain,
};

static const struct pst_plugin_async async = {
    .size = sizeof(async),
    .on_request = on_request,
    .on_ready = on_ready,
    .on_abort = on_abort,
    .on_wake = on_wake,
#ifdef OWN_LOOP
    .run = own_run,
    .stop = own_stop,
    .watch = own_watch,
    .timer = own_timer,
    .defer = own_defer,
#else
    .on_turn = on_turn,
#endif
};

static const struct pst_plugin plugin = {
    .magic = PST_PLUGIN_MAGIC,
    .major = PST_PLUGIN_MAJOR,
    .minor = PST_PLUGIN_MINOR,
    .size = sizeof(plugin),
    .name = "async-probe",
    .version = "1",
    .models = 1u << PST_MODEL_ASYNC,
    .lifecycle = &lifecycle,
    .async = &async,
};

const struct pst_plugin *
penstock_plugin(void)
{
	return &plugin;
}
