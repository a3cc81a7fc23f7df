/*
 * start_response and write (PEP 3333), and the one way by which a response reaches the host:
 * the head waits for the first byte of body or the end, and the body is held against
 * Content-Length.
 */
#ifndef PST_PYTHON_RESPONSE_H
#define PST_PYTHON_RESPONSE_H

#include <Python.h>

#include "adapters/python/call.h"

#include <sys/types.h>

/* The type that start_response and write are bound to; its objects are handles. */
PyTypeObject *pst_response_type(void);

/* The start_response callable of RESPONSE, a handle; NULL with an exception. */
PyObject *pst_response_start(PyObject *response);
/* The write callable, which start_response() returns. */
PyObject *pst_response_write_callable(PyObject *response);

/*
 * Send a piece of the body; FLUSH sends it at once. 0, or -1 with an exception: AssertionError
 * before start_response(), BrokenPipeError when the client is gone, OSError when the host
 * failed. An empty piece does nothing. What exceeds Content-Length is cut and logged, once.
 */
int pst_response_write(struct pst_call *call, const char *bytes, size_t n, bool flush);

/* The same for LENGTH bytes of the regular file FD from OFFSET. */
int pst_response_send_file(struct pst_call *call, int fd, off_t offset, long long length);

/*
 * Say how long the body will be in all, when that is known before any of it was sent and the
 * application gave no Content-Length.
 */
void pst_response_set_length(struct pst_call *call, long long length);

/* What a failure now does to the response: the end of a sentence. */
const char *pst_response_failure(struct pst_call *call);

/* The application has given everything: send a head that still waits, and see that the body is
 * as long as was said. As pst_response_write(); a short body was logged, -1 without exception. */
int pst_response_end(struct pst_call *call);

#endif
