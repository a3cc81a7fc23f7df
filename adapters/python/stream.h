/*
 * The socket of a WebSocket in a WSGI environ (penstock_loops/takeover.py), and the host's side of
 * it: bytes both ways in place of a response.
 */
#ifndef PST_PYTHON_STREAM_H
#define PST_PYTHON_STREAM_H

#include <Python.h>

#include "adapters/python/call.h"

/* The type of the host's side; its objects are handles. */
PyTypeObject *pst_stream_type(void);

#endif
