/*
 * An application in C that waits a lot, served by Penstock's async adapter: one process, one
 * thread, a thousand requests at a time. It has no event loop of its own: it uses the host's. See
 * README.md beside this file, and Penstock's docs/plugin.md for the whole story.
 *
 *	GET  /            a greeting
 *	GET  /wait?MS     the same, after so many milliseconds
 *	POST /echo        the body of the request, as it comes
 */
#include <penstock/plugin.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct pst_host *host;

/* One request. It goes from on_request() to finish(). */
struct task {
	struct task *next; /* in the queue */
	struct pst_request *request;
	struct pst_watch *timer; /* /wait */
	bool queued;
	bool answered; /* the head was given */
	bool aborted; /* nobody wants the answer any more */
	size_t held; /* bytes that were read and are still to be written */
	char bytes[16384];
};

/* --- tasks that can go on: the callbacks only put them here --- */

static struct task *queue;
static struct task **queue_end = &queue;

static void
enqueue(struct task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*queue_end = task;
	queue_end = &task->next;
}

static struct task *
dequeue(void)
{
	struct task *task = queue;

	if (!task)
		return NULL;
	queue = task->next;
	if (!queue)
		queue_end = &queue;
	task->queued = false;
	return task;
}

/* --- answering: each returns what finish() is told, or AGAIN when there is nothing to do now ---
 */

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

static int
respond(struct task *task, int status)
{
	static const struct pst_field plain = {"Content-Type", 12, "text/plain", 10};

	if (task->answered)
		return 0;
	task->answered = true;
	return host->respond(task->request, status, NULL, &plain, 1);
}

static int
answer(struct task *task, int status, const char *text)
{
	if (respond(task, status) < 0)
		return -1;
	return host->write(task->request, text, strlen(text)) < 0 ? -1 : 0;
}

static void
on_timer(void *arg, unsigned events)
{
	(void)events;
	enqueue(arg);
}

static int
get_wait(struct task *task)
{
	unsigned long ms = strtoul(param(task->request, "QUERY_STRING"), NULL, 10);

	if (task->timer)
		return answer(task, 200, "Hello from C, at last\n");
	task->timer = host->timer((uint64_t)ms * 1000, on_timer, task);
	return task->timer ? PST_RESULT_AGAIN : -1;
}

/* Both sides may make us wait: for more of the body, or until what was written has left. */
static int
post_echo(struct task *task)
{
	if (respond(task, 200) < 0)
		return -1;
	for (;;) {
		int result;
		ssize_t n = (ssize_t)task->held;
		if (n == 0)
			n = host->read(task->request, task->bytes, sizeof(task->bytes));
		if (n <= 0)
			return (int)n; /* 0 at its end, AGAIN, or what went wrong */
		task->held = (size_t)n;
		result = host->write(task->request, task->bytes, task->held);
		if (result < 0)
			return result;
		task->held = 0;
	}
}

static int
go_on(struct task *task)
{
	const char *path = param(task->request, "PATH_INFO");

	if (task->aborted)
		return -1;
	if (*path == '\0')
		path = param(task->request, "SCRIPT_NAME");
	if (strcmp(path, "/wait") == 0)
		return get_wait(task);
	if (strcmp(path, "/echo") == 0)
		return post_echo(task);
	if (*path == '\0' || strcmp(path, "/") == 0)
		return answer(task, 200, "Hello from C\n");
	return answer(task, 404, "Not found\n");
}

static void
run(struct task *task)
{
	int result = go_on(task);

	if (result == PST_RESULT_AGAIN)
		return; /* on_ready(), on_abort() or the timer puts it into the queue again */
	host->cancel(task->timer);
	host->finish(task->request, result);
	free(task);
}

/* --- what the host calls --- */

static void
app_on_request(void *app, struct pst_request *request)
{
	struct task *task = calloc(1, sizeof(*task));

	(void)app;
	if (!task) {
		host->finish(request, -1);
		return;
	}
	task->request = request;
	host->set_user(request, task);
	enqueue(task);
}

static void
app_on_ready(void *app, struct pst_request *request)
{
	(void)app;
	enqueue(host->user(request));
}

static void
app_on_abort(void *app, struct pst_request *request, enum pst_abort why)
{
	struct task *task = host->user(request);

	(void)app;
	(void)why;
	task->aborted = true;
	enqueue(task);
}

/* All callbacks of a wakeup were made: here, and only here, the application runs. */
static void
app_on_turn(void *app)
{
	struct task *task;

	(void)app;
	while ((task = dequeue()))
		run(task);
}

static int
app_open(const struct pst_host *given, const struct pst_app_config *config, void **app)
{
	(void)config;
	(void)app;
	host = given;
	return 0;
}

static const struct pst_plugin_lifecycle lifecycle = {
    .size = sizeof(lifecycle),
    .open = app_open,
};

static const struct pst_plugin_async async = {
    .size = sizeof(async),
    .on_request = app_on_request,
    .on_ready = app_on_ready,
    .on_abort = app_on_abort,
    .on_turn = app_on_turn,
};

static const struct pst_plugin plugin = {
    .magic = PST_PLUGIN_MAGIC,
    .major = PST_PLUGIN_MAJOR,
    .minor = PST_PLUGIN_MINOR,
    .size = sizeof(plugin),
    .name = "waiter",
    .version = "1.0",
    .models = 1u << PST_MODEL_ASYNC,
    .lifecycle = &lifecycle,
    .async = &async,
};

const struct pst_plugin *
penstock_plugin(void)
{
	return &plugin;
}
