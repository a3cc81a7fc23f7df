/*
 * wsgi.input (PEP 3333, "Input and Error Streams"): read, readline, readlines, iteration, and
 * readinto. Reading stops at the end of the body and never goes past it; a body that broke off
 * raises ConnectionResetError. After the request every call raises ValueError.
 */
#ifndef PST_PYTHON_INPUT_H
#define PST_PYTHON_INPUT_H

#include <Python.h>

/* The type, whose objects are handles; NULL with an exception. */
PyTypeObject *pst_input_type(void);

#endif
