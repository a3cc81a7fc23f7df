#include "adapters/crash.h"

#include "adapters/held.h"
#include "adapters/log.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE 65536

/* What is said of a request by another thread than its own, with the NUL. */
#define TITLE 160

/* Read by the handler, on whatever thread it runs: each is one word that is stored whole. */
static const struct pst_plugin_lifecycle *_Atomic crash_lifecycle;
static void *_Atomic crash_app;
static pst_crash_open_fn *_Atomic crash_open;

/* Requests of an event loop that are named. */
#define NAMED 8

/* A thread that handles requests. */
struct slot {
	const struct pst_request *_Atomic running;
	char title[TITLE]; /* for a handler on another thread, while this one goes on; filled before
			      `running`, if there are several */
	void *stack; /* for the handler; NULL: the main thread's, or none */
};

static struct slot crash_slots[PST_CRASH_THREADS];
static _Thread_local struct slot *crash_own = &crash_slots[0];
static atomic_bool crash_many; /* there are several threads */
static pid_t crash_pid; /* of the worker, not of what its application forks */

static void
say(const char *text)
{
	pst_log_raw(2, text, strlen(text), 0);
}

static const char *
signal_name(int signo)
{
	switch (signo) {
	case SIGABRT: return "SIGABRT";
	case SIGSEGV: return "SIGSEGV";
	case SIGBUS: return "SIGBUS";
	case SIGFPE: return "SIGFPE";
	default: return "SIGILL";
	}
}

/* LINE, of which SAID others stand before it. */
static void
say_request(const struct pst_request_line *line, unsigned said)
{
	say(said == 0 ? " while it handled " : ", ");
	say(line->method);
	say(" ");
	for (int i = 0; i < 2; i++)
		pst_log_raw(2, line->path[i], strlen(line->path[i]), 1);
}

static void
say_number(unsigned n)
{
	char digits[16];
	char *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	say(at);
}

/* What an event loop has, if there is one. */
static unsigned
say_open(void)
{
	pst_crash_open_fn *fn = atomic_load(&crash_open);
	const struct pst_request_line *lines[NAMED];
	unsigned count = fn ? fn(lines, NAMED) : 0;

	for (unsigned i = 0; i < count && i < NAMED; i++)
		say_request(lines[i], i);
	if (count > NAMED) {
		say(" and ");
		say_number(count - NAMED);
		say(" more");
	}
	return count;
}

static void
say_title(const struct slot *slot, unsigned said)
{
	say(said == 0 ? " while it handled " : ", ");
	pst_log_raw(2, slot->title, strnlen(slot->title, TITLE), 1);
}

/* What was being handled, this thread's first: how many. */
static unsigned
say_requests(void)
{
	const struct slot *own = crash_own;
	const struct pst_request *running = atomic_load(&own->running);
	struct pst_request_line line;
	unsigned said = 0;

	if (running) {
		pst_request_line(running, &line);
		say_request(&line, said++);
	}
	for (size_t i = 0; i < PST_CRASH_THREADS; i++) {
		if (&crash_slots[i] == own || !atomic_load(&crash_slots[i].running))
			continue;
		if (said < NAMED)
			say_title(&crash_slots[i], said);
		said++;
	}
	if (said > NAMED) {
		say(" and ");
		say_number(said - NAMED);
		say(" more");
	}
	return said > 0 ? said : say_open();
}

static void
on_crash(int signo)
{
	const struct pst_plugin_lifecycle *lifecycle = atomic_load(&crash_lifecycle);
	void *app = atomic_load(&crash_app);

	pst_held_crash();
	pst_log_raw_begin(2, PST_LOG_CRITICAL);
	say(getpid() == crash_pid ? "this worker dies by "
				  : "a process that the application has forked dies by ");
	say(signal_name(signo));
	if (say_requests() == 0)
		say(app ? " between requests" : " while it loaded the application");
	pst_log_raw_end(2);
	if (lifecycle && lifecycle->dump)
		lifecycle->dump(app, 2);
	raise(signo); /* SA_RESETHAND and SA_NODEFER: this ends the process */
}

static int
install(int signo)
{
	struct sigaction action = {
	    .sa_handler = on_crash,
	    .sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER,
	};
	struct sigaction before;

	sigemptyset(&action.sa_mask);
	if (sigaction(signo, NULL, &before) < 0)
		return -1;
	if (signo != SIGABRT && before.sa_handler != SIG_DFL)
		return 0;
	return sigaction(signo, &action, NULL);
}

int
pst_crash_begin(void)
{
	static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	static char stack_memory[STACK_SIZE];
	stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof(stack_memory)};

	crash_pid = getpid();
	if (sigaltstack(&stack, NULL) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (install(signals[i]) < 0)
			return -1;
	return 0;
}

void
pst_crash_plugin(const struct pst_plugin_lifecycle *lifecycle)
{
	atomic_store(&crash_lifecycle, lifecycle);
}

void
pst_crash_app(void *app)
{
	atomic_store(&crash_app, app);
}

void
pst_crash_open(pst_crash_open_fn *fn)
{
	atomic_store(&crash_open, fn);
}

void
pst_crash_thread_begin(unsigned number)
{
	stack_t stack = {.ss_size = STACK_SIZE};

	crash_own = &crash_slots[number];
	atomic_store(&crash_many, true);
	if (number == 0)
		return; /* pst_crash_begin() has done it */
	stack.ss_sp = malloc(STACK_SIZE);
	if (stack.ss_sp && sigaltstack(&stack, NULL) < 0) {
		free(stack.ss_sp);
		stack.ss_sp = NULL;
	}
	crash_own->stack = stack.ss_sp;
}

void
pst_crash_thread_end(void)
{
	const stack_t none = {.ss_flags = SS_DISABLE};

	if (!crash_own->stack)
		return;
	sigaltstack(&none, NULL);
	free(crash_own->stack);
	crash_own->stack = NULL;
}

/* Append TEXT to what ends at AT, as far as END allows: the new end. */
static char *
append(char *at, const char *end, const char *text)
{
	size_t n = strnlen(text, (size_t)(end - at));

	memcpy(at, text, n);
	return at + n;
}

static void
copy_line(char title[TITLE], const struct pst_request_line *line)
{
	const char *end = title + TITLE - 1;
	char *at = append(title, end, line->method);

	at = append(at, end, " ");
	at = append(at, end, line->path[0]);
	*append(at, end, line->path[1]) = '\0';
}

/* A handler on this thread finds all in order; one on another sees `running` after the title. */
void
pst_crash_request(const struct pst_request *request)
{
	struct slot *own = crash_own;
	struct pst_request_line line;

	if (request && atomic_load_explicit(&crash_many, memory_order_relaxed)) {
		pst_request_line(request, &line);
		copy_line(own->title, &line);
	}
	atomic_store_explicit(&own->running, request, memory_order_release);
}
