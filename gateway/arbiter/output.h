/*
 * What a worker prints: its stdout and stderr are a pipe, read here line by line into the error
 * log, each line framed with the worker's id.
 *
 * A line may begin with its level, as sd-daemon(3) has it: "<3>" is an error. It is cut off, and
 * such a line obeys the log's level. Without one the line is INFO and is always written. Whatever
 * a line says it is framed as its worker's.
 *
 * An output lives on its own: subprocesses of the worker may hold the pipe after the worker has
 * exited, so it ends with the last writer. A worker that floods costs PST_OUTPUT_LINE bytes
 * and a turn of the loop at a time; what the log cannot take it drops and counts.
 */
#ifndef PST_ARBITER_OUTPUT_H
#define PST_ARBITER_OUTPUT_H

#include <event2/event.h>
#include <sys/types.h>

#define PST_OUTPUT_LINE 4096 /* longer lines are logged in pieces of this size */
#define PST_OUTPUT_ID   72 /* a pool's name is in it */
#define PST_OUTPUT_SAID 256

struct pst_output;

/* All outputs of an arbiter. */
struct pst_outputs {
	struct event_base *base;
	int priority; /* of the events: lower than what decides over life and death */
	struct pst_output *first;
};

/*
 * Read FD, the non-blocking end of worker ID's pipe, which belongs to the output when this
 * succeeds. NULL: no memory.
 */
struct pst_output *pst_output_new(struct pst_outputs *outputs, int fd, const char *id);

/* The worker was started as PID. */
void pst_output_set_pid(struct pst_output *output, pid_t pid);

/*
 * The worker has exited: log what it left in the pipe and its unfinished last line. The output
 * ends by itself when nobody has the pipe any more; the pointer is not good after this. SAID,
 * unless it is NULL, gets what tells best why it exited: the beginning of its last line of level
 * error, or else of its last line that is not empty; "" when it printed nothing.
 */
void pst_output_finish(struct pst_output *output, char said[PST_OUTPUT_SAID]);

/* End them all, with what is in the pipes logged. */
void pst_outputs_close(struct pst_outputs *outputs);

#endif
