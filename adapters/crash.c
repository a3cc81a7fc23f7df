#include "adapters/crash.h"

#include "adapters/log.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE 65536

/* Read by the handler, on whatever thread it runs: each is one word that is stored whole. */
static const struct pst_plugin_lifecycle *_Atomic crash_lifecycle;
static void *_Atomic crash_app;
static const struct pst_request *_Atomic crash_running;

/* The line of crash_running, filled before that is set, so that the handler searches nothing. */
static struct pst_request_line crash_line;

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

static void
say_request(void)
{
	say(" while it handled ");
	say(crash_line.method);
	say(" ");
	for (int i = 0; i < 2; i++)
		pst_log_raw(2, crash_line.path[i], strlen(crash_line.path[i]), 1);
}

static void
on_crash(int signo)
{
	const struct pst_plugin_lifecycle *lifecycle = atomic_load(&crash_lifecycle);
	void *app = atomic_load(&crash_app);

	pst_log_raw_begin(2, PST_LOG_CRITICAL);
	say("this worker dies by ");
	say(signal_name(signo));
	if (atomic_load(&crash_running))
		say_request();
	else
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
pst_crash_request(const struct pst_request *request)
{
	atomic_store(&crash_running, NULL);
	if (!request)
		return;
	pst_request_line(request, &crash_line);
	atomic_store(&crash_running, request);
}
