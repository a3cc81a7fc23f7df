#include <Python.h>

#include "adapters/python/dump.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

/*
 * CPython exports no function for this that every version has, but faulthandler.register() does
 * it at a signal, safely. So the signal is raised, in the thread that wants the stacks; which
 * descriptor it writes to is exchanged under it.
 */
static atomic_int prepared = -1; /* faulthandler's descriptor */

static int
dump_signal(void)
{
	return SIGRTMAX - 2;
}

/* faulthandler.register(signal, file=fd, all_threads=True): 0, or -1 with an exception. */
static int
register_signal(int fd)
{
	PyObject *module = PyImport_ImportModule("faulthandler");
	PyObject *result = module != NULL ? PyObject_CallMethod(module, "register", "iiO",
						dump_signal(), fd, Py_True)
					  : NULL;

	Py_XDECREF(result);
	Py_XDECREF(module);
	return result != NULL ? 0 : -1;
}

int
pst_dump_start(void)
{
	int fd = fcntl(2, F_DUPFD_CLOEXEC, 100);

	if (fd < 0 && errno == EINVAL) /* RLIMIT_NOFILE has no room for it */
		fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
	if (fd < 0) {
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	if (register_signal(fd) < 0) {
		close(fd);
		return -1;
	}
	atomic_store(&prepared, fd);
	return 0;
}

void
pst_dump_stop(void)
{
	int fd = atomic_exchange(&prepared, -1);

	if (fd >= 0)
		close(fd);
}

/* The interpreter takes its handler away when it ends; the signal would kill the process then. */
static bool
is_registered(void)
{
	struct sigaction action;

	return sigaction(dump_signal(), NULL, &action) == 0 && action.sa_handler != SIG_DFL &&
	       action.sa_handler != SIG_IGN;
}

void
pst_dump(int fd)
{
	int own = atomic_load(&prepared);
	sigset_t wanted, before;

	if (own < 0 || !is_registered() || dup2(fd, own) < 0)
		return;
	sigemptyset(&wanted);
	sigaddset(&wanted, dump_signal());
	pthread_sigmask(SIG_UNBLOCK, &wanted, &before);
	raise(dump_signal());
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
