/*
 * wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"): an iterable over
 * blocks of a file-like object. When the application returns it and there is a regular file
 * underneath, the host sends that file itself.
 */
#ifndef PST_PYTHON_FILE_WRAPPER_H
#define PST_PYTHON_FILE_WRAPPER_H

#include <Python.h>

#include <stdbool.h>
#include <sys/types.h>

/* The type: file_wrapper(filelike, block_size=8192). NULL with an exception. */
PyTypeObject *pst_file_wrapper_type(void);

/* A regular file, from where its reader stands to its end. */
struct pst_file {
	int fd; /* the application's */
	off_t offset;
	long long length; /* above 0 */
};

/*
 * Whether WRAPPER (an object of the type above, nothing derived) has a regular file underneath
 * whose bytes are what read() would return: true, and *FILE. False when it must be read instead;
 * no exception is left.
 */
bool pst_file_wrapper_file(PyObject *wrapper, struct pst_file *file);

#endif
