/*
 * asyncio's set of all tasks, a WeakSet: what it does in Python when a task is made and when one
 * goes, done in C. It remains the set that asyncio.all_tasks() reads.
 *
 * On the thread of the interpreter's start; the set has no loop.
 */
#ifndef PST_PYTHON_TASK_SET_H
#define PST_PYTHON_TASK_SET_H

/* From now on tasks are added in C, unless this Python keeps them otherwise. */
void pst_task_set_shorten(void);

#endif
