/* The stacks of all Python threads, written in a signal handler. */
#ifndef PST_PYTHON_DUMP_H
#define PST_PYTHON_DUMP_H

/*
 * Prepare, with the GIL held: the interpreter's faulthandler is given a signal of its own, and a
 * descriptor. 0, or -1 with an exception.
 */
int pst_dump_start(void);

/* After the interpreter has ended. */
void pst_dump_stop(void);

/* Write the stacks to FD. Async-signal-safe, on any thread, whoever holds the GIL; does nothing
 * before pst_dump_start(). */
void pst_dump(int fd);

#endif
